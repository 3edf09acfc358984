//! What becomes of each vector of an attack: from its first request to the first rule that stops
//! any of it, and what gets through from then on.
//!
//! Vectors are told apart by the stream they come from. A second vector that starts later is found
//! later: until its own rule that is time to a rule, and from then on leakage, never both.

use super::tally::Part;

/// Requests of an attack, and what they would cost the origin.
#[derive(Copy, Clone, Debug, Default)]
struct Load {
    requests: Part,
    cost_ms: u64,
    cost_passed_ms: u64,
}

impl Load {
    fn add(&mut self, refused: bool, cost_ms: u64) {
        self.requests.add(refused);
        self.cost_ms += cost_ms;
        self.cost_passed_ms += if refused { 0 } else { cost_ms };
    }

    fn since(&self, before: &Load) -> Load {
        let (all, hit) = (self.requests.all, self.requests.hit);
        Load {
            requests: Part { all: all - before.requests.all, hit: hit - before.requests.hit },
            cost_ms: self.cost_ms - before.cost_ms,
            cost_passed_ms: self.cost_passed_ms - before.cost_passed_ms,
        }
    }
}

/// How much of each vector had come when a rule came into force.
#[derive(Clone, Debug, Default)]
pub struct Before(Vec<(usize, Load)>);

impl Before {
    fn of(&self, stream: usize) -> Load {
        let found = self.0.iter().find(|(of, _)| *of == stream);
        found.map_or(Load::default(), |(_, load)| *load)
    }
}

/// A rule that refused a request.
#[derive(Copy, Clone, Debug)]
pub struct Stopper<'a> {
    /// When it came into force, ms after the beginning.
    pub placed_ms: u64,
    /// What had come by then.
    pub before: &'a Before,
}

#[derive(Clone, Debug)]
struct Vector {
    stream: usize,
    onset_ms: u64,
    load: Load,
    /// When its rule came, ms after its first request, and what had come of it by then.
    rule: Option<(u64, Load)>,
}

impl Vector {
    /// What came since its rule; without one: all that came.
    fn since_rule(&self) -> Load {
        self.rule.as_ref().map_or(self.load, |(_, before)| self.load.since(before))
    }
}

/// The vectors of an attack, as many as there are streams of it.
#[derive(Debug, Default)]
pub struct Vectors(Vec<Vector>);

impl Vectors {
    /// Counts a request that came at `at_ms`; `stopper` is the rule that refused it, if one did.
    pub fn count(
        &mut self,
        (stream, at_ms, cost_ms): (usize, u64, u64),
        refused: bool,
        stopper: Option<Stopper<'_>>,
    ) {
        let at = self.0.iter().position(|vector| vector.stream == stream).unwrap_or_else(|| {
            self.0.push(Vector { stream, onset_ms: at_ms, load: Load::default(), rule: None });
            self.0.len() - 1
        });
        let vector = &mut self.0[at];
        if let (None, Some(stopper)) = (&vector.rule, stopper) {
            let after_ms = stopper.placed_ms.saturating_sub(vector.onset_ms);
            vector.rule = Some((after_ms, stopper.before.of(stream)));
        }
        vector.load.add(refused, cost_ms);
    }

    /// How much of each has come.
    pub fn so_far(&self) -> Before {
        Before(self.0.iter().map(|vector| (vector.stream, vector.load)).collect())
    }

    /// From a vector's first request to its rule, ms, for the one that waited longest; `None` if one
    /// never got a rule.
    pub fn rule_after_ms(&self) -> Option<u64> {
        let each = self.0.iter().map(|vector| vector.rule.as_ref().map(|(after_ms, _)| *after_ms));
        each.collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// Share let through after each vector's rule; of one without a rule: all.
    pub fn leakage(&self) -> f64 {
        let since = self.0.iter().map(Vector::since_rule);
        let sum = since.fold(Part::default(), |sum, load| sum.plus(load.requests));
        if sum.all == 0 { 1.0 } else { (sum.all - sum.hit) as f64 / sum.all as f64 }
    }

    /// The same, each request weighted by what it costs the origin.
    pub fn cost_leakage(&self) -> f64 {
        let since = self.0.iter().map(Vector::since_rule);
        let (passed, all) = since
            .fold((0, 0), |(passed, all), load| (passed + load.cost_passed_ms, all + load.cost_ms));
        if all == 0 { 1.0 } else { passed as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays vectors of a request each 100 ms: (stream, first request, its rule), each refused from
    /// the rule on; the last one costs ten times as much.
    fn played(vectors: &[(usize, u64, Option<u64>)]) -> Vectors {
        let (mut all, mut before) = (Vectors::default(), vec![None; vectors.len()]);
        for at_ms in (0..10_000).step_by(100) {
            for (n, (stream, from_ms, rule_ms)) in vectors.iter().enumerate() {
                if *rule_ms == Some(at_ms) {
                    before[n] = Some(all.so_far());
                }
                if at_ms >= *from_ms {
                    let stopper = before[n]
                        .as_ref()
                        .zip(*rule_ms)
                        .map(|(before, placed_ms)| Stopper { placed_ms, before });
                    let cost_ms = if n + 1 == vectors.len() { 10 } else { 1 };
                    all.count((*stream, at_ms, cost_ms), stopper.is_some(), stopper);
                }
            }
        }
        all
    }

    #[test]
    fn each_vector_has_its_own_time_to_a_rule_and_leaks_from_then_on() {
        let both = played(&[(3, 0, Some(1_000)), (5, 2_000, Some(3_500))]);
        assert_eq!(both.rule_after_ms(), Some(1_500), "the slower one");
        assert_eq!((both.leakage(), both.cost_leakage()), (0.0, 0.0));
        let one = played(&[(3, 0, Some(1_000)), (5, 2_000, None)]);
        assert_eq!(one.rule_after_ms(), None, "one never got a rule");
        assert!((one.leakage() - 80.0 / 170.0).abs() < 1e-9, "{}", one.leakage());
        assert!((one.cost_leakage() - 800.0 / 890.0).abs() < 1e-9, "{}", one.cost_leakage());
        assert_eq!(played(&[]).leakage(), 1.0);
    }
}
