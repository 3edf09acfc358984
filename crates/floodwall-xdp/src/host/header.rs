//! Compiles bpf/packet.h and bpf/parse.h together with one static assertion per number that Rust
//! repeats, made from the values the Rust compiler gives. As abi/header.rs does for abi.h.

use std::mem::{align_of, offset_of, size_of};
use std::path::Path;
use std::process::Command;

use floodwall_model::packet::{
    IpMark, PACKET_ATTR_COUNT, PACKET_CLASS_COUNT, PacketAttr, PacketClass, PacketReason,
    TransportMark, fold16,
};

use super::RawPacket;
use super::raw::RawGlance;
use super::rules::RULES_MAX;

/// `name` in the headers must equal `value` here.
fn number(name: &str, value: usize) -> String {
    format!("_Static_assert({name} == {value}, \"{name}\");\n")
}

/// CamelCase, as Rust has it, to the header's SCREAMING_SNAKE.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

fn marks() -> String {
    let ip = [
        ("FIRST_FRAGMENT", IpMark::FIRST_FRAGMENT),
        ("LATER_FRAGMENT", IpMark::LATER_FRAGMENT),
        ("DONT_FRAGMENT", IpMark::DONT_FRAGMENT),
        ("ID_ZERO", IpMark::ID_ZERO),
        ("OPTIONS", IpMark::OPTIONS),
        ("TUNNEL", IpMark::TUNNEL),
        ("V6", IpMark::V6),
        ("RESERVED", IpMark::RESERVED),
    ];
    let transport = [
        ("SOLICITED", TransportMark::SOLICITED),
        ("SEQUENCE_LOW_ZERO", TransportMark::SEQUENCE_LOW_ZERO),
        ("ACK_ZERO", TransportMark::ACK_ZERO),
        ("SAME_PORT", TransportMark::SAME_PORT),
        ("PAYLOAD", TransportMark::PAYLOAD),
        ("LOW_SOURCE_PORT", TransportMark::LOW_SOURCE_PORT),
        ("CUT", TransportMark::CUT),
    ];
    let ip = ip.map(|(name, mark)| number(&format!("FW_IP_{name}"), mark.into()));
    let transport = transport.map(|(name, mark)| number(&format!("FW_TP_{name}"), mark.into()));
    [ip.concat(), transport.concat()].concat()
}

fn layout() -> String {
    macro_rules! offsets {
        ($name:literal $rust:ty: $($field:ident)+) => {
            [$( number(
                concat!("__builtin_offsetof(struct ", $name, ", ", stringify!($field), ")"),
                offset_of!($rust, $field),
            ), )+].concat()
        };
    }
    number("sizeof(struct fw_packet)", size_of::<RawPacket>())
        + &number("_Alignof(struct fw_packet)", align_of::<RawPacket>())
        + &offsets!("fw_packet" RawPacket: source destination sequence acknowledgement values
            l3_offset l4_offset payload_offset version class)
        + &number("sizeof(struct fw_glance)", size_of::<RawGlance>())
        + &offsets!("fw_glance" RawGlance: source version class)
}

fn assertions() -> String {
    let mut c = layout() + &marks();
    c += &number("FW_DIMS", PACKET_ATTR_COUNT);
    c += &number("FW_CLASSES", PACKET_CLASS_COUNT);
    c += &number("FW_RULES", RULES_MAX);
    for attr in PacketAttr::ALL {
        c += &number(&format!("FW_DIM_{}", screaming(&format!("{attr:?}"))), attr as usize);
    }
    let narrow = PacketAttr::ALL.into_iter().filter(|attr| attr.values() == 256).count();
    c += &number("FW_DIMS_NARROW", narrow);
    for class in PacketClass::ALL {
        c += &number(&format!("FW_CLASS_{}", screaming(&format!("{class:?}"))), class as usize);
    }
    for reason in PacketReason::ALL {
        c += &number(&format!("FW_REASON_{}", screaming(&format!("{reason:?}"))), *reason as usize);
    }
    c += &number("FW_PARSED_IP", super::PARSED_IP as usize);
    c += &number("FW_PARSED_NOT_IP", super::PARSED_NOT_IP as usize);
    c += &number("FW_PARSED_TRUNCATED", super::PARSED_TRUNCATED as usize);
    c
}

/// The compiler's judgement on the headers with `assertions` behind them; none without a compiler.
fn compile(assertions: &str) -> Option<Result<(), String>> {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("packet.c");
    let includes = "#include \"abi.h\"\n#include \"parse.h\"\n";
    std::fs::write(&source, format!("{includes}{assertions}")).unwrap();
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf");
    let mut compiler = Command::new("cc");
    compiler.arg("-fsyntax-only").arg("-I").arg(headers).arg(source);
    let Ok(output) = compiler.output() else {
        crate::skip::skipped("no C compiler is installed");
        return None;
    };
    Some(match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    })
}

#[test]
fn the_packet_header_and_its_rust_side_agree() {
    let Some(judgement) = compile(&assertions()) else { return };
    assert_eq!(judgement, Ok(()));
}

#[test]
fn a_difference_in_the_packet_header_is_noticed() {
    let wrong = number("FW_DIM_WINDOW", PacketAttr::Window as usize + 1);
    let Some(judgement) = compile(&wrong) else { return };
    assert!(judgement.unwrap_err().contains("FW_DIM_WINDOW"));
}

/// The destination of an IPv4 packet is folded by fw_fold16 alone.
#[test]
fn both_sides_fold_alike() {
    for address in [0u32, 1, 0x0a00_0001, 0xc633_6401, 0xffff_ffff] {
        let mut packet = vec![0x45, 0, 0, 20, 0, 1, 0, 0, 64, 59, 0, 0, 192, 0, 2, 1];
        packet.extend(address.to_be_bytes());
        let super::Parsed::Packet(parsed) = super::parse_ip(&packet) else { panic!("{address}") };
        assert_eq!(parsed.facts.value(PacketAttr::Destination), fold16(address), "{address:#x}");
    }
}
