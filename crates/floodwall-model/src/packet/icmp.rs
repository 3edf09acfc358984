//! What the ICMP guard makes of a message: what the network cannot do without passes untouched,
//! everything else shares a small rate.
//!
//! bpf/icmp.h decides the same in the kernel; a test asks both about every type, code and hop limit.
//! Nothing is cut off wholly, so that a guard raised wrongly costs a few pings and error messages.

use std::net::{IpAddr, Ipv6Addr};

use super::facts::{IpMark, PacketAttr, PacketFacts};

/// IP protocol numbers (IANA).
const ICMP: u16 = 1;
const ICMPV6: u16 = 58;

/// Shares that sources are spread over by a keyed hash, each with a bucket for errors and one for
/// questions (`FW_ICMP_SHARES`): a flood from one source takes one share and no more. A fixed table
/// and not one per source, which a flood with forged sources would fill.
pub const ICMP_SHARES: usize = 16;

/// A rate of one share.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct IcmpRate {
    /// Messages a second.
    pub rate_pps: u32,
    /// Messages at once.
    pub burst: u32,
}

/// Errors of one share. All shares together: 32 a second, more than a host needs to learn that a
/// few peers cannot be reached; transports treat them as advice (RFC 1122 § 4.2.3.9).
pub const ICMP_ERRORS: IcmpRate = IcmpRate { rate_pps: 2, burst: 8 };

/// Questions of one share: an ordinary ping sends one a second. No RFC says how many echo requests
/// a host must answer; RFC 1122 § 3.2.2.6 and RFC 4443 § 4.2 only want that it can, so none are
/// cut off wholly. Routers and hosts hold what they send of it to token buckets for the same reason
/// (RFC 4443 § 2.4(f)).
pub const ICMP_QUESTIONS: IcmpRate = IcmpRate { rate_pps: 1, burst: 4 };

/// How much the network needs an ICMP message.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[repr(u8)]
pub enum IcmpNeed {
    /// Without it the network ceases to work: it passes, guard or no guard.
    Vital,
    /// An error about a packet that this host is said to have sent: good to know. Also what others
    /// send because of a flood.
    Error,
    /// Echo and whatever else: nothing fails without it.
    Question,
}

impl IcmpNeed {
    /// How much this is needed; `None` of what is not ICMP. Later fragments count by their protocol.
    pub fn of(facts: &PacketFacts) -> Option<IcmpNeed> {
        let (v4, protocol) = (facts.source.is_ipv4(), facts.value(PacketAttr::Protocol));
        if protocol != ICMP && protocol != ICMPV6 {
            return None;
        }
        // No vital message is ever fragmented: errors fit the least path (RFC 1122 § 3.2.2, RFC 4443
        // § 2.4(c)), and neighbours do not listen to fragments (RFC 6980 § 5). And ICMP of the other
        // family is nothing.
        let pieces = u16::from(IpMark::FIRST_FRAGMENT | IpMark::LATER_FRAGMENT);
        if facts.value(PacketAttr::IpMarks) & pieces != 0 || v4 != (protocol == ICMP) {
            return Some(IcmpNeed::Question);
        }
        let (kind, code) =
            (facts.value(PacketAttr::SourcePort), facts.value(PacketAttr::DestinationPort));
        Some(if v4 {
            of_v4(kind, code)
        } else {
            of_v6(kind, facts.value(PacketAttr::Ttl), is_link_local(facts.source))
        })
    }
}

fn of_v4(kind: u16, code: u16) -> IcmpNeed {
    match kind {
        // "Fragmentation needed": without it large packets vanish in silence (RFC 1191 § 4,
        // RFC 2923 § 2.1).
        3 if code == 4 => IcmpNeed::Vital,
        // Unreachable, redirect, time exceeded, parameter problem (RFC 792).
        3 | 5 | 11 | 12 => IcmpNeed::Error,
        _ => IcmpNeed::Question,
    }
}

fn of_v6(kind: u16, hop_limit: u16, link_local: bool) -> IcmpNeed {
    match kind {
        // Packet too big (RFC 8201 § 4).
        2 => IcmpNeed::Vital,
        // Neighbours and routers (RFC 4861), inverse discovery (RFC 3122), its certificates (RFC
        // 3971). What a router has touched is not from a neighbour, and discarded by the receiver
        // (RFC 4861 §§ 6.1, 7.1, 8.1).
        133..=137 | 141 | 142 | 148 | 149 if hop_limit == 255 => IcmpNeed::Vital,
        // Who listens to which multicast (RFC 2710 § 3, RFC 3810 § 5), and multicast routers
        // (RFC 4286): hop limit 1, from a link-local address.
        130..=132 | 143 | 151..=153 if hop_limit == 1 && link_local => IcmpNeed::Vital,
        // Unreachable, time exceeded, parameter problem (RFC 4443 § 3).
        1 | 3 | 4 => IcmpNeed::Error,
        _ => IcmpNeed::Question,
    }
}

/// fe80::/10 (RFC 4291 § 2.5.6).
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{PACKET_ATTR_COUNT, PacketClass};

    fn message(source: &str, kind: u16, code: u16, hop_limit: u16) -> PacketFacts {
        let source: IpAddr = source.parse().unwrap();
        let mut values = [0; PACKET_ATTR_COUNT];
        values[PacketAttr::Protocol as usize] = if source.is_ipv4() { ICMP } else { ICMPV6 };
        values[PacketAttr::SourcePort as usize] = kind;
        values[PacketAttr::DestinationPort as usize] = code;
        values[PacketAttr::Ttl as usize] = hop_limit;
        PacketFacts {
            source,
            destination: source,
            class: PacketClass::Icmp,
            values,
            sequence: 0,
            acknowledgement: 0,
            frame_bytes: 60,
        }
    }

    #[test]
    fn what_the_network_needs_is_told_from_what_is_good_to_know_and_from_the_rest() {
        use IcmpNeed::{Error, Question, Vital};
        for (source, kind, code, hop_limit, expected) in [
            ("203.0.113.9", 3, 4, 50, Vital),
            ("203.0.113.9", 3, 3, 50, Error),
            ("203.0.113.9", 11, 0, 50, Error),
            ("203.0.113.9", 8, 0, 50, Question),
            ("203.0.113.9", 0, 0, 50, Question),
            ("203.0.113.9", 42, 4, 50, Question),
            ("2001:db8::9", 2, 0, 50, Vital),
            ("2001:db8::9", 1, 0, 50, Error),
            ("2001:db8::9", 128, 0, 50, Question),
            ("fe80::9", 135, 0, 255, Vital),
            ("2001:db8::9", 136, 0, 255, Vital),
            ("2001:db8::9", 136, 0, 254, Question),
            ("fe80::9", 130, 0, 1, Vital),
            ("2001:db8::9", 130, 0, 1, Question),
        ] {
            let facts = message(source, kind, code, hop_limit);
            assert_eq!(IcmpNeed::of(&facts), Some(expected), "{source} {kind}/{code}");
        }
    }

    #[test]
    fn pieces_and_the_other_family_are_never_vital_and_other_protocols_nothing_of_it() {
        let mut piece = message("203.0.113.9", 3, 4, 50);
        piece.values[PacketAttr::IpMarks as usize] = IpMark::LATER_FRAGMENT.into();
        assert_eq!(IcmpNeed::of(&piece), Some(IcmpNeed::Question));
        let mut foreign = message("203.0.113.9", 2, 0, 50);
        foreign.values[PacketAttr::Protocol as usize] = ICMPV6;
        assert_eq!(IcmpNeed::of(&foreign), Some(IcmpNeed::Question));
        foreign.values[PacketAttr::Protocol as usize] = 17;
        assert_eq!(IcmpNeed::of(&foreign), None);
    }
}
