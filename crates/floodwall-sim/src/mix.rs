//! The mix of client software a site meets: a joint distribution with a long tail.
//!
//! Software and language are drawn together into a [`ClientProfile`], because a real visitor's user
//! agent, header order and language belong together; attacks that draw them apart give themselves
//! away. Every seed shifts all shares, so that nothing can be tuned to one table.

use std::sync::Arc;

use fastrand::Rng;

use crate::chance::{Weighted, stream};
use crate::layouts::Engine;
use crate::profile::{ClientClass, ClientProfile, Implementation};
use crate::request::Text;
use crate::{browsers, minorities};

/// Shares of sessions.
#[derive(Clone, Debug)]
pub struct MixConfig {
    /// Among browsers: those in hands.
    pub mobile: f64,
    /// Of all sessions: text and screen-reader browsers without script or images.
    pub text_browsers: f64,
    /// Of all sessions: feed readers.
    pub feed_readers: f64,
    /// Of all sessions: search robots.
    pub search_bots: f64,
    /// Of all sessions: monitors.
    pub monitors: f64,
    /// Of all sessions: link previews.
    pub link_previews: f64,
    /// Of all sessions: command-line tools.
    pub tools: f64,
    /// Of all sessions: programs that use the site's interface.
    pub api_clients: f64,
    /// Every share is multiplied by a factor between 1 / (1 + this) and 1 + this, drawn by seed.
    pub shift: f64,
}

impl Default for MixConfig {
    fn default() -> Self {
        MixConfig {
            mobile: 0.55,
            text_browsers: 0.004,
            feed_readers: 0.03,
            search_bots: 0.02,
            monitors: 0.015,
            link_previews: 0.008,
            tools: 0.004,
            api_clients: 0.0,
            shift: 0.4,
        }
    }
}

impl MixConfig {
    /// A crowd follows a link from a telephone: more mobile, hardly any machines.
    pub fn crowd() -> Self {
        MixConfig {
            mobile: 0.78,
            text_browsers: 0.002,
            feed_readers: 0.0,
            search_bots: 0.0,
            monitors: 0.0,
            link_previews: 0.004,
            tools: 0.001,
            api_clients: 0.0,
            shift: 0.4,
        }
    }
}

/// Whom a site meets.
#[derive(Clone, Debug)]
pub struct ClientMix {
    implementations: Weighted<Arc<Implementation>>,
    languages: Weighted<&'static str>,
}

/// Languages as set in the system, with their shares on a British site.
const LANGUAGES: [(&str, f64); 24] = [
    ("en-GB", 0.70),
    ("en-US", 0.15),
    ("pl-PL", 0.014),
    ("ro-RO", 0.012),
    ("pt-PT", 0.008),
    ("it-IT", 0.008),
    ("es-ES", 0.008),
    ("fr-FR", 0.009),
    ("de-DE", 0.009),
    ("en-IE", 0.012),
    ("en-IN", 0.010),
    ("en-AU", 0.007),
    ("en-CA", 0.004),
    ("cy-GB", 0.004),
    ("zh-CN", 0.006),
    ("ar-SA", 0.004),
    ("ur-PK", 0.003),
    ("tr-TR", 0.003),
    ("uk-UA", 0.004),
    ("bg-BG", 0.003),
    ("lt-LT", 0.003),
    ("nl-NL", 0.003),
    ("hu-HU", 0.002),
    ("el-GR", 0.002),
];

impl ClientMix {
    /// The mix of `config`, its shares shifted by `seed`.
    pub fn everyday(config: &MixConfig, seed: u64) -> Self {
        let mut rng = stream(seed, 0x006d_6978);
        let machines = config.feed_readers
            + config.search_bots
            + config.monitors
            + config.link_previews
            + config.tools
            + config.api_clients
            + config.text_browsers;
        let browsers = (1.0 - machines).max(0.0);
        let mut weighted = Vec::new();
        weighted.extend(scaled(browsers::desktop(), browsers * (1.0 - config.mobile)));
        weighted.extend(scaled(browsers::mobile(), browsers * config.mobile));
        for (class, share) in [
            (ClientClass::TextBrowser, config.text_browsers),
            (ClientClass::FeedReader, config.feed_readers),
            (ClientClass::SearchBot, config.search_bots),
            (ClientClass::Monitor, config.monitors),
            (ClientClass::LinkPreview, config.link_previews),
            (ClientClass::Tool, config.tools),
            (ClientClass::ApiClient, config.api_clients),
        ] {
            let of_class: Vec<_> =
                minorities::all().into_iter().filter(|(one, _)| one.class == class).collect();
            weighted.extend(scaled(of_class, share));
        }
        let implementations = weighted
            .into_iter()
            .map(|(one, share)| (Arc::new(one), share * shift(&mut rng, config.shift)))
            .collect::<Vec<_>>();
        let languages = LANGUAGES.map(|(tag, share)| (tag, share * shift(&mut rng, config.shift)));
        ClientMix {
            implementations: Weighted::new(implementations).unwrap_or_else(only_firefox),
            languages: Weighted::new(languages).unwrap_or_else(|| one(LANGUAGES[0].0)),
        }
    }

    /// Everybody uses this one software, each in his own language.
    pub fn single(implementation: Implementation) -> Self {
        ClientMix {
            implementations: one(Arc::new(implementation)),
            languages: Weighted::new(LANGUAGES).unwrap_or_else(|| one(LANGUAGES[0].0)),
        }
    }

    /// One visitor's client.
    pub fn draw(&self, rng: &mut Rng) -> ClientProfile {
        let implementation = Arc::clone(self.implementations.draw(rng));
        let language = language(implementation.engine, self.languages.draw(rng));
        ClientProfile { implementation, language }
    }

    /// One visitor's language, as this engine words it.
    pub fn draw_language(&self, engine: Engine, rng: &mut Rng) -> Text {
        language(engine, self.languages.draw(rng))
    }

    /// Every software in the mix.
    pub fn implementations(&self) -> &[Arc<Implementation>] {
        self.implementations.things()
    }

    /// Every software with its share of sessions.
    pub fn shares(&self) -> impl Iterator<Item = (&Arc<Implementation>, f64)> {
        self.implementations.shares()
    }
}

/// Accept-Language as each engine derives it from the system's language.
fn language(engine: Engine, tag: &'static str) -> Text {
    let base = tag.split('-').next().unwrap_or(tag);
    match (engine, base, tag) {
        (Engine::Chromium, "en", "en-US") => Text::Fixed("en-US,en;q=0.9"),
        (Engine::Chromium, "en", _) => format!("{tag},en-US;q=0.9,en;q=0.8").into(),
        (Engine::Chromium, ..) => format!("{tag},{base};q=0.9,en-US;q=0.8,en;q=0.7").into(),
        (Engine::Gecko, "en", _) => format!("{tag},en;q=0.5").into(),
        (Engine::Gecko, ..) => format!("{base},{tag};q=0.8,en-US;q=0.5,en;q=0.3").into(),
        (Engine::WebKit, ..) => format!("{tag},{base};q=0.9").into(),
        (Engine::Plain, ..) => Text::Fixed("en"),
    }
}

fn scaled(
    shares: Vec<(Implementation, f64)>,
    to: f64,
) -> impl Iterator<Item = (Implementation, f64)> {
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    shares.into_iter().map(move |(one, share)| (one, share / sum * to))
}

fn shift(rng: &mut Rng, by: f64) -> f64 {
    (1.0 + by).powf(rng.f64() * 2.0 - 1.0)
}

fn one<T>(thing: T) -> Weighted<T> {
    // A single positive weight is never refused.
    Weighted::new([(thing, 1.0)]).expect("one thing with a weight above zero")
}

/// What is left when a configuration gives every share a weight of zero.
fn only_firefox() -> Weighted<Arc<Implementation>> {
    one(Arc::new(minorities::all().swap_remove(0).0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_mix_has_a_few_hundred_implementations_and_a_long_tail() {
        for seed in 0..5 {
            let mix = ClientMix::everyday(&MixConfig::default(), seed);
            let mut shares: Vec<f64> = mix.shares().map(|(_, share)| share).collect();
            shares.sort_by(|a, b| b.total_cmp(a));
            assert!((200..600).contains(&shares.len()), "{}", shares.len());
            let top_10: f64 = shares[..10].iter().sum();
            let beyond_50: f64 = shares[50..].iter().sum();
            assert!((0.4..0.8).contains(&top_10), "top ten hold {top_10}");
            assert!((0.05..0.3).contains(&beyond_50), "beyond fifty: {beyond_50}");
        }
    }

    #[test]
    fn profiles_drawn_repeat_and_new_ones_keep_coming() {
        let mix = ClientMix::everyday(&MixConfig::default(), 9);
        let mut rng = Rng::with_seed(1);
        let mut seen: HashMap<(String, String), u32> = HashMap::new();
        let mut new_late = 0;
        for n in 0..6_000 {
            let profile = mix.draw(&mut rng);
            let agent = profile.implementation.user_agent.as_str().to_owned();
            let count = seen.entry((agent, profile.language.as_str().to_owned())).or_default();
            *count += 1;
            new_late += u32::from(n >= 5_000 && *count == 1);
        }
        assert!((300..1_500).contains(&seen.len()), "{}", seen.len());
        assert!((5..150).contains(&new_late), "{new_late} new among the last thousand");
    }

    #[test]
    fn shares_follow_the_configuration() {
        let config = MixConfig { mobile: 0.9, shift: 0.0, ..MixConfig::default() };
        let mix = ClientMix::everyday(&config, 1);
        let of = |keep: fn(&Implementation) -> bool| -> f64 {
            mix.shares().filter(|(one, _)| keep(one)).map(|(_, share)| share).sum()
        };
        let mobile = of(|one| one.class == ClientClass::Browser && one.mobile);
        let desk = of(|one| one.class == ClientClass::Browser && !one.mobile);
        assert!((mobile / (mobile + desk) - 0.9).abs() < 1e-9);
        assert!((of(|one| one.class == ClientClass::FeedReader) - 0.03).abs() < 1e-9);
    }

    #[test]
    fn two_seeds_give_different_shares() {
        let top = |seed| {
            let mix = ClientMix::everyday(&MixConfig::default(), seed);
            mix.shares().map(|(_, share)| share).fold(0.0, f64::max)
        };
        assert_ne!(top(1), top(2));
    }

    #[test]
    fn all_shares_zero_still_gives_somebody() {
        let config = MixConfig { mobile: f64::NAN, ..MixConfig::default() };
        assert!(!ClientMix::everyday(&config, 1).implementations().is_empty());
    }
}
