//! Why the kernel filter did what it did with a packet (`enum fw_reason` in bpf/abi.h, in its
//! order): a closed list, each with the verdict it belongs to.

use serde::{Deserialize, Serialize};

macro_rules! packet_reasons {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $passes:literal; )+) => {
        /// Why a packet passed, was dropped, or was answered.
        #[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum PacketReason { $( $(#[doc = $doc])+ $name, )+ }

        impl PacketReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &[PacketReason] = &[ $( PacketReason::$name, )+ ];

            /// The name used in metrics, logs and decisions.
            pub const fn name(self) -> &'static str {
                match self { $( PacketReason::$name => $text, )+ }
            }

            /// Whether the packet goes on.
            pub const fn passes(self) -> bool {
                match self { $( PacketReason::$name => $passes, )+ }
            }
        }
    };
}

packet_reasons! {
    /// Nothing spoke against it.
    NoObjection = "no_objection", true;
    /// A ban whose end has come and that is not swept yet.
    BanExpired = "ban_expired", true;
    /// ARP, LLDP, more VLAN tags than are looked through…
    NotIp = "not_ip", true;
    /// It ends before its IP header does; the stack will drop it.
    Truncated = "truncated", true;
    /// Its IP header contradicts itself; the stack will drop it.
    Malformed = "malformed", true;
    /// Something spoke against it, but the allow list names its source.
    Allowed = "allowed", true;
    /// It proved itself by returning a valid SYN cookie.
    CookieValid = "cookie_valid", true;
    /// The source is banned.
    SourceBanned = "source_banned", false;
    /// The source's network is banned.
    NetworkBanned = "network_banned", false;
    /// TCP flags that no implementation sends together (RFC 9293 § 3.10.7).
    ImpossibleFlags = "impossible_flags", false;
    /// The transport header is shorter than its minimum or contradicts itself, and no router made it so.
    HeaderTooShort = "header_too_short", false;
    /// Source and destination are the same address and port (the "land" packet of 1997).
    Land = "land", false;
    /// A source address nobody can have: multicast, broadcast, loopback, 0.0.0.0/8 (RFC 1122 § 3.2.1.3).
    MartianSource = "martian_source", false;
    /// TCP or UDP to port 0, or TCP from it that is no refusal.
    PortZero = "port_zero", false;
    /// A signature matched.
    Signature = "signature", false;
    /// In flood state: TCP that belongs to no connection and brings no valid SYN cookie.
    OutOfState = "out_of_state", false;
    /// In flood state: UDP that is neither for a service of ours nor an answer to us.
    UnsolicitedUdp = "unsolicited_udp", false;
    /// The source sends more than the operator lets one send.
    SourceRate = "source_rate", false;
    /// In flood state: a SYN that was answered with a SYN cookie instead of being passed.
    CookieSent = "cookie_sent", false;
    /// In flood state: ICMP that the network can do without, beyond the small rate left to it.
    IcmpRate = "icmp_rate", false;
}

impl PacketReason {
    /// Refusals that hold at any time, whether there is an attack or not: no working stack sends
    /// such packets to another host.
    pub const SANITY: [PacketReason; 5] = [
        PacketReason::ImpossibleFlags,
        PacketReason::HeaderTooShort,
        PacketReason::Land,
        PacketReason::MartianSource,
        PacketReason::PortZero,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order_and_names_unique() {
        let mut names: Vec<_> = PacketReason::ALL.iter().map(|r| r.name()).collect();
        for (number, reason) in PacketReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PacketReason::ALL.len());
        assert!(PacketReason::SANITY.iter().all(|r| !r.passes()));
    }
}
