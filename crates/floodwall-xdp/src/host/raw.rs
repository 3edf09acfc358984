//! `struct fw_packet` (bpf/packet.h) in Rust, and the way between it and [`PacketFacts`]. Safe code
//! only: what a field may hold is checked where it becomes a fact.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use floodwall_model::Prefix;
use floodwall_model::packet::{PACKET_ATTR_COUNT, PacketClass, PacketFacts};

use super::Glance;

/// What the C parser makes of a packet. header.rs holds it against the header.
#[derive(Copy, Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct RawPacket {
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) values: [u16; PACKET_ATTR_COUNT + 1],
    pub(super) l3_offset: u16,
    pub(super) l4_offset: u16,
    pub(super) payload_offset: u16,
    pub(super) version: u8,
    pub(super) class: u8,
}

/// `struct fw_glance` (bpf/parse.h).
#[derive(Copy, Clone, Debug, Default)]
#[repr(C)]
pub(super) struct RawGlance {
    pub(super) source: u64,
    pub(super) version: u32,
    pub(super) class: u32,
}

impl RawGlance {
    /// None for a class or an address that this side does not know: never, as long as header.rs passes.
    pub(super) fn glance(self) -> Option<Glance> {
        let class = *PacketClass::ALL.get(self.class as usize)?;
        let source = match self.version {
            4 => {
                let address = u32::try_from(self.source).ok()?;
                Prefix::new(Ipv4Addr::from(address.to_ne_bytes()).into(), 32)
            }
            _ => {
                let half = u64::from_be_bytes(self.source.to_ne_bytes());
                Prefix::new(Ipv6Addr::from(u128::from(half) << 64).into(), 64)
            }
        };
        Some(Glance { source, class })
    }
}

/// Any number but 0, which says "no transport header was read": facts do not know the offset.
const SOME_OFFSET: u16 = 1;

fn address(version: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, ..] = bytes;
    match version {
        4 => Some(Ipv4Addr::new(a, b, c, d).into()),
        6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl RawPacket {
    /// The packet as the rest of Floodwall knows it; `None` unless it is IP of a known class.
    pub(crate) fn facts(&self, frame_bytes: u32) -> Option<PacketFacts> {
        let mut values = [0; PACKET_ATTR_COUNT];
        values.copy_from_slice(self.values.get(..PACKET_ATTR_COUNT)?);
        Some(PacketFacts {
            source: address(self.version, self.source)?,
            destination: address(self.version, self.destination)?,
            class: *PacketClass::ALL.get(usize::from(self.class))?,
            values,
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            frame_bytes,
        })
    }

    /// The packet as the C code knows it, as far as facts go: of the offsets only whether the
    /// transport header was read. It was, in every packet of TCP or UDP that is neither a later
    /// fragment nor cut short, which the marks say.
    pub(crate) fn from_facts(facts: &PacketFacts) -> RawPacket {
        let mut values = [0; PACKET_ATTR_COUNT + 1];
        for (to, from) in values.iter_mut().zip(facts.values) {
            *to = from;
        }
        RawPacket {
            source: octets(facts.source),
            destination: octets(facts.destination),
            sequence: facts.sequence,
            acknowledgement: facts.acknowledgement,
            values,
            l3_offset: 0,
            l4_offset: SOME_OFFSET,
            payload_offset: 0,
            version: if facts.source.is_ipv4() { 4 } else { 6 },
            class: facts.class as u8,
        }
    }

    pub(super) fn l4_offset(&self) -> Option<u16> {
        Some(self.l4_offset).filter(|offset| *offset != 0)
    }

    pub(super) fn payload_offset(&self) -> Option<u16> {
        Some(self.payload_offset).filter(|offset| *offset != 0)
    }
}
