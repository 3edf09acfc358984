//! What an interface can do for the filter, asked without attaching anything: attaching XDP makes
//! many drivers reset their queues, and a host that is under attack or at work must not be touched
//! by a question.

use std::fs;
use std::io;

use crate::driver_account::DriverAccount;
use crate::probe::netlink::{ask, attribute, u16_at};
use crate::sys;

/// RTM_GETLINK in linux/rtnetlink.h; IFLA_IFNAME and IFLA_XDP in linux/if_link.h, the latter with
/// IFLA_XDP_ATTACHED inside.
const RTM_GETLINK: u16 = 18;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
/// struct ifinfomsg in linux/rtnetlink.h, bytes.
const IFINFOMSG: usize = 16;
/// IFF_UP in linux/if.h.
const IFF_UP: u32 = 1;

/// GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID and CTRL_ATTR_FAMILY_NAME in
/// linux/genetlink.h; struct genlmsghdr there, bytes.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const GENLMSGHDR: usize = 4;
/// NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, NETDEV_A_DEV_XDP_FEATURES and NETDEV_XDP_ACT_BASIC in
/// linux/netdev.h (Linux 6.3).
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_XDP_ACT_BASIC: u64 = 1;

/// Whether the driver takes an XDP program itself.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum NativeXdp {
    /// The driver says so.
    Yes,
    /// The driver says no.
    No,
    /// The kernel cannot be asked (before Linux 6.3).
    Unknown,
}

/// One network interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkFacts {
    /// Its name.
    pub name: String,
    /// It is switched on.
    pub up: bool,
    /// It carries Ethernet frames, or is the loopback, whose frames look the same.
    pub ethernet: bool,
    /// Its driver; none if it does not say.
    pub driver: Option<String>,
    /// The driver counts frames that XDP sent back and that were lost, so that the SYN proof need
    /// not trust it.
    pub counts_lost_answers: bool,
    /// Whether the driver takes an XDP program itself.
    pub native_xdp: NativeXdp,
    /// An XDP program is attached already. None: it could not be asked.
    pub xdp_attached: Option<bool>,
}

/// Looks at one interface of the calling thread's network namespace.
///
/// # Errors
/// ENODEV when there is no such interface.
pub fn link(name: &str) -> io::Result<LinkFacts> {
    let layer = sys::link_layer(name)?;
    let index = index(name)?;
    let account = DriverAccount::open(name).ok();
    let about = ask(libc::NETLINK_ROUTE, RTM_GETLINK, &ifinfomsg(index)).ok();
    Ok(LinkFacts {
        name: name.to_owned(),
        up: about.as_deref().and_then(flags).is_some_and(|flags| flags & IFF_UP != 0),
        ethernet: matches!(layer, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK),
        counts_lost_answers: account.as_ref().is_some_and(DriverAccount::counts_failures),
        driver: driver(name).or(account.map(|account| account.driver().to_owned())),
        native_xdp: native_xdp(index),
        xdp_attached: about.as_deref().and_then(xdp_attached),
    })
}

/// The interfaces that have an address and are no loopback, in the order of their names.
///
/// # Errors
/// When the kernel does not list them.
pub fn links() -> io::Result<Vec<String>> {
    let mut names = sys::interfaces_with_address()?;
    names.retain(|name| !matches!(sys::link_layer(name), Ok(libc::ARPHRD_LOOPBACK)));
    Ok(names)
}

fn index(name: &str) -> io::Result<u32> {
    sys::interface_index(name)
}

fn ifinfomsg(index: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.resize(IFINFOMSG, 0);
    body
}

fn flags(answer: &[u8]) -> Option<u32> {
    crate::probe::netlink::u32_at(answer, 8)
}

fn xdp_attached(answer: &[u8]) -> Option<bool> {
    let xdp = attribute(answer.get(IFINFOMSG..)?, IFLA_XDP)?;
    Some(*attribute(xdp, IFLA_XDP_ATTACHED)?.first()? != 0)
}

/// By the kernel's own list of what the driver can do.
fn native_xdp(index: u32) -> NativeXdp {
    match xdp_features(index) {
        Some(features) if features & NETDEV_XDP_ACT_BASIC != 0 => NativeXdp::Yes,
        Some(_) => NativeXdp::No,
        None => NativeXdp::Unknown,
    }
}

fn xdp_features(index: u32) -> Option<u64> {
    let question = generic(CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, b"netdev\0");
    let family = ask(libc::NETLINK_GENERIC, GENL_ID_CTRL, &question).ok()?;
    let family = u16_at(attribute(family.get(GENLMSGHDR..)?, CTRL_ATTR_FAMILY_ID)?, 0)?;
    let question = generic(NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, &index.to_ne_bytes());
    let device = ask(libc::NETLINK_GENERIC, family, &question).ok()?;
    let features = attribute(device.get(GENLMSGHDR..)?, NETDEV_A_DEV_XDP_FEATURES)?;
    Some(u64::from_ne_bytes(features.get(..8)?.try_into().ok()?))
}

/// A generic netlink question with one attribute.
fn generic(command: u8, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut body = vec![command, 1, 0, 0];
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
    body
}

/// sysfs shows the network namespace it was mounted in, and hardware alone.
fn driver(name: &str) -> Option<String> {
    let target = fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_whatever_this_process_may_do() {
        let lo = link("lo").unwrap();
        assert!(lo.ethernet && lo.driver.is_none(), "{lo:?}");
        assert!(lo.xdp_attached.is_some(), "{lo:?}");
        assert_ne!(lo.native_xdp, NativeXdp::Yes, "its driver cannot");
        assert!(!links().unwrap().contains(&"lo".to_owned()));
    }

    #[test]
    fn an_interface_that_is_not_there_is_said_to_be_not_there() {
        let error = link("nosuch0").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
