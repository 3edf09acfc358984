//! The live display: a block of lines redrawn in place on a terminal, a line now and then elsewhere.
//!
//! Plain ANSI, no full screen: what was shown stays in the terminal's history. It must leave the
//! terminal as it found it, however the demo ends.

use std::io::{self, Write};
use std::time::Duration;

use floodwall_sim::Label;

use super::defence::{DefenceCounters, RuleView};
use super::meter::Tally;
use super::schedule::Scene;

/// Columns used at most.
pub(super) const COLUMNS: usize = 79;
/// Rules shown; of more, the newest.
const RULES_SHOWN: usize = 2;
/// Lines a rule may take; what is longer is in the report.
const RULE_LINES: usize = 4;
/// Without a terminal, one line this often.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// What is shown at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Since the start, ms.
    pub(super) now_ms: u64,
    /// When the demo ends, ms since the start.
    pub(super) end_ms: u64,
    /// The scene.
    pub(super) scene: Scene,
    /// Which of how many scenes.
    pub(super) number: (u32, u32),
    /// Each label's last seconds, in the order of [`Label::ALL`].
    pub(super) recent: [Tally; 3],
    /// Over how many seconds.
    pub(super) recent_s: f64,
    /// Attacking requests sent so far.
    pub(super) attack_sent: u64,
    /// Attacking requests that reached the origin so far.
    pub(super) attack_reached: u64,
    /// Attacking requests a second that reached the origin lately.
    pub(super) attack_reached_rps: f64,
    /// Units a second that the origin took on lately.
    pub(super) origin_units_per_s: f64,
    /// Units a second that it can do.
    pub(super) capacity_units_per_s: u32,
    /// How long a request waits there, ms.
    pub(super) origin_backlog_ms: u64,
    /// Requests it turned away so far.
    pub(super) origin_turned_away: u64,
    /// Rules placed so far, oldest first.
    pub(super) rules: Vec<RuleView>,
    /// From the onset to the first rule, ms.
    pub(super) onset_to_rule_ms: Option<u64>,
    /// The defence's own counts.
    pub(super) defence: DefenceCounters,
}

/// Draws views.
pub(super) struct Screen<W: Write> {
    out: W,
    terminal: bool,
    lines_drawn: usize,
    last_plain_ms: Option<u64>,
    last_scene: Option<Scene>,
    rules_told: usize,
}

impl<W: Write> Screen<W> {
    /// A display on `out`, which is a `terminal` or not.
    pub(super) fn new(mut out: W, terminal: bool) -> io::Result<Self> {
        if terminal {
            // Hide the cursor, and let long lines be cut instead of wrapped, so that the block
            // keeps its height however narrow the window is (DECTCEM, DECAWM).
            write!(out, "\x1b[?25l\x1b[?7l")?;
        }
        Ok(Screen {
            out,
            terminal,
            lines_drawn: 0,
            last_plain_ms: None,
            last_scene: None,
            rules_told: 0,
        })
    }

    /// Shows `view`, if it is time to.
    pub(super) fn draw(&mut self, view: &View) -> io::Result<()> {
        if self.terminal { self.redraw(view) } else { self.tell(view) }
    }

    fn redraw(&mut self, view: &View) -> io::Result<()> {
        let lines = block(view);
        let mut text = String::new();
        if self.lines_drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.lines_drawn));
        }
        for line in &lines {
            text.push_str("\r\x1b[2K");
            text.push_str(&cut(line, COLUMNS));
            text.push('\n');
        }
        self.lines_drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn tell(&mut self, view: &View) -> io::Result<()> {
        for rule in view.rules.iter().skip(self.rules_told) {
            writeln!(self.out, "        rule: {}", rule_text(rule))?;
        }
        self.rules_told = self.rules_told.max(view.rules.len());
        let every_ms = PLAIN_EVERY.as_millis() as u64;
        let due = self.last_plain_ms.is_none_or(|last_ms| view.now_ms >= last_ms + every_ms);
        if !due && self.last_scene == Some(view.scene) {
            return Ok(());
        }
        self.last_plain_ms = Some(view.now_ms);
        self.last_scene = Some(view.scene);
        writeln!(self.out, "{}", plain(view))?;
        self.out.flush()
    }

    fn restore(&mut self) -> io::Result<()> {
        if self.terminal {
            write!(self.out, "\x1b[?7h\x1b[?25h")?;
        }
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing left to restore.
        let _ = self.restore();
    }
}

fn block(view: &View) -> Vec<String> {
    let seconds = |ms: u64| format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60);
    let (number, all) = view.number;
    let [honest, attack, crowd] = &view.recent;
    let rate = |tally: &Tally| tally.counts.sent as f64 / view.recent_s;
    let mut lines = vec![
        format!(
            "Floodwall demo   scene {number} of {all}: {}   {} of {}",
            view.scene.words(),
            seconds(view.now_ms),
            seconds(view.end_ms)
        ),
        "-".repeat(COLUMNS),
        format!("Everyday visitors  {:>6.0} requests/s", rate(honest)),
        format!("                   {}", served(honest)),
        format!("Attack             {:>6.0} requests/s from the attacking addresses", rate(attack)),
        format!(
            "                   {:>6.0} a second reach the site; so far {} of {} did",
            view.attack_reached_rps, view.attack_reached, view.attack_sent
        ),
        format!("Crowd              {:>6.0} requests/s", rate(crowd)),
        format!("                   {}", served(crowd)),
        format!(
            "The site itself    {} {:.0} of {} pages/s",
            gauge(view.origin_units_per_s, f64::from(view.capacity_units_per_s)),
            view.origin_units_per_s,
            view.capacity_units_per_s
        ),
        format!(
            "                   a page waits {} ms; {} turned away so far",
            view.origin_backlog_ms, view.origin_turned_away
        ),
        format!("Floodwall          {}", stopped(view.defence)),
        format!("                   {}", found(view)),
    ];
    let first = view.rules.len().saturating_sub(RULES_SHOWN);
    for at in first..first + RULES_SHOWN {
        let text = view.rules.get(at).map_or_else(String::new, rule_text);
        let mut wrapped = wrap(&text, COLUMNS - 4);
        wrapped.resize(RULE_LINES, String::new());
        lines.extend(wrapped.into_iter().map(|line| format!("    {line}").trim_end().to_owned()));
    }
    lines.push("-".repeat(COLUMNS));
    lines
}

fn rule_text(rule: &RuleView) -> String {
    let state = if rule.in_force { "" } else { " (ended)" };
    format!("{}{state}: {}", rule.action, rule.words)
}

/// `text` in lines of at most `columns` characters, broken at spaces where there are any.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// One line for a log.
fn plain(view: &View) -> String {
    let [honest, attack, crowd] = &view.recent;
    let rate = |tally: &Tally| tally.counts.sent as f64 / view.recent_s;
    let mut line = format!(
        "{:>4} s  {}: visitors {:.0}/s, {}; ",
        view.now_ms / 1_000,
        view.scene.words(),
        rate(honest),
        served(honest),
    );
    if attack.counts.sent > 0 {
        let reach = view.attack_reached_rps;
        line.push_str(&format!("attack {:.0}/s, {reach:.0}/s reach the site; ", rate(attack)));
    }
    if crowd.counts.sent > 0 {
        line.push_str(&format!("crowd {:.0}/s, {}; ", rate(crowd), served(crowd)));
    }
    let (load, capacity) = (view.origin_units_per_s, view.capacity_units_per_s);
    line.push_str(&format!(
        "site {load:.0} of {capacity} pages/s; {}",
        found(view).trim_end_matches(':')
    ));
    line
}

fn served(tally: &Tally) -> String {
    match (tally.counts.success(), tally.latency.quantile_ms(0.95)) {
        (None, _) => "nobody lately".to_owned(),
        (Some(success), None) => format!("{:.1} % answered well", success * 100.0),
        (Some(success), Some(p95_ms)) => {
            format!("{:.1} % answered well, 95 % of them within {p95_ms:.0} ms", success * 100.0)
        }
    }
}

fn stopped(counters: DefenceCounters) -> String {
    let mut text = format!("{} blocked", counters.blocked);
    if counters.throttled > 0 {
        text.push_str(&format!(", {} throttled", counters.throttled));
    }
    if counters.banned_sources > 0 {
        text.push_str(&format!(", {} addresses banned", counters.banned_sources));
    }
    if let Some(packets) = counters.kernel_dropped_packets {
        text.push_str(&format!(", {packets} packets dropped"));
    }
    text
}

fn found(view: &View) -> String {
    match (view.onset_to_rule_ms, view.rules.len()) {
        (Some(ms), _) => format!("first rule {:.1} s after the onset:", ms as f64 / 1_000.0),
        (None, 0) => "no rule, none needed or none found yet".to_owned(),
        (None, count) => format!("{count} rules before any attack:"),
    }
}

/// A bar of twenty places; `!` where the load is beyond the capacity.
fn gauge(load: f64, capacity: f64) -> String {
    let filled = (load / capacity.max(1.0) * 20.0).round() as usize;
    let mut bar: String = (0..20).map(|at| if at < filled { '#' } else { '.' }).collect();
    bar.push(if filled > 20 { '!' } else { ' ' });
    format!("[{bar}]")
}

/// At most `columns` characters.
fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

// The block has a line for each label's rate and service; a new label needs its own.
const _: () = assert!(Label::ALL.len() == 3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::meter::Ending;

    fn view(now_ms: u64, rules: usize) -> View {
        let mut tally = Tally::default();
        let meter = crate::demo::meter::Meter::default();
        meter.count(Label::Honest, crate::demo::meter::Phase::Before, Ending::Well, 4_000, 0);
        tally.counts = meter.total(Label::Honest);
        tally.latency.record(4_000);
        let rule = |id| RuleView {
            id,
            words: "x".repeat(200),
            action: "block",
            placed_at_ms: 0,
            in_force: true,
        };
        View {
            now_ms,
            end_ms: 68_000,
            scene: Scene::Attack,
            number: (2, 4),
            recent: [tally.clone(), tally, Tally::default()],
            recent_s: 3.0,
            attack_sent: 10,
            attack_reached: 1,
            attack_reached_rps: 0.3,
            origin_units_per_s: 1_400.0,
            capacity_units_per_s: 700,
            origin_backlog_ms: 12,
            origin_turned_away: 0,
            rules: (0..rules as u32).map(rule).collect(),
            onset_to_rule_ms: Some(1_900),
            defence: DefenceCounters::default(),
        }
    }

    #[test]
    fn the_block_keeps_its_height_and_width_whatever_happens() {
        let heights: Vec<usize> = (0..9).map(|rules| block(&view(1_000, rules)).len()).collect();
        assert!(heights.iter().all(|height| *height == heights[0] && *height <= 22), "{heights:?}");
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, true).unwrap();
        screen.draw(&view(1_000, 5)).unwrap();
        screen.draw(&view(1_500, 5)).unwrap();
        drop(screen);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("\x1b[{}A", heights[0])));
        for line in text.lines() {
            let shown = line.rsplit("\x1b[2K").next().unwrap_or("");
            assert!(shown.starts_with('\x1b') || shown.chars().count() <= COLUMNS, "{shown}");
        }
    }

    #[test]
    fn the_terminal_is_left_as_it_was() {
        let mut out = Vec::new();
        drop(Screen::new(&mut out, true).unwrap());
        assert_eq!(out, b"\x1b[?25l\x1b[?7l\x1b[?7h\x1b[?25h");
    }

    #[test]
    fn without_a_terminal_there_are_few_lines_and_no_escapes() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, false).unwrap();
        for half_s in 0..40 {
            screen.draw(&view(half_s * 500, 1)).unwrap();
        }
        drop(screen);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 5, "four and one for the rule: {text}");
        assert!(!text.contains('\x1b'));
        assert!(text.contains("first rule 1.9 s after the onset"), "{text}");
    }

    #[test]
    fn a_load_beyond_the_capacity_is_marked() {
        assert_eq!(gauge(350.0, 700.0), "[##########.......... ]");
        assert_eq!(gauge(1_400.0, 700.0), "[####################!]");
    }
}
