//! Where things are kept unless somebody says otherwise.

use std::path::{Path, PathBuf};

/// The state directory: the system's for root, the user's own otherwise.
pub fn state_dir_default() -> PathBuf {
    if is_root() {
        return PathBuf::from("/var/lib/floodwall");
    }
    let own = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    own.or_else(home).unwrap_or_else(std::env::temp_dir).join("floodwall")
}

/// The control socket: beside those of other services for root, in the state directory otherwise.
pub fn control_socket_default() -> PathBuf {
    if is_root() {
        PathBuf::from("/run/floodwall/control.sock")
    } else {
        control_socket_in(&state_dir_default())
    }
}

/// The control socket of a Floodwall with a state directory of its own.
pub fn control_socket_in(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Whether this process runs as root, by who owns its entry in /proc (proc(5)).
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
