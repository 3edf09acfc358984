use proptest::prelude::*;

use fastrand::Rng;

use super::*;
use crate::mix::{ClientMix, MixConfig};

fn outline() -> Outline {
    Outline { landing: None, stays: 1.0, returns_to_landing: 0.0, social: 0.2 }
}

fn visitor(class: ClientClass) -> Visitor {
    let mix = ClientMix::everyday(&MixConfig { tools: 0.1, ..MixConfig::default() }, 1);
    let of_class = mix.implementations().iter().find(|one| one.class == class).unwrap();
    Visitor {
        source: "127.16.0.9".parse().unwrap(),
        profile: ClientProfile { implementation: Arc::clone(of_class), language: "en".into() },
        cookie: None,
        held: 0,
        who: Who::default(),
    }
}

fn session(class: ClientClass, seed: u64) -> Session {
    let site = Arc::new(Site::campaign());
    let rng = Rng::with_seed(seed);
    Session::new(1, 1_000, Label::Honest, site, visitor(class), outline(), rng)
}

/// Everything the session sends when every answer takes `delay_ms`.
fn run(session: &mut Session, delay_ms: u64) -> Vec<Planned> {
    let mut sent = Vec::new();
    let mut answer = Answer::ok(0);
    while let Step::Send(planned) = session.next(&answer) {
        answer = Answer::ok(planned.at_ms + delay_ms);
        sent.push(planned);
    }
    sent
}

#[test]
fn what_a_page_needs_is_asked_for_after_the_page_was_answered() {
    for seed in 0..20 {
        let sent = run(&mut session(ClientClass::Browser, seed), 700);
        assert_eq!(sent[0].at_ms, 1_000);
        let mut page_answered_ms = u64::MAX;
        let mut pages = 0;
        for planned in &sent {
            if planned.kind == RequestKind::Page {
                page_answered_ms = planned.at_ms + 700;
                pages += 1;
            } else {
                assert!(planned.at_ms >= page_answered_ms, "seed {seed}");
            }
        }
        assert_eq!(pages, VIEWS_MAX);
        let assets = sent.iter().filter(|p| p.kind == RequestKind::Asset).count();
        assert!(assets >= 6, "{assets}");
    }
}

#[test]
fn times_never_run_backwards() {
    for (seed, delay_ms) in (0..20).flat_map(|seed| [(seed, 0), (seed, 30), (seed, 20_000)]) {
        let sent = run(&mut session(ClientClass::Browser, seed), delay_ms);
        assert!(sent.is_sorted_by_key(|p| p.at_ms), "seed {seed}, {delay_ms} ms");
    }
}

#[test]
fn the_first_page_comes_without_cookie_and_the_next_with_it_and_its_referer() {
    let sent = run(&mut session(ClientClass::Browser, 3), 10);
    assert_eq!(sent[0].request.header("cookie"), None);
    for planned in &sent[1..] {
        assert!(planned.request.header("cookie").is_some_and(|c| c.starts_with("sid=")));
        let referer = planned.request.header("referer").unwrap();
        assert!(referer.starts_with("https://ashbourne-together.example/"), "{referer}");
    }
}

#[test]
fn the_sites_own_cookie_is_sent_back() {
    let mut visit = session(ClientClass::Browser, 3);
    let Step::Send(_) = visit.next(&Answer::ok(0)) else { panic!("a visit begins with a page") };
    let answer = Answer { cookie: Some("sid=from-the-site".into()), ..Answer::ok(1_010) };
    let Step::Send(asset) = visit.next(&answer) else { panic!("a page needs something") };
    assert_eq!(asset.request.header("cookie"), Some("sid=from-the-site"));
}

#[test]
fn a_copy_that_is_fresh_is_not_asked_for_again_and_another_conditionally() {
    let mut first = session(ClientClass::Browser, 5);
    let sent = run(&mut first, 10);
    let style = |p: &&Planned| p.request.path.as_str() == "/assets/site.css";
    assert_eq!(sent.iter().filter(style).count(), 1);
    let logo: Vec<bool> = sent
        .iter()
        .filter(|p| p.request.path.as_str() == "/assets/logo.svg")
        .map(|p| p.request.header("if-none-match").is_some())
        .collect();
    assert_eq!(logo, [false, true, true, true, true, true]);
}

#[test]
fn a_page_that_fails_is_reloaded_or_left_and_nothing_else_is_fetched() {
    let mut reloaded = 0;
    for seed in 0..50 {
        let mut visit = session(ClientClass::Browser, seed);
        let mut answer = Answer::ok(0);
        let mut sent = 0;
        while let Step::Send(planned) = visit.next(&answer) {
            assert_eq!(planned.kind, RequestKind::Page);
            answer = Answer { ok: false, ..Answer::ok(planned.at_ms + 10) };
            sent += 1;
        }
        assert!(sent <= 1 + RELOADS_MAX);
        reloaded += u32::from(sent > 1);
    }
    assert!((10..40).contains(&reloaded), "{reloaded}");
}

#[test]
fn machines_behave_as_machines() {
    let feed = run(&mut session(ClientClass::FeedReader, 1), 10);
    assert_eq!(feed.len(), 1);
    assert_eq!(feed[0].request.path.as_str(), "/feed.xml");
    for class in [ClientClass::Monitor, ClientClass::Tool, ClientClass::LinkPreview] {
        assert_eq!(run(&mut session(class, 1), 10).len(), 1, "{class:?}");
    }
    let bot = run(&mut session(ClientClass::SearchBot, 1), 10);
    assert!(bot.iter().all(|p| p.request.header("cookie").is_none()));
    let text = run(&mut session(ClientClass::TextBrowser, 1), 10);
    assert!(text.len() == VIEWS_MAX as usize && text.iter().all(|p| p.kind == RequestKind::Page));
    assert!(text[1].request.header("cookie").is_some());
}

#[test]
fn a_visit_begun_before_the_scene_goes_on_where_it_stands() {
    let whole = run(&mut session(ClientClass::Browser, 8), 0);
    let middle_ms = whole[whole.len() / 2].at_ms;
    let mut late = session(ClientClass::Browser, 8);
    assert!(late.catch_up(middle_ms));
    assert_eq!(late.starts_at_ms(), run(&mut late, 0)[0].at_ms);
    let mut late = session(ClientClass::Browser, 8);
    late.catch_up(middle_ms);
    let rest: Vec<Planned> = whole.into_iter().filter(|p| p.at_ms >= middle_ms).collect();
    assert_eq!(run(&mut late, 0), rest);
    assert!(!session(ClientClass::Browser, 8).catch_up(u64::MAX));
}

proptest! {
    /// Whatever the answers, a visit ends, and never sends anything before its page's answer.
    #[test]
    fn every_visit_ends(seed: u64, answers in prop::collection::vec((0u64..40_000, any::<bool>()), 1..40)) {
        let mut visit = session(ClientClass::Browser, seed);
        let mut answer = Answer::ok(0);
        let mut sent = 0usize;
        while let Step::Send(planned) = visit.next(&answer) {
            prop_assert!(planned.kind != RequestKind::Page || planned.at_ms >= answer.at_ms);
            let (delay_ms, ok) = answers[sent % answers.len()];
            answer = Answer { ok, ..Answer::ok(planned.at_ms + delay_ms) };
            sent += 1;
        }
        prop_assert!(sent <= 6 * (1 + 2) + 6 * (64 + 3));
    }
}
