//! What the engine remembers across a restart, as bytes: the learned past, the rates it expects, how
//! much one visitor sends, and the texts of the values in it.
//!
//! An [`EngineMemory`] is taken between two steps and shares what it holds with the engine, so that
//! taking it costs next to nothing; turning it into bytes costs tens of milliseconds and is for
//! another thread. An own format and no JSON: a quarter of a million records would be eighty
//! megabytes of text every five minutes.
//!
//! Layout, all numbers little-endian: four bytes version, eight bytes mark of the attribute row,
//! eight bytes mark of the value key, eight bytes time made (ms since the epoch); then what
//! [`Writer`] wrote, the parts in the order of [`EngineMemory::to_bytes`]. Whoever keeps the bytes
//! adds a checksum; these carry none. At most 330,000 records: about 10 MB on a busy site.

mod bytes;

use floodwall_model::{ATTR_COUNT, Attr, ValueId, ValueKey};

pub use bytes::{Damaged, Reader, Writer};

use crate::amounts::Amounts;
use crate::baseline::LearnedPast;
use crate::costs::Costs;
use crate::limits::PerSource;
use crate::names::Names;
use crate::onset::RememberedRates;

/// The version written and read. A part that changes its shape raises it.
pub const MEMORY_VERSION: u32 = 1;
/// Attributes in the shortest row that is read: a memory from before places were looked up. New
/// attributes come after the others, so what such a memory holds is true; what it lacks is unknown. What
/// requests cost was not written then either.
const ROW_MIN: usize = 17;
/// Older than this, ms, a memory says nothing any more: no sample reaches further back.
pub const MEMORY_AGE_MS_MAX: u64 = 28 * DAY_MS;
/// A memory may be from so far in the future, ms: the clock was set back. Beyond, it was wrong.
const MEMORY_AHEAD_MS_MAX: u64 = DAY_MS;
const DAY_MS: u64 = 24 * 3_600_000;
const HEAD_BYTES: usize = 28;

/// What is remembered.
#[derive(Clone, Debug)]
pub struct EngineMemory {
    pub(crate) made_ms: u64,
    pub(crate) key_mark: u64,
    pub(crate) past: LearnedPast,
    pub(crate) rates: RememberedRates,
    pub(crate) amounts: Amounts,
    pub(crate) costs: Costs,
    pub(crate) per_source: PerSource,
    pub(crate) names: Names,
}

/// Why a memory is not used. In every case the engine learns anew.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MemoryRefused {
    /// Made by a Floodwall that writes other memories.
    #[error(
        "it was made by another version of Floodwall (format {found}, this one reads {MEMORY_VERSION})"
    )]
    OtherVersion {
        /// Its format.
        found: u32,
    },
    /// Made by a Floodwall that sees other attributes of a request.
    #[error("it was made by a version of Floodwall that looks at other parts of a request")]
    OtherAttributes,
    /// Its values were made under another key and mean nothing here.
    #[error("it was made under another installation's key (was the database replaced?)")]
    OtherKey,
    /// Nothing in it is recent enough.
    #[error("it is {days} days old, and 28 is the most that still says something")]
    TooOld {
        /// Its age, days.
        days: u64,
    },
    /// It is from the future.
    #[error("it is from {days} days in the future (was the clock wrong then, or is it now?)")]
    FromTheFuture {
        /// How far ahead, days.
        days: u64,
    },
    /// It cannot be read.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// What was taken over from a memory.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Recalled {
    /// When the memory was made, ms since the epoch.
    pub made_ms: u64,
    /// Records to judge by.
    pub records: usize,
    /// Stretch of time they come from, s.
    pub span_s: u64,
}

/// What a memory holds once read.
pub(crate) struct Contents {
    pub(crate) made_ms: u64,
    pub(crate) past: LearnedPast,
    pub(crate) rates: RememberedRates,
    pub(crate) amounts: Amounts,
    pub(crate) costs: Costs,
    pub(crate) per_source: PerSource,
    pub(crate) names: Names,
}

impl EngineMemory {
    /// The memory as bytes, to be kept by somebody else.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_of_row(ATTR_COUNT)
    }

    fn to_bytes_of_row(&self, row: usize) -> Vec<u8> {
        let mut out = Writer::of_row(row);
        self.past.pack(&mut out);
        self.rates.pack(&mut out);
        if row == ATTR_COUNT {
            self.amounts.pack(&mut out);
            self.costs.pack(&mut out);
        }
        self.per_source.pack(&mut out);
        // Last: only texts of values that were written are kept.
        self.names.pack(&mut out);
        let mut bytes = Vec::new();
        bytes.extend(MEMORY_VERSION.to_le_bytes());
        bytes.extend(row_mark(row).to_le_bytes());
        bytes.extend(self.key_mark.to_le_bytes());
        bytes.extend(self.made_ms.to_le_bytes());
        bytes.extend(out.finish());
        bytes
    }
}

/// Reads a memory at `now_ms` under `key`, or says why not.
pub(crate) fn read(bytes: &[u8], key: &ValueKey, now_ms: u64) -> Result<Contents, MemoryRefused> {
    let (head, body) =
        bytes.split_at_checked(HEAD_BYTES).ok_or(MemoryRefused::Damaged("it is too short"))?;
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let found = word(0) as u32;
    let (row, key_mark_found, made_ms) = (word(4), word(12), word(20));
    if found != MEMORY_VERSION {
        return Err(MemoryRefused::OtherVersion { found });
    }
    let Some(row) = (ROW_MIN..=ATTR_COUNT).find(|attrs| row == row_mark(*attrs)) else {
        return Err(MemoryRefused::OtherAttributes);
    };
    if key_mark_found != key_mark(key) {
        return Err(MemoryRefused::OtherKey);
    }
    if now_ms.saturating_sub(made_ms) > MEMORY_AGE_MS_MAX {
        return Err(MemoryRefused::TooOld { days: (now_ms - made_ms) / DAY_MS });
    }
    if made_ms.saturating_sub(now_ms) > MEMORY_AHEAD_MS_MAX {
        return Err(MemoryRefused::FromTheFuture { days: (made_ms - now_ms) / DAY_MS });
    }
    parts(body, row, made_ms, key, now_ms).map_err(|Damaged(what)| MemoryRefused::Damaged(what))
}

fn parts(
    body: &[u8],
    row: usize,
    made_ms: u64,
    key: &ValueKey,
    now_ms: u64,
) -> Result<Contents, Damaged> {
    let mut input = Reader::open(body, row)?;
    let told = row == ATTR_COUNT;
    Ok(Contents {
        made_ms,
        past: LearnedPast::unpack(&mut input, key, now_ms)?,
        rates: RememberedRates::unpack(&mut input)?,
        amounts: if told { Amounts::unpack(&mut input)? } else { Amounts::new() },
        costs: if told { Costs::unpack(&mut input)? } else { Costs::new() },
        per_source: PerSource::unpack(&mut input)?,
        names: Names::unpack(&mut input)?,
    })
}

/// Tells keys apart without telling them.
pub(crate) fn key_mark(key: &ValueKey) -> u64 {
    key.id(Attr::Method, b"the key under which this memory was made").0
}

/// Tells attribute rows apart: the names of the first `attrs` attributes in order.
fn row_mark(attrs: usize) -> u64 {
    let names: Vec<&str> = Attr::ALL.iter().take(attrs).map(|attr| attr.words()).collect();
    let ValueId(mark) = ValueKey::new(1, 1).id(Attr::Method, names.join(",").as_bytes());
    mark
}

#[cfg(test)]
mod tests;
