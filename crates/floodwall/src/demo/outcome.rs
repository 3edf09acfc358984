//! The figures at the end: one JSON object, and the same in words.
//!
//! Whatever was not measured is null, never zero: a run in which no rule was placed has no figures
//! for the time after the rule.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use floodwall_sim::Label;
use serde::Serialize;

use super::defence::{DefenceCounters, RuleView};
use super::load::LoadCounters;
use super::meter::{Counts, Meter, Phase};
use super::origin::OriginCounters;
use super::screen::{COLUMNS, wrap};

/// A figure in each phase of the first scene.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ByPhase {
    /// Before the attack.
    pub before: Option<f64>,
    /// During the attack, until the first rule was in force.
    pub until_rule: Option<f64>,
    /// During the attack, from the first rule on.
    pub during: Option<f64>,
    /// After the attack.
    pub after: Option<f64>,
}

/// One label's requests over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Requests {
    /// Sent.
    pub sent: u64,
    /// Answered well.
    pub well: u64,
    /// Blocked by a rule (403).
    pub blocked: u64,
    /// Throttled (429).
    pub throttled: u64,
    /// 5xx.
    pub unavailable: u64,
    /// No answer in time.
    pub timed_out: u64,
    /// No connection.
    pub unreachable: u64,
    /// Cut, or another status.
    pub other: u64,
    /// That reached the origin.
    pub reached_origin: u64,
}

/// One aim of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// What was measured, in words.
    pub what: &'static str,
    /// The figure.
    pub measured: Option<f64>,
    /// The least or most it should be.
    pub bound: f64,
    /// Whether the figure shall be at least the bound, else at most.
    pub at_least: bool,
    /// Whether it is.
    pub met: bool,
}

/// The result of a demo.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Seconds from the first attacking request to the first rule in force.
    pub onset_to_rule_s: Option<f64>,
    /// Share of everyday visitors' requests answered well.
    pub honest_success: ByPhase,
    /// Latency that 95 % of everyday visitors' well answered requests stayed below, ms.
    pub honest_p95_ms: ByPhase,
    /// Share of the attacking requests sent after the first rule that reached the origin.
    pub attack_leakage: Option<f64>,
    /// Share of everyday visitors' requests kept out (403, 429, no connection), whole run.
    pub honest_blocked: Option<f64>,
    /// Share of the crowd's requests kept out.
    pub crowd_blocked: Option<f64>,
    /// Blocking rules placed while the crowd was there; null when it did not come.
    pub crowd_block_rules: Option<u64>,
    /// Every rule placed, in words.
    pub rules: Vec<String>,
    /// Share of the crowd's requests answered well.
    pub crowd_success: Option<f64>,
    /// Latency that 95 % of the crowd's well answered requests stayed below, ms.
    pub crowd_p95_ms: Option<f64>,
    /// Rules placed before the attack began.
    pub rules_before_attack: u64,
    /// Everyday visitors' requests.
    pub honest: Requests,
    /// Attacking requests.
    pub attack: Requests,
    /// The crowd's requests.
    pub crowd: Requests,
    /// Requests the origin turned away because its backlog was full.
    pub origin_turned_away: u64,
    /// Sources banned when the run ended.
    pub banned_sources: u64,
    /// Packets the kernel dropped because of bans; null where no kernel filter ran.
    pub kernel_dropped_packets: Option<u64>,
    /// Visits that did not take place for want of room: the load generator's own limit.
    pub visits_skipped: u64,
    /// Attacking requests left out because this machine was late.
    pub attack_skipped: u64,
    /// Processor time that the load generator used, per request sent, µs.
    pub load_cpu_us_per_request: Option<f64>,
    /// Seed that repeats this run's traffic.
    pub seed: u64,
    /// Whether the scenes were shortened.
    pub fast: bool,
    /// The aims and whether they were met.
    pub targets: Vec<Target>,
}

/// Everything the figures are made from.
pub(super) struct Measured<'a> {
    /// What became of the requests.
    pub(super) meter: &'a Meter,
    /// What reached the origin.
    pub(super) origin: &'a OriginCounters,
    /// What went otherwise than planned.
    pub(super) load: &'a LoadCounters,
    /// Every rule placed, oldest first.
    pub(super) rules: &'a [RuleView],
    /// The defence's own counts.
    pub(super) defence: DefenceCounters,
    /// First attacking request, ms since the Unix epoch.
    pub(super) onset_at_ms: Option<u64>,
    /// Begin of the crowd, ms since the Unix epoch; `None` if it did not come.
    pub(super) crowd_at_ms: Option<u64>,
    /// Seed.
    pub(super) seed: u64,
    /// Whether the scenes were shortened.
    pub(super) fast: bool,
}

/// The first rule placed at or after the onset.
pub(super) fn first_rule(rules: &[RuleView], onset_at_ms: u64) -> Option<&RuleView> {
    rules
        .iter()
        .filter(|rule| rule.placed_at_ms >= onset_at_ms)
        .min_by_key(|rule| rule.placed_at_ms)
}

impl Outcome {
    /// The figures of a run.
    pub(super) fn new(measured: &Measured<'_>) -> Outcome {
        let meter = measured.meter;
        let by_phase = |figure: &dyn Fn(Phase) -> Option<f64>| ByPhase {
            before: figure(Phase::Before),
            until_rule: figure(Phase::UntilRule),
            during: figure(Phase::During),
            after: figure(Phase::After),
        };
        let honest = |phase| meter.tally(Label::Honest, phase);
        let crowd_tally = meter.tally(Label::Crowd, Phase::Crowd);
        let kept_out = |counts: Counts| share(counts.kept_out(), counts.sent);
        let attack_during = meter.tally(Label::Attack, Phase::During).counts.sent;
        let rule = measured.onset_at_ms.and_then(|at_ms| first_rule(measured.rules, at_ms));
        let seconds = |rule: &RuleView| {
            (rule.placed_at_ms - measured.onset_at_ms.unwrap_or(rule.placed_at_ms)) as f64 / 1_000.0
        };
        let in_crowd = |from_ms: u64| {
            let placed = |rule: &&RuleView| rule.blocks() && rule.placed_at_ms >= from_ms;
            measured.rules.iter().filter(placed).count() as u64
        };
        let before_attack =
            |rule: &&RuleView| measured.onset_at_ms.is_none_or(|at_ms| rule.placed_at_ms < at_ms);
        let sent: u64 = Label::ALL.iter().map(|label| meter.total(*label).sent).sum();
        let requests = |label| Requests::new(meter.total(label), measured.origin, label);
        let mut outcome = Outcome {
            onset_to_rule_s: rule.map(seconds),
            honest_success: by_phase(&|phase| honest(phase).counts.success()),
            honest_p95_ms: by_phase(&|phase| honest(phase).latency.quantile_ms(0.95)),
            attack_leakage: share(
                measured.origin.reached(Label::Attack, Phase::During),
                attack_during,
            ),
            honest_blocked: kept_out(meter.total(Label::Honest)),
            crowd_blocked: kept_out(meter.total(Label::Crowd)),
            crowd_block_rules: measured.crowd_at_ms.map(in_crowd),
            rules: measured.rules.iter().map(|r| format!("{}: {}", r.action, r.words)).collect(),
            crowd_success: crowd_tally.counts.success(),
            crowd_p95_ms: crowd_tally.latency.quantile_ms(0.95),
            rules_before_attack: measured.rules.iter().filter(before_attack).count() as u64,
            honest: requests(Label::Honest),
            attack: requests(Label::Attack),
            crowd: requests(Label::Crowd),
            origin_turned_away: measured.origin.turned_away.load(Ordering::Relaxed),
            banned_sources: measured.defence.banned_sources,
            kernel_dropped_packets: measured.defence.kernel_dropped_packets,
            visits_skipped: measured.load.visits_skipped.load(Ordering::Relaxed),
            attack_skipped: measured.load.attack_skipped.load(Ordering::Relaxed),
            load_cpu_us_per_request: measured
                .load
                .cpu()
                .filter(|_| sent > 0)
                .map(|cpu| cpu.as_secs_f64() * 1e6 / sent as f64),
            seed: measured.seed,
            fast: measured.fast,
            targets: Vec::new(),
        };
        outcome.targets = outcome.judge(measured.crowd_at_ms.is_some());
        outcome
    }

    /// Whether every aim was met.
    pub fn all_met(&self) -> bool {
        self.targets.iter().all(|target| target.met)
    }

    fn judge(&self, crowd: bool) -> Vec<Target> {
        let at_least = |what, measured: Option<f64>, bound| {
            let met = measured.is_some_and(|figure| figure >= bound);
            Target { what, measured, bound, at_least: true, met }
        };
        let at_most = |what, measured: Option<f64>, bound| {
            let met = measured.is_some_and(|figure| figure <= bound);
            Target { what, measured, bound, at_least: false, met }
        };
        let mut targets = vec![
            at_most("seconds from the onset to a rule in force", self.onset_to_rule_s, 3.0),
            at_least(
                "honest requests answered well under attack",
                self.honest_success.during,
                0.995,
            ),
            at_most("attack that reached the origin after the rule", self.attack_leakage, 0.02),
            at_most("honest requests kept out", self.honest_blocked, 0.001),
        ];
        if crowd {
            let rules = self.crowd_block_rules.map(|count| count as f64);
            targets.push(at_most("blocking rules placed against the crowd", rules, 0.0));
            targets.push(at_most("crowd's requests kept out", self.crowd_blocked, 0.0));
        }
        targets
    }

    /// The figures in words, for a person.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        let percent = |share: Option<f64>| match share {
            Some(share) => format!("{:.2} %", share * 100.0),
            None => "not measured".to_owned(),
        };
        let ms = |ms: Option<f64>| match ms {
            Some(ms) => format!("{ms:.1} ms"),
            None => "not measured".to_owned(),
        };
        let _ = writeln!(out, "Everyday visitors        answered well   95 % within");
        for (name, success, p95) in [
            ("before the attack", self.honest_success.before, self.honest_p95_ms.before),
            (
                "attack, before a rule",
                self.honest_success.until_rule,
                self.honest_p95_ms.until_rule,
            ),
            ("attack, with the rule", self.honest_success.during, self.honest_p95_ms.during),
            ("after the attack", self.honest_success.after, self.honest_p95_ms.after),
        ] {
            let _ = writeln!(out, "  {name:<22} {:>14} {:>13}", percent(success), ms(p95));
        }
        if self.crowd.sent > 0 {
            let (success, p95) = (percent(self.crowd_success), ms(self.crowd_p95_ms));
            let _ = writeln!(out, "  {:<22} {success:>14} {p95:>13}", "the crowd itself");
        }
        let _ = writeln!(
            out,
            "\nOf {} attacking requests {} reached the origin in all.",
            self.attack.sent, self.attack.reached_origin
        );
        if self.rules.is_empty() {
            let _ = writeln!(out, "No rule was placed.");
        }
        for rule in &self.rules {
            for (n, line) in wrap(&format!("Rule placed: {rule}"), COLUMNS - 2).iter().enumerate() {
                let _ = writeln!(out, "{}{line}", if n == 0 { "" } else { "  " });
            }
        }
        out.push('\n');
        for target in &self.targets {
            let mark = if target.met { "met   " } else { "MISSED" };
            let _ = writeln!(out, "{mark}  {}: {}", target.what, target.figures());
        }
        if self.visits_skipped + self.attack_skipped > 0 {
            let _ = writeln!(
                out,
                "This machine could not keep up: {} visits and {} attacking requests were left out.",
                self.visits_skipped, self.attack_skipped
            );
        }
        out
    }
}

impl Target {
    fn figures(&self) -> String {
        let is_share = self.what.contains("requests") || self.what.starts_with("attack");
        let show = |figure: f64| match is_share {
            true => format!("{:.2} %", figure * 100.0),
            false => format!("{figure:.1}"),
        };
        let measured = self.measured.map_or_else(|| "not measured".to_owned(), show);
        let word = if self.at_least { "at least" } else { "at most" };
        format!("{measured} (aim: {word} {})", show(self.bound))
    }
}

impl Requests {
    fn new(counts: Counts, origin: &OriginCounters, label: Label) -> Requests {
        Requests {
            sent: counts.sent,
            well: counts.well,
            blocked: counts.blocked,
            throttled: counts.throttled,
            unavailable: counts.unavailable,
            timed_out: counts.timed_out,
            unreachable: counts.unreachable,
            other: counts.cut + counts.other_status,
            reached_origin: origin.reached_total(label),
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests;
