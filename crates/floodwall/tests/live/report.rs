//! What one flood came to, in figures that are printed, and in promises that are checked.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::cable::Family;
use super::floods::Kind;
use super::names::Question;
use super::protection::{Account, Standing};
use super::visitors::Visit;
use super::wire::Sent;

/// Of honest requests and questions, so many must be answered.
const ANSWERED_MIN: f64 = 0.99;
/// Times on a busy machine are rough, so only a wide bound is checked: the exact ratio is printed.
const P95_MAX: Duration = Duration::from_millis(100);
const P95_FACTOR_MAX: u32 = 10;

/// A stretch of the run as visitors saw it.
#[derive(Copy, Clone, Debug)]
pub struct Stretch {
    pub answered: usize,
    pub failed: usize,
    pub p95: Duration,
    pub longest: Duration,
}

impl Stretch {
    /// Of all that began from `from` until `until`.
    pub fn of(
        asked: impl Iterator<Item = (Instant, Duration, bool)>,
        from: Instant,
        until: Instant,
    ) -> Stretch {
        let (mut times, mut failed) = (Vec::new(), 0);
        for (at, took, answered) in asked {
            if at < from || at >= until {
                continue;
            }
            if !answered {
                failed += 1;
            }
            times.push(took);
        }
        times.sort_unstable();
        let p95 = times.len().saturating_sub(1) * 95 / 100;
        Stretch {
            answered: times.len() - failed,
            failed,
            p95: times.get(p95).copied().unwrap_or_default(),
            longest: times.last().copied().unwrap_or_default(),
        }
    }

    pub fn share(&self) -> f64 {
        self.answered as f64 / (self.answered + self.failed).max(1) as f64
    }
}

/// Everything about one run.
pub struct Run {
    pub kind: Kind,
    pub family: Family,
    pub sent: Sent,
    pub began: Instant,
    pub ended: Instant,
    /// Each of the two visitors' list.
    pub visits: [Vec<Visit>; 2],
    pub questions: Vec<Question>,
    /// None: nothing stood before the host.
    pub account: Option<Account>,
}

impl Run {
    fn visits(&self) -> impl Iterator<Item = (Instant, Duration, bool)> + '_ {
        self.visits.iter().flatten().map(|visit| (visit.at, visit.took, visit.answered))
    }

    fn questions(&self, large: Option<bool>) -> impl Iterator<Item = (Instant, Duration, bool)> {
        let chosen = self.questions.iter().filter(move |q| large.is_none_or(|l| q.large == l));
        chosen.map(|question| (question.at, question.took, question.answered))
    }

    fn before(&self) -> Stretch {
        Stretch::of(self.visits(), self.began, self.sent.began)
    }

    fn during(&self) -> Stretch {
        Stretch::of(self.visits(), self.sent.began, self.sent.ended)
    }

    fn after(&self) -> Stretch {
        Stretch::of(self.visits(), self.sent.ended, self.ended)
    }

    /// From the first packet of the flood to the first rule or guard.
    fn reaction(&self) -> Option<Duration> {
        let actions = &self.account.as_ref()?.actions;
        let stands =
            |standing: &Standing| !standing.rules.is_empty() || !standing.guards.is_empty();
        let (first, _) = actions.iter().find(|(at, s)| *at >= self.sent.began && stands(s))?;
        Some(first.duration_since(self.sent.began))
    }

    /// The run as a paragraph of figures.
    pub fn words(&self) -> String {
        let mut text = String::new();
        let (before, during, after) = (self.before(), self.during(), self.after());
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let ratio = during.p95.as_secs_f64() / before.p95.as_secs_f64().max(1e-6);
        let shield = match &self.account {
            Some(account) => format!("floodwall ({:?})", account.tier),
            None => "nothing".to_owned(),
        };
        let _ = writeln!(
            text,
            "{} flood over {}, behind {shield}: {} packets in {:.1} s ({:.0}/s), {} more found the \
             queue full",
            self.kind.name(),
            self.family.name(),
            self.sent.packets,
            self.sent.ended.duration_since(self.sent.began).as_secs_f64(),
            self.sent.rate_pps(),
            self.sent.overflowed,
        );
        let _ = writeln!(
            text,
            "  requests answered/failed: before {}/{}, during {}/{} ({:.2} %), after {}/{}",
            before.answered,
            before.failed,
            during.answered,
            during.failed,
            during.share() * 100.0,
            after.answered,
            after.failed,
        );
        let _ = writeln!(
            text,
            "  p95 before {:.2} ms, during {:.2} ms ({ratio:.1} times), after {:.2} ms; longest \
             during {:.0} ms",
            ms(before.p95),
            ms(during.p95),
            ms(after.p95),
            ms(during.longest),
        );
        for (manner, visits) in ["anew", "kept alive"].iter().zip(&self.visits) {
            let all = visits.iter().map(|visit| (visit.at, visit.took, visit.answered));
            let stretch = Stretch::of(all, self.sent.began, self.sent.ended);
            let _ = writeln!(
                text,
                "  {manner}: {}/{} during, p95 {:.2} ms",
                stretch.answered,
                stretch.failed,
                ms(stretch.p95)
            );
        }
        if !self.questions.is_empty() {
            let of = |large| Stretch::of(self.questions(large), self.sent.began, self.sent.ended);
            let (small, large) = (of(Some(false)), of(Some(true)));
            let _ = writeln!(
                text,
                "  names during: {}/{} small, {}/{} in pieces; p95 {:.2} ms",
                small.answered,
                small.failed,
                large.answered,
                large.failed,
                ms(of(None).p95),
            );
        }
        if let Some(account) = &self.account {
            self.write_account(&mut text, account);
        }
        text
    }

    fn write_account(&self, text: &mut String, account: &Account) {
        let stopped: Vec<String> =
            account.stopped.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        let reaction = match self.reaction() {
            Some(time) => format!("{} ms", time.as_millis()),
            None => "never".to_owned(),
        };
        let _ = writeln!(
            text,
            "  stopped: {}; acted after {reaction}; samples lost {}",
            stopped.join(", "),
            account.samples_lost,
        );
        let mut seen: Vec<&str> = Vec::new();
        for (at, standing) in &account.actions {
            let at_ms = at.saturating_duration_since(self.sent.began).as_millis();
            let rules = standing.rules.iter().map(String::as_str);
            for what in rules.chain(standing.guards.iter().copied()) {
                if !seen.contains(&what) {
                    let _ = writeln!(text, "  {at_ms} ms: {what}");
                    seen.push(what);
                }
            }
        }
        if let Some(why) = &account.why_not_better {
            let _ = writeln!(text, "  no better tier: {why}");
        }
    }

    /// Straight to standard error, in one write: past the harness's capture.
    pub fn print(&self) {
        let _ = std::io::stderr().write_all(self.words().as_bytes());
    }

    /// What is promised.
    pub fn check(&self) {
        let (before, during, after) = (self.before(), self.during(), self.after());
        let words = self.words();
        assert!(before.answered > 50, "the visitors hardly began: {words}");
        assert!(self.sent.packets > 100_000, "hardly a flood: {words}");
        assert!(self.reaction().is_some(), "nothing was done: {words}");
        let with_after = Stretch::of(self.visits(), self.sent.began, self.ended).share();
        assert!(during.share() >= ANSWERED_MIN, "requests failed: {words}");
        for visits in &self.visits {
            let all = visits.iter().map(|visit| (visit.at, visit.took, visit.answered));
            let own = Stretch::of(all, self.sent.began, self.sent.ended);
            assert!(own.share() >= ANSWERED_MIN, "one visitor's requests failed: {words}");
        }
        assert!(with_after >= ANSWERED_MIN && after.answered > 0, "requests failed: {words}");
        let p95_max = P95_MAX.max(before.p95 * P95_FACTOR_MAX);
        assert!(during.p95 <= p95_max, "requests waited: {words}");
        if !self.questions.is_empty() {
            let names = Stretch::of(self.questions(None), self.sent.began, self.sent.ended);
            assert!(names.share() >= ANSWERED_MIN, "names were not resolved: {words}");
        }
    }
}
