//! Writes a mix: a pcap file of Ethernet frames, and its labels.

use std::io::{self, Write};

use super::lay::Mix;

/// Longest frame that readers expect, bytes.
const SNAP_BYTES: u32 = 262_144;
/// Second that the mix begins at, since the epoch: 23 November 2026, 12:00 UTC.
const START_S: u64 = 1_795_435_200;

/// The header of a pcap file with microseconds, little-endian, Ethernet
/// (draft-ietf-opsawg-pcap § 4).
pub(super) fn pcap_header() -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    header[4..6].copy_from_slice(&2u16.to_le_bytes());
    header[6..8].copy_from_slice(&4u16.to_le_bytes());
    header[16..20].copy_from_slice(&SNAP_BYTES.to_le_bytes());
    header[20..].copy_from_slice(&1u32.to_le_bytes());
    header
}

impl Mix {
    /// Writes the frames as a pcap file.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    pub fn write_pcap(&self, mut out: impl Write) -> io::Result<()> {
        out.write_all(&pcap_header())?;
        for frame in &self.frames {
            let second = (START_S + frame.at_us / 1_000_000) as u32;
            let microsecond = (frame.at_us % 1_000_000) as u32;
            for word in [second, microsecond, frame.bytes.len() as u32, frame.wire_bytes] {
                out.write_all(&word.to_le_bytes())?;
            }
            out.write_all(&frame.bytes)?;
        }
        out.flush()
    }

    /// Writes `index<TAB>attack|other` for every frame; the first index is 0.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    pub fn write_labels(&self, mut out: impl Write) -> io::Result<()> {
        for (index, frame) in self.frames.iter().enumerate() {
            writeln!(out, "{index}\t{}", if frame.attack { "attack" } else { "other" })?;
        }
        out.flush()
    }
}
