//! What a network driver says of the frames that XDP sent back (XDP_TX) and that went nowhere: its
//! own statistics, by the ioctl of ethtool(8). Drivers name them as they like; those of Linux 6.18
//! that count such failures at all have "xdp_tx" and one of [`FAILURE_WORDS`] in the name (veth
//! `rx_queue_0_xdp_tx_errors`, virtio_net `tx_queue_0_xdp_tx_drops`, mlx5 `rx_xdp_tx_full`).
//!
//! One of the few files of this crate that may use `unsafe`: for the ioctl. It must never ask for
//! anything to be changed.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;

/// In linux/sockios.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// In linux/ethtool.h, with the lengths of ethtool_drvinfo, its name of the driver, and a string.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
const DRVINFO_BYTES: usize = 196;
const DRIVER_BYTES: usize = 32;
const NAME_BYTES: usize = 32;

/// Statistics of a driver that are looked through; a card with 128 queues has some thousands. With
/// more: as if it had none that count failures.
const STATISTICS_MAX: usize = 16_384;
/// Room for them. The kernel does not ask how long the buffer is and writes as many as the driver
/// has when it is asked, which is more than a moment ago if queues were added in between. Each
/// queue being one of at least two, none doubles in the moment between two calls.
const STATISTICS_ROOM: usize = 2 * STATISTICS_MAX;

const FAILURE_WORDS: [&str; 3] = ["err", "drop", "full"];

/// The driver of one interface.
#[derive(Debug)]
pub(crate) struct DriverAccount {
    /// Stays in the network namespace that it was opened in, whichever thread asks later.
    socket: OwnedFd,
    interface: String,
    driver: String,
    /// Which statistics count failures, while there are `count` of them.
    failures: Vec<usize>,
    count: usize,
}

impl DriverAccount {
    /// Of `interface` in the calling thread's network namespace.
    ///
    /// # Errors
    /// ENODEV, and EOPNOTSUPP where the driver does not even say its name.
    pub(crate) fn open(interface: &str) -> io::Result<DriverAccount> {
        let mut account = DriverAccount {
            socket: sys::socket_for_questions()?,
            interface: interface.to_owned(),
            driver: String::new(),
            failures: Vec::new(),
            count: 0,
        };
        let mut answer = [0u8; DRVINFO_BYTES];
        put(&mut answer, 0, ETHTOOL_GDRVINFO);
        account.ask(&mut answer)?;
        account.driver = text(&answer[4..4 + DRIVER_BYTES]);
        account.learn_names()?;
        Ok(account)
    }

    /// The driver's name, as `ethtool -i` has it.
    pub(crate) fn driver(&self) -> &str {
        &self.driver
    }

    /// Whether the driver counts answers that went nowhere.
    pub(crate) fn counts_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Answers that went nowhere, ever. None if the driver does not count them or cannot be asked.
    pub(crate) fn failed(&mut self) -> Option<u64> {
        if self.statistics().ok()? != self.count {
            // Queues came or went, and the numbers have other places.
            self.learn_names().ok()?;
        }
        if self.failures.is_empty() {
            return None;
        }
        let mut answer = vec![0u8; 8 + STATISTICS_ROOM * 8];
        put(&mut answer, 0, ETHTOOL_GSTATS);
        put(&mut answer, 4, u32::try_from(self.count).ok()?);
        self.ask(&mut answer).ok()?;
        let value = |at: &usize| -> Option<u64> {
            let bytes = answer.get(8 + at * 8..16 + at * 8)?;
            Some(u64::from_ne_bytes(bytes.try_into().ok()?))
        };
        Some(self.failures.iter().filter_map(value).sum())
    }

    fn learn_names(&mut self) -> io::Result<()> {
        self.failures.clear();
        self.count = self.statistics()?;
        if self.count == 0 || self.count > STATISTICS_MAX {
            return Ok(());
        }
        let mut answer = vec![0u8; 12 + STATISTICS_ROOM * NAME_BYTES];
        put(&mut answer, 0, ETHTOOL_GSTRINGS);
        put(&mut answer, 4, ETH_SS_STATS);
        put(&mut answer, 8, u32::try_from(self.count).unwrap_or(0));
        self.ask(&mut answer)?;
        let names = answer[12..].chunks(NAME_BYTES).take(self.count);
        let failing = names.enumerate().filter(|(_, name)| counts_failures(&text(name)));
        self.failures = failing.map(|(at, _)| at).collect();
        Ok(())
    }

    /// How many statistics the driver has.
    fn statistics(&self) -> io::Result<usize> {
        // struct ethtool_sset_info: the command, a reserve, a mask of 64 bits, one answer.
        let mut answer = [0u8; 20];
        put(&mut answer, 0, ETHTOOL_GSSET_INFO);
        answer[8..16].copy_from_slice(&(1u64 << ETH_SS_STATS).to_ne_bytes());
        self.ask(&mut answer)?;
        // The kernel clears the bit of a set that the driver does not have.
        let has = answer[8..16].iter().any(|byte| *byte != 0);
        let count = u32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
        Ok(if has { count as usize } else { 0 })
    }

    /// `answer` begins with the question.
    fn ask(&self, answer: &mut [u8]) -> io::Result<()> {
        let mut request = sys::interface_request(&self.interface)?;
        request.ifr_ifru.ifru_data = answer.as_mut_ptr().cast();
        // SAFETY: the kernel reads the name, and reads and writes `answer`, which lives through
        // the call: for ETHTOOL_GDRVINFO and ETHTOOL_GSSET_INFO with one bit in the mask exactly
        // its length, for ETHTOOL_GSTRINGS and ETHTOOL_GSTATS a header and as many entries as the
        // driver has, of which there were at most half the room a moment ago (`learn_names` and
        // `failed` see to it).
        let status = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// By its name.
fn counts_failures(statistic: &str) -> bool {
    statistic
        .split_once("xdp_tx")
        .is_some_and(|(_, rest)| FAILURE_WORDS.iter().any(|word| rest.contains(word)))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// Up to the closing zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_of_failed_answers_is_known_by_its_name() {
        for (name, expected) in [
            ("rx_queue_0_xdp_tx_errors", true),
            ("tx_queue_12_xdp_tx_drops", true),
            ("rx_xdp_tx_err", true),
            ("rx3_xdp_tx_full", true),
            ("rx_xdp_tx_errors[7]", true),
            ("rx_queue_0_xdp_tx", false),
            ("rx_queue_0_xdp_drops", false),
            ("tx_queue_0_xdp_xmit_errors", false),
            ("tx_dropped", false),
            ("rx_drop_before_xdp_tx", false),
            ("", false),
        ] {
            assert_eq!(counts_failures(name), expected, "{name}");
        }
    }

    #[test]
    fn a_driver_without_statistics_counts_no_failures() {
        match DriverAccount::open("lo") {
            Ok(mut account) => assert_eq!(account.failed(), None, "{account:?}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
        }
        let error = DriverAccount::open("nosuch0").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
