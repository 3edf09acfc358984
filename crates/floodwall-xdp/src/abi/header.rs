//! Compiles bpf/abi.h together with one static assertion per line of abi.rs, made from the values
//! the Rust compiler gives. A C compiler judges; no second parser of the header is needed.

use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;

use floodwall_model::packet::{ICMP_SHARES, PacketAttr};

use super::*;

/// `name` in the header must equal `value` here.
fn number(name: &str, value: usize) -> String {
    format!("_Static_assert({name} == {value}, \"{name}\");\n")
}

/// `name` in the header must be the same text as `value`.
fn text(name: &str, value: &str) -> String {
    format!("_Static_assert(!__builtin_strcmp({name}, \"{value}\"), \"{name}\");\n")
}

/// Sizes and offsets of a structure must be the same on both sides.
macro_rules! layout {
    ($c:ident, $rust:ty, $name:literal: $($field:ident),*) => {
        $c += &number(concat!("sizeof(struct ", $name, ")"), size_of::<$rust>());
        $($c += &number(
            concat!("__builtin_offsetof(struct ", $name, ", ", stringify!($field), ")"),
            offset_of!($rust, $field),
        );)*
    };
}

fn assertions() -> String {
    let mut c = String::new();
    for (name, value) in NAMES {
        c += &text(&format!("FW_{name}"), value);
        assert!(value.len() <= 15, "{value} is cut by the kernel");
    }
    for (name, value) in [
        ("FW_BANS_DEFAULT", BANS_DEFAULT as usize),
        ("FW_BANS_MAX", BANS_MAX as usize),
        ("FW_NETS_MAX", NETS_MAX as usize),
        ("FW_ALLOW_MAX", ALLOW_MAX as usize),
        ("FW_LOCAL_MAX", LOCAL_MAX),
        ("FW_LOCAL_BUCKETS", LOCAL_BUCKETS),
        ("FW_LOCAL_PLACES", LOCAL_PLACES),
        ("FW_RULES", RULES),
        ("FW_NO_RULE", usize::from(NO_RULE)),
        ("FW_TOKEN", TOKEN as usize),
        ("FW_BUCKET_V4", BUCKET_V4 as usize),
        ("FW_BUCKET_V6", BUCKET_V6 as usize),
        ("FW_VERDICTS", Verdict::ALL.len()),
        ("FW_VERDICT_PASS", Verdict::Pass as usize),
        ("FW_VERDICT_DROP", Verdict::Drop as usize),
        ("FW_VERDICT_TX", Verdict::Tx as usize),
        ("FW_REASONS", REASONS),
        ("FW_WIDTHS", WIDTHS),
        ("FW_DIMS", PACKET_ATTR_COUNT),
        ("FW_DIMS_NARROW", DIMS_NARROW),
        ("FW_CLASSES", PACKET_CLASS_COUNT),
        ("FW_RULE_ROWS", RULE_ROWS),
        ("FW_HOLDS_BANS_V4", holds::BANS_V4 as usize),
        ("FW_HOLDS_BANS_V6", holds::BANS_V6 as usize),
        ("FW_HOLDS_NETS_V4", holds::NETS_V4 as usize),
        ("FW_HOLDS_NETS_V6", holds::NETS_V6 as usize),
        ("FW_HOLDS_ALLOW_V4", holds::ALLOW_V4 as usize),
        ("FW_HOLDS_ALLOW_V6", holds::ALLOW_V6 as usize),
        ("FW_HOLDS_SOLICITED", holds::SOLICITED as usize),
        ("FW_HOLDS_RULES", holds::RULES as usize),
        ("FW_HOLDS_OPTIONS", holds::OPTIONS as usize),
        ("FW_HOLDS_SOURCE_RATE", holds::SOURCE_RATE as usize),
        ("FW_GUARD_SYN_PROOF", guard::SYN_PROOF as usize),
        ("FW_GUARD_TCP_STATE", guard::TCP_STATE as usize),
        ("FW_GUARD_UDP_SOLICITED", guard::UDP_SOLICITED as usize),
        ("FW_GUARD_ICMP", guard::ICMP as usize),
        ("FW_ICMP_SHARES", ICMP_SHARES),
        ("FW_GUARD_VIA_STACK", guard::VIA_STACK as usize),
        ("FW_SERVICE_TCP", service::TCP as usize),
        ("FW_SERVICE_UDP", service::UDP as usize),
    ] {
        c += &number(name, value);
    }
    for reason in PacketReason::ALL {
        let name = format!("FW_REASON_{}", reason.name().to_uppercase());
        c += &number(&name, *reason as usize);
        let passes = format!("({name} <= FW_REASON_COOKIE_VALID)");
        c += &number(&passes, usize::from(reason.passes()));
    }
    for attr in PacketAttr::ALL {
        let row = format!("FW_RULE_ROW({})", attr as usize);
        c += &number(&row, rule_row(attr as usize));
        assert_eq!(attr.values() == 256, (attr as usize) < DIMS_NARROW);
    }
    layout!(c, Rate, "fw_rate": per_jiffy, burst);
    layout!(c, Policy, "fw_policy": lease_until, guards_until, holds, guards, sample_every, mss,
        second, revision, clock_ns, clock_jiffies, spare, packets, connections, icmp_errors,
        icmp_questions);
    layout!(c, Rule, "fw_rule": expires, shadow);
    layout!(c, Rules, "fw_rules": live, dimensions, spare, wild, rules, rows);
    layout!(c, Port, "fw_port": services, stamped);
    layout!(c, KernelTokens, "fw_tokens": left, refilled);
    layout!(c, IcmpShare, "fw_icmp_share": errors, questions);
    layout!(c, Net, "fw_net": expires, spare);
    layout!(c, EgressNet, "fw_egress_net": bytes, version);
    layout!(c, Volume, "fw_volume": packets, bytes);
    layout!(c, Passage, "fw_passage": packet, frame_bytes);
    layout!(c, Counts, "fw_counts": reasons, until_sample, classes, matched, samples, lost,
        sample_weight, lapsed, unanswered, passage);
    layout!(c, Sample, "fw_sample": jiffies, weight, frame_bytes, reason, rule, revision, packet);
    c += &number("sizeof(struct fw_local_bucket)", LOCAL_PLACES * 16);
    c += &number("sizeof(struct fw_bucket_v4)", 64);
    c += &number("sizeof(struct fw_bucket_v6)", 64);
    c
}

/// The compiler's judgement on the header with `assertions` behind it; none without a compiler.
fn compile(assertions: &str) -> Option<Result<(), String>> {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("abi.c");
    std::fs::write(&source, format!("#include \"abi.h\"\n{assertions}")).unwrap();
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf");
    let mut compiler = Command::new("clang");
    compiler.arg("-fsyntax-only").arg("-I").arg(headers).arg(source);
    let Ok(output) = compiler.output() else {
        crate::skip::skipped("clang is not installed");
        return None;
    };
    Some(match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    })
}

#[test]
fn the_header_and_its_rust_side_agree() {
    let Some(judgement) = compile(&assertions()) else { return };
    assert_eq!(judgement, Ok(()));
}

#[test]
fn a_difference_is_noticed() {
    let Some(judgement) = compile(&number("FW_REASONS", REASONS + 1)) else { return };
    assert!(judgement.unwrap_err().contains("FW_REASONS"));
}
