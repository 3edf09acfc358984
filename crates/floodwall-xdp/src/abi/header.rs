//! Compiles bpf/abi.h together with one static assertion per line of abi.rs, made from the values
//! the Rust compiler gives. A C compiler judges; no second parser of the header is needed.

use std::mem::{align_of, offset_of, size_of};
use std::path::Path;
use std::process::Command;

use super::*;

#[path = "../../tests/support/skip.rs"]
mod skip;

/// `name` in the header must equal `value` here.
fn number(name: &str, value: usize) -> String {
    format!("_Static_assert({name} == {value}, \"{name}\");\n")
}

/// `name` in the header must be the same text as `value`.
fn text(name: &str, value: &str) -> String {
    format!("_Static_assert(!__builtin_strcmp({name}, \"{value}\"), \"{name}\");\n")
}

fn assertions() -> String {
    let mut c = String::new();
    c += &text("FW_MAP_BANS_V4", MAP_BANS_V4);
    c += &text("FW_MAP_BANS_V6", MAP_BANS_V6);
    c += &text("FW_MAP_COUNTS", MAP_COUNTS);
    c += &text("FW_PROGRAM_XDP", PROGRAM_XDP);
    c += &text("FW_PROGRAM_SOCKET", PROGRAM_SOCKET);
    c += &number("FW_BANS_DEFAULT", BANS_DEFAULT as usize);
    c += &number("FW_BANS_MAX", BANS_MAX as usize);
    c += &number("FW_VERDICTS", Verdict::ALL.len());
    c += &number("FW_VERDICT_PASS", Verdict::Pass as usize);
    c += &number("FW_VERDICT_DROP", Verdict::Drop as usize);
    c += &number("FW_REASONS", FilterReason::ALL.len());
    for reason in FilterReason::ALL {
        let name = format!("FW_REASON_{}", reason.name().to_uppercase());
        c += &number(&name, reason as usize);
        for verdict in Verdict::ALL {
            let slot = format!("FW_COUNT_SLOT({}, {name})", verdict as u32);
            c += &number(&slot, count_slot(verdict, reason) as usize);
        }
    }
    c += &number("FW_COUNT_SLOTS", COUNT_SLOTS as usize);
    c += &number("sizeof(struct fw_key_v4)", size_of::<KeyV4>());
    c += &number("_Alignof(struct fw_key_v4)", align_of::<KeyV4>());
    c += &number("sizeof(struct fw_key_v6)", size_of::<KeyV6>());
    c += &number("_Alignof(struct fw_key_v6)", align_of::<KeyV6>());
    c += &number("sizeof(struct fw_ban)", size_of::<BanValue>());
    c += &number(
        "__builtin_offsetof(struct fw_ban, expires_ktime_ns)",
        offset_of!(BanValue, expires_ktime_ns),
    );
    c += &number("__builtin_offsetof(struct fw_ban, packets)", offset_of!(BanValue, packets));
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
        skip::skipped("clang is not installed");
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
    let Some(judgement) = compile(&number("FW_REASONS", FilterReason::ALL.len() + 1)) else {
        return;
    };
    assert!(judgement.unwrap_err().contains("FW_REASONS"));
}
