//! Traffic models under a virtual clock: honest sessions, crowds, attacks.
//!
//! This crate must never read a clock, open a file or socket, or start a thread: it says *what* is
//! sent *when* by *whom*, from a seed. Drivers elsewhere carry it out: the engine's tests read it
//! as a stream of [`Planned`] requests in virtual time ([`OpenLoop`], [`merge`]), the demo sends it
//! over real sockets and tells each [`Session`] when its answers arrived.
//!
//! [`scene`] makes traffic of the files under `scenarios/`; [`trial`] plays a scene against the engine
//! and scores what comes of it. `bench/scenarios` prints the table.
//!
//! Nothing here may help the defence: a request carries no mark of its [`Label`], and what an
//! attack looks like is drawn anew with every seed, so that no rule can be written for it.

pub mod address;
pub mod assault;
pub mod attack;
pub mod browsers;
pub mod chance;
pub mod council;
// Tables of header orders: one line per layout reads better than one per field.
#[rustfmt::skip]
pub mod layouts;
pub mod minorities;
pub mod mix;
pub mod observe;
pub mod open_loop;
pub mod packets;
pub mod profile;
pub mod request;
pub mod rhythm;
pub mod scene;
pub mod session;
pub mod site;
pub mod traffic;
pub mod trial;
pub mod visitors;
pub mod who;
pub mod world;

pub use address::{AddressPlan, AddressPool};
pub use attack::{Disguise, FloodFew, Kit, RandomQuery, UrlPattern};
pub use council::{Council, CouncilConfig, Member};
pub use mix::{ClientMix, MixConfig};
pub use observe::observe;
pub use open_loop::{Merged, OpenLoop, merge};
pub use profile::{ClientClass, ClientProfile, Implementation};
pub use request::{Label, Planned, RequestSpec, Text};
pub use session::{Answer, Session, Step, Visitor};
pub use site::{Asset, Page, Site};
pub use traffic::{Company, Deaf, Traffic};
pub use visitors::{SessionArrivals, VisitorsConfig};
pub use who::{Software, Who};
pub use world::{AttackFrom, CrowdFrom, World};
