//! Compiles bpf/filter.bpf.c with clang into OUT_DIR, and what the benchmark holds it against.
//!
//! Without clang or the headers the crate still builds: a gateway without a kernel filter is
//! useful, and `attach` says what to install. A mistake in the C itself fails the build, so that
//! it can never be taken for a missing tool.
//!
//! bpf/host.c, the same parser for this host, is compiled into the crate in any case.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the compiler must find before it is worth showing it the filter.
const PROBE: &str = "#include <linux/bpf.h>\n#include <linux/ip.h>\n#include <bpf/bpf_helpers.h>\n";

fn main() {
    println!("cargo:rustc-check-cfg=cfg(floodwall_bpf)");
    println!("cargo:rerun-if-env-changed=FLOODWALL_NO_BPF");
    println!("cargo:rerun-if-env-changed=CLANG");
    println!("cargo:rerun-if-changed=build.rs");
    // Asked when run, not when built: a target directory that two checkouts share keeps one build
    // of this program, and would compile the other checkout's filter for both.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let source_dir = Path::new(&here).join("../../bpf");
    println!("cargo:rerun-if-changed={}", source_dir.display());

    compile_for_this_host(&source_dir.join("host.c"));

    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    match can_compile(&out) {
        Ok(()) => {
            compile(&source_dir.join("filter.bpf.c"), &out.join("filter.bpf.o"));
            // The benchmark's; the crate itself does not hold it.
            compile(&source_dir.join("floor.bpf.c"), &out.join("floor.bpf.o"));
            println!("cargo:rustc-cfg=floodwall_bpf");
            println!("cargo:rustc-env=FLOODWALL_NO_BPF_REASON=");
        }
        Err(reason) => {
            println!("cargo:warning=building without the kernel filter: {reason}");
            println!("cargo:rustc-env=FLOODWALL_NO_BPF_REASON={reason}");
        }
    }
}

/// The C compiler that Cargo builds with; another one's flags come in through CFLAGS.
fn compile_for_this_host(source: &Path) {
    cc::Build::new()
        .file(source)
        // A parser without optimisation would make every test that replays packets slow.
        .opt_level(2)
        .extra_warnings(true)
        // `#pragma unroll` is clang's word, and the filter is compiled by clang.
        .flag_if_supported("-Wno-unknown-pragmas")
        .compile("floodwall_host");
}

/// Whether clang and the headers are here; if not, one line that says what is missing.
fn can_compile(out: &Path) -> Result<(), String> {
    if std::env::var_os("FLOODWALL_NO_BPF").is_some_and(|v| !v.is_empty() && v != "0") {
        return Err("FLOODWALL_NO_BPF was set when it was built".into());
    }
    let probe = out.join("probe.c");
    std::fs::write(&probe, PROBE).expect("OUT_DIR is writable");
    match clang(&probe, &out.join("probe.o")) {
        Err(error) => Err(format!("clang could not be run ({error})")),
        Ok(output) if !output.status.success() => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let first = stderr.lines().find(|line| line.contains("error")).unwrap_or("no message");
            Err(format!("clang cannot build for BPF: {first}"))
        }
        Ok(_) => Ok(()),
    }
}

fn compile(source: &Path, object: &Path) {
    let output = clang(source, object).expect("clang ran a moment ago");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} does not compile:\n{stderr}", source.display());
    for line in stderr.lines() {
        println!("cargo:warning={line}");
    }
}

fn clang(source: &Path, object: &Path) -> std::io::Result<Output> {
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    // Debian keeps asm/types.h in the directory of the host's architecture, where clang does not
    // look when it builds for BPF.
    let multiarch = format!("/usr/include/{arch}-linux-gnu");
    Command::new(clang)
        // -g: aya reads the maps from BTF. v3 (Linux 5.1): clang changes its default over time, and
        // what is built here must load on older kernels than the one it is built on.
        .args(["-O2", "-g", "-Wall", "-Wextra", "-target", "bpf", "-mcpu=v3"])
        .args(["-idirafter", &multiarch])
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
}
