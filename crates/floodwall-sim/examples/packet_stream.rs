//! Prints a packet stream of the models, or with `summary` what every kind of scenario amounts to.
//!
//! `cargo run --release -p floodwall-sim --example packet_stream -- KIND RATIO SEED >packets.tsv`
//! `cargo run --release -p floodwall-sim --example packet_stream -- summary RATIO SEED [CONNECTIONS]`
//!
//! CONNECTIONS is the rate of new ones per second; without it the seed decides.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Instant;

use floodwall_model::packet::PacketAttr;
use floodwall_sim::packets::{HonestConfig, Kind, ScenarioConfig, Stream};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: f64| {
        arguments.get(at).map_or(Some(otherwise), |text| text.parse().ok())
    };
    let (Some(ratio), Some(seed), Some(connections_ps)) =
        (number(1, 5.0), number(2, 1.0), number(3, 0.0))
    else {
        eprintln!("RATIO, SEED and CONNECTIONS must be numbers");
        return ExitCode::from(2);
    };
    let name = arguments.first().map_or("summary", String::as_str);
    let stream = |kind: Kind| {
        let config = ScenarioConfig::new(kind, ratio, seed as u64);
        let honest =
            (connections_ps > 0.0).then(|| HonestConfig::drawn(connections_ps, seed as u64));
        ScenarioConfig { honest, ..config }.stream()
    };
    let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
    let written = match kind {
        Some(kind) => print_packets(stream(*kind)),
        None if name == "summary" => print_summary(stream),
        None => {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            eprintln!("KIND is one of: {}", names.join(", "));
            return ExitCode::from(2);
        }
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("cannot write: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn print_packets(stream: Stream) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "us\tdirection\tlabel\tgroup\tsolicited\tsource\tdestination\tclass\tvalues")?;
    for packet in stream {
        let values: Vec<String> = PacketAttr::ALL
            .iter()
            .filter(|attr| packet.facts.value(**attr) != 0)
            .map(|attr| format!("{attr:?}={}", packet.facts.value(*attr)))
            .collect();
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{:?}\t{}",
            packet.at_us,
            if packet.inbound { "in" } else { "out" },
            if packet.attack { "attack" } else { "other" },
            packet.group,
            packet.solicited,
            packet.facts.source,
            packet.facts.destination,
            packet.facts.class,
            values.join(" "),
        )?;
    }
    out.flush()
}

fn print_summary(stream: impl Fn(Kind) -> Stream) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for kind in Kind::ALL {
        let begun = Instant::now();
        let mut stream = stream(*kind);
        let mut groups: BTreeMap<_, u64> = BTreeMap::new();
        for packet in &mut stream {
            *groups.entry((packet.group, packet.inbound)).or_default() += 1;
        }
        let total: u64 = groups.values().sum();
        writeln!(out, "{}", stream.words())?;
        let groups: Vec<String> = groups
            .iter()
            .map(|((name, inbound), count)| {
                format!("{name} {} {count}", if *inbound { "in" } else { "out" })
            })
            .collect();
        let elapsed_ms = begun.elapsed().as_millis();
        let left_out = stream.left_out();
        let groups = groups.join(", ");
        writeln!(
            out,
            "    {total} packets made in {elapsed_ms} ms, {left_out} left out: {groups}"
        )?;
    }
    Ok(())
}
