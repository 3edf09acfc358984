//! bpf/parse.h compiled for this machine under the address and undefined-behaviour sanitizers, held
//! against the plain reader. Here no verifier has vouched for the bounds checks, and frames shorter
//! than an Ethernet header can be tried, which the kernel's test run refuses.

mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use floodwall_xdp::FilterReason;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use support::frames::{IPV4, IPV6, PROVIDER_VLAN, VLAN, frame, ipv4, ipv6};
use support::plain_reader::{BANNED_V4, BANNED_V6, damaged_frame, reason_of};
use support::skip;

/// Frames of random kind and damage, beside the systematic ones.
const DAMAGED_FRAMES: usize = 20_000;

/// Reads length-prefixed frames, each into memory of exactly its size, and prints the number of
/// its reason with the sources of the plain reader banned.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "parse.h"

static int reason_of(const void *frame, unsigned length)
{
	static const unsigned char v4[4] = {203, 0, 113, 9};
	static const unsigned char v6[8] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2};
	struct fw_cursor cursor = {frame, (const char *)frame + length};
	struct fw_source source = {0};

	switch (fw_parse_frame(&cursor, &source)) {
	case FW_PARSED_V4:
		return memcmp(&source.v4, v4, 4) ? FW_REASON_NO_BAN : FW_REASON_BANNED;
	case FW_PARSED_V6:
		return memcmp(&source.v6, v6, 8) ? FW_REASON_NO_BAN : FW_REASON_BANNED;
	case FW_PARSED_TRUNCATED:
		return FW_REASON_TRUNCATED;
	case FW_PARSED_MALFORMED:
		return FW_REASON_MALFORMED;
	case FW_PARSED_NOT_IP:
		return FW_REASON_NOT_IP;
	}
	return -1;
}

int main(void)
{
	unsigned char size[2];

	while (fread(size, 1, 2, stdin) == 2) {
		unsigned length = size[0] << 8 | size[1];
		unsigned char *frame = malloc(length);

		if (fread(frame, 1, length, stdin) != length)
			return 1;
		printf("%d\n", reason_of(frame, length));
		free(frame);
	}
	return 0;
}
"#;

/// Every kind of frame, cut at every byte, down to nothing.
fn cut_frames() -> Vec<Vec<u8>> {
    let whole = [
        frame(&[], IPV4, &ipv4(BANNED_V4, 0)),
        frame(&[], IPV4, &ipv4(BANNED_V4, 10)),
        frame(&[], IPV6, &ipv6(BANNED_V6)),
        frame(&[VLAN], IPV4, &ipv4(BANNED_V4, 3)),
        frame(&[PROVIDER_VLAN, VLAN], IPV6, &ipv6(BANNED_V6)),
        frame(&[PROVIDER_VLAN, VLAN, VLAN], IPV6, &ipv6(BANNED_V6)),
    ];
    whole.iter().flat_map(|f| (0..=f.len()).map(|length| f[..length].to_vec())).collect()
}

fn damaged_frames() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::default();
    let strategy = damaged_frame();
    (0..DAMAGED_FRAMES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn the_parser_stays_in_bounds_and_agrees_with_the_plain_reader() {
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("parse.c"), directory.path().join("parse"));
    std::fs::write(&source, PROGRAM).unwrap();
    let compiled = Command::new("clang")
        // Headers stand at any alignment in a packet; the targets of the filter allow that.
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"])
        .args(["-fno-sanitize=alignment", "-fno-sanitize-recover=all", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf"))
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output();
    match compiled {
        Err(error) => return skip::skipped(&format!("clang could not be run: {error}")),
        Ok(output) if !output.status.success() => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            // The sanitizers' libraries and libbpf's headers are packages of their own.
            assert!(
                stderr.contains("libclang_rt") || stderr.contains("file not found"),
                "{stderr}"
            );
            return skip::skipped(&format!("clang lacks a library or header: {stderr}"));
        }
        Ok(_) => {}
    }

    let frames = [cut_frames(), damaged_frames()].concat();
    let input: Vec<u8> = frames
        .iter()
        .flat_map(|f| (f.len() as u16).to_be_bytes().into_iter().chain(f.iter().copied()))
        .collect();
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    writer.join().unwrap().unwrap();

    let stdout = String::from_utf8(output.stdout).unwrap();
    let reasons: Vec<usize> = stdout.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(reasons.len(), frames.len());
    let mut seen = [0u32; FilterReason::ALL.len()];
    for (bytes, reason) in frames.iter().zip(reasons) {
        let expected = reason_of(bytes);
        assert_eq!(FilterReason::ALL[reason], expected, "{}", hex(bytes));
        seen[reason] += 1;
    }
    // All but BanExpired, which parsing knows nothing of.
    for reason in FilterReason::ALL.into_iter().filter(|r| *r != FilterReason::BanExpired) {
        assert!(seen[reason as usize] > 10, "{reason:?} was hardly tried: {seen:?}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
