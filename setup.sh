# Sourced by ./run and ./test: installs what the build needs, saying what and why.

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    return 1
  fi
}

# need PACKAGE WHY CHECK…: installs a Debian package unless CHECK succeeds. Fails if it cannot.
need() {
  local package=$1 why=$2
  shift 2
  if "$@" >/dev/null 2>&1; then
    return 0
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    say "Missing: $package ($why). Install it with this system's package manager."
    return 1
  fi
  say "Installing $package: $why."
  if [ -z "${setup_lists_fresh:-}" ]; then
    as_root apt-get update -qq >&2 || return 1
    setup_lists_fresh=1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "$package" >/dev/null || return 1
}

has() { command -v "$1"; }

setup_build() {
  if [ -f "$HOME/.cargo/env" ] && ! has cargo >/dev/null; then
    # shellcheck disable=SC1091
    . "$HOME/.cargo/env"
  fi
  if ! has cargo >/dev/null; then
    say "There is no Rust here. Install it from https://rustup.rs, then run this again."
    exit 1
  fi
  if ! need gcc "a C compiler, for SQLite and the TLS library" has cc ||
    ! need libc6-dev "the C library's headers, for the same" test -e /usr/include/stdio.h; then
    say "Without a C compiler Floodwall cannot be built. Run this as root or install sudo."
    exit 1
  fi
  # Without these everything but the kernel filter is built; the build says so itself.
  if ! { need clang "compiles the kernel filter to BPF" has clang &&
    need libbpf-dev "the kernel filter's headers" test -e /usr/include/bpf/bpf_helpers.h &&
    need linux-libc-dev "the kernel's own headers" test -e /usr/include/linux/bpf.h; }; then
    say "Going on without the kernel filter."
  fi
}

setup_tests() {
  need iproute2 "network namespaces, for tests of the kernel filter" has ip ||
    say "Tests that need network namespaces will be skipped."
  # Some users' PATH leaves /usr/sbin out.
  need nftables "tests of the tier for hosts without BPF" test -x /usr/sbin/nft ||
    say "Tests that need nftables will be skipped."
}
