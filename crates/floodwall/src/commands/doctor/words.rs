//! The facts and what follows from them, said for people who have no security department, and as
//! JSON. Pure: the same facts give the same text.

use std::fmt::Write;

use floodwall_console::status::KernelTier as Tier;
use serde::Serialize;

use super::facts::{Facts, Interface, Limit, Trial};
use super::verdict::{Ceiling, Expected, Verdict, on_it};

/// Columns of the text.
const WIDTH: usize = 96;

/// Facts and verdict side by side. The names in it stay; new ones may come.
pub(super) fn json(facts: &Facts, verdict: &Verdict) -> String {
    #[derive(Serialize)]
    struct Both<'a> {
        facts: &'a Facts,
        verdict: &'a Verdict,
    }
    serde_json::to_string_pretty(&Both { facts, verdict }).unwrap_or_else(|error| {
        // Plain data with names for keys always has a JSON form.
        format!("{{\"error\": \"{error}\"}}")
    })
}

/// The page.
pub(super) fn text(facts: &Facts, verdict: &Verdict) -> String {
    let mut page = Page::default();
    page.line(if verdict.works {
        "Floodwall can drop banned sources in this host's kernel."
    } else {
        "As things stand, Floodwall cannot work in this host's kernel. It still stands in front of \
         websites, and closes banned sources after they have connected."
    });
    now(&mut page, facts);
    where_it_sits(&mut page, facts, verdict);
    page.heading("What this host has");
    host(&mut page, facts, verdict);
    page.heading("Where addresses belong");
    for line in facts.address_databases.words() {
        page.item("", &line);
    }
    page.heading("How fast it is here");
    speed(&mut page, facts, verdict.ceiling);
    page.heading("What to do next");
    for step in &verdict.next_steps {
        page.item("", step);
    }
    if verdict.next_steps.is_empty() {
        page.item("", "Nothing is missing.");
    }
    page.0
}

fn now(page: &mut Page, facts: &Facts) {
    page.heading("In force now");
    let Some(running) = &facts.running else {
        page.item(
            "",
            "No Floodwall answers this user at the usual place. One that another user started, or \
             with a place of its own for its files, would not be seen here.",
        );
        return;
    };
    let asked = match (&running.interfaces[..], &running.interface) {
        ([_, _, ..], _) => String::new(),
        (_, Some(name)) if matches!(running.tier, Tier::XdpNative | Tier::XdpGeneric) => {
            format!(" on {name}")
        }
        (_, Some(name)) => format!(" (asked for: {name})"),
        (_, None) => String::new(),
    };
    let tier = tier_name(running.tier);
    page.item("", &format!("A Floodwall is running; its kernel filter: {tier}{asked}."));
    if let interfaces @ [_, _, ..] = &running.interfaces[..] {
        for (name, tier) in interfaces {
            page.item("  ", &format!("{name}: {}.", tier_name(*tier)));
        }
    }
    if !running.not_done.is_empty() {
        page.item("", &format!("Not done there: {}.", running.not_done.join("; ")));
    }
    if let Some(why) = &running.why_not_better {
        page.item("", &format!("Why not a better one: {why}."));
    }
}

fn where_it_sits(page: &mut Page, facts: &Facts, verdict: &Verdict) {
    page.heading("Where the filter would sit, and what it could do there");
    for (expected, interface) in verdict.interfaces.iter().zip(&facts.interfaces) {
        let driver = interface.driver.as_deref().unwrap_or("none, it is virtual or not shown");
        let off = if interface.up { "" } else { ", switched off" };
        let label = format!("With --interface {} (driver: {driver}{off})", interface.name);
        sits(page, &label, expected);
        if let Some(note) = attached(facts, interface, expected.tier) {
            page.item("  ", &note);
        }
        if let Some(proof) = &expected.syn_proof {
            page.item("  ", &format!("{proof}."));
        }
    }
    sits(page, "Without --interface", &verdict.without_interface);
}

fn sits(page: &mut Page, label: &str, expected: &Expected) {
    page.item("", &format!("{label}: {}", tier_words(expected.tier)));
    for why in &expected.why_not_better {
        page.item("  ", &format!("{why}."));
    }
}

const fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::XdpNative => "native XDP",
        Tier::XdpGeneric => "generic XDP",
        Tier::SocketFilter => "on the listening sockets",
        Tier::Nftables => "an nftables set",
        Tier::None => "none",
    }
}

const fn tier_words(tier: Tier) -> &'static str {
    match tier {
        Tier::XdpNative => {
            "in the network driver (native XDP), the best place. Everything works: bans, rules for \
             packets, guards against floods."
        }
        Tier::XdpGeneric => {
            "at the head of the network stack (generic XDP). Everything works, at a higher cost per \
             packet."
        }
        Tier::SocketFilter => {
            "on the listening sockets (socket filter). Banned sources are dropped; no rules for \
             packets, no guards against floods."
        }
        Tier::Nftables => {
            "in a table of nftables. Banned sources are dropped; no rules for packets, no guards \
             against floods."
        }
        Tier::None => "nowhere in the kernel.",
    }
}

/// What is to be said about what sits on an interface, and about what was not tried there.
fn attached(facts: &Facts, interface: &Interface, tier: Tier) -> Option<String> {
    match interface.xdp_attached {
        Some(true) if on_it(facts.running.as_ref(), &interface.name).is_some() => {
            Some("the Floodwall that is running sits on it now.".to_owned())
        }
        Some(true) => None,
        Some(false) if tier == Tier::XdpNative => Some(
            "that is what the driver says of itself; not tried, since that could interrupt the network.".to_owned(),
        ),
        Some(false) => None,
        None => Some("whether another XDP program sits on it could not be asked.".to_owned()),
    }
}

fn host(page: &mut Page, facts: &Facts, verdict: &Verdict) {
    page.fact("Kernel", &format!("Linux {}", facts.kernel.as_deref().unwrap_or("(not readable)")));
    page.fact(
        "Permissions",
        &if facts.capabilities_missing.is_empty() {
            "all that the filter needs".to_owned()
        } else {
            format!("missing: {}", facts.capabilities_missing.join(", "))
        },
    );
    page.fact(
        "Kernel filter",
        if facts.filter_built { "part of this build" } else { "not in this build (no clang then)" },
    );
    page.fact("XDP program", &trial("the kernel takes it", &facts.xdp_program));
    page.fact("Kernel functions", &helpers(facts));
    page.fact(
        "Compiler for BPF",
        match facts.jit {
            Some(true) => "on",
            Some(false) => "off, packets cost several times as much",
            None => "could not be read",
        },
    );
    page.fact(
        "Kernel types (BTF)",
        if facts.btf { "there" } else { "not there; Floodwall does not need them" },
    );
    page.fact("SYN cookies", &syn_cookies(facts, verdict));
    page.fact("Own questions seen", &trial("works, so answers to them are let in", &facts.egress));
    page.fact("Socket filter", &trial("works, tried on a socket of our own", &facts.socket_filter));
    page.fact("nftables", &trial("works, the kernel would take the table", &facts.nftables));
    page.fact("Open files", &limit(facts.open_files_max, ""));
    page.fact("Locked memory", &limit(facts.locked_memory_max, " bytes"));
}

fn trial(works: &str, trial: &Trial) -> String {
    match trial {
        Trial::Works => works.to_owned(),
        Trial::Fails(why) => format!("does not work: {why}"),
        Trial::NotTried(why) => format!("not tried: {why}"),
    }
}

fn helpers(facts: &Facts) -> String {
    let Some(helpers) = &facts.helpers else {
        return "not looked at: this process may not ask".to_owned();
    };
    let missing: Vec<String> = helpers
        .iter()
        .filter(|helper| !helper.there)
        .map(|helper| format!("{} (since Linux {})", helper.name, helper.since_linux))
        .collect();
    if missing.is_empty() {
        "all there".to_owned()
    } else {
        format!("missing: {}", missing.join(", "))
    }
}

fn syn_cookies(facts: &Facts, verdict: &Verdict) -> String {
    let can = if verdict.syn_cookies {
        "can be made"
    } else if facts.xdp_program.works() {
        "cannot be made"
    } else {
        "not tried"
    };
    let now = match facts.tcp_syncookies {
        Some(0) => "off (net.ipv4.tcp_syncookies is 0)",
        Some(1) => "used when a queue is full (net.ipv4.tcp_syncookies is 1)",
        Some(2) => "used for every connection (net.ipv4.tcp_syncookies is 2)",
        _ => "not readable (net.ipv4.tcp_syncookies)",
    };
    format!("by the filter: {can}; by the kernel now: {now}")
}

fn limit(limit: Option<Limit>, unit: &str) -> String {
    match limit {
        Some(Limit::Max(max)) => format!("at most {}{unit}", grouped(max)),
        Some(Limit::Unlimited) => "no limit".to_owned(),
        None => "could not be read".to_owned(),
    }
}

fn speed(page: &mut Page, facts: &Facts, ceiling: Option<Ceiling>) {
    match (facts.costs, ceiling) {
        (Some(costs), Some(ceiling)) => {
            page.item("", "Measured just now in the kernel, without any traffic, per packet:");
            page.fact("  let through", &format!("{} ns", costs.pass_ns));
            page.fact("  from a banned source", &format!("{} ns", costs.banned_ns));
            page.fact("  against 64 rules", &format!("{} ns", costs.rules_64_miss_ns));
            page.fact(
                "  SYN with a cookie",
                &costs.syn_cookie_ns.map_or("not measured".to_owned(), |ns| {
                    format!("{ns} ns, measured one at a time, which costs more")
                }),
            );
            page.item(
                "",
                &format!(
                    "So the filter alone, on one core, looks at no more than {} packets a second on \
                     the slowest of these paths: {} Mbit/s of the shortest packets (64 bytes). From \
                     banned sources: {} packets a second.",
                    grouped(ceiling.packets_per_s),
                    grouped(ceiling.mbit_per_s),
                    grouped(ceiling.banned_packets_per_s),
                ),
            );
            page.item(
                "",
                "That is a ceiling, not a promise: the network card, its driver and everything else \
                 on this core take their share.",
            );
        }
        _ => page.item("", "Not measured: the kernel filter could not be loaded."),
    }
    page.item(
        "",
        "When the line to this host is full before the packets arrive, nothing on this host can \
         help. Only the provider in front of it can.",
    );
}

/// 14880000 as 14,880,000.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Lines of at most [`WIDTH`] columns.
#[derive(Default)]
struct Page(String);

impl Page {
    fn heading(&mut self, heading: &str) {
        self.line("");
        self.line(heading);
    }

    fn line(&mut self, text: &str) {
        self.wrap("", "", text);
    }

    fn item(&mut self, deeper: &str, text: &str) {
        self.wrap(&format!("  {deeper}- "), &format!("    {deeper}"), text);
    }

    fn fact(&mut self, name: &str, text: &str) {
        self.wrap(&format!("  {name:<22} "), &" ".repeat(25), text);
    }

    /// `first` stands before the first line, `rest` before the others.
    fn wrap(&mut self, first: &str, rest: &str, text: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            let width = line.chars().count() + usize::from(!empty) + word.chars().count();
            if !empty && width > WIDTH {
                self.put(&line);
                line = rest.to_owned();
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.put(&line);
    }

    fn put(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{}", line.trim_end());
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
