//! A parameter that is drawn: one number, or two to draw between.

use fastrand::Rng;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// From the least to the most. Drawn evenly on a logarithmic scale where both are above zero, so
/// that from 1 to 1,000 the small ones are tried as often as the large; evenly otherwise.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Range {
    least: f64,
    most: f64,
}

impl Range {
    /// Always this.
    pub const fn fixed(value: f64) -> Self {
        Range { least: value, most: value }
    }

    /// Between the two; `None` if they are no numbers or in the wrong order.
    pub fn new(least: f64, most: f64) -> Option<Self> {
        (least.is_finite() && most.is_finite() && least <= most).then_some(Range { least, most })
    }

    /// The smallest it may be.
    pub const fn least(&self) -> f64 {
        self.least
    }

    /// The largest it may be.
    pub const fn most(&self) -> f64 {
        self.most
    }

    /// One value.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        let part = rng.f64();
        if self.least > 0.0 {
            (self.least.ln() * (1.0 - part) + self.most.ln() * part).exp()
        } else {
            self.least * (1.0 - part) + self.most * part
        }
    }

    /// One value, in thousandths: seconds become ms.
    pub fn draw_ms(&self, rng: &mut Rng) -> u64 {
        (self.draw(rng) * 1_000.0).max(0.0) as u64
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Range;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, or two in brackets with the smaller first")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Range, E> {
        Range::new(value, value).ok_or_else(|| E::custom("this is no number that can be used"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Range, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Range, E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Range, A::Error> {
        let two = (seq.next_element::<f64>()?, seq.next_element::<f64>()?);
        let more = seq.next_element::<f64>()?;
        let (Some(least), Some(most), None) = (two.0, two.1, more) else {
            return Err(A::Error::custom("a range has two numbers"));
        };
        Range::new(least, most)
            .ok_or_else(|| A::Error::custom("the smaller number of a range comes first"))
    }
}
