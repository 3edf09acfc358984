//! Numbers, values and samples as bytes, and back. Small, because what is remembered is written
//! every five minutes: a record of twenty 64-bit values takes about thirty bytes, since values are
//! written once and then named by their place.
//!
//! Reading must never panic and never take more memory than the bytes can hold, whatever they say:
//! a disk may have damaged them.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use floodwall_model::signature::IdentityHasher;
use floodwall_model::{ATTR_COUNT, Attrs, RequestKind, ValueId};

use crate::baseline::Learned;
use crate::record::Record;
use crate::reservoir::Reservoir;

/// The bytes do not hold what they should: a short word on what was expected.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Damaged(pub &'static str);

const END: Damaged = Damaged("it ends too early");

/// 64-bit words that are written once and named by their place.
#[derive(Debug, Default)]
struct Dictionary {
    places: HashMap<u64, u64, BuildHasherDefault<IdentityHasher>>,
    words: Vec<u64>,
}

impl Dictionary {
    fn place(&mut self, word: u64) -> u64 {
        *self.places.entry(word).or_insert_with(|| {
            self.words.push(word);
            self.words.len() as u64 - 1
        })
    }
}

/// Writes.
#[derive(Debug)]
pub struct Writer {
    row: usize,
    body: Vec<u8>,
    values: Dictionary,
    sources: Dictionary,
}

impl Default for Writer {
    fn default() -> Self {
        Writer::of_row(ATTR_COUNT)
    }
}

impl Writer {
    /// Writes the first `row` attributes of each record: all, but where a test writes what an older
    /// Floodwall did.
    pub(super) fn of_row(row: usize) -> Self {
        let (values, sources) = (Dictionary::default(), Dictionary::default());
        Writer { row, body: Vec::new(), values, sources }
    }

    /// How many attributes a record has.
    pub const fn row(&self) -> usize {
        self.row
    }

    /// A number, short if small (LEB128).
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.body.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.body.push(number as u8);
    }

    /// How many things follow.
    pub fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// Eight bytes.
    pub fn word(&mut self, word: u64) {
        self.body.extend(word.to_le_bytes());
    }

    /// A real number.
    pub fn real(&mut self, real: f64) {
        self.word(real.to_bits());
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.count(text.len());
        self.body.extend(text.as_bytes());
    }

    /// The id of a value.
    pub fn value(&mut self, ValueId(id): ValueId) {
        let place = self.values.place(id);
        self.number(place);
    }

    /// Whether the id of a value was written.
    pub fn has_value(&self, ValueId(id): ValueId) -> bool {
        self.values.places.contains_key(&id)
    }

    /// An even subset of `kept` records of a sample.
    pub fn sample(&mut self, sample: &Reservoir<Learned>, kept: usize) {
        let items = sample.items();
        let kept = kept.min(items.len());
        self.count(kept);
        for word in sample.state() {
            self.word(word);
        }
        let mut before_ms = 0;
        for n in 0..kept {
            let learned = &items[n * items.len() / kept];
            self.learned(learned, before_ms);
            before_ms = learned.record.at_ms;
        }
    }

    fn learned(&mut self, learned: &Learned, before_ms: u64) {
        let Learned { record, engaged } = learned;
        let kind = match record.kind {
            RequestKind::Page => 0,
            RequestKind::Asset => 1,
            RequestKind::Other => 2,
        };
        let engaged = engaged.map_or(0, |yes| 1 + u64::from(yes));
        self.number(
            kind | engaged << 2 | u64::from(record.passed) << 4 | u64::from(record.prompted) << 5,
        );
        let later = record.at_ms.wrapping_sub(before_ms) as i64;
        self.number(((later << 1) ^ (later >> 63)) as u64);
        let place = self.sources.place(record.source);
        self.number(place);
        for value in record.attrs.0.iter().take(self.row) {
            self.value(*value);
        }
    }

    /// All that was written.
    pub fn finish(self) -> Vec<u8> {
        let mut all = Writer::default();
        for dictionary in [&self.values, &self.sources] {
            all.count(dictionary.words.len());
            for word in &dictionary.words {
                all.word(*word);
            }
        }
        all.body.extend(self.body);
        all.body
    }
}

/// Reads.
#[derive(Debug)]
pub struct Reader<'a> {
    row: usize,
    rest: &'a [u8],
    values: Vec<u64>,
    sources: Vec<u64>,
}

impl<'a> Reader<'a> {
    /// Reads what [`Writer::finish`] gave, with `row` attributes to a record. Those that came later
    /// are unknown.
    pub fn open(bytes: &'a [u8], row: usize) -> Result<Self, Damaged> {
        let mut reader = Reader { row, rest: bytes, values: Vec::new(), sources: Vec::new() };
        reader.values = reader.dictionary()?;
        reader.sources = reader.dictionary()?;
        Ok(reader)
    }

    /// How many attributes a record has.
    pub const fn row(&self) -> usize {
        self.row
    }

    fn dictionary(&mut self) -> Result<Vec<u64>, Damaged> {
        let words = self.count(self.rest.len() / 8)?;
        (0..words).map(|_| self.word()).collect()
    }

    /// A number.
    pub fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(END)?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged("a number is too long"))
    }

    /// A number of at most 32 bits.
    pub fn number_u32(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.number()?).map_err(|_| Damaged("a number is too large"))
    }

    /// How many things follow, at most `most`, and not more than there are bytes.
    pub fn count(&mut self, most: usize) -> Result<usize, Damaged> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let fits = count <= most && count <= self.rest.len();
        if fits { Ok(count) } else { Err(Damaged("a table is larger than it can be")) }
    }

    /// Eight bytes.
    pub fn word(&mut self) -> Result<u64, Damaged> {
        let (word, rest) = self.rest.split_first_chunk().ok_or(END)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*word))
    }

    /// A real number that is one.
    pub fn real(&mut self) -> Result<f64, Damaged> {
        let real = f64::from_bits(self.word()?);
        if real.is_finite() { Ok(real) } else { Err(Damaged("a number is none")) }
    }

    /// A text of at most `most` bytes.
    pub fn text(&mut self, most: usize) -> Result<&'a str, Damaged> {
        let len = self.count(most)?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(END)?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| Damaged("a text is none"))
    }

    /// The id of a value.
    pub fn value(&mut self) -> Result<ValueId, Damaged> {
        let place = self.number()?;
        let id = usize::try_from(place).ok().and_then(|at| self.values.get(at));
        id.map(|id| ValueId(*id)).ok_or(Damaged("a value is missing"))
    }

    /// A sample of at most `capacity` records.
    pub fn sample(&mut self, capacity: usize) -> Result<Reservoir<Learned>, Damaged> {
        let kept = self.count(capacity)?;
        let state = [self.word()?, self.word()?, self.word()?];
        let (mut items, mut before_ms) = (Vec::with_capacity(kept), 0);
        for _ in 0..kept {
            let learned = self.learned(before_ms)?;
            before_ms = learned.record.at_ms;
            items.push(learned);
        }
        Ok(Reservoir::of(items, capacity, state))
    }

    fn learned(&mut self, before_ms: u64) -> Result<Learned, Damaged> {
        let marks = self.number()?;
        let kind = match marks & 3 {
            0 => RequestKind::Page,
            1 => RequestKind::Asset,
            _ => RequestKind::Other,
        };
        let engaged = match marks >> 2 & 3 {
            0 => None,
            one => Some(one == 2),
        };
        let later = self.number()?;
        let at_ms = before_ms.wrapping_add((later >> 1) ^ (later & 1).wrapping_neg());
        let place = self.number()?;
        let source = usize::try_from(place).ok().and_then(|at| self.sources.get(at));
        let source = *source.ok_or(Damaged("a source is missing"))?;
        let mut attrs = Attrs::default();
        for value in attrs.0.iter_mut().take(self.row) {
            *value = self.value()?;
        }
        let (passed, prompted) = (marks >> 4 & 1 == 1, marks >> 5 & 1 == 1);
        let record = Record { at_ms, source, attrs, kind, explained: false, passed, prompted };
        Ok(Learned { record, engaged })
    }
}
