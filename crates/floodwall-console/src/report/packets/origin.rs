//! 4 and 5: where packets say they come from, whether that is forged, and what kinds of machines
//! would look like this. Never who.

use floodwall_model::packet::{PacketClass, SourceTest, SpoofingGrade};

use super::super::details;
use super::super::page::Page;
use super::flood::Flood;
use super::measured::VALUE_COLUMN;
use crate::words::{count, number};

/// 4: where it came from.
pub(super) fn sources(page: &mut Page, flood: &Flood<'_>) {
    let packets = flood.packets;
    page.heading("4. SOURCES");
    page.paragraph(
        "A source is the IPv4 address, or the IPv6 network of /64, that a packet gives as its \
         sender. Nobody checks it on the way, so it can be forged. The number is an estimate from \
         packets that were looked at whole; where only some were, there are more sources.",
    );
    page.gap();
    let known = |value: String| if flood.matched() == 0 { unknown() } else { value };
    page.row(
        VALUE_COLUMN,
        "sources of what rules matched",
        &known(format!("about {}", number(packets.sources))),
    );
    page.paragraph(&format!("Spoofing: {}. {}", packets.spoofing.words(), meaning(flood)));
    tests(page, flood);
    if flood.account.is_attack() {
        page.paragraph(&technique(flood));
    }
}

fn unknown() -> String {
    "could not be assessed (no packet matched a rule)".into()
}

/// What the grade rests on and what follows from it.
fn meaning(flood: &Flood<'_>) -> String {
    let made_up = "So the addresses do not say who sent the packets; their owners may have sent \
                   nothing.";
    match flood.packets.spoofing {
        SpoofingGrade::Established => {
            format!("Packets came from addresses that nobody can have. {made_up}")
        }
        SpoofingGrade::Strong => format!(
            "At least three independent marks of a program that makes up addresses were found. \
             {made_up}"
        ),
        SpoofingGrade::Indicative => "One or two marks of a program that makes up addresses were \
                                      found, which is too few to call them forged."
            .into(),
        SpoofingGrade::NoIndication if flood.is_reflection() => {
            "That fits servers which were made to answer: the answers come from the servers' true \
             addresses. Who asked in this host's name, they do not show."
                .into()
        }
        SpoofingGrade::NoIndication => {
            "None of the marks was found, which does not prove that the sources are real.".into()
        }
        SpoofingGrade::NotSpoofed => {
            "At least half of what was examined came from sources that had \
                                      completed a handshake, and for that an answer must reach \
                                      them. They are addresses of something real; it can be a \
                                      proxy, or a device whose owner knows nothing."
                .into()
        }
        SpoofingGrade::NotAssessable if flood.matched() == 0 => {
            "Only packets that a rule matched are examined, and there were none.".into()
        }
        SpoofingGrade::NotAssessable => {
            "Too few packets were examined, or what is needed was not seen.".into()
        }
    }
}

fn tests(page: &mut Page, flood: &Flood<'_>) {
    let packets = flood.packets;
    if packets.tested_packets > 0 {
        let examined = count(packets.tested_packets, "packet");
        page.paragraph(&format!("Examined: {examined} that matched a rule."));
    }
    if packets.tests.is_empty() {
        return;
    }
    page.gap();
    let (marks, others): (Vec<&SourceTest>, Vec<&SourceTest>) =
        packets.tests.iter().partition(|test| test.speaks_for_spoofing);
    group(page, "Marks of forged sources:", "Marks of forged sources: none.", &marks);
    group(page, "Measured, and no mark of them:", "", &others);
}

fn group(page: &mut Page, title: &str, empty: &str, tests: &[&SourceTest]) {
    match tests {
        [] if empty.is_empty() => {}
        [] => page.item(0, empty),
        tests => {
            page.item(0, title);
            for test in tests {
                let value = figure(test.value);
                page.item(1, &format!("{}: {value} ({})", test.name, test.says));
            }
        }
    }
}

/// A statistic with as many figures as it can bear.
fn figure(value: f64) -> String {
    if !value.is_finite() {
        "could not be assessed".into()
    } else if value > 0.0 && value < 0.005 {
        "under 0.01".into()
    } else if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// MITRE ATT&CK, Network and Endpoint Denial of Service (T1498, T1499).
fn technique(flood: &Flood<'_>) -> String {
    if flood.is_reflection() {
        return "MITRE ATT&CK: consistent with T1498.002 (reflection amplification).".into();
    }
    // T1499.001 names floods of SYN and of ACK; contents of connections may be visitors'.
    let most = |classes: &[PacketClass]| flood.share_of(classes) > 0.5;
    if most(&[PacketClass::Syn]) || most(&[PacketClass::Ack]) {
        "MITRE ATT&CK: consistent with T1499.001 (flood against the operating system).".into()
    } else if most(&STATELESS) {
        "MITRE ATT&CK: consistent with T1498.001 (direct network flood).".into()
    } else {
        "MITRE ATT&CK: a T1498 or T1499 flood; the record does not decide which.".into()
    }
}

/// Kinds that open no connection and use up none.
const STATELESS: [PacketClass; 4] =
    [PacketClass::Udp, PacketClass::Icmp, PacketClass::Fragment, PacketClass::Other];

/// 5: who.
pub(super) fn who(page: &mut Page, flood: &Flood<'_>) {
    details::who(page);
    if !flood.account.is_attack() {
        return;
    }
    let kinds = &flood.packets.consistent_with;
    if kinds.is_empty() {
        return page.paragraph(
            "What kind of machines sent it could not be assessed: of no kind were two signs on \
             record.",
        );
    }
    page.paragraph("What was measured is consistent with:");
    page.gap();
    for kind in kinds {
        page.item(0, &format!("{}, because of:", kind.name));
        for indicator in &kind.indicators {
            page.item(1, indicator);
        }
    }
    page.paragraph(
        "Consistent means that it would look like this. It is not proof, and other kinds are not \
         excluded.",
    );
}
