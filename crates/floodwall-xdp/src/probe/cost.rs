//! What a packet costs in the filter on this host, by the kernel's test run: no traffic, nothing
//! attached, less than a second.
//!
//! What the driver and the rest of the stack cost is left out, and all packets of a path are the
//! same one, so its entries stay in the cache: these figures are a ceiling, never a promise.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use floodwall_model::packet::{
    CheckedPacketPlan, Guards, PacketAttr, PacketPlan, PacketPredicate, PacketRule, PacketSignature,
};
use floodwall_model::{Ban, Collateral, Evidence, Family, Mode, Protected, RuleId, Source};

use crate::abi::Verdict;
use crate::attach::{AttachRequest, Services};
use crate::dry_run::DryRun;
use crate::error::AttachError;
use crate::object::refused;
use crate::sys;

/// Runs that are averaged.
const REPEAT: u32 = 50_000;
/// Of so many averages the least counts, since noise only adds.
const ROUNDS: usize = 6;
/// Single runs for the SYN cookie, whose answer replaces the packet.
const SINGLE_RUNS: u32 = 2_000;
/// No further round begins after this; each path has one in any case.
const TIME_MAX: Duration = Duration::from_millis(600);
/// A guarded address of this host, from a list that is read anew: loopback is always on it.
const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Documentation addresses (RFC 5737).
const BANNED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// How long what is measured stands; it is gone with the measurement.
const LIFE_MS: u64 = 60_000;
/// Rules of the longest search.
const RULES: u16 = 64;

/// Mean time of one packet, less what an empty program takes in the same run.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct PacketCosts {
    /// At rest: nothing speaks against it.
    pub pass: Duration,
    /// Its source is banned.
    pub banned: Duration,
    /// 64 rules, none of which matches.
    pub rules_64_miss: Duration,
    /// A SYN that is answered with a cookie. None where the host did not take it so.
    pub syn_cookie: Option<Duration>,
}

impl PacketCosts {
    /// The longest of the four.
    pub fn slowest(&self) -> Duration {
        let known = [self.pass, self.banned, self.rules_64_miss];
        known.into_iter().chain(self.syn_cookie).max().unwrap_or_default()
    }
}

/// Measures, where possible in a network namespace of its own: the kernel makes cookies at will only
/// where net.ipv4.tcp_syncookies is 2 (tcp_get_syncookie_mss in net/ipv4/tcp_input.c), and that is
/// not to be changed for a question. Where none can be made, the cookie is not measured.
///
/// # Errors
/// See [`AttachError`].
pub fn measure() -> Result<PacketCosts, AttachError> {
    let measured = std::thread::scope(|scope| {
        scope.spawn(|| measure_here(sys::enter_own_network().is_ok())).join()
    });
    measured.unwrap_or_else(|_| {
        Err(AttachError::Kernel { detail: "the measurement broke off".to_owned() })
    })
}

/// `alone`: in a network namespace where nothing else is, so that its settings are ours.
fn measure_here(alone: bool) -> Result<PacketCosts, AttachError> {
    let until = Instant::now() + TIME_MAX;
    // A cookie is sent only where somebody listens; to this one nobody connects.
    let address = if alone { Ipv4Addr::UNSPECIFIED } else { SERVER };
    let listener = TcpListener::bind((address, 0)).map_err(|error| refused(&error))?;
    let port = listener.local_addr().map_err(|error| refused(&error))?.port();
    let services = Services { tcp: vec![port], udp: vec![] };
    let mut run = DryRun::with(&AttachRequest { services, ..AttachRequest::default() })?;
    let stranger = segment((STRANGER, port), ACK);
    let pass = path(&mut run, &stranger, Verdict::Pass, until)?;
    ban(&mut run)?;
    let banned = path(&mut run, &segment((BANNED, port), ACK), Verdict::Drop, until)?;
    apply(&mut run, Guards::default())?;
    let rules_64_miss = path(&mut run, &stranger, Verdict::Pass, until)?;
    let mut syn_cookie = None;
    if alone {
        apply(&mut run, Guards { syn_proof: true, ..Guards::default() })?;
        syn_cookie = single_runs(&mut run, &segment((STRANGER, port), SYN), until)?;
    }
    Ok(PacketCosts { pass, banned, rules_64_miss, syn_cookie })
}

/// The least mean of some rounds. A path that is not the one meant is an error, not a figure.
fn path(
    run: &mut DryRun,
    frame: &[u8],
    expected: Verdict,
    until: Instant,
) -> Result<Duration, AttachError> {
    let (mut empty, mut filter) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        if round > 0 && Instant::now() > until {
            break;
        }
        empty = empty.min(run.empty(frame, REPEAT)?);
        let outcome = run.xdp(frame, REPEAT)?;
        if outcome.verdict != expected {
            let detail = format!("a measured packet was {:?}", outcome.verdict);
            return Err(AttachError::Kernel { detail });
        }
        filter = filter.min(outcome.per_packet);
    }
    Ok(filter.saturating_sub(empty))
}

/// The median of single runs: a run of many would get its own answer back as the next packet.
fn single_runs(
    run: &mut DryRun,
    frame: &[u8],
    until: Instant,
) -> Result<Option<Duration>, AttachError> {
    let (mut empty, mut filter) = (Vec::new(), Vec::new());
    for round in 0..SINGLE_RUNS {
        if round > SINGLE_RUNS / 10 && Instant::now() > until {
            break;
        }
        empty.push(run.empty(frame, 1)?);
        let outcome = run.xdp(frame, 1)?;
        if outcome.verdict != Verdict::Tx {
            return Ok(None);
        }
        filter.push(outcome.per_packet);
    }
    Ok(Some(median(filter).saturating_sub(median(empty))))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

fn ban(run: &mut DryRun) -> Result<(), AttachError> {
    let now_ms = wall_ms();
    let source = Source::new(BANNED.into());
    let ban =
        Ban { source, from_ms: now_ms, until_ms: now_ms + LIFE_MS, handshake: true, blocked: 20 };
    let detail = |error: String| AttachError::Kernel { detail: error };
    let ban = ban.check(&Protected::default()).map_err(|error| detail(error.to_string()))?;
    run.filter_mut().ban(&ban, now_ms).map_err(|error| detail(error.to_string()))
}

fn apply(run: &mut DryRun, guards: Guards) -> Result<(), AttachError> {
    let now_ms = wall_ms();
    let applied = run.filter_mut().apply(&plan(guards, now_ms), now_ms);
    applied.map(|_| ()).map_err(|error| AttachError::Kernel { detail: error.to_string() })
}

/// Rules for UDP, each of its own source port, so that TCP is searched for and not found.
fn plan(guards: Guards, now_ms: u64) -> CheckedPacketPlan {
    let evidence =
        |family| Evidence { family, log_odds: 3.0, statement: "a measurement".to_owned() };
    let rule = |n: u16| PacketRule {
        id: RuleId(u32::from(n)),
        signature: PacketSignature::new(vec![
            PacketPredicate::Is(PacketAttr::Protocol, 17),
            PacketPredicate::Is(PacketAttr::SourcePort, n),
            PacketPredicate::Between(PacketAttr::Ttl, 32, 128),
            PacketPredicate::Between(PacketAttr::Length, 20, 1_400),
        ]),
        words: String::new(),
        predicates: vec![],
        projected: Collateral { hits: 0, records: 1_000_000 },
        evidence: vec![evidence(Family::Implementation), evidence(Family::Behaviour)],
        placed_at_ms: now_ms,
        expires_at_ms: now_ms + LIFE_MS,
    };
    let plan = PacketPlan {
        revision: 1,
        made_at_ms: now_ms,
        mode: Mode::Protect,
        rules: (1..=RULES).map(rule).collect(),
        guards,
        guards_until_ms: now_ms + LIFE_MS,
    };
    plan.check().0
}

const ACK: u8 = 0x10;
const SYN: u8 = 0x02;

/// A TCP segment from a source to a guarded port, in the shortest Ethernet frame (RFC 791, RFC 9293).
fn segment((source, port): (Ipv4Addr, u16), flags: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 44, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(source.octets());
    frame.extend(SERVER.octets());
    frame.extend(40_000u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        u8::from(flags & ACK != 0),
        0x60,
        flags,
        0x20,
        0,
        0,
        0,
        0,
        0,
    ]);
    frame.extend([2, 4, 0x05, 0xb4]);
    frame.resize(60, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rules_of_the_measurement_pass_their_check() {
        assert_eq!(plan(Guards::default(), 1_000).rules().len(), usize::from(RULES));
    }

    #[test]
    fn it_measures_every_path_within_a_second_or_says_why_not() {
        let began = Instant::now();
        match measure() {
            Ok(costs) => {
                assert!(costs.slowest() > Duration::ZERO, "{costs:?}");
                // Root without CAP_SYS_ADMIN cannot make a network namespace.
                let alone = std::thread::spawn(sys::enter_own_network).join().unwrap().is_ok();
                assert_eq!(costs.syn_cookie.is_some(), alone, "{costs:?}");
                assert!(costs.slowest() < Duration::from_micros(100), "{costs:?}");
                assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            }
            Err(error @ (AttachError::NotBuilt { .. } | AttachError::NotPermitted { .. })) => {
                crate::skip::skipped(&error.to_string());
            }
            Err(error) => panic!("{error}"),
        }
    }
}
