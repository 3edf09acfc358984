//! Guards: proofs asked of packets that no signature tells apart. Raised late, lowered late.
//!
//! A guard hits only what cannot be of use to this host: a SYN whose sender does not return a
//! cookie, TCP without a connection, UDP that nobody here asked for or serves. Of ICMP nothing is
//! known to be useless but everything save the network's own is dispensable: it is held to a rate.

use floodwall_model::packet::{Guards, IcmpNeed, PacketAttr, PacketClass, PacketFacts};

use super::channels::Channels;

/// A signature has so long to be found before a guard is raised, ms.
const PATIENCE_MS: u64 = 1_300;
/// Where the sockets are known, what belongs to none is known to be useless, and later fragments
/// would fill the memory in which honest ones wait for their rest: so long only, ms.
const PATIENCE_KNOWN_MS: u64 = 100;
/// Honest bursts of ICMP, a traced route or a sweep of a monitor, are over sooner, ms.
const PATIENCE_ICMP_MS: u64 = 800;
/// Unexplained excess that raises the guard for new connections, packets/s, …
const RAISE_SYN_PPS_MIN: f64 = 60.0;
/// … and the others, which a crowd's stray packets shall not raise, …
const RAISE_PPS_MIN: f64 = 150.0;
/// … and as a multiple of what is expected.
const RAISE_FACTOR: f64 = 5.0;
/// A guard is not raised against less than this part of all suspects: resets and messages that a
/// flood causes elsewhere.
const PART_MIN: f64 = 0.1;
/// Errors below this part of all suspects are what a flood causes elsewhere: who resets or reports
/// what a flood made this host send is always fewer than the flood's packets.
const REACTION_PART_MIN: f64 = 0.25;
/// A guard falls when it was not needed for so long, ms.
const LOWER_MS: u64 = 5_000;

#[derive(Copy, Clone, Debug, Default)]
struct Guard {
    above_since_ms: Option<u64>,
    needed_ms: u64,
    up: bool,
}

impl Guard {
    fn update(
        &mut self,
        least_pps: f64,
        unexplained_pps: f64,
        expected_pps: f64,
        patience_ms: u64,
        now_ms: u64,
    ) {
        let level = least_pps.max(RAISE_FACTOR * expected_pps);
        // Half the level keeps it up (hysteresis); what rules drop keeps it up no longer.
        let threshold = if self.up { level / 2.0 } else { level };
        if unexplained_pps < threshold {
            self.above_since_ms = None;
            self.up &= now_ms < self.needed_ms + LOWER_MS;
            return;
        }
        let since_ms = *self.above_since_ms.get_or_insert(now_ms);
        if now_ms >= since_ms + patience_ms {
            self.up = true;
        }
        self.needed_ms = now_ms;
    }
}

/// The guards' state.
#[derive(Debug, Default)]
pub struct GuardPost {
    syn: Guard,
    tcp: Guard,
    udp: Guard,
    icmp: Guard,
}

/// What a guard would hit.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Group {
    /// Attempts to open a connection.
    Syn,
    /// TCP in the midst of a connection.
    Tcp,
    /// Datagrams and later fragments of them.
    Udp,
    /// ICMP that the network can do without, in pieces or whole.
    Icmp,
    /// Of it the errors, which others send because of what happens here.
    IcmpError,
}

impl Group {
    /// The classes whose expected rates are its own.
    const fn classes(self) -> &'static [PacketClass] {
        use PacketClass::{Ack, Data, Fin, Fragment, Icmp, Rst, Syn, SynAck, TcpOdd, Udp};
        match self {
            Group::Syn => &[Syn],
            Group::Tcp => &[SynAck, Rst, Fin, Ack, Data, TcpOdd],
            Group::Udp => &[Udp, Fragment],
            Group::Icmp | Group::IcmpError => &[Icmp],
        }
    }

    /// Whether the packet is one.
    pub fn holds(self, facts: &PacketFacts) -> bool {
        match self {
            Group::Syn | Group::Tcp => self.classes().contains(&facts.class),
            Group::Udp => facts.value(PacketAttr::Protocol) == UDP,
            Group::Icmp => IcmpNeed::of(facts).is_some_and(|need| need != IcmpNeed::Vital),
            Group::IcmpError => IcmpNeed::of(facts) == Some(IcmpNeed::Error),
        }
    }
}

/// IP protocol number (IANA).
const UDP: u16 = 17;

/// Conversations that a group of suspects must claim to belong to where the sockets are not known:
/// fewer are perhaps one whose other half we do not see.
const FLOWS_MIN: usize = 20;

/// What no rule explains.
pub trait Unexplained {
    /// Rate of these suspects, packets/s.
    fn pps(&self, group: Group) -> f64;
    /// Different conversations they claim to belong to.
    fn flows(&self, group: Group) -> usize;
    /// Whether the mark for conversations is the word of whoever keeps the sockets.
    fn knows_sockets(&self) -> bool;
    /// Whether most of them go to one network (/24, /48): what goes everywhere floods nobody.
    fn is_aimed(&self, group: Group) -> bool;
    /// Whether conversations of this group are seen from both sides, so that a packet of none is
    /// known to be one.
    fn sees_both_ways(&self, group: Group) -> bool;
}

impl GuardPost {
    /// Which guards stand now. `handshakes_per_s` are connections completed, which need no proof;
    /// `suspects_pps` are all suspects at their lately highest, stopped or not.
    pub fn update(
        &mut self,
        channels: &Channels,
        unexplained: &impl Unexplained,
        handshakes_per_s: f64,
        suspects_pps: f64,
        now_ms: u64,
    ) -> Guards {
        let expected = |group: Group| -> f64 {
            group.classes().iter().map(|class| channels.expected_pps(*class)).sum()
        };
        // Most rates are low, and then nothing else is worth looking at.
        let aimed = |group: Group| {
            let pps = unexplained.pps(group);
            let worth = pps >= RAISE_SYN_PPS_MIN / 2.0 && pps >= PART_MIN * suspects_pps;
            if worth && unexplained.is_aimed(group) { pps } else { 0.0 }
        };
        let known = |group: Group| {
            let pps = aimed(group);
            let known = pps > 0.0
                && (unexplained.knows_sockets()
                    || unexplained.flows(group) >= FLOWS_MIN && unexplained.sees_both_ways(group));
            if known { pps } else { 0.0 }
        };
        let patience_ms = if unexplained.knows_sockets() { PATIENCE_KNOWN_MS } else { PATIENCE_MS };
        // One source that begins the same connection again and again is answered like many.
        let syn_pps = (aimed(Group::Syn) - handshakes_per_s).max(0.0);
        for (guard, group, pps, least_pps, patience_ms) in [
            (&mut self.syn, Group::Syn, syn_pps, RAISE_SYN_PPS_MIN, PATIENCE_MS),
            (&mut self.tcp, Group::Tcp, known(Group::Tcp), RAISE_PPS_MIN, patience_ms),
            (&mut self.udp, Group::Udp, known(Group::Udp), RAISE_PPS_MIN, patience_ms),
            // From however few: it holds nobody's conversation up and leaves everybody a rate.
            (
                &mut self.icmp,
                Group::Icmp,
                icmp_pps(unexplained, suspects_pps),
                RAISE_PPS_MIN,
                PATIENCE_ICMP_MS,
            ),
        ] {
            guard.update(least_pps, pps, expected(group), patience_ms, now_ms);
        }
        Guards {
            syn_proof: self.syn.up,
            tcp_state: self.tcp.up,
            udp_solicited: self.udp.up,
            icmp: self.icmp.up,
        }
    }
}

/// ICMP that could be a flood, packets/s: all of it but errors that are few enough to be about a
/// flood with borrowed addresses, from wherever that hits. Nothing else of it is sent because of a
/// flood, so that a small rest beside rules counts, too.
fn icmp_pps(unexplained: &impl Unexplained, suspects_pps: f64) -> f64 {
    let (all, errors) = (unexplained.pps(Group::Icmp), unexplained.pps(Group::IcmpError));
    let caused = if errors < REACTION_PART_MIN * suspects_pps { errors } else { 0.0 };
    let pps = all - caused;
    if pps >= RAISE_PPS_MIN / 2.0 && unexplained.is_aimed(Group::Icmp) { pps } else { 0.0 }
}

/// The guards that stand, in words.
pub fn words(guards: Guards) -> Vec<&'static str> {
    [
        (guards.syn_proof, "new connections had to prove themselves by a SYN cookie"),
        (guards.tcp_state, "TCP packets of no connection were dropped"),
        (guards.udp_solicited, "UDP that nobody here asked for was dropped"),
        (guards.icmp, "ICMP that the network can do without was held to a small rate"),
    ]
    .into_iter()
    .filter_map(|(stands, words)| stands.then_some(words))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of what no rule explains, packets/s.
    #[derive(Default)]
    struct Rates {
        icmp: f64,
        errors: f64,
        aimed: bool,
    }

    impl Unexplained for Rates {
        fn pps(&self, group: Group) -> f64 {
            match group {
                Group::Icmp => self.icmp,
                Group::IcmpError => self.errors,
                _ => 0.0,
            }
        }

        fn flows(&self, _: Group) -> usize {
            1
        }

        fn knows_sockets(&self) -> bool {
            true
        }

        fn is_aimed(&self, _: Group) -> bool {
            self.aimed
        }

        fn sees_both_ways(&self, _: Group) -> bool {
            true
        }
    }

    /// How long `rates` last until the guard for ICMP stands, ms; none within three seconds.
    fn raised_after(rates: &Rates, suspects_pps: f64) -> Option<u64> {
        let (mut post, channels) = (GuardPost::default(), Channels::new());
        (0..3_000)
            .step_by(50)
            .find(|now_ms| post.update(&channels, rates, 0.0, suspects_pps, 1_000 + now_ms).icmp)
    }

    #[test]
    fn icmp_is_guarded_when_it_lasts_and_is_no_echo_of_something_else() {
        let aimed = true;
        let after =
            |icmp, errors, suspects_pps| raised_after(&Rates { icmp, errors, aimed }, suspects_pps);
        assert_eq!(after(1_000.0, 0.0, 1_000.0), Some(PATIENCE_ICMP_MS), "questions");
        assert_eq!(after(1_000.0, 1_000.0, 1_000.0), Some(PATIENCE_ICMP_MS), "errors alone");
        assert_eq!(after(1_000.0, 1_000.0, 5_000.0), None, "errors that a larger flood causes");
        assert_eq!(after(1_500.0, 1_000.0, 5_000.0), Some(PATIENCE_ICMP_MS), "and questions");
        assert_eq!(after(400.0, 0.0, 20_000.0), Some(PATIENCE_ICMP_MS), "what rules leave over");
        assert_eq!(after(149.0, 0.0, 149.0), None, "too little to hurt");
        let everywhere = Rates { icmp: 1_000.0, errors: 0.0, aimed: false };
        assert_eq!(raised_after(&everywhere, 1_000.0), None, "aimed at nobody");
    }

    #[test]
    fn a_later_fragment_counts_for_the_guard_that_can_drop_it() {
        let fragment = |protocol| {
            let mut values = [0; floodwall_model::packet::PACKET_ATTR_COUNT];
            values[PacketAttr::Protocol as usize] = protocol;
            values[PacketAttr::IpMarks as usize] =
                floodwall_model::packet::IpMark::LATER_FRAGMENT.into();
            let (source, destination) = ([203, 0, 113, 9].into(), [192, 0, 2, 1].into());
            PacketFacts {
                source,
                destination,
                class: PacketClass::Fragment,
                values,
                sequence: 0,
                acknowledgement: 0,
                frame_bytes: 60,
            }
        };
        let groups = [Group::Syn, Group::Tcp, Group::Udp, Group::Icmp, Group::IcmpError];
        let of = |protocol| {
            let facts = fragment(protocol);
            groups.into_iter().filter(|group| group.holds(&facts)).collect::<Vec<_>>()
        };
        assert_eq!(of(17), [Group::Udp]);
        assert_eq!(of(1), [Group::Icmp]);
        assert_eq!(of(6), [], "no guard drops later fragments of TCP");
    }

    #[test]
    fn the_guard_for_icmp_falls_when_the_flood_is_over() {
        let (mut post, channels) = (GuardPost::default(), Channels::new());
        let flood = Rates { icmp: 2_000.0, errors: 0.0, aimed: true };
        let mut stands =
            |rates: &Rates, now_ms| post.update(&channels, rates, 0.0, 2_000.0, now_ms).icmp;
        assert!(!stands(&flood, 1_000));
        assert!(stands(&flood, 2_000));
        assert!(stands(&Rates::default(), 2_000 + LOWER_MS - 1), "floods pause");
        assert!(!stands(&Rates::default(), 2_000 + LOWER_MS));
    }
}
