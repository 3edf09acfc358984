//! The asking side: one question, one answer, and errors that say what to do.

use std::io::ErrorKind as Io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{ControlError, RESPONSE_BYTES_MAX, Request, Response, read_line, write_all};

/// How long a client waits for its answer. Longer than the server's own limit, so that the server
/// is the one who says that it was too slow.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Asks the Floodwall that listens at `path`.
pub fn ask(path: &Path, request: &Request) -> Result<Response, ControlError> {
    let mut stream = UnixStream::connect(path).map_err(|error| explain(path, error))?;
    let deadline = Instant::now() + ANSWER_TIME_MAX;
    let bad = |what: String| ControlError::BadAnswer { path: path.to_owned(), what };
    let mut line = serde_json::to_vec(request).map_err(|error| bad(error.to_string()))?;
    line.push(b'\n');
    match write_all(&mut stream, &line, deadline) {
        // A server that is full answers without reading; its answer is still there to be read.
        Ok(()) => {}
        Err(error) if matches!(error.kind(), Io::BrokenPipe | Io::ConnectionReset) => {}
        Err(error) => return Err(explain(path, error)),
    }
    let answer = read_line(&mut stream, RESPONSE_BYTES_MAX, deadline)
        .map_err(|error| explain(path, error))?
        .ok_or_else(|| bad(format!("more than {RESPONSE_BYTES_MAX} bytes")))?;
    if answer.is_empty() {
        return Err(bad("it is empty".into()));
    }
    serde_json::from_slice(&answer).map_err(|error| bad(error.to_string()))
}

fn explain(path: &Path, error: std::io::Error) -> ControlError {
    let path = path.to_owned();
    match error.kind() {
        Io::NotFound => ControlError::NotRunning(path),
        Io::ConnectionRefused if !is_socket(&path) => ControlError::NotASocket(path),
        Io::ConnectionRefused => ControlError::Ended(path),
        Io::PermissionDenied => ControlError::Denied { allowed: who_may(&path), path },
        // A blocking socket whose time is up says WouldBlock on Linux (socket(7), SO_RCVTIMEO).
        Io::TimedOut | Io::WouldBlock => ControlError::TimedOut(path),
        _ => ControlError::Io { path, source: error },
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

/// The group of the socket, or of its directory where the socket itself cannot be looked at.
fn who_may(path: &Path) -> String {
    let found = std::fs::metadata(path)
        .or_else(|_| std::fs::metadata(path.parent().unwrap_or(Path::new("/"))));
    let Ok(found) = found else { return "the user who runs Floodwall".into() };
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    match group_name(&groups, found.gid()) {
        Some(name) => format!("a member of the group `{name}`"),
        None => format!("a member of the group with number {}", found.gid()),
    }
}

/// The name of a group in the format of group(5).
pub(super) fn group_name(groups: &str, gid: u32) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then_some(name)
    })
}
