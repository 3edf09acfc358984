//! Whether the SYN proof's answers arrive, and by which way they leave.
//!
//! XDP_TX hands an answer to the driver, and a driver that cannot send it drops it without a word
//! to the program: veth does so while the other end of the pair has neither an XDP program nor GRO
//! (veth_xdp_xmit in drivers/net/veth.c), which is how most containers stand. Every visitor would
//! hang. It cannot be known before: the other end may be in another namespace and may change. So
//! while the guard stands, what was answered is held against what the driver says it lost. When it
//! is lost, answers leave through the stack (bpf/answers.bpf.c) for as long as this attachment
//! lives; where they cannot, the guard comes down, and the kernel's own cookies answer.
//!
//! It must never leave a guard standing whose answers are known to be lost.

use std::fmt;

use floodwall_model::packet::PacketReason;

use crate::attach::{self, Attachment};
use crate::counters::Totals;
use crate::driver_account::DriverAccount;
use crate::filter::KernelFilter;

/// Between two looks at the driver's statistics, ms: some drivers ask their hardware for them. A
/// visitor whose first SYN is lost tries again after 1 s (RFC 6298 § 2.1).
const LOOK_EVERY_MS: u64 = 200;
/// Answered and lost are held against each other over so long, ms.
const WINDOW_MS: u64 = 1_000;
/// Lost answers in a hundred from which on the way counts as closed. A veth pair whose other end
/// does not receive loses all; one that is merely overrun by a flood loses some.
const LOST_PERCENT_MIN: u64 = 90;

/// How answers leave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// XDP_TX: the driver, or in the generic tier the stack, sends them.
    Driver,
    /// Past the driver's XDP side, through TC.
    Stack,
    /// Not at all, and why.
    Closed(String),
}

/// The controller's view of the answers.
#[derive(Debug)]
pub(crate) struct Answers {
    way: Way,
    interface: Option<String>,
    /// The kernel can hold a TC program that goes with this process.
    tcx: bool,
    /// None where the driver does not count what it lost.
    account: Option<DriverAccount>,
    window: Window,
    looked_at_ms: Option<u64>,
    changed: bool,
}

impl Answers {
    /// Nothing is watched until [`Answers::watch`].
    pub(crate) fn new(interface: Option<String>, tcx: bool) -> Answers {
        Answers {
            way: Way::Driver,
            interface,
            tcx,
            account: None,
            window: Window::default(),
            looked_at_ms: None,
            changed: false,
        }
    }

    /// The driver sends the answers from now on, and is asked how many it lost.
    pub(crate) fn watch(&mut self) {
        let account = self.interface.as_deref().map(DriverAccount::open);
        self.account = account.and_then(Result::ok).filter(DriverAccount::counts_failures);
        // What was lost before the first answer was not ours.
        self.window.lost = self.account.as_mut().and_then(DriverAccount::failed).unwrap_or(0);
    }

    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    /// What the driver lost of this window's answers; none if it does not say, it is not time to
    /// ask, or they arrive.
    fn look(&mut self, now_ms: u64, sent: u64) -> Option<Lost> {
        let account = self.account.as_mut()?;
        if self.looked_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < LOOK_EVERY_MS) {
            return None;
        }
        self.looked_at_ms = Some(now_ms);
        // After `sent` was counted, so that no answer looks better than it is.
        let lost = account.failed()?;
        let found = self.window.judge(sent, lost);
        if now_ms.saturating_sub(self.window.began_ms) >= WINDOW_MS {
            self.window = Window { began_ms: now_ms, sent, lost };
        }
        found
    }
}

/// The counts at its beginning.
#[derive(Copy, Clone, Debug, Default)]
struct Window {
    began_ms: u64,
    sent: u64,
    lost: u64,
}

/// Answers of one window.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Lost {
    sent: u64,
    lost: u64,
}

impl Window {
    /// The driver counts after the filter, and so an answer's loss may fall into the window after
    /// its own.
    fn judge(self, sent: u64, lost: u64) -> Option<Lost> {
        let found =
            Lost { sent: sent.saturating_sub(self.sent), lost: lost.saturating_sub(self.lost) };
        let closed = found.lost > 0
            && found.lost.saturating_mul(100) >= found.sent.saturating_mul(LOST_PERCENT_MIN);
        closed.then_some(found)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the last {} SYN-ACKs were lost", self.lost, self.sent.max(self.lost))
    }
}

impl KernelFilter {
    /// Opens another way when the answers that left so far do not arrive. Only while the SYN proof
    /// stands and its answers leave by the driver; `totals` are the filter's latest.
    pub(crate) fn watch_answers(&mut self, totals: &Totals, now_ms: u64) {
        let answers = &mut self.control.answers;
        if !self.control.guards_wanted.syn_proof || answers.way != Way::Driver {
            return;
        }
        let sent = totals.reasons[PacketReason::CookieSent as usize];
        let Some(lost) = answers.look(now_ms, sent) else { return };
        let driver = answers.account.as_ref().map_or("", DriverAccount::driver).to_owned();
        let interface = answers.interface.clone().unwrap_or_default();
        let opened = self.open_way_through_stack(&interface);
        let answers = &mut self.control.answers;
        answers.changed = true;
        answers.way = match opened {
            Ok(()) => {
                tracing::warn!(
                    "the driver of {interface} ({driver}) does not send what the filter answers \
                     ({lost}): from now on its answers leave through the stack"
                );
                Way::Stack
            }
            Err(why) => Way::Closed(format!(
                "SYN proof: the driver of {interface} ({driver}) does not send what the filter \
                 answers ({lost}), and the way through the stack is closed: {why}. Instead the \
                 kernel answers every SYN with a cookie of its own (net.ipv4.tcp_syncookies is 2)"
            )),
        };
        let (guards, until_ms) = (self.control.guards_wanted, self.control.guards_until_ms);
        self.stand(guards, until_ms, now_ms);
    }

    fn open_way_through_stack(&mut self, interface: &str) -> Result<(), String> {
        if !self.control.answers.tcx {
            return Err("it takes Linux 6.6 or later".to_owned());
        }
        let Attachment::Xdp { answers, .. } = &mut self.attachment else {
            return Err("the filter is not attached by XDP".to_owned());
        };
        *answers = Some(attach::attach_answers(&mut self.ebpf, interface)?);
        Ok(())
    }

    /// Whether guards rose or fell by themselves since the last [`KernelFilter::apply`]: applying
    /// the plan again tells how they stand now, and why.
    pub fn needs_apply(&self) -> bool {
        self.control.answers.changed
    }

    /// The account has been given.
    pub(crate) fn told(&mut self) {
        self.control.answers.changed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_closed_when_nearly_all_is_lost() {
        let window = Window { began_ms: 0, sent: 1_000, lost: 50 };
        for (description, sent, lost, closed) in [
            ("nothing was sent", 1_000, 50, false),
            ("all arrived", 2_000, 50, false),
            ("one was sent and lost", 1_001, 51, true),
            ("all were lost", 2_000, 1_050, true),
            ("the loss of one of the window before", 1_000, 51, true),
            ("nine of ten were lost", 1_010, 59, true),
            ("a flood overran the other end", 101_000, 60_050, false),
            ("the driver began to count anew", 1_010, 3, false),
            ("the filter began to count anew", 5, 51, true),
        ] {
            assert_eq!(window.judge(sent, lost).is_some(), closed, "{description}");
        }
    }

    #[test]
    fn what_was_lost_reads_as_a_sentence_part() {
        let lost = Window { began_ms: 0, sent: 0, lost: 0 }.judge(4, 4).unwrap();
        assert_eq!(lost.to_string(), "4 of the last 4 SYN-ACKs were lost");
    }
}
