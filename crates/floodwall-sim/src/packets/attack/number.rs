//! How a flood tool fills one header field.

use fastrand::Rng;

use crate::chance::happens;

/// A field's rule.
#[derive(Clone, Debug)]
pub(crate) enum Number {
    /// Always the same.
    Fixed(u32),
    /// One of a few.
    Few(Vec<u32>),
    /// Any between these, both included.
    Between(u32, u32),
    /// One more each time.
    Counter(u32),
}

impl Number {
    /// A rule for a field of 16 bits, whose values a tool keeps between `low` and `high`.
    pub(crate) fn drawn(low: u32, high: u32, rng: &mut Rng) -> Number {
        match rng.u8(..10) {
            0..4 => Number::Fixed(rng.u32(low..=high)),
            4 => Number::Few((0..rng.usize(2..9)).map(|_| rng.u32(low..=high)).collect()),
            5 => {
                let from = rng.u32(low..=high);
                Number::Between(from, rng.u32(from..=high))
            }
            6 => Number::Counter(rng.u32(low..=high)),
            _ => Number::Between(low, high),
        }
    }

    /// A rule for IPv4 identifications.
    pub(crate) fn ids(rng: &mut Rng) -> Number {
        match rng.u8(..6) {
            0 => Number::Fixed(0),
            1 => Number::Fixed(rng.u32(1..=0xffff)),
            2 => Number::Counter(rng.u32(..=0xffff)),
            _ => Number::Between(0, 0xffff),
        }
    }

    /// A rule for the source ports of a tool.
    pub(crate) fn source_ports(rng: &mut Rng) -> Number {
        match rng.u8(..8) {
            0 => Number::Fixed(rng.u32(1..=0xffff)),
            1 => Number::Counter(rng.u32(1_024..=0xffff)),
            2 => Number::Between(32_768, 60_999),
            3 | 4 => Number::Between(1_024, 0xffff),
            _ => Number::Between(1, 0xffff),
        }
    }

    /// A rule for destination ports: a service of the target's, another one, or all.
    pub(crate) fn destination_ports(services: &[u16], rng: &mut Rng) -> Number {
        if !services.is_empty() && happens(rng, 0.7) {
            Number::Fixed(u32::from(services[rng.usize(..services.len())]))
        } else if happens(rng, 0.5) {
            Number::Fixed(rng.u32(1..=0xffff))
        } else {
            Number::Between(1, 0xffff)
        }
    }

    /// The next value, cut to 16 bits.
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> u16 {
        (match self {
            Number::Fixed(value) => *value,
            Number::Few(values) => values[rng.usize(..values.len())],
            Number::Between(low, high) => rng.u32(*low..=*high),
            Number::Counter(next) => {
                *next = next.wrapping_add(1);
                *next
            }
        }) as u16
    }

    /// The next value, never 0: a port.
    pub(crate) fn draw_port(&mut self, rng: &mut Rng) -> u16 {
        self.draw(rng).max(1)
    }
}
