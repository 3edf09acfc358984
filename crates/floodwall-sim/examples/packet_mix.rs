//! Mixes a recorded attack into recorded background and writes a pcap file and its labels.
//!
//! `cargo run --release -p floodwall-sim --example packet_mix -- \
//!     ATTACK.pcap 'FILTER' BACKGROUND_FOLDER RATIO SEED OUT.pcap OUT.labels [PPS] [keep] [middle]`
//!
//! FILTER names the attack's packets in pcap-filter's words; PPS is the background's rate; `keep`
//! rewrites nothing but the host's address; with `middle` there is no background before the attack.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use floodwall_sim::packets::Lead;
use floodwall_sim::packets::mix::{Filter, MixConfig, Recording, Rewrite, mix};

/// Bytes of one capture at most, unpacked.
const CAPTURE_BYTES_MAX: u64 = 256 << 20;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String, Failure> {
    let [attack, filter, folder, ratio, seed, pcap, labels, more @ ..] = arguments else {
        return Err(
            "wanted: ATTACK FILTER BACKGROUND_FOLDER RATIO SEED PCAP LABELS [PPS] [keep] [middle]"
                .into(),
        );
    };
    let mut config = MixConfig::new(ratio.parse()?, seed.parse()?);
    for word in more {
        match word.as_str() {
            "keep" => config.rewrite = Rewrite::NONE,
            "middle" => config.lead = Lead::None,
            number => config.background_pps = number.parse()?,
        }
    }
    let attack = Recording::read(&bytes(Path::new(attack))?)?;
    let (background, unread) = folder_of_captures(Path::new(folder))?;
    let mixed = mix(&attack, &Filter::parse(filter)?, &background, &config)?;
    mixed.write_pcap(BufWriter::new(File::create(pcap)?))?;
    mixed.write_labels(BufWriter::new(File::create(labels)?))?;
    let skipped: u64 = background.iter().map(|capture| capture.skipped).sum();
    Ok(format!(
        "{} frames, {} of them attack, to {} and {}, attack from {:.3} to {:.3} s, {} rounds; \
         background of {} captures ({unread} files unread, {skipped} frames of other link types)",
        mixed.frames.len(),
        mixed.attack_frames(),
        mixed.v4,
        mixed.v6,
        mixed.onset_us as f64 / 1e6,
        mixed.until_us as f64 / 1e6,
        mixed.loops,
        background.len(),
    ))
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let unpacked = flate2::read::MultiGzDecoder::new(file);
        unpacked.take(CAPTURE_BYTES_MAX).read_to_end(&mut bytes)?;
    } else {
        file.take(CAPTURE_BYTES_MAX).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// All captures below a folder, in the order of their names, and how many files are none.
fn folder_of_captures(folder: &Path) -> Result<(Vec<Recording>, usize), Failure> {
    let mut waiting = vec![folder.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut captures = Vec::new();
    let mut unread = 0;
    for file in files {
        match Recording::read(&bytes(&file)?) {
            Ok(capture) => captures.push(capture),
            Err(_) => unread += 1,
        }
    }
    Ok((captures, unread))
}
