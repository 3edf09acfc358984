//! How operating systems fill the headers of TCP connections.
//!
//! Option orders and windows are those that passive fingerprinting has known for long: Linux
//! `tcp_syn_options` and `tcp_select_initial_window` (net/ipv4/tcp_output.c), Windows 10 and later,
//! Apple's since iOS 9 and OS X 10.11. Kinds are IANA's: 1 no-operation, 2 segment size, 3 window
//! scale, 4 SACK permitted, 5 SACK, 8 timestamps.

use fastrand::Rng;

use crate::chance::happens;

/// What decides the window of a SYN.
#[derive(Copy, Clone, Debug)]
enum SynWindow {
    /// As many whole segments as fit 65,535 (Linux).
    WholeSegments,
    /// Always this.
    Fixed(u16),
}

/// How IPv4 identifications go on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ids {
    /// Random at first, then one more with each packet of the connection (Linux `inet_id`).
    PerConnection,
    /// Always 0, as RFC 6864 § 4.1 allows with "do not fragment".
    Zero,
    /// A counter that other connections advance too (Windows).
    PerHost,
}

/// One operating system's way, as a client.
#[derive(Debug)]
pub struct Stack {
    /// Its name.
    pub name: &'static str,
    /// Time to live as it leaves.
    pub initial_ttl: u8,
    /// Kinds of a SYN's options, in order.
    pub syn_options: &'static [u8],
    /// Whether it uses timestamps (RFC 7323).
    pub timestamps: bool,
    window: SynWindow,
    /// Windows of later packets, scaled.
    later_windows: &'static [u16],
    pub(crate) ids: Ids,
    /// Share of its connections that ask for ECN (RFC 3168 § 6.1.1).
    ecn_share: f64,
    /// Share among clients, percent.
    share: u8,
    /// Range of its ephemeral ports.
    pub(crate) ports: (u16, u16),
    /// On a mobile network more often than not.
    pub(crate) mobile: bool,
}

impl Stack {
    /// Those that browsers run on.
    pub const CLIENTS: [Stack; 6] = [
        Stack {
            name: "windows",
            initial_ttl: 128,
            syn_options: &[2, 1, 3, 1, 1, 4],
            timestamps: false,
            window: SynWindow::Fixed(64_240),
            later_windows: &[513, 512, 1_026, 1_024, 255, 8_195],
            ids: Ids::PerHost,
            ecn_share: 0.0,
            share: 24,
            ports: (49_152, 65_535),
            mobile: false,
        },
        Stack {
            name: "windows-older",
            initial_ttl: 128,
            syn_options: &[2, 1, 3, 1, 1, 4],
            timestamps: false,
            window: SynWindow::Fixed(65_535),
            later_windows: &[513, 1_025, 256, 2_053],
            ids: Ids::PerHost,
            ecn_share: 0.0,
            share: 5,
            ports: (49_152, 65_535),
            mobile: false,
        },
        Stack {
            name: "android",
            initial_ttl: 64,
            syn_options: &[2, 4, 8, 1, 3],
            timestamps: true,
            window: SynWindow::Fixed(65_535),
            later_windows: &[343, 340, 351, 512, 685, 1_028],
            ids: Ids::PerConnection,
            ecn_share: 0.0,
            share: 31,
            ports: (32_768, 60_999),
            mobile: true,
        },
        Stack {
            name: "apple-mobile",
            initial_ttl: 64,
            syn_options: &[2, 1, 3, 1, 1, 8, 4],
            timestamps: true,
            window: SynWindow::Fixed(65_535),
            later_windows: &[2_048, 2_058, 2_070, 4_096, 1_030],
            ids: Ids::Zero,
            ecn_share: 0.5,
            share: 21,
            ports: (49_152, 65_535),
            mobile: true,
        },
        Stack {
            name: "apple",
            initial_ttl: 64,
            syn_options: &[2, 1, 3, 1, 1, 8, 4],
            timestamps: true,
            window: SynWindow::Fixed(65_535),
            later_windows: &[2_048, 2_058, 2_070, 4_096, 8_192],
            ids: Ids::Zero,
            ecn_share: 0.3,
            share: 8,
            ports: (49_152, 65_535),
            mobile: false,
        },
        Stack {
            name: "linux",
            initial_ttl: 64,
            syn_options: &[2, 4, 8, 1, 3],
            timestamps: true,
            window: SynWindow::WholeSegments,
            later_windows: &[502, 501, 503, 1_002, 2_004, 249],
            ids: Ids::PerConnection,
            ecn_share: 0.01,
            share: 11,
            ports: (32_768, 60_999),
            mobile: false,
        },
    ];

    /// One of [`Stack::CLIENTS`], by their shares.
    pub fn draw(rng: &mut Rng) -> &'static Stack {
        const ALL: &[Stack] = &Stack::CLIENTS;
        let mut at = rng.u8(..ALL.iter().map(|s| s.share).sum::<u8>());
        for stack in ALL {
            if at < stack.share {
                return stack;
            }
            at -= stack.share;
        }
        &ALL[0]
    }

    /// The window of a SYN with this segment size.
    pub fn syn_window(&self, mss: u16) -> u16 {
        match self.window {
            SynWindow::WholeSegments => 65_535 / mss.max(1) * mss,
            SynWindow::Fixed(window) => window,
        }
    }

    /// The window of a later packet.
    pub fn later_window(&self, rng: &mut Rng) -> u16 {
        // The receive buffer moves a little with what is unread.
        let usual = self.later_windows[rng.usize(..self.later_windows.len())];
        if happens(rng, 0.7) { usual } else { usual - rng.u16(0..=usual / 4) }
    }

    /// Kinds of a later packet's options.
    pub fn later_options(&self) -> &'static [u8] {
        if self.timestamps { &[1, 1, 8] } else { &[] }
    }

    /// Whether this connection asks for ECN.
    pub fn asks_for_ecn(&self, rng: &mut Rng) -> bool {
        happens(rng, self.ecn_share)
    }

    /// Segment sizes that its users' paths allow, for IPv4: Ethernet 1,460, PPPoE 1,452, mobile and
    /// tunnelled networks below. IPv6 takes twenty bytes more of the same path.
    pub fn draw_mss(&self, v6: bool, rng: &mut Rng) -> u16 {
        const FIXED: [u16; 12] =
            [1_460, 1_460, 1_460, 1_460, 1_460, 1_460, 1_452, 1_452, 1_440, 1_400, 1_380, 1_360];
        const MOBILE: [u16; 12] =
            [1_460, 1_460, 1_460, 1_440, 1_410, 1_400, 1_400, 1_380, 1_370, 1_360, 1_300, 1_240];
        let table = if self.mobile && happens(rng, 0.6) { &MOBILE } else { &FIXED };
        let mss = table[rng.usize(..table.len())];
        if v6 { mss - 20 } else { mss }
    }
}

/// How a server answers a SYN: what this host does, and what reflectors do.
#[derive(Copy, Clone, Debug)]
pub struct ServerStack {
    /// Time to live as it leaves.
    pub initial_ttl: u8,
    /// Window of its SYN-ACK.
    pub window: u16,
    /// Kinds of its SYN-ACK's options.
    pub options: &'static [u8],
    /// Segment size that it offers.
    pub mss: u16,
    /// Whether the SYN-ACK's IPv4 identification is 0.
    pub id_zero: bool,
}

impl ServerStack {
    /// Systems and appliances whose SYN-ACKs are seen in the wild when the SYN carried no options
    /// but perhaps a segment size: then they may answer with no more than a segment size.
    pub const BARE: [ServerStack; 8] = [
        ServerStack::with(64, 64_240, &[2], 1_460, true),
        ServerStack::with(64, 29_200, &[2], 1_460, true),
        ServerStack::with(64, 14_600, &[2], 1_460, true),
        ServerStack::with(64, 5_840, &[2], 1_460, true),
        ServerStack::with(128, 8_192, &[2], 1_460, false),
        ServerStack::with(128, 65_535, &[2], 1_460, false),
        ServerStack::with(255, 4_128, &[2], 536, false),
        ServerStack::with(64, 65_535, &[2], 1_380, false),
    ];

    /// Their answers to a SYN with everything that browsers offer.
    pub const FULL: [ServerStack; 6] = [
        ServerStack::with(64, 65_160, &[2, 4, 8, 1, 3], 1_460, true),
        ServerStack::with(64, 28_960, &[2, 4, 8, 1, 3], 1_460, true),
        ServerStack::with(64, 64_240, &[2, 1, 1, 4, 1, 3], 1_460, true),
        ServerStack::with(128, 8_192, &[2, 1, 3, 4, 8], 1_460, false),
        ServerStack::with(64, 65_535, &[2, 1, 3, 4, 8], 1_460, false),
        ServerStack::with(255, 65_535, &[2, 4, 8, 1, 3], 1_400, false),
    ];

    const fn with(
        initial_ttl: u8,
        window: u16,
        options: &'static [u8],
        mss: u16,
        id_zero: bool,
    ) -> ServerStack {
        ServerStack { initial_ttl, window, options, mss, id_zero }
    }

    /// A Linux server's answer to this stack's SYN: it offers what the client offered.
    pub fn linux_for(client: &Stack, v6: bool) -> ServerStack {
        let mss = if v6 { 1_440 } else { 1_460 };
        if client.timestamps {
            ServerStack::with(64, if v6 { 64_260 } else { 65_160 }, &[2, 4, 8, 1, 3], mss, true)
        } else {
            ServerStack::with(64, if v6 { 64_800 } else { 64_240 }, &[2, 1, 1, 4, 1, 3], mss, true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linux_window_is_whole_segments() {
        let linux = &Stack::CLIENTS[5];
        assert_eq!(linux.syn_window(1_460), 64_240);
        assert_eq!(linux.syn_window(1_440), 64_800);
        assert_eq!(linux.syn_window(1_400), 64_400);
    }

    #[test]
    fn every_stack_is_drawn_about_as_often_as_it_is_used() {
        assert_eq!(Stack::CLIENTS.iter().map(|s| u32::from(s.share)).sum::<u32>(), 100);
        let mut rng = Rng::with_seed(1);
        let windows = (0..10_000).filter(|_| Stack::draw(&mut rng).initial_ttl == 128).count();
        assert!((2_700..3_100).contains(&windows), "{windows}");
    }
}
