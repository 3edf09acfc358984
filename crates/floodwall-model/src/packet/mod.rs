//! Packets: what layers 3 and 4 talk about. The order of the files is the order of the pipeline:
//! a header becomes [`PacketFacts`], the engine gets [`PacketObservation`]s, finds a
//! [`PacketSignature`], proposes a [`PacketPlan`], and the plan is checked into a
//! [`CheckedPacketPlan`] that the kernel filter and a replay apply alike.

mod account;
mod facts;
mod icmp;
mod observation;
mod plan;
mod reason;
mod signature;

pub use account::{Hypothesis, PacketAccount, SourceTest, SpoofingGrade};
pub use facts::{
    EPHEMERAL_PORT_MIN, IpMark, PACKET_ATTR_COUNT, PACKET_CLASS_COUNT, PacketAttr, PacketClass,
    PacketFacts, TcpFlag, TransportMark, fold_option, fold_payload, fold16,
};
pub use icmp::{ICMP_ERRORS, ICMP_QUESTIONS, ICMP_SHARES, IcmpNeed, IcmpRate};
pub use observation::{ClassCount, PacketBatch, PacketHandling, PacketObservation};
pub use plan::{
    CheckedPacketPlan, Guards, PACKET_COLLATERAL_MAX, PacketPlan, PacketRule, RejectedPacketRule,
};
pub use reason::PacketReason;
pub use signature::{PacketPredicate, PacketSignature};
