//! Graphical browsers of late 2025 with their shares.
//!
//! Shares follow the shape of published statistics (one version holds half of each browser, the
//! rest falls off geometrically, in-app browsers and old versions make a long tail); they are not a
//! measurement of any site, and every seed shifts them.

use crate::layouts::{
    CHROMIUM, CHROMIUM_DNT, CHROMIUM_OLD, Engine, GECKO, GECKO_DNT, GECKO_OLD, Layout, WEBKIT,
    WEBKIT_OLD, WEBVIEW,
};
use crate::profile::{ClientClass, Hints, Implementation};
use crate::request::Text;

/// The newest Chromium of these tables.
const CHROMIUM_NEWEST: u32 = 142;
/// The newest Chromium's major version, and that of the release after it.
pub const CHROMIUM_VERSIONS: (&str, &str) = ("142", "143");
/// The newest Firefox of these tables.
const FIREFOX_NEWEST: u32 = 144;
/// How much smaller the share of each version is than that of the next newer one.
const VERSION_DECAY: f64 = 0.38;

/// An implementation and its share among browsers of its kind.
pub type Share = (Implementation, f64);

/// Browsers on desks.
pub fn desktop() -> Vec<Share> {
    let mut all = Vec::new();
    for (platform, token, share) in [
        ("\"Windows\"", "Windows NT 10.0; Win64; x64", 0.43),
        ("\"macOS\"", "Macintosh; Intel Mac OS X 10_15_7", 0.12),
        ("\"Linux\"", "X11; Linux x86_64", 0.02),
        ("\"Chrome OS\"", "X11; CrOS x86_64 14541.0.0", 0.02),
    ] {
        chromium(&mut all, Brand::Chrome, platform, token, share, 9);
    }
    chromium(&mut all, Brand::Edge, "\"Windows\"", "Windows NT 10.0; Win64; x64", 0.15, 6);
    chromium(&mut all, Brand::Edge, "\"macOS\"", "Macintosh; Intel Mac OS X 10_15_7", 0.01, 4);
    chromium(&mut all, Brand::Opera, "\"Windows\"", "Windows NT 10.0; Win64; x64", 0.02, 4);
    // Windows 7 and 8 stopped at this version.
    let stopped = chromium_one(Brand::Chrome, "\"Windows\"", "Windows NT 6.1; Win64; x64", 109);
    all.push((stopped, 0.006));
    for (token, share) in [
        ("Windows NT 10.0; Win64; x64", 0.055),
        ("Macintosh; Intel Mac OS X 10.15", 0.014),
        ("X11; Linux x86_64", 0.014),
        ("X11; Ubuntu; Linux x86_64", 0.010),
    ] {
        firefox(&mut all, token, false, share);
    }
    for (version, share) in [
        ("26.1", 0.4),
        ("26.0", 0.12),
        ("18.6", 0.22),
        ("18.5", 0.1),
        ("18.3.1", 0.05),
        ("17.6", 0.06),
        ("17.4.1", 0.03),
        ("17.2.1", 0.02),
        ("16.6.1", 0.03),
        ("16.5", 0.01),
    ] {
        let agent = format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Version/{version} Safari/605.1.15"
        );
        all.push((webkit(agent, false, version), share * 0.14));
    }
    all
}

/// Browsers in hands.
pub fn mobile() -> Vec<Share> {
    let mut all = Vec::new();
    // Safari froze the system version in its user agent at 18_6 when iOS 26 came.
    for (system, version, share) in [
        ("18_6", "26.1", 0.34),
        ("18_6", "26.0", 0.08),
        ("18_7", "26.1", 0.06),
        ("18_6_2", "18.6", 0.12),
        ("18_5", "18.5", 0.1),
        ("18_4_1", "18.4", 0.05),
        ("18_3_2", "18.3.1", 0.05),
        ("18_1_1", "18.1.1", 0.03),
        ("17_6_1", "17.6", 0.06),
        ("17_5_1", "17.5", 0.03),
        ("17_2_1", "17.2", 0.015),
        ("16_7_11", "16.6", 0.03),
        ("16_3_1", "16.3", 0.006),
        ("15_8_4", "15.6.6", 0.012),
    ] {
        let agent = format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Version/{version} Mobile/15E148 Safari/604.1"
        );
        all.push((webkit(agent, true, version), share * 0.42));
        // Chrome on iOS is Safari's engine under another name.
        let chrome = 134 + (share * 100.0) as u32 % 9;
        let agent = format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) CriOS/{chrome}.0.7444.46 Mobile/15E148 Safari/604.1"
        );
        all.push((webkit(agent, true, version), share * 0.04));
    }
    chromium(&mut all, Brand::ChromeMobile, "\"Android\"", "Linux; Android 10; K", 0.30, 12);
    chromium(&mut all, Brand::EdgeMobile, "\"Android\"", "Linux; Android 10; K", 0.01, 3);
    chromium(&mut all, Brand::OperaMobile, "\"Android\"", "Linux; Android 10; K", 0.01, 3);
    for (samsung, chrome, share) in [
        (29, 136, 0.55),
        (28, 130, 0.25),
        (27, 125, 0.1),
        (26, 122, 0.05),
        (25, 121, 0.03),
        (23, 115, 0.02),
    ] {
        let brand = Brand::Samsung(samsung);
        let one = chromium_one(brand, "\"Android\"", "Linux; Android 10; K", chrome);
        all.push((one, share * 0.07));
    }
    for android in ["13", "14", "15", "16"] {
        firefox(&mut all, &format!("Android {android}; Mobile"), true, 0.004);
    }
    all.extend(embedded());
    all
}

/// Browsers inside apps: many devices, many builds, each rare. The long tail.
fn embedded() -> Vec<Share> {
    const DEVICES: [(&str, &str); 14] = [
        ("SM-S918B", "UP1A.231005.007"),
        ("SM-S928B", "AP3A.240905.015.A2"),
        ("SM-A546B", "UP1A.231005.007"),
        ("SM-A155F", "AP3A.240905.015.A2"),
        ("SM-G991B", "TP1A.220624.014"),
        ("Pixel 8", "BP1A.250505.005"),
        ("Pixel 9 Pro", "BP3A.250905.014"),
        ("Pixel 6a", "AP4A.250205.002"),
        ("Redmi Note 13", "TKQ1.221114.001"),
        ("2201117TY", "RKQ1.211001.001"),
        ("moto g54 5G", "U1TD34.94-12-7"),
        ("CPH2609", "UKQ1.230924.001"),
        ("M2101K6G", "SKQ1.210908.001"),
        ("NE2213", "UKQ1.230924.001"),
    ];
    const APPS: [(&str, &str, f64); 4] = [
        ("com.facebook.katana", " [FB_IAB/FB4A;FBAV/535.0.0.49.72;]", 0.5),
        ("com.instagram.android", " Instagram 405.0.0.52.81 Android", 0.3),
        ("com.linkedin.android", "", 0.1),
        ("com.reddit.frontpage", "", 0.1),
    ];
    let mut all = Vec::new();
    for (at, (device, build)) in DEVICES.iter().enumerate() {
        for (which, (app, suffix, share)) in APPS.iter().enumerate() {
            for (patch, decay) in [(0, 0.7), (1, 0.3)] {
                let chrome = CHROMIUM_NEWEST - patch - (at as u32 + which as u32) % 3;
                let android = 12 + (at + which) % 4;
                let agent = format!(
                    "Mozilla/5.0 (Linux; Android {android}; {device} Build/{build}; wv) \
                     AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 \
                     Chrome/{chrome}.0.7{}.{} Mobile Safari/537.36{suffix}",
                    390 + at * 4,
                    40 + which * 31 + at
                );
                // The first devices are the common ones.
                let weight = 0.05 * share * decay * 0.82_f64.powi(at as i32);
                all.push((webview(agent, chrome, app), weight));
            }
        }
    }
    for (at, (system, build)) in [
        ("18_6_2", "22G100"),
        ("26_0_1", "23A355"),
        ("26_1", "23B85"),
        ("18_5", "22F76"),
        ("17_6_1", "21G101"),
        ("18_1_1", "22B91"),
    ]
    .iter()
    .enumerate()
    {
        for (suffix, share) in [
            ("[FBAN/FBIOS;FBAV/536.0.0.44.108;FBBV/812345678;FBDV/iPhone15,4;FBMD/iPhone]", 0.55),
            ("Instagram 406.1.0.39.77 (iPhone14,5; iOS; en_GB; scale=3.00; 1170x2532)", 0.35),
            ("LinkedInApp", 0.1),
        ] {
            let agent = format!(
                "Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Mobile/{build} {suffix}"
            );
            let weight = 0.06 * share * 0.7_f64.powi(at as i32);
            all.push((webkit(agent, true, "18.0"), weight));
        }
    }
    all
}

/// An app's embedded browser that nobody has seen before: a party's own app sending a push message.
pub fn unseen_webview(chrome: u32, build: u32) -> Implementation {
    let agent = format!(
        "Mozilla/5.0 (Linux; Android 15; CampaignApp {build}; wv) AppleWebKit/537.36 \
         (KHTML, like Gecko) Version/4.0 Chrome/{chrome}.0.{build}.9 Mobile Safari/537.36"
    );
    webview(agent, chrome, "org.campaign.app")
}

#[derive(Copy, Clone)]
enum Brand {
    Chrome,
    ChromeMobile,
    Edge,
    EdgeMobile,
    Opera,
    OperaMobile,
    Samsung(u32),
}

/// `count` versions of one Chromium browser, newest first, and a few set-ups that ask not to be
/// tracked, together `share`.
fn chromium(
    all: &mut Vec<Share>,
    brand: Brand,
    platform: &'static str,
    token: &str,
    share: f64,
    count: u32,
) {
    for (back, weight) in decaying(count) {
        let one = chromium_one(brand, platform, token, CHROMIUM_NEWEST - back);
        if back < 2 {
            let private = Implementation { layout: &CHROMIUM_DNT, ..one.clone() };
            all.push((private, share * weight * 0.03));
        }
        all.push((one, share * weight));
    }
}

fn chromium_one(brand: Brand, platform: &'static str, token: &str, version: u32) -> Implementation {
    let mobile = matches!(
        brand,
        Brand::ChromeMobile | Brand::EdgeMobile | Brand::OperaMobile | Brand::Samsung(_)
    );
    let (before, after) = match brand {
        Brand::Chrome | Brand::ChromeMobile => (String::new(), String::new()),
        Brand::Edge => (String::new(), format!(" Edg/{version}.0.0.0")),
        Brand::EdgeMobile => (String::new(), format!(" EdgA/{version}.0.0.0")),
        Brand::Opera => (String::new(), format!(" OPR/{}.0.0.0", version - 17)),
        Brand::OperaMobile => (String::new(), format!(" OPR/{}.0.0.0", version - 50)),
        Brand::Samsung(samsung) => (format!("SamsungBrowser/{samsung}.0 "), String::new()),
    };
    let phone = if mobile { " Mobile" } else { "" };
    let agent = format!(
        "Mozilla/5.0 ({token}) AppleWebKit/537.36 (KHTML, like Gecko) \
         {before}Chrome/{version}.0.0.0{phone} Safari/537.36{after}"
    );
    let name = match brand {
        Brand::Chrome | Brand::ChromeMobile => ("Google Chrome", version),
        Brand::Edge | Brand::EdgeMobile => ("Microsoft Edge", version),
        Brand::Opera => ("Opera", version - 17),
        Brand::OperaMobile => ("Opera", version - 50),
        Brand::Samsung(samsung) => ("Samsung Internet", samsung),
    };
    Implementation {
        class: ClientClass::Browser,
        mobile,
        engine: Engine::Chromium,
        layout: chromium_layout(version),
        user_agent: agent.into(),
        hints: Some(Hints { brands: brands(version, name), platform }),
        app: None,
        from: None,
    }
}

fn chromium_layout(version: u32) -> &'static Layout {
    if version >= 127 { &CHROMIUM } else { &CHROMIUM_OLD }
}

/// `sec-ch-ua`: Chromium permutes the brands and the made-up one with its version.
fn brands(version: u32, (name, named): (&str, u32)) -> Text {
    let made_up =
        [("Not_A Brand", 99), ("Not;A=Brand", 24), ("Not.A/Brand", 8), ("Not)A;Brand", 99)]
            [version as usize % 4];
    let mut parts = [
        format!("\"Chromium\";v=\"{version}\""),
        format!("\"{name}\";v=\"{named}\""),
        format!("\"{}\";v=\"{}\"", made_up.0, made_up.1),
    ];
    parts.rotate_left(version as usize % 3);
    parts.join(", ").into()
}

fn webview(agent: String, chrome: u32, app: &'static str) -> Implementation {
    Implementation {
        class: ClientClass::Browser,
        mobile: true,
        engine: Engine::Chromium,
        layout: &WEBVIEW,
        user_agent: agent.into(),
        hints: Some(Hints {
            brands: brands(chrome, ("Android WebView", chrome)),
            platform: "\"Android\"",
        }),
        app: Some(app),
        from: None,
    }
}

fn firefox(all: &mut Vec<Share>, token: &str, mobile: bool, share: f64) {
    let usual = decaying(5).map(|(back, weight)| (FIREFOX_NEWEST - back, weight * 0.88));
    // Extended support releases.
    for (version, weight) in usual.chain([(140, 0.07), (128, 0.02), (115, 0.03)]) {
        let platform = if mobile { format!("{version}.0") } else { "20100101".to_owned() };
        let agent =
            format!("Mozilla/5.0 ({token}; rv:{version}.0) Gecko/{platform} Firefox/{version}.0");
        let one = Implementation {
            class: ClientClass::Browser,
            mobile,
            engine: Engine::Gecko,
            layout: if version >= 128 { &GECKO } else { &GECKO_OLD },
            user_agent: agent.into(),
            hints: None,
            app: None,
            from: None,
        };
        if version == FIREFOX_NEWEST {
            let private = Implementation { layout: &GECKO_DNT, ..one.clone() };
            all.push((private, share * weight * 0.12));
        }
        all.push((one, share * weight));
    }
}

fn webkit(agent: String, mobile: bool, version: &str) -> Implementation {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    Implementation {
        class: ClientClass::Browser,
        mobile,
        engine: Engine::WebKit,
        layout: if number >= (17, 4) { &WEBKIT } else { &WEBKIT_OLD },
        user_agent: agent.into(),
        hints: None,
        app: None,
        from: None,
    }
}

/// Versions counted back from the newest with shares that sum to one. The newest is still being
/// rolled out, so it does not hold everything.
fn decaying(count: u32) -> impl Iterator<Item = (u32, f64)> {
    let sum: f64 = (0..count).map(|back| VERSION_DECAY.powi(back as i32)).sum();
    (0..count).map(move |back| (back, VERSION_DECAY.powi(back as i32) / sum))
}
