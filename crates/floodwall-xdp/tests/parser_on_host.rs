//! bpf/host.c compiled for this machine under the address and undefined-behaviour sanitizers, fed
//! packets of every shape, whole, cut at every byte, and mutated, and every recording at hand. Here
//! no verifier has vouched for the bounds checks, and frames shorter than an Ethernet header can be
//! tried, which the kernel's test run refuses. What it says must be what the crate's own copy says.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/frames.rs"]
#[allow(dead_code, reason = "the specimens use their part")]
mod frames;
#[path = "support/skip.rs"]
mod skip;
#[path = "support/specimens.rs"]
mod specimens;

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use captures::Link;
use floodwall_xdp::host::{Parsed, parse_frame, parse_ip};

/// Mutated frames, beside the cut ones.
const MUTATED_FRAMES: usize = 100_000;

/// Reads frames, each behind three bytes of length and one that tells the entry, into memory of
/// exactly their size, and prints what became of each: enum fw_parsed, and of IP the protocol, both
/// ports and the offset of the payload. Its judgement by sanity.h is run too.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include "host.c"

int main(void)
{
	unsigned char head[4];

	while (fread(head, 1, 4, stdin) == 4) {
		unsigned length = head[0] << 16 | head[1] << 8 | head[2], parsed;
		unsigned char *bytes = malloc(length);
		struct fw_packet packet;

		if (!bytes || fread(bytes, 1, length, stdin) != length)
			return 1;
		parsed = head[3] ? fw_host_parse_ip(bytes, length, &packet)
				 : fw_host_parse_frame(bytes, length, &packet);
		if (parsed == FW_PARSED_IP && fw_host_sanity(&packet) < FW_REASONS)
			printf("%u %u %u %u %u\n", parsed, packet.values[FW_DIM_PROTOCOL],
			       packet.values[FW_DIM_SOURCE_PORT],
			       packet.values[FW_DIM_DESTINATION_PORT], packet.payload_offset);
		else
			printf("%u\n", parsed);
		free(bytes);
	}
	return 0;
}
"#;

/// What the crate's copy says, in the program's words.
fn expected(link: Link, bytes: &[u8]) -> String {
    use floodwall_model::packet::PacketAttr::{DestinationPort, Protocol, SourcePort};
    match if link == Link::Ethernet { parse_frame(bytes) } else { parse_ip(bytes) } {
        Parsed::Packet(packet) => {
            let [protocol, from, to] =
                [Protocol, SourcePort, DestinationPort].map(|attr| packet.facts.value(attr));
            format!("0 {protocol} {from} {to} {}", packet.payload_offset.unwrap_or(0))
        }
        Parsed::NotIp => "1".into(),
        Parsed::Truncated => "2".into(),
        Parsed::Malformed => "3".into(),
    }
}

/// Every packet to be tried, in order.
fn each_packet(mut each: impl FnMut(Link, &[u8])) {
    let all = specimens::all();
    for (_, frame) in &all {
        for length in 0..=frame.len() {
            each(Link::Ethernet, &frame[..length]);
            each(Link::Ip, frame.get(14..length).unwrap_or_default());
        }
    }
    // A walk that always goes the same way (Knuth's MMIX constants), so that a failure comes again.
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..MUTATED_FRAMES {
        let mut bytes = all[draw(all.len())].1.clone();
        specimens::mutate(&mut bytes, &mut draw);
        each(Link::Ethernet, &bytes);
    }
    for path in captures::files().unwrap_or_default() {
        // A recording that ends early has given what it has.
        let _ = captures::packets(&path, |link, bytes| {
            if link != Link::Other && bytes.len() < 1 << 24 {
                each(link, bytes);
            }
        });
    }
}

/// The program; `None`, and SKIPPED said, where it cannot be built.
fn build(directory: &Path) -> Option<std::path::PathBuf> {
    let (source, program) = (directory.join("drive.c"), directory.join("drive"));
    std::fs::write(&source, PROGRAM).unwrap();
    let compiled = Command::new("clang")
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"])
        .args(["-fno-sanitize-recover=all", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf"))
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output();
    match compiled {
        Err(error) => {
            skip::skipped(&format!("clang could not be run: {error}"));
            return None;
        }
        Ok(output) if !output.status.success() => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            // The sanitizers' libraries are a package of their own.
            assert!(stderr.contains("libclang_rt"), "{stderr}");
            skip::skipped(&format!("clang lacks a library: {stderr}"));
            return None;
        }
        Ok(_) => {}
    }
    Some(program)
}

#[test]
fn the_parser_stays_in_bounds_under_the_sanitizers() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = build(directory.path()) else { return };
    if captures::files().is_none() {
        skip::without_recordings(
            "there are no recordings; the generated packets are tried all the same",
        );
    }
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = std::io::BufWriter::new(child.stdin.take().unwrap());
    let writer = std::thread::spawn(move || {
        // If the program dies, its own words say more than the broken pipe.
        each_packet(|link, bytes| {
            let [_, a, b, c] = (bytes.len() as u32).to_be_bytes();
            let _ = input.write_all(&[a, b, c, u8::from(link == Link::Ip)]);
            let _ = input.write_all(bytes);
        });
    });
    let answers: Vec<String> =
        std::io::BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    writer.join().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let (mut answers, mut outcomes, mut packets) = (answers.iter(), [0u64; 4], 0u64);
    each_packet(|link, bytes| {
        let answer = answers.next().expect("an answer to every packet");
        assert_eq!(*answer, expected(link, bytes), "{bytes:02x?}");
        outcomes[usize::from(answer.as_bytes()[0] - b'0')] += 1;
        packets += 1;
    });
    println!("packets {packets}: IP, not IP, truncated, malformed {outcomes:?}");
    assert!(outcomes.iter().all(|count| *count > 10), "hardly tried: {outcomes:?}");
}
