//! One recording: pcap or pcapng, read block by block through a buffer of bounded size.
//!
//! The blocks are taken apart by the pcap-parser crate; what pcapng leaves to its reader is in
//! `pcapng`.
//!
//! Nothing in a file may end a replay. Reading ends where a file breaks off or contradicts itself,
//! and [`RecordingTally::broke_off`] says where and why; what came before counts.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError, PcapHeader, PcapNGReader};

use super::super::input::Bytes;
use super::pcapng::Section;

/// Bytes read ahead.
const BUFFER_BYTES: usize = 256 * 1024;

/// Largest block read: a packet of 256 KiB (the `MAXIMUM_SNAPLEN` of libpcap) with its options, or
/// a large block of names. When larger: reading ends there, and the result says so.
const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A packet as recorded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RecordedPacket {
    /// When, ns since the epoch as the recorder's clock told.
    pub(crate) at_ns: u64,
    /// The link layer's number (`LINKTYPE_…` of tcpdump.org); -1 where the file does not tell.
    pub(crate) link_type: i32,
    /// Length on the wire, bytes; more than `bytes` holds when the recorder cut it.
    pub(crate) wire_bytes: u32,
    /// The frame, as far as it was recorded.
    pub(crate) bytes: Vec<u8>,
}

impl RecordedPacket {
    /// Overwrites it.
    pub(super) fn fill(&mut self, at_ns: u64, link_type: i32, wire_bytes: u32, bytes: &[u8]) {
        self.at_ns = at_ns;
        self.link_type = link_type;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.wire_bytes = wire_bytes.max(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }
}

/// What became of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordingTally {
    /// Packets read.
    pub(crate) packets: u64,
    /// pcap or pcapng.
    pub(crate) format: &'static str,
    /// Why reading ended before the end.
    pub(crate) broke_off: Option<String>,
    /// Packets of which the recorder kept only the beginning.
    pub(crate) cut: u64,
    /// Packets that belong to no interface the file describes.
    pub(crate) unknown_interface: u64,
}

/// A file being read.
pub(crate) struct Recording {
    /// As given.
    pub(crate) path: PathBuf,
    /// What was met so far.
    pub(crate) tally: RecordingTally,
    blocks: Blocks,
    buffer_bytes: usize,
    ended: bool,
}

enum Blocks {
    Pcap {
        reader: LegacyPcapReader<Filled>,
        header: PcapHeader,
    },
    PcapNg {
        reader: PcapNGReader<Filled>,
        section: Section,
    },
    /// The beginning itself could not be read.
    Broken,
}

/// One step through a file.
enum Step {
    Packet,
    /// A block that holds no packet.
    Other,
    Refill,
    /// The buffer must grow.
    Grow,
    End(Option<String>),
}

impl Recording {
    /// Begins to read `input`, the content of `path`, which starts with `magic`.
    pub(crate) fn new(path: &Path, magic: &[u8], input: Bytes) -> Self {
        let mut tally = RecordingTally::default();
        let input = Filled { input, failed: None };
        let blocks = if magic.starts_with(PCAPNG_MAGIC) {
            tally.format = "pcapng";
            PcapNGReader::new(BUFFER_BYTES, input)
                .map(|reader| Blocks::PcapNg { reader, section: Section::default() })
                .map_err(|error| error.to_owned_vec())
        } else {
            tally.format = "pcap";
            LegacyPcapReader::new(BUFFER_BYTES, input)
                .map(|reader| Blocks::Pcap { reader, header: PcapHeader::default() })
                .map_err(|error| error.to_owned_vec())
        };
        let blocks = blocks.unwrap_or_else(|error| {
            tally.broke_off = Some(format!("at its beginning: {}", what(&error)));
            Blocks::Broken
        });
        let ended = matches!(blocks, Blocks::Broken);
        Recording { path: path.to_owned(), tally, blocks, buffer_bytes: BUFFER_BYTES, ended }
    }

    /// Reads the next packet into `packet`; `false` at the end.
    pub(crate) fn next_packet(&mut self, packet: &mut RecordedPacket) -> bool {
        while !self.ended {
            let step = match &mut self.blocks {
                Blocks::Pcap { reader, header } => pcap_step(reader, header, packet),
                Blocks::PcapNg { reader, section } => pcapng_step(reader, section, packet),
                Blocks::Broken => Step::End(None),
            };
            match step {
                Step::Packet => {
                    self.count(packet);
                    return true;
                }
                Step::Other => {}
                Step::Refill => self.refill(),
                Step::Grow => self.grow(),
                Step::End(why) => self.end(why),
            }
        }
        false
    }

    fn count(&mut self, packet: &RecordedPacket) {
        self.tally.packets += 1;
        self.tally.cut += u64::from((packet.bytes.len() as u64) < u64::from(packet.wire_bytes));
        self.tally.unknown_interface += u64::from(packet.link_type < 0);
    }

    fn refill(&mut self) {
        let failed = match &mut self.blocks {
            Blocks::Pcap { reader, .. } => reader.refill().err().map(|e| what(&e)),
            Blocks::PcapNg { reader, .. } => reader.refill().err().map(|e| what(&e)),
            Blocks::Broken => None,
        };
        if failed.is_some() {
            self.end(failed);
        }
    }

    fn grow(&mut self) {
        if self.buffer_bytes >= BLOCK_BYTES_MAX {
            let max_mib = BLOCK_BYTES_MAX / 1_048_576;
            return self.end(Some(format!("a block claims to be longer than {max_mib} MiB")));
        }
        self.buffer_bytes *= 2;
        match &mut self.blocks {
            Blocks::Pcap { reader, .. } => reader.grow(self.buffer_bytes),
            Blocks::PcapNg { reader, .. } => reader.grow(self.buffer_bytes),
            Blocks::Broken => false,
        };
        self.refill();
    }

    fn end(&mut self, why: Option<String>) {
        self.ended = true;
        let Some(why) = why else { return };
        let at = match &self.blocks {
            Blocks::Pcap { reader, .. } => reader.consumed(),
            Blocks::PcapNg { reader, .. } => reader.consumed(),
            Blocks::Broken => 0,
        };
        let packets = self.tally.packets;
        self.tally.broke_off = Some(format!("after {packets} packets, at byte {at}: {why}"));
    }
}

/// How a pcapng file begins, in either byte order.
pub(crate) const PCAPNG_MAGIC: &[u8] = b"\x0a\x0d\x0d\x0a";

/// Fills what it is asked to fill, unless the input ends: the reader takes one short read at the
/// beginning for a short file.
struct Filled {
    input: Bytes,
    /// What went wrong behind bytes that were handed out first.
    failed: Option<io::Error>,
}

impl Read for Filled {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if filled == 0 => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(filled)
    }
}

/// An error of the reader in words.
fn what<I: std::fmt::Debug>(error: &PcapError<I>) -> String {
    match error {
        PcapError::UnexpectedEof | PcapError::Incomplete(_) | PcapError::Eof => {
            "the file ends in the middle of a block: its recording was cut short".to_owned()
        }
        PcapError::ReadError => {
            "it could not be read on (a damaged disk, or a gzip file cut short)".to_owned()
        }
        PcapError::HeaderNotRecognized => "no capture that is known".to_owned(),
        PcapError::BufferTooSmall => "a block is too long".to_owned(),
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => {
            format!("a block contradicts itself ({kind:?}): the file is damaged there")
        }
    }
}

fn of_error<I: std::fmt::Debug>(error: &PcapError<I>) -> Step {
    match error {
        PcapError::Eof => Step::End(None),
        PcapError::Incomplete(_) => Step::Refill,
        PcapError::BufferTooSmall => Step::Grow,
        other => Step::End(Some(what(other))),
    }
}

fn pcap_step(
    reader: &mut LegacyPcapReader<Filled>,
    header: &mut PcapHeader,
    packet: &mut RecordedPacket,
) -> Step {
    let (used, step) = match reader.next() {
        Ok((used, PcapBlockOwned::LegacyHeader(read))) => {
            *header = read;
            (used, Step::Other)
        }
        Ok((used, PcapBlockOwned::Legacy(block))) => {
            let fraction_ns = if header.is_nanosecond_precision() { 1 } else { 1_000 };
            let at_ns =
                u64::from(block.ts_sec) * 1_000_000_000 + u64::from(block.ts_usec) * fraction_ns;
            packet.fill(at_ns, link_number(header.network.0), block.origlen, block.data);
            (used, Step::Packet)
        }
        Ok((used, PcapBlockOwned::NG(_))) => (used, Step::Other),
        Err(error) => return of_error(&error),
    };
    reader.consume(used);
    step
}

/// The upper half of the field holds the length of the frame check sequence (pcap(3PCAP)).
fn link_number(network: i32) -> i32 {
    network & 0xffff
}

fn pcapng_step(
    reader: &mut PcapNGReader<Filled>,
    section: &mut Section,
    packet: &mut RecordedPacket,
) -> Step {
    let (used, step) = match reader.next() {
        Ok((used, PcapBlockOwned::NG(block))) => {
            let holds_packet = section.block(&block, packet);
            (used, if holds_packet { Step::Packet } else { Step::Other })
        }
        Ok((used, _)) => (used, Step::Other),
        Err(error) => return of_error(&error),
    };
    reader.consume(used);
    step
}
