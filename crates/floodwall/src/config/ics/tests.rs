use super::*;

/// A calendar whose only event has these lines.
fn calendar(lines: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{lines}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

const WHEN: &str = "DTSTART:20261124T170000Z\r\nDTEND:20261124T230000Z";
/// 2026-11-24 17:00:00 UTC.
const FROM_MS: u64 = 1_795_539_600_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;

fn only(text: &str) -> Event {
    let (mut events, mistakes) = read(text);
    assert_eq!((events.len(), mistakes.as_slice()), (1, &[][..]), "{text}");
    events.remove(0)
}

#[test]
fn an_event_is_read_as_it_is_written() {
    let event = only(&calendar(&format!(
        "UID:1\r\nSUMMARY:Results night\\, live\r\n{WHEN}\r\nX-FLOODWALL-PATHS:/results, /live/*"
    )));
    assert_eq!(event.name, "Results night, live");
    assert_eq!((event.from_ms, event.until_ms), (FROM_MS, FROM_MS + 6 * HOUR_MS));
    assert_eq!(event.repeat, None);
    let paths: Vec<&str> = event.paths.iter().map(EventPath::text).collect();
    assert_eq!(paths, ["/results", "/live/*"]);
}

#[test]
fn paths_stand_in_the_description_too_and_lines_are_folded() {
    let event = only(&calendar(&format!(
        "{WHEN}\r\nDESCRIPTION:All welcome.\\n/resu\r\n lts\\n  /live/*\\nNot here: /search"
    )));
    let paths: Vec<&str> = event.paths.iter().map(EventPath::text).collect();
    assert_eq!(paths, ["/results", "/live/*"]);
    assert_eq!(event.name, "without a name");
}

#[test]
fn what_declares_nothing_is_passed_over_right_or_wrong() {
    for lines in [
        WHEN.to_owned(),
        "DTSTART;TZID=Europe/Warsaw:20261124T170000\r\nRRULE:FREQ=YEARLY".to_owned(),
        format!("{WHEN}\r\nSTATUS:CANCELLED\r\nX-FLOODWALL-PATHS:/results"),
        format!("{WHEN}\r\nBEGIN:VALARM\r\nDESCRIPTION:/results\r\nEND:VALARM"),
    ] {
        assert_eq!(read(&calendar(&lines)), (vec![], vec![]), "{lines}");
    }
}

#[test]
fn events_come_again_daily_or_weekly() {
    for (rule, every_ms, last_from_ms) in [
        ("FREQ=DAILY", DAY_MS, u64::MAX),
        ("FREQ=DAILY;COUNT=3", DAY_MS, FROM_MS + 2 * DAY_MS),
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=2", 14 * DAY_MS, FROM_MS + 14 * DAY_MS),
        ("FREQ=WEEKLY;UNTIL=20261201T170000Z;WKST=MO", 7 * DAY_MS, FROM_MS + 7 * DAY_MS),
        // 24 November 2026 is a Tuesday.
        ("FREQ=WEEKLY;BYDAY=TU", 7 * DAY_MS, u64::MAX),
    ] {
        let event = only(&calendar(&format!("{WHEN}\r\nX-FLOODWALL-PATHS:/r\r\nRRULE:{rule}")));
        assert_eq!(event.repeat, Some(Repeat { every_ms, last_from_ms }), "{rule}");
    }
}

#[test]
fn durations_are_those_of_the_rfc() {
    for (text, expected_ms) in [
        ("P7W", Some(49 * DAY_MS)),
        ("P15DT5H0M20S", Some(15 * DAY_MS + 5 * HOUR_MS + 20_000)),
        ("+PT90M", Some(90 * 60_000)),
        ("-PT15M", None),
        ("P", None),
        ("PT", None),
        ("PT5", None),
        ("P5H", None),
        ("PTT5H", None),
        ("P99999999999999999999D", None),
        ("2H", None),
    ] {
        assert_eq!(when::duration_ms(text), expected_ms, "{text}");
    }
    let event =
        only(&calendar("DTSTART:20261124T170000Z\r\nDURATION:PT2H\r\nX-FLOODWALL-PATHS:/r"));
    assert_eq!(event.until_ms, FROM_MS + 2 * HOUR_MS);
    let event = only(&calendar(
        "DTSTART;TZID=Etc/UTC:20261124T170000\r\nDURATION:PT2H\r\nX-FLOODWALL-PATHS:/r",
    ));
    assert_eq!(event.from_ms, FROM_MS);
}

#[test]
fn what_is_not_understood_is_told_with_its_line() {
    for (lines, line, words) in [
        ("DTEND:20261124T230000Z", 3, "no DTSTART"),
        ("DTSTART:20261124T170000Z", 3, "neither DTEND nor DURATION"),
        ("DTSTART;TZID=Europe/Warsaw:20261124T170000", 4, "the zone Europe/Warsaw"),
        ("DTSTART:20261124T170000", 4, "a time without a zone"),
        ("DTSTART;VALUE=DATE:20261124", 4, "a whole day"),
        ("DTSTART:20261131T170000Z", 4, "is no time"),
        ("DTSTART:20261124T170000Z\r\nDTEND:20261124T160000Z", 3, "ends before it begins"),
        ("DTSTART:20261124T170000Z\r\nDURATION:P32D", 3, "longer than 31 days"),
        ("DTSTART:20261124T170000Z\r\nDURATION:soon", 5, "DURATION `soon`"),
        (&format!("{WHEN}\r\nRRULE:FREQ=YEARLY"), 6, "FREQ=YEARLY is not understood"),
        (&format!("{WHEN}\r\nRRULE:FREQ=WEEKLY;BYDAY=MO"), 6, "BYDAY"),
        (&format!("{WHEN}\r\nRRULE:FREQ=DAILY;BYHOUR=3"), 6, "BYHOUR is not understood"),
        (&format!("{WHEN}\r\nRRULE:FREQ=DAILY;COUNT=0"), 6, "COUNT must be a number"),
        (&format!("{WHEN}\r\nRRULE:COUNT=2"), 6, "FREQ is missing"),
        (&format!("{WHEN}\r\nEXDATE:20261125T170000Z"), 6, "EXDATE is not understood"),
        ("DTSTART:20261124T170000Z\r\nDURATION:P2D\r\nRRULE:FREQ=DAILY", 3, "before it is over"),
        ("no content line", 4, "is no content line"),
    ] {
        let (_, mistakes) = read(&calendar(&format!("{lines}\r\nX-FLOODWALL-PATHS:/results")));
        let found = mistakes.iter().any(|(at, what)| *at == line && what.contains(words));
        assert!(found, "{lines}: {mistakes:?}");
    }
    let (_, mistakes) = read(&calendar(&format!("{WHEN}\r\nX-FLOODWALL-PATHS:/*,results")));
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    let (_, mistakes) = read("hello: world");
    assert!(mistakes[0].1.contains("no iCalendar file"), "{mistakes:?}");
    let (_, mistakes) = read("BEGIN:VCALENDAR\nBEGIN:VEVENT\n");
    assert!(mistakes[0].1.contains("BEGIN:VEVENT without its END"), "{mistakes:?}");
    let (_, mistakes) = read("BEGIN:VCALENDAR\nEND:VEVENT\n");
    assert!(mistakes[0].1.contains("END:VEVENT without its BEGIN"), "{mistakes:?}");
}

#[test]
fn a_calendar_of_mistakes_or_events_without_end_stays_bounded() {
    let body = "BEGIN:VEVENT\nX-FLOODWALL-PATHS:/r\nEND:VEVENT\n".repeat(1_000);
    let (_, mistakes) = read(&format!("BEGIN:VCALENDAR\n{body}END:VCALENDAR\n"));
    assert_eq!(mistakes.len(), MISTAKES_MAX + 1);
    assert!(mistakes[MISTAKES_MAX].1.contains("980 further"), "{mistakes:?}");
    let body = format!("BEGIN:VEVENT\n{WHEN}\nX-FLOODWALL-PATHS:/r\nEND:VEVENT\n").repeat(1_000);
    let (events, mistakes) = read(&format!("BEGIN:VCALENDAR\n{body}END:VCALENDAR\n"));
    assert_eq!((events.len(), mistakes.len()), (EVENTS_MAX, 1), "{mistakes:?}");
    let (_, mistakes) = read(&"BEGIN:VEVENT\n".repeat(1_000));
    assert!(mistakes.iter().any(|(_, what)| what.contains("too deeply")), "{mistakes:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_brings_a_panic(text in "(BEGIN:VCALENDAR\n|BEGIN:VEVENT\n|END:VEVENT\n|DTSTART|;TZID=|:|20261124T170000Z?|\n|DURATION:P[0-9]{0,22}[WDTHMS]{0,3}|RRULE:FREQ=(DAILY|WEEKLY);|COUNT=[0-9]{0,21}|X-FLOODWALL-PATHS:|/[a-z*]{0,4}|DESCRIPTION:|[\\\\;,\"=: \t\r\n]{0,3}|\\PC{0,3}){0,40}") {
        let lines = text.split('\n').count().max(1);
        let (events, mistakes) = read(&text);
        for (line, _) in &mistakes {
            proptest::prop_assert!((1..=lines).contains(line));
        }
        proptest::prop_assert!(mistakes.len() <= MISTAKES_MAX + 1 && events.len() <= EVENTS_MAX);
        for event in events {
            proptest::prop_assert!(event.from_ms < event.until_ms && !event.paths.is_empty());
            proptest::prop_assert!(event.occurrence(event.from_ms) == Some((event.from_ms, event.until_ms)));
        }
    }

    /// Folding anywhere between two characters changes nothing (RFC 5545 § 3.1).
    #[test]
    fn a_folded_calendar_says_the_same(at in 30_usize..160, tab in proptest::bool::ANY) {
        let whole = calendar(&format!("SUMMARY:Night\r\n{WHEN}\r\nX-FLOODWALL-PATHS:/results,/live/*"));
        let at = at.min(whole.len() - 1);
        let before = whole.as_bytes()[at - 1];
        proptest::prop_assume!(!matches!(before, b'\r' | b'\n') && !matches!(whole.as_bytes()[at], b'\r' | b'\n'));
        let fold = if tab { "\r\n\t" } else { "\r\n " };
        let folded = format!("{}{fold}{}", &whole[..at], &whole[at..]);
        proptest::prop_assert_eq!(read(&folded), read(&whole));
    }
}
