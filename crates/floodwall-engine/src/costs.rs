//! What a request to each route usually costs the origin: the time until its answer begins.
//!
//! Learned in peace, from answers the origin itself gave. A request is weighed by what its route
//! *usually* costs, never by what it took: an origin that drowns in a crowd answers everything
//! late, and that must not look like many dear requests. What all routes have in common is the
//! origin's state, too, and is taken out of what is learned. It must never learn while an alarm is
//! open or the origin is known to suffer.

use floodwall_model::{Attr, Attrs, ValueId};

use crate::memory::{Damaged, Reader, Writer};
use crate::random::mix;

/// Routes kept: sets of four places. When a set is full the route with the fewest answers gives way,
/// among equals the one answered longest ago, and it is counted; whoever asks for thousands of
/// invented paths displaces his own.
const SETS: usize = 1_024;
const WAYS: usize = 4;
/// Most routes there are to remember.
pub const ROUTES_MAX: usize = SETS * WAYS;
/// So many answers are averaged before a route's cost is followed slowly.
const YOUNG_ANSWERS: u16 = 16;
/// Time constant of a route's cost once it is known, s. Much slower than the channel that counts in
/// these costs, which so takes a page that became dear for normal before it can be alarmed by it.
const FOLLOW_S: f64 = 3_600.0;
/// What one answer may count for, ms: an origin that never answers is given up after a while.
const ANSWER_MS_MAX: f64 = 30_000.0;
/// Time constant of how slow the origin is, s.
const SLOWNESS_S: f64 = 30.0;
/// How much of a slowness that all routes share is taken for the origin's state, as a power. The
/// rest is learned, so that over a day costs follow an origin that has become another.
const SHARED_POWER: f64 = 0.9;
/// One answer of a known route counts for at most so many times its cost: the one in a thousand
/// that met a full disk says nothing of the route.
const OUTLIER_TIMES: f64 = 8.0;

/// What is known of one route.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
struct Route {
    key: u64,
    cost_ms: f32,
    answers: u16,
    answered_s: u32,
}

/// The table. 24 bytes a route, 96 KiB in all.
#[derive(Clone, Debug)]
pub struct Costs {
    routes: Vec<Route>,
    used: usize,
    displaced: u64,
    all: Route,
    /// What known routes took lately and what they usually take, ms, both weighed alike.
    took_ms: f64,
    usual_ms: f64,
    lately_s: u32,
}

const _: () = assert!(size_of::<Route>() == 24);

/// What makes two requests cost alike: what is asked for, how, and whether with a query. Shapes of
/// queries are left out: whoever invents keys would make routes.
fn key(attrs: &Attrs) -> u64 {
    let ValueId(path) = attrs[Attr::PathTemplate];
    let ValueId(method) = attrs[Attr::Method];
    let asks = u64::from(attrs[Attr::QueryShape] == ValueId::ABSENT);
    mix(mix(path) ^ method.rotate_left(1) ^ asks).max(1)
}

impl Route {
    fn learn(&mut self, took_ms: f64, now_s: u32) {
        let cost_ms = f64::from(self.cost_ms);
        let young = self.answers < YOUNG_ANSWERS;
        let part = if young {
            1.0 / (f64::from(self.answers) + 1.0)
        } else {
            let since_s = f64::from(now_s.saturating_sub(self.answered_s));
            (1.0 - (-since_s / FOLLOW_S).exp()).min(1.0 / f64::from(YOUNG_ANSWERS))
        };
        // Of those that come within one second the first speaks for all: the clock here has no
        // finer ticks.
        if part > 0.0 {
            let most = if young { ANSWER_MS_MAX } else { (cost_ms * OUTLIER_TIMES).max(1.0) };
            self.cost_ms = (cost_ms + (took_ms.min(most) - cost_ms) * part) as f32;
            self.answered_s = now_s;
        }
        self.answers = self.answers.saturating_add(1);
    }
}

impl Costs {
    /// Nothing is known to cost anything.
    pub fn new() -> Self {
        Costs {
            routes: vec![Route::default(); ROUTES_MAX],
            used: 0,
            displaced: 0,
            all: Route::default(),
            took_ms: 0.0,
            usual_ms: 0.0,
            lately_s: 0,
        }
    }

    fn places(key: u64) -> std::ops::Range<usize> {
        let start = (mix(key) as usize & (SETS - 1)) * WAYS;
        start..start + WAYS
    }

    /// Learns that the origin took `took_ms` for a request that looked so, at `now_s` (any clock
    /// that counts seconds).
    pub fn learn(&mut self, attrs: &Attrs, took_ms: u32, now_s: u32) {
        let took_ms = f64::from(took_ms).min(ANSWER_MS_MAX);
        let at = self.place(key(attrs), now_s);
        self.note_slowness(at, took_ms, now_s);
        let own_ms = took_ms / self.slowness().powf(SHARED_POWER);
        self.routes[at].learn(own_ms, now_s);
        self.all.learn(own_ms, now_s);
    }

    fn note_slowness(&mut self, at: usize, took_ms: f64, now_s: u32) {
        let route = self.routes[at];
        if route.answers < YOUNG_ANSWERS {
            return;
        }
        let keep = (-f64::from(now_s.saturating_sub(self.lately_s)) / SLOWNESS_S).exp();
        self.took_ms = self.took_ms * keep + took_ms;
        self.usual_ms = self.usual_ms * keep + f64::from(route.cost_ms);
        self.lately_s = now_s;
    }

    /// How many times longer than usual the origin takes lately, over all routes it is known of.
    fn slowness(&self) -> f64 {
        let known = self.took_ms > 0.0 && self.usual_ms > 0.0;
        if known { self.took_ms / self.usual_ms } else { 1.0 }
    }

    fn place(&mut self, key: u64, now_s: u32) -> usize {
        let places = Self::places(key);
        let mut least = places.start;
        for at in places {
            if self.routes[at].key == key {
                return at;
            }
            let weight = |at: usize| {
                let route = &self.routes[at];
                (route.answers.min(YOUNG_ANSWERS), route.answered_s)
            };
            if weight(at) < weight(least) {
                least = at;
            }
        }
        if self.routes[least].key == 0 {
            self.used += 1;
        } else {
            self.displaced += 1;
        }
        self.routes[least] = Route { key, answered_s: now_s, ..Route::default() };
        least
    }

    /// What a request that looks so usually costs, ms. Of a route that was never answered: what a
    /// request costs on average; nothing where no answer was ever timed, as in most access logs.
    pub fn usual_ms(&self, attrs: &Attrs) -> f64 {
        let key = key(attrs);
        let known = self.routes[Self::places(key)].iter().find(|r| r.key == key && r.answers > 0);
        f64::from(known.unwrap_or(&self.all).cost_ms)
    }

    /// What a request costs on average, ms.
    pub fn mean_ms(&self) -> f64 {
        self.all.cost_ms.into()
    }

    /// Routes in use, places in all, and routes displaced.
    pub const fn occupancy(&self) -> (usize, usize, u64) {
        (self.used, ROUTES_MAX, self.displaced)
    }

    /// Writes it.
    pub fn pack(&self, out: &mut Writer) {
        let known = || std::iter::once(&self.all).chain(&self.routes).filter(|r| r.answers > 0);
        out.count(known().count());
        for route in known() {
            out.number(route.key);
            out.real(route.cost_ms.into());
            out.number(route.answers.into());
        }
    }

    /// Reads it back; times count from zero again.
    pub fn unpack(input: &mut Reader<'_>) -> Result<Costs, Damaged> {
        let mut costs = Costs::new();
        for _ in 0..input.count(ROUTES_MAX + 1)? {
            let key = input.number()?;
            let cost_ms = input.real()?.clamp(0.0, ANSWER_MS_MAX) as f32;
            let answers = u16::try_from(input.number()?).unwrap_or(u16::MAX);
            let route = Route { key, cost_ms, answers, answered_s: 0 };
            if key == 0 {
                costs.all = route;
            } else {
                let at = costs.place(key, 0);
                costs.routes[at] = route;
            }
        }
        Ok(costs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: u64) -> Attrs {
        let mut attrs = Attrs::default();
        attrs[Attr::PathTemplate] = ValueId(path);
        attrs
    }

    /// A table that met `answers` of path 7, one a second.
    fn taught(answers: &[u32]) -> Costs {
        let mut costs = Costs::new();
        for (second, took_ms) in answers.iter().enumerate() {
            costs.learn(&asked(7), *took_ms, second as u32);
        }
        costs
    }

    #[test]
    fn a_route_costs_what_its_answers_took_on_average() {
        let check = |answers: &[u32], expected: std::ops::Range<f64>| {
            let cost_ms = taught(answers).usual_ms(&asked(7));
            assert!(expected.contains(&cost_ms), "{cost_ms} after {answers:?}");
        };
        check(&[], 0.0..0.1);
        check(&[100], 99.0..101.0);
        check(&[100, 200, 300], 199.0..201.0);
        check(&[100; 50], 99.0..101.0);
        let late = [[100; 50], [10_000; 50]].concat();
        check(&late, 100.0..115.0);
        check(&[u32::MAX], 29_000.0..30_001.0);
    }

    /// Two pages for so long, one answer a second each; the second one's answers take as long as told.
    fn two_pages(seconds: u32, took_ms: impl Fn(u32) -> [u32; 2]) -> [f64; 2] {
        let mut costs = Costs::new();
        for now_s in 0..seconds {
            let [common, other] = took_ms(now_s);
            // Many requests for what most ask for: the state of the origin is theirs to tell.
            (0..20).for_each(|_| costs.learn(&asked(7), common, now_s));
            costs.learn(&asked(8), other, now_s);
        }
        [costs.usual_ms(&asked(7)), costs.usual_ms(&asked(8))]
    }

    #[test]
    fn a_page_that_became_dear_is_dear_after_some_hours() {
        let [common, other] =
            two_pages(5 * 3_600, |now_s| [100, if now_s < 60 { 100 } else { 400 }]);
        assert!((80.0..120.0).contains(&common) && other > 330.0, "{common} {other}");
    }

    #[test]
    fn an_origin_that_is_slow_for_ten_minutes_makes_no_page_dear() {
        let slow = |now_s: u32| if now_s < 600 { [20, 150] } else { [400, 3_000] };
        let [common, other] = two_pages(1_200, slow);
        assert!((common / 20.0 - 1.0).abs() < 0.1, "{common}");
        assert!((other / 150.0 - 1.0).abs() < 0.1, "{other}");
    }

    #[test]
    fn an_origin_that_is_slow_for_days_is_taken_for_what_it_is() {
        let [common, other] =
            two_pages(72 * 3_600, |now_s| if now_s < 600 { [20, 150] } else { [40, 300] });
        assert!(
            (37.0..41.0).contains(&common) && (280.0..305.0).contains(&other),
            "{common} {other}"
        );
    }

    #[test]
    fn what_was_never_answered_costs_the_average() {
        let mut costs = taught(&[100]);
        costs.learn(&asked(8), 20, 1);
        assert!((costs.usual_ms(&asked(9)) - 60.0).abs() < 1.0);
        let mut posted = asked(7);
        posted[Attr::Method] = ValueId(5);
        assert!((costs.usual_ms(&posted) - 60.0).abs() < 1.0, "another method is another route");
    }

    #[test]
    fn a_spray_of_invented_paths_displaces_itself_and_is_counted() {
        let mut costs = Costs::new();
        (0..200).for_each(|n| (0..20).for_each(|_| costs.learn(&asked(n), 50, 1)));
        (0..100_000).for_each(|n| costs.learn(&asked(1_000_000 + n), 1, 2));
        let (used, places, displaced) = costs.occupancy();
        assert!(used <= places && displaced > 90_000, "{used} {displaced}");
        let kept = (0..200).filter(|n| (costs.usual_ms(&asked(*n)) - 50.0).abs() < 1.0).count();
        assert!(kept >= 199, "{kept} of 200 known routes are still known");
    }

    #[test]
    fn costs_come_back_as_they_were() {
        let mut costs = taught(&[100, 120, 140]);
        costs.learn(&asked(8), 20, 3);
        let mut out = Writer::default();
        costs.pack(&mut out);
        let bytes = out.finish();
        let back =
            Costs::unpack(&mut Reader::open(&bytes, floodwall_model::ATTR_COUNT).unwrap()).unwrap();
        for path in [7, 8, 9] {
            assert_eq!(back.usual_ms(&asked(path)), costs.usual_ms(&asked(path)));
        }
        assert_eq!(back.occupancy(), costs.occupancy());
    }
}
