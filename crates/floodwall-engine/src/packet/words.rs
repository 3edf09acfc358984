//! A packet signature read aloud, for operators and reports.

use floodwall_model::packet::{
    IpMark, PacketAttr, PacketPredicate, PacketSignature, TcpFlag, TransportMark,
};

/// The whole signature as one sentence.
pub fn signature(signature: &PacketSignature) -> String {
    format!("packets with {}", predicates(signature).join(" and "))
}

/// Its predicates, one each. Of ICMP the ports are type and code.
pub fn predicates(signature: &PacketSignature) -> Vec<String> {
    let icmp =
        |p: &PacketPredicate| matches!(p, PacketPredicate::Is(PacketAttr::Protocol, ICMP | ICMPV6));
    let of_icmp = signature.predicates().iter().any(icmp);
    let spoken = |p: &PacketPredicate| {
        let words = predicate(*p);
        let name = match p.attr() {
            PacketAttr::SourcePort if of_icmp => "ICMP type",
            PacketAttr::DestinationPort if of_icmp => "ICMP code",
            _ => return words,
        };
        words.replacen(p.attr().words(), name, 1)
    };
    signature.predicates().iter().map(spoken).collect()
}

/// IP protocol numbers (IANA).
const ICMP: u16 = 1;
const ICMPV6: u16 = 58;

/// One predicate.
fn predicate(predicate: PacketPredicate) -> String {
    let attr = predicate.attr();
    match predicate {
        PacketPredicate::Is(PacketAttr::Protocol, value) => protocol(value),
        PacketPredicate::Is(PacketAttr::TcpFlags, value) => {
            format!("TCP flags {}", flags(value as u8))
        }
        PacketPredicate::Is(PacketAttr::Options, 0) => "no TCP options".to_owned(),
        PacketPredicate::Is(PacketAttr::Mss, 0) => "no TCP segment size".to_owned(),
        PacketPredicate::Is(PacketAttr::Payload, 0) => "no payload".to_owned(),
        PacketPredicate::Is(
            PacketAttr::Options
            | PacketAttr::Payload
            | PacketAttr::Sequence
            | PacketAttr::Destination,
            value,
        ) => format!("{} always the same (#{value:04x})", attr.words()),
        PacketPredicate::Is(_, value) => format!("{} {value}", attr.words()),
        PacketPredicate::Between(_, low, high) => format!("{} {low} to {high}", attr.words()),
        PacketPredicate::Bits(_, mask, wanted) => marks(attr, mask as u8, wanted as u8),
    }
}

fn protocol(number: u16) -> String {
    match number {
        ICMP => "protocol ICMP".to_owned(),
        6 => "protocol TCP".to_owned(),
        17 => "protocol UDP".to_owned(),
        47 => "protocol GRE".to_owned(),
        ICMPV6 => "protocol ICMPv6".to_owned(),
        other => format!("protocol {other}"),
    }
}

/// Flags by name, in the order of their bits.
pub fn flags(value: u8) -> String {
    const NAMES: [(u8, &str); 8] = [
        (TcpFlag::FIN, "FIN"),
        (TcpFlag::SYN, "SYN"),
        (TcpFlag::RST, "RST"),
        (TcpFlag::PSH, "PSH"),
        (TcpFlag::ACK, "ACK"),
        (TcpFlag::URG, "URG"),
        (TcpFlag::ECE, "ECE"),
        (TcpFlag::CWR, "CWR"),
    ];
    let set: Vec<&str> =
        NAMES.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "none".to_owned() } else { set.join("+") }
}

fn marks(attr: PacketAttr, mask: u8, wanted: u8) -> String {
    const IP: [(u8, &str, &str); 8] = [
        (IpMark::FIRST_FRAGMENT, "first fragment", "not a first fragment"),
        (IpMark::LATER_FRAGMENT, "later fragment", "not a later fragment"),
        (IpMark::DONT_FRAGMENT, "do-not-fragment set", "do-not-fragment not set"),
        (IpMark::ID_ZERO, "IP identification 0", "IP identification not 0"),
        (IpMark::OPTIONS, "IP options", "no IP options"),
        (IpMark::TUNNEL, "a tunnel inside", "no tunnel inside"),
        (IpMark::V6, "IPv6", "IPv4"),
        (IpMark::RESERVED, "the reserved IP flag", "the reserved IP flag not set"),
    ];
    const TRANSPORT: [(u8, &str, &str); 7] = [
        (TransportMark::SOLICITED, "a conversation of ours", "no conversation of ours"),
        (TransportMark::SEQUENCE_LOW_ZERO, "a sequence number ending in zeros", "other sequence"),
        (TransportMark::ACK_ZERO, "acknowledgement 0", "acknowledgement not 0"),
        (TransportMark::SAME_PORT, "equal ports", "different ports"),
        (TransportMark::PAYLOAD, "a payload", "no payload"),
        (TransportMark::LOW_SOURCE_PORT, "a source port below 1024", "a source port from 1024"),
        (TransportMark::CUT, "a cut transport header", "a whole transport header"),
    ];
    let names: &[(u8, &str, &str)] = if attr == PacketAttr::IpMarks { &IP } else { &TRANSPORT };
    let parts: Vec<&str> = names
        .iter()
        .filter(|(bit, ..)| mask & bit != 0)
        .map(|(bit, set, clear)| if wanted & bit != 0 { *set } else { *clear })
        .collect();
    parts.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_reads_as_a_sentence() {
        let spoken = signature(&PacketSignature::new(vec![
            PacketPredicate::Is(PacketAttr::Protocol, 6),
            PacketPredicate::Is(PacketAttr::TcpFlags, 0xc2),
            PacketPredicate::Is(PacketAttr::Options, 0),
            PacketPredicate::Is(PacketAttr::Window, 65_535),
        ]));
        let expected = "packets with protocol TCP and TCP flags SYN+ECE+CWR and TCP window 65535 \
                        and no TCP options";
        assert_eq!(spoken, expected);
    }

    #[test]
    fn of_icmp_the_ports_are_type_and_code() {
        let spoken = |protocol| {
            signature(&PacketSignature::new(vec![
                PacketPredicate::Is(PacketAttr::Protocol, protocol),
                PacketPredicate::Is(PacketAttr::SourcePort, 3),
                PacketPredicate::Between(PacketAttr::DestinationPort, 0, 15),
            ]))
        };
        assert_eq!(spoken(1), "packets with protocol ICMP and ICMP type 3 and ICMP code 0 to 15");
        let udp = "packets with protocol UDP and source port 3 and destination port 0 to 15";
        assert_eq!(spoken(17), udp);
    }

    #[test]
    fn marks_read_as_what_they_mean() {
        let bits = PacketPredicate::Bits(PacketAttr::TransportMarks, 0x0b, 0x08);
        assert_eq!(predicate(bits), "no conversation of ours and other sequence and equal ports");
    }
}
