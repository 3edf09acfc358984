//! Kinds of packets and reasons of refusal in plain words.
//!
//! A record may come from another version: a name that is not known here is printed as it stands.

use floodwall_model::packet::{PacketClass, PacketReason};

/// A kind of packet as somebody would explain it who has never seen one.
pub(super) fn kind(name: &str) -> &str {
    let class = PacketClass::ALL.iter().find(|class| class.words() == name);
    class.map_or(name, |class| match class {
        PacketClass::NotIp => "packets of the local network only (not IP)",
        PacketClass::Syn => "attempts to open a connection (SYN)",
        PacketClass::SynAck => "answers to such attempts (SYN-ACK)",
        PacketClass::Rst => "refusals of a connection (RST)",
        PacketClass::Fin => "endings of a connection (FIN)",
        PacketClass::Ack => "receipts within a connection (ACK)",
        PacketClass::Data => "contents of a connection (TCP data)",
        PacketClass::TcpOdd => "TCP packets of an unusual form (odd TCP)",
        PacketClass::Udp => "messages sent without a connection (UDP)",
        PacketClass::Icmp => "messages about the network, such as a ping (ICMP)",
        PacketClass::Fragment => "later pieces of packets that were cut up (fragments)",
        PacketClass::Other => "packets of other protocols",
    })
}

/// A reason of refusal; `name` is what stands in the record.
pub(super) fn refusal(reason: Option<PacketReason>, name: &str) -> &str {
    let Some(reason) = reason else { return name };
    match reason {
        PacketReason::CookieSent => "asked for a proof, not passed on",
        PacketReason::OutOfState => "TCP of no connection",
        PacketReason::UnsolicitedUdp => "UDP that nobody here asked for",
        PacketReason::SourceRate => "more than the operator lets one source send",
        PacketReason::IcmpRate => "ICMP beyond the small rate left to it",
        PacketReason::SourceBanned => "source banned",
        PacketReason::NetworkBanned => "network banned",
        PacketReason::ImpossibleFlags => "impossible TCP flags",
        PacketReason::HeaderTooShort => "header that contradicts itself",
        PacketReason::Land => "sent as if from this host to itself",
        PacketReason::MartianSource => "source address nobody can have",
        PacketReason::PortZero => "port 0",
        PacketReason::Signature => "matched a rule",
        PacketReason::NoObjection
        | PacketReason::BanExpired
        | PacketReason::NotIp
        | PacketReason::Truncated
        | PacketReason::Malformed
        | PacketReason::Allowed
        | PacketReason::CookieValid => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_every_refusal_has_words_and_unknown_names_stand() {
        for class in PacketClass::ALL {
            assert!(kind(class.words()).contains(' '), "{}", class.words());
        }
        for reason in PacketReason::ALL.iter().filter(|reason| !reason.passes()) {
            assert!(refusal(Some(*reason), "raw_name").contains(' '), "{reason:?}");
        }
        assert_eq!(kind("QUIC"), "QUIC");
        assert_eq!(refusal(None, "later_reason"), "later_reason");
    }
}
