//! Replays a mix with the program itself and holds its decisions against the labels.

use std::path::Path;
use std::process::Command;

use floodwall_sim::packets::mix::Mix;

/// What was decided about one packet.
pub struct Decision {
    pub verdict: String,
    pub why: String,
}

impl Decision {
    fn by_rule(&self) -> bool {
        let number = self.why.strip_prefix('r').map(str::parse::<u32>);
        self.verdict == "drop" && number.is_some_and(|n| n.is_ok())
    }
}

/// How a mix fared.
#[derive(Debug, Default)]
pub struct Score {
    /// From the attack's first packet to the first of it that a rule dropped, s.
    pub first_drop_s: Option<f64>,
    /// Attack packets later than 1.5 s after the first, those dropped, those challenged.
    pub later: u64,
    pub later_dropped: u64,
    pub later_challenged: u64,
    /// Packets that are not the attack's, those that a rule dropped, those dropped otherwise.
    pub others: u64,
    pub others_dropped_by_rule: u64,
    pub others_dropped_otherwise: u64,
}

impl Score {
    /// Share of the later attack packets that were not dropped.
    pub fn leakage(&self) -> f64 {
        1.0 - self.later_dropped as f64 / self.later.max(1) as f64
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.first_drop_s.map_or("never".to_owned(), |s| format!("{s:.2} s"));
        write!(
            f,
            "first drop {first}, leakage {:.4} of {} ({} challenged), of {} others {} by rule, {} \
             otherwise",
            self.leakage(),
            self.later,
            self.later_challenged,
            self.others,
            self.others_dropped_by_rule,
            self.others_dropped_otherwise
        )
    }
}

/// The program's decisions about every packet of a capture, in order.
pub fn decisions_on(capture: &Path) -> Vec<Decision> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("decisions");
    let output = Command::new(env!("CARGO_BIN_EXE_floodwall"))
        .args(["replay", "--quiet", "--json", "--seed", "1", "--decisions"])
        .arg(&file)
        .arg(capture)
        .output()
        .expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", capture.display());
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let decision = |line: &str| {
        let mut fields = line.split('\t').skip(1).map(str::to_owned);
        Decision {
            verdict: fields.next().unwrap_or_default(),
            why: fields.next().unwrap_or_default(),
        }
    };
    text.lines().map(decision).collect()
}

pub fn replay(mix: &Mix) -> Score {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mix.pcap");
    let file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    mix.write_pcap(file).expect("the disk has room");
    let decisions = decisions_on(&path);
    assert_eq!(decisions.len(), mix.frames.len(), "one decision per packet");
    let mut score = Score::default();
    for (frame, decision) in mix.frames.iter().zip(&decisions) {
        let dropped = decision.verdict == "drop";
        if !frame.attack {
            score.others += 1;
            score.others_dropped_by_rule += u64::from(decision.by_rule());
            score.others_dropped_otherwise += u64::from(dropped && !decision.by_rule());
            continue;
        }
        let since_s = frame.at_us.saturating_sub(mix.onset_us) as f64 / 1e6;
        if decision.by_rule() {
            score.first_drop_s.get_or_insert(since_s);
        }
        if since_s >= 1.5 {
            score.later += 1;
            score.later_dropped += u64::from(dropped);
            score.later_challenged += u64::from(decision.verdict == "challenge");
        }
    }
    score
}
