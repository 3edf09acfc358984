//! Every recording at hand through the C parser and through etherparse: whatever the C parser
//! accepts, both must see alike. Run with
//! `cargo test -p floodwall-xdp --test parser_captures -- --nocapture` for the totals.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/second_opinion.rs"]
mod second_opinion;
#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeMap;

use captures::Link;
use floodwall_xdp::host::{Parsed, parse_frame, parse_ip};
use second_opinion::{Opinion, compare};

#[derive(Default)]
struct Totals {
    packets: u64,
    other_link: u64,
    refused: BTreeMap<&'static str, u64>,
    agreed: u64,
    differing: BTreeMap<String, u64>,
    contradictions: Vec<String>,
}

impl Totals {
    fn packet(&mut self, file: &str, link: Link, bytes: &[u8]) {
        self.packets += 1;
        let parsed = match link {
            Link::Ethernet => parse_frame(bytes),
            Link::Ip => parse_ip(bytes),
            Link::Other => return self.other_link += 1,
        };
        let parsed = match parsed {
            Parsed::Packet(parsed) => parsed,
            Parsed::NotIp => return *self.refused.entry("not IP").or_default() += 1,
            Parsed::Truncated => return *self.refused.entry("truncated").or_default() += 1,
            Parsed::Malformed => return *self.refused.entry("malformed").or_default() += 1,
        };
        match compare(link, bytes, &parsed) {
            Opinion::Agreed => self.agreed += 1,
            Opinion::SaysLess(why) => {
                *self.differing.entry(format!("etherparse says less: {why}")).or_default() += 1;
            }
            Opinion::SaysMore(why) => {
                *self.differing.entry(format!("etherparse says more: {why}")).or_default() += 1;
            }
            Opinion::Contradicts(what) => self.contradictions.push(format!("{file}: {what}")),
        }
    }

    fn accepted(&self) -> u64 {
        self.agreed + self.differing.values().sum::<u64>() + self.contradictions.len() as u64
    }
}

#[test]
fn both_parsers_see_every_recorded_packet_alike() {
    let Some(files) = captures::files() else {
        return skip::without_recordings(
            "there are no recordings; FLOODWALL_DATA names their folder",
        );
    };
    let (mut totals, mut broken) = (Totals::default(), 0);
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        broken += u32::from(
            captures::packets(path, |link, bytes| totals.packet(&name, link, bytes)).is_err(),
        );
    }
    println!("files {}, of which end early or are no recording {broken}", files.len());
    println!("packets {}, of other link types {}", totals.packets, totals.other_link);
    println!("refused by the C parser {:?}", totals.refused);
    println!("accepted {}, agreed on {}", totals.accepted(), totals.agreed);
    for (why, packets) in &totals.differing {
        println!("{packets:>8} {why}");
    }
    println!("contradictions {}", totals.contradictions.len());
    assert!(totals.agreed > 0, "nothing was compared");
    let shown = totals.contradictions.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(totals.contradictions.is_empty(), "{shown}");
    assert!(
        !totals.differing.keys().any(|why| why.contains("UNEXPECTED")),
        "etherparse complains about something that nobody has looked at"
    );
}
