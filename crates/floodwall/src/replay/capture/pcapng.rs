//! What pcapng leaves to its reader: which interface a packet came from, what its time stamp counts,
//! and the obsolete packet block of 2004 that some tools still write
//! (draft-ietf-opsawg-pcapng). Sections are read one after the other; each begins anew.

use pcap_parser::{
    Block, EnhancedPacketBlock, InterfaceDescriptionBlock, OptionCode, SimplePacketBlock,
    UnknownBlock,
};

use super::read::RecordedPacket;

/// Interfaces remembered of one pcapng section. When full: packets of further interfaces are
/// counted as of an unknown link type.
const INTERFACES_MAX: usize = 4_096;

/// Type of the obsolete packet block (draft-ietf-opsawg-pcapng, appendix A).
const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// What a pcapng section said so far.
#[derive(Default)]
pub(crate) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Time of the newest packet, for packets without one.
    newest_ns: u64,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Interface {
    link_type: i32,
    /// Bytes kept of a packet; 0: all.
    snap_bytes: u32,
    resolution: Resolution,
    offset_s: i64,
}

/// What a time stamp of an interface counts (`if_tsresol`, draft-ietf-opsawg-pcapng § 4.2).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Resolution {
    /// 10^-n s.
    Decimal(u8),
    /// 2^-n s.
    Binary(u8),
}

impl Section {
    /// Takes the next block. Whether it held a packet, which is then in `packet`.
    pub(crate) fn block(&mut self, block: &Block, packet: &mut RecordedPacket) -> bool {
        match block {
            Block::SectionHeader(header) => {
                // Interfaces are numbered anew in every section.
                *self = Section { big_endian: header.big_endian(), ..Section::default() };
                false
            }
            Block::InterfaceDescription(description) => {
                if self.interfaces.len() < INTERFACES_MAX {
                    self.interfaces.push(Interface::new(description, self.big_endian));
                }
                false
            }
            Block::EnhancedPacket(block) => self.enhanced(block, packet),
            Block::SimplePacket(block) => self.simple(block, packet),
            Block::Unknown(block) if self.is_obsolete_packet(block) => self.obsolete(block, packet),
            _ => false,
        }
    }

    fn enhanced(&mut self, block: &EnhancedPacketBlock, packet: &mut RecordedPacket) -> bool {
        let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
        let bytes = block.data.get(..block.caplen as usize).unwrap_or(block.data);
        self.packet(block.if_id, ticks, block.origlen, bytes, packet)
    }

    /// It has no time: that of the packet before it is the best there is.
    fn simple(&mut self, block: &SimplePacketBlock, packet: &mut RecordedPacket) -> bool {
        let first = self.interfaces.first();
        let snap_bytes = first.map_or(0, |i| i.snap_bytes);
        let kept = if snap_bytes > 0 { block.origlen.min(snap_bytes) } else { block.origlen };
        let bytes = block.data.get(..kept as usize).unwrap_or(block.data);
        packet.fill(self.newest_ns, first.map_or(-1, |i| i.link_type), block.origlen, bytes);
        true
    }

    /// The crate reads the type as little-endian in any section.
    fn is_obsolete_packet(&self, block: &UnknownBlock) -> bool {
        let number = block.block_type;
        number == OBSOLETE_PACKET_BLOCK
            || (self.big_endian && number == OBSOLETE_PACKET_BLOCK.swap_bytes())
    }

    fn obsolete(&mut self, block: &UnknownBlock, packet: &mut RecordedPacket) -> bool {
        let word = |at: usize| -> Option<u32> {
            let bytes: [u8; 4] = block.data.get(at..at + 4)?.try_into().ok()?;
            Some(if self.big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            })
        };
        let half = |at: usize| -> Option<u16> {
            let bytes: [u8; 2] = block.data.get(at..at + 2)?.try_into().ok()?;
            Some(if self.big_endian {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            })
        };
        let fields = (half(0), word(4), word(8), word(12), word(16));
        let (Some(interface), Some(high), Some(low), Some(kept), Some(wire)) = fields else {
            return false;
        };
        let Some(bytes) = block.data.get(20..20 + kept as usize) else { return false };
        let ticks = u64::from(high) << 32 | u64::from(low);
        self.packet(u32::from(interface), ticks, wire, bytes, packet)
    }

    fn packet(
        &mut self,
        interface: u32,
        ticks: u64,
        wire_bytes: u32,
        bytes: &[u8],
        packet: &mut RecordedPacket,
    ) -> bool {
        let (at_ns, link_type) = match self.interfaces.get(interface as usize) {
            Some(interface) => (interface.at_ns(ticks), interface.link_type),
            None => (self.newest_ns, -1),
        };
        self.newest_ns = at_ns;
        packet.fill(at_ns, link_type, wire_bytes, bytes);
        true
    }
}

impl Interface {
    fn new(description: &InterfaceDescriptionBlock, big_endian: bool) -> Self {
        // The crate reads the offset as little-endian in any section.
        let offset = description.options.iter().find(|o| o.code == OptionCode::IfTsoffset);
        let offset = offset.and_then(|o| <[u8; 8]>::try_from(o.value.get(..8)?).ok());
        let offset_s = offset.map_or(0, |bytes| {
            if big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) }
        });
        let resolution = match description.if_tsresol {
            n if n & 0x80 != 0 => Resolution::Binary(n & 0x7f),
            n => Resolution::Decimal(n),
        };
        Interface {
            link_type: description.linktype.0,
            snap_bytes: description.snaplen,
            resolution,
            offset_s,
        }
    }

    fn at_ns(&self, ticks: u64) -> u64 {
        let offset_ns = i128::from(self.offset_s) * 1_000_000_000;
        let at_ns = i128::from(self.resolution.ns(ticks)).saturating_add(offset_ns);
        u64::try_from(at_ns.max(0)).unwrap_or(u64::MAX)
    }
}

impl Resolution {
    fn ns(self, ticks: u64) -> u64 {
        let ticks = u128::from(ticks);
        let ns = match self {
            Resolution::Decimal(n @ 0..=9) => ticks * 10_u128.pow(9 - u32::from(n)),
            // A u128 holds 10^38.
            Resolution::Decimal(n) => ticks / 10_u128.pow(u32::from(n - 9).min(38)),
            Resolution::Binary(n) => (ticks * 1_000_000_000) >> u32::from(n.min(127)),
        };
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(resolution: Resolution, offset_s: i64) -> Interface {
        Interface { link_type: 1, snap_bytes: 0, resolution, offset_s }
    }

    #[test]
    fn time_stamps_are_read_in_what_the_interface_counts() {
        let at_ns = |resolution, ticks| interface(resolution, 0).at_ns(ticks);
        assert_eq!(at_ns(Resolution::Decimal(6), 1_500_000), 1_500_000_000);
        assert_eq!(at_ns(Resolution::Decimal(9), 1_500_000), 1_500_000);
        assert_eq!(at_ns(Resolution::Decimal(0), 3), 3_000_000_000);
        assert_eq!(at_ns(Resolution::Decimal(12), 5_000), 5);
        assert_eq!(at_ns(Resolution::Binary(10), 1_536), 1_500_000_000);
        assert_eq!(at_ns(Resolution::Decimal(127), u64::MAX), 0);
        assert_eq!(at_ns(Resolution::Binary(127), u64::MAX), 0);
        assert_eq!(at_ns(Resolution::Decimal(0), u64::MAX), u64::MAX);
        assert_eq!(interface(Resolution::Decimal(6), -5).at_ns(6_000_000), 1_000_000_000);
        assert_eq!(interface(Resolution::Decimal(6), i64::MIN).at_ns(6_000_000), 0);
        assert_eq!(interface(Resolution::Decimal(6), i64::MAX).at_ns(6_000_000), u64::MAX);
    }
}
