//! Reads a capture, pcap or pcapng, from memory. Nothing in it may lead to a panic.

use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use super::link::ethernet_frame;

/// Interfaces of a pcapng section, at most. Packets of further ones are skipped and counted.
const INTERFACES_MAX: usize = 1_024;
/// Frames of one capture, at most. When full, the rest is left out, and counted as skipped.
const CAPTURE_FRAMES_MAX: usize = 1_000_000;

/// A frame of a capture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// When, ns since the capture's first frame; never less than the frame's before it.
    pub at_ns: u64,
    /// An Ethernet frame, as far as it was recorded.
    pub bytes: Vec<u8>,
    /// Its length on the wire, bytes.
    pub wire_bytes: u32,
}

/// A capture in memory.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Its frames, as Ethernet, in the order recorded.
    pub frames: Vec<Frame>,
    /// Frames left out: of link types that are not read, or no IP behind those that are not
    /// Ethernet.
    pub skipped: u64,
}

/// Why a capture cannot be used. The file's fault.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither pcap nor pcapng.
    #[error("neither pcap nor pcapng")]
    NotACapture,
}

/// An interface's link type and how long a tick of its clock is.
#[derive(Copy, Clone)]
struct Interface {
    link_type: i32,
    ticks_per_s: u64,
}

#[derive(Default)]
struct Reading {
    interfaces: Vec<Interface>,
    legacy: Option<Interface>,
    first_ns: Option<u64>,
    last_ns: u64,
    recording: Recording,
}

impl Recording {
    /// Reads a capture. One that ends in the middle of a block is read as far as it goes.
    ///
    /// # Errors
    /// If it is no capture at all.
    pub fn read(file: &[u8]) -> Result<Recording, ReadError> {
        // The whole file fits into the reader's buffer, so that it never needs to be filled again.
        let mut reader =
            create_reader(file.len().max(64) + 1, file).map_err(|_| ReadError::NotACapture)?;
        let mut reading = Reading::default();
        loop {
            match reader.next() {
                Ok((bytes, block)) => {
                    reading.take(&block);
                    reader.consume_noshift(bytes);
                }
                Err(PcapError::Incomplete(_) | PcapError::Eof) => break,
                // What was read before a broken block is worth something.
                Err(_) => break,
            }
        }
        Ok(reading.recording)
    }

    /// How long it lasts when no pause is longer than `pause_ns_max`, ns.
    pub fn duration_ns(&self, pause_ns_max: u64) -> u64 {
        self.frames.windows(2).map(|f| (f[1].at_ns - f[0].at_ns).min(pause_ns_max)).sum()
    }
}

impl Reading {
    fn take(&mut self, block: &PcapBlockOwned<'_>) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let nanoseconds = header.is_nanosecond_precision();
                let ticks_per_s = if nanoseconds { 1_000_000_000 } else { 1_000_000 };
                self.legacy = Some(Interface { link_type: header.network.0, ticks_per_s });
            }
            PcapBlockOwned::Legacy(frame) => {
                let Some(interface) = self.legacy else { return };
                let ns_per_tick = 1_000_000_000 / interface.ticks_per_s;
                let ns = u64::from(frame.ts_sec) * 1_000_000_000
                    + u64::from(frame.ts_usec) * ns_per_tick;
                let data = frame.data.get(..frame.caplen as usize).unwrap_or(frame.data);
                self.frame(interface.link_type, ns, data, frame.origlen);
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
                if self.interfaces.len() < INTERFACES_MAX {
                    let ticks_per_s = ticks_per_s(described.if_tsresol);
                    let link_type = described.linktype.0;
                    self.interfaces.push(Interface { link_type, ticks_per_s });
                }
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let Some(interface) = self.interfaces.get(packet.if_id as usize).copied() else {
                    self.recording.skipped += 1;
                    return;
                };
                let ticks = u128::from(packet.ts_high) << 32 | u128::from(packet.ts_low);
                let ns = ticks * 1_000_000_000 / u128::from(interface.ticks_per_s);
                let ns = u64::try_from(ns).unwrap_or(u64::MAX);
                let data = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
                self.frame(interface.link_type, ns, data, packet.origlen);
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let Some(interface) = self.interfaces.first().copied() else { return };
                let data = packet.data.get(..packet.origlen as usize).unwrap_or(packet.data);
                let at_ns = self.first_ns.unwrap_or(0).saturating_add(self.last_ns);
                self.frame(interface.link_type, at_ns, data, packet.origlen);
            }
            PcapBlockOwned::NG(_) => {}
        }
    }

    fn frame(&mut self, link_type: i32, ns: u64, data: &[u8], wire_bytes: u32) {
        let framed = ethernet_frame(link_type, data);
        let (Some((bytes, grown)), true) =
            (framed, self.recording.frames.len() < CAPTURE_FRAMES_MAX)
        else {
            self.recording.skipped += 1;
            return;
        };
        let first_ns = *self.first_ns.get_or_insert(ns);
        // Clocks step back; the order of the file is the order on the wire.
        self.last_ns = self.last_ns.max(ns.saturating_sub(first_ns));
        let wire_bytes = (i64::from(wire_bytes) + grown).clamp(bytes.len() as i64, 1 << 20) as u32;
        self.recording.frames.push(Frame { at_ns: self.last_ns, bytes, wire_bytes });
    }
}

/// Resolution of an interface's clock (draft-ietf-opsawg-pcapng § 4.2, if_tsresol).
fn ticks_per_s(resolution: u8) -> u64 {
    let exponent = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    // Absurd exponents are read as the default, microseconds.
    base.checked_pow(exponent).unwrap_or(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_that_breaks_off_is_read_as_far_as_it_goes() {
        let mut file = super::super::write::pcap_header().to_vec();
        for second in 0..3u32 {
            let mut frame = vec![0u8; 40];
            frame[12..15].copy_from_slice(&[8, 0, 0x45]);
            for word in [second, 500_000, 40, 60] {
                file.extend(word.to_le_bytes());
            }
            file.extend(&frame);
        }
        file.truncate(file.len() - 7);
        let recording = Recording::read(&file).unwrap();
        let seen: Vec<(u64, u32)> =
            recording.frames.iter().map(|f| (f.at_ns, f.wire_bytes)).collect();
        assert_eq!(seen, [(0, 60), (1_000_000_000, 60)]);
        assert_eq!(recording.duration_ns(200), 200);
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        assert!(Recording::read(b"").is_err());
        assert!(Recording::read(b"GIF89a and more of the same, and more of the same").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_lead_to_a_panic(tail in proptest::collection::vec(0u8.., 0..400), ng: bool) {
            let mut file = if ng {
                b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0".to_vec()
            } else {
                super::super::write::pcap_header().to_vec()
            };
            file.extend(tail);
            let _ = Recording::read(&file);
        }
    }
}
