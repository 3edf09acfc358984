//! What a file under `scenarios/` may say. Every mistake is reported with its file and line.

use serde::Deserialize;

use super::range::Range;

/// What is wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct Mistake {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// A scene: a site with a past, who comes then, and what should come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneFile {
    /// One line that says what it shows.
    pub title: String,
    /// The attack's rate as multiples of the site's; the scene is run with each.
    #[serde(default)]
    pub levels: Vec<f64>,
    /// Trials at most, of scenes that are long enough to be many by themselves.
    pub trials_max: Option<u64>,
    /// How long it goes on after the past, s; unless told: five seconds longer than what happens.
    pub lasts_s: Option<Range>,
    /// The site.
    pub site: SiteSpec,
    /// What the origin bears; unless told, all there is.
    pub origin: Option<OriginSpec>,
    /// Who else comes, and is welcome.
    #[serde(default)]
    pub crowd: Vec<CrowdSpec>,
    /// Who comes to do harm.
    #[serde(default)]
    pub attack: Vec<AttackSpec>,
    /// What should come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// The site and its everyday visitors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteSpec {
    /// Requests a second on an ordinary day.
    pub rps: Range,
    /// Quiet traffic before anything happens, s.
    pub past_s: Range,
    /// Day and night: share of the mean by which the rate goes up and down.
    #[serde(default = "nothing")]
    pub daily_swing: Range,
    /// Host names among which the traffic is spread.
    #[serde(default = "one")]
    pub hosts: Range,
    /// Share of sessions that are programs using the site's interface.
    #[serde(default = "some_programs")]
    pub api_clients: Range,
    /// Users behind one shared address, beyond the everyday visitors.
    pub users_behind_one_address: Option<Range>,
    /// A release of the most used browser comes out and takes so long to reach most, s.
    pub browser_update_over_s: Option<Range>,
}

const fn nothing() -> Range {
    Range::fixed(0.0)
}

const fn one() -> Range {
    Range::fixed(1.0)
}

const fn some_programs() -> Range {
    Range::fixed(0.01)
}

/// What the origin bears.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginSpec {
    /// The work it gets done, as a multiple of what the quiet past asked of it on average. More is
    /// answered late, and then with 503.
    pub capacity_times: Range,
}

/// How a crowd comes.
#[derive(Copy, Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum CrowdKind {
    /// By links, to one page.
    Page,
    /// By a push message, through one app that was never seen before.
    App,
    /// As the minutes of a recorded event have it.
    Recorded,
}

/// A crowd.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrowdSpec {
    /// How it comes.
    pub kind: CrowdKind,
    /// The page that brings it, as a path of the sample site; unless told, the one with the results.
    pub page: Option<String>,
    /// Its requests as a multiple of the site's; of a recorded event: at its highest.
    pub times: Range,
    /// When it begins after the past, s.
    #[serde(default = "nothing")]
    pub start_s: Range,
    /// How long it takes to arrive, s.
    #[serde(default = "crowd_ramp")]
    pub ramp_s: Range,
    /// How long it lasts, s.
    pub lasts_s: Range,
}

fn crowd_ramp() -> Range {
    Range::new(3.0, 30.0).unwrap_or(nothing())
}

/// How an attack looks.
#[derive(Copy, Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// A tool under its own name.
    Tool,
    /// A tool under a few stolen browser user agents.
    StolenAgents,
    /// A tool under another user agent from a long list each time.
    RandomAgents,
    /// One browser, copied exactly, in few languages.
    OneBrowser,
    /// The browser that most visitors use, copied exactly.
    MostUsedBrowser,
    /// Browsers' headers, as frequent as among visitors, combined at random.
    CopiedMarginals,
    /// Whole visitors' clients, as frequent as among visitors.
    Mimic,
    /// Recorded visits, played again.
    Replay,
}

/// What an attack asks for.
#[derive(Copy, Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum AimSpec {
    /// The search with random words.
    Costly,
    /// Three popular patterns.
    #[default]
    Pages,
    /// One page under a new address each time.
    CacheBust,
    /// The front page.
    Front,
    /// Every page alike.
    Carpet,
    /// Paths that do not exist.
    Nowhere,
}

/// Where an attack comes from.
#[derive(Copy, Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// Networks of its own.
    #[default]
    Anywhere,
    /// One network in which honest visitors live too.
    VisitorsNetwork,
    /// The address that users of the site share.
    SharedAddress,
    /// A new IPv6 /64 with every request.
    NewNetwork,
    /// A new host of one /64 with every request.
    NewHost,
}

/// A trickle before the attack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthSpec {
    /// First rate, as a multiple of the site's.
    pub from_times: Range,
    /// Highest rate, as a multiple of the site's.
    pub to_times: Range,
}

/// An attack.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawAttack")]
pub struct AttackSpec {
    /// How it looks.
    pub look: Look,
    /// What it asks for.
    pub aim: AimSpec,
    /// Where it comes from.
    pub from: From,
    /// Its requests as a multiple of the site's; instead of the scene's levels.
    pub times: Option<Range>,
    /// Its requests a second; instead of the scene's levels.
    pub rps: Option<Range>,
    /// From how many addresses.
    pub sources: Range,
    /// When it begins after the past, s.
    pub start_s: Range,
    /// How long it lasts, s.
    pub lasts_s: Range,
    /// Of a pulse: how long it sends and how long it is silent, s.
    pub pulse_s: Option<(f64, f64)>,
    /// How soon after its first refusal it changes, s.
    pub changes_after_s: Option<Range>,
    /// A trickle that doubles over the whole past.
    pub grows: Option<GrowthSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAttack {
    look: Look,
    #[serde(default)]
    aim: AimSpec,
    #[serde(default)]
    from: From,
    times: Option<Range>,
    rps: Option<Range>,
    sources: Range,
    #[serde(default = "nothing")]
    start_s: Range,
    lasts_s: Range,
    pulse_s: Option<(f64, f64)>,
    changes_after_s: Option<Range>,
    grows: Option<GrowthSpec>,
}

impl TryFrom<RawAttack> for AttackSpec {
    type Error = &'static str;

    fn try_from(raw: RawAttack) -> Result<Self, Self::Error> {
        if raw.times.is_some() && raw.rps.is_some() {
            return Err("`times` and `rps` both say how much; keep one");
        }
        if raw.look == Look::Replay && (raw.changes_after_s.is_some() || raw.from != From::Anywhere)
        {
            return Err("a replay neither changes nor chooses where it comes from");
        }
        if raw.pulse_s.is_some_and(|(on, off)| !(on > 0.0 && off > 0.0)) {
            return Err("a pulse sends and is silent for more than 0 s each");
        }
        if raw.sources.least() < 1.0 {
            return Err("an attack has at least one source");
        }
        Ok(AttackSpec {
            look: raw.look,
            aim: raw.aim,
            from: raw.from,
            times: raw.times,
            rps: raw.rps,
            sources: raw.sources,
            start_s: raw.start_s,
            lasts_s: raw.lasts_s,
            pulse_s: raw.pulse_s,
            changes_after_s: raw.changes_after_s,
            grows: raw.grows,
        })
    }
}

/// What an incident's record may say it was.
#[derive(Copy, Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum VerdictSpec {
    /// An attack.
    Attack,
    /// A crowd.
    Crowd,
    /// The evidence does not decide.
    CannotTell,
    /// No incident was recorded.
    None,
}

/// What should come of it. What is not named is shown and not judged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// From the attack's first request to the first rule that stops some of it, s.
    pub rule_within_s: Option<f64>,
    /// Share of the attack's requests let through after that rule.
    pub leakage_max: Option<f64>,
    /// The same, each request weighted by what it costs the origin.
    pub cost_leakage_max: Option<f64>,
    /// Share of honest requests refused.
    pub honest_refused_max: Option<f64>,
    /// The same in the group hit worst.
    pub group_refused_max: Option<f64>,
    /// Share of a crowd's requests refused.
    pub crowd_refused_max: Option<f64>,
    /// Share of welcome requests that are answered within three seconds.
    pub goodput_min: Option<f64>,
    /// Share of the attack's requests that limits per source refuse.
    pub throttled_min: Option<f64>,
    /// Rules that block.
    pub block_rules_max: Option<u64>,
    /// Alarms in a day.
    pub alarms_per_day_max: Option<f64>,
    /// From a later pulse's first request to its first refusal, ms.
    pub rearmed_within_ms: Option<f64>,
    /// From a change of technique until four fifths of it are refused, s.
    pub stopped_again_within_s: Option<f64>,
    /// From the attack's end until no rule is in force, s.
    pub withdrawn_within_s: Option<f64>,
    /// What the incident's record may say.
    #[serde(default)]
    pub verdict: Vec<VerdictSpec>,
}

/// Reads a scene. `file` is named in mistakes.
pub fn parse(file: &str, text: &str) -> Result<SceneFile, Mistake> {
    let mistake = |at: usize, what: String| Mistake {
        file: file.to_owned(),
        line: text[..at.min(text.len())].matches('\n').count() + 1,
        what,
    };
    let scene: SceneFile = toml_edit::de::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        mistake(at, error.message().to_owned())
    })?;
    let unrated = scene.attack.iter().any(|a| a.times.is_none() && a.rps.is_none());
    if unrated && scene.levels.is_empty() {
        let at = text.find("[[attack]]").unwrap_or(0);
        let what = "how much the attack sends is not said: `times`, `rps`, or the scene's `levels`";
        return Err(mistake(at, what.to_owned()));
    }
    let nothing = scene.crowd.is_empty() && scene.attack.is_empty();
    if nothing && scene.lasts_s.is_none() {
        return Err(mistake(0, "nobody comes, so `lasts_s` must say how long it lasts".to_owned()));
    }
    Ok(scene)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "title = \"t\"\n\n[site]\nrps = [1, 10]\npast_s = 60\n\n[[attack]]\n\
                        look = \"tool\"\ntimes = 5\nsources = 100\nlasts_s = [20, 30]\n";

    fn check(change: (&str, &str), line: usize, words: &str) {
        let text = GOOD.replacen(change.0, change.1, 1);
        let mistake = parse("a.toml", &text).map(|_| ()).expect_err(words);
        assert_eq!(mistake.line, line, "{mistake}");
        assert!(mistake.to_string().starts_with(&format!("a.toml:{line}: ")), "{mistake}");
        assert!(mistake.what.contains(words), "{mistake}");
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        assert!(parse("a.toml", GOOD).is_ok());
        check(("rps = [1, 10]", "rps = [10, 1]"), 4, "the smaller number");
        check(("rps = [1, 10]", "rps = \"ten\""), 4, "two in brackets");
        check(("rps = [1, 10]", "rps = [1, 2, 3]"), 4, "two numbers");
        check(("past_s = 60", "past_s = 60\npast = 1"), 6, "unknown field");
        check(("look = \"tool\"", "look = \"spoon\""), 8, "unknown variant");
        check(("times = 5", "times = 5\nrps = 5"), 7, "keep one");
        check(("times = 5", "times = 5\npulse_s = [0, 5]"), 7, "more than 0 s");
        check(("sources = 100", "sources = 0"), 7, "at least one source");
        check(("times = 5\n", ""), 7, "is not said");
        check(("[[attack]]", "[[attack]"), 7, "");
        let quiet = &GOOD[..GOOD.find("[[attack]]").unwrap()];
        assert!(parse("b", quiet).unwrap_err().what.contains("lasts_s"));
    }

    #[test]
    fn a_range_is_drawn_within_and_over_magnitudes() {
        let mut rng = fastrand::Rng::with_seed(1);
        let range = Range::new(1.0, 10_000.0).unwrap();
        let small = (0..2_000).filter(|_| range.draw(&mut rng) < 100.0).count();
        assert!((900..1_100).contains(&small), "{small}");
        let even = Range::new(0.0, 10.0).unwrap();
        let mean = (0..2_000).map(|_| even.draw(&mut rng)).sum::<f64>() / 2_000.0;
        assert!((4.7..5.3).contains(&mean), "{mean}");
        assert_eq!(Range::fixed(3.0).draw_ms(&mut rng), 3_000);
    }
}
