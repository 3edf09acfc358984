//! The control protocol: one line of JSON asks, one line of JSON answers, over a Unix socket.
//!
//! Threads of the standard library and no runtime: a few requests a minute come from people of this
//! host, and the socket has to answer when the runtimes are busy with an attack. Everything is
//! bounded all the same, since a member of the group may be careless.
//!
//! The socket's mode (0660) is the whole authorisation. It must never be open to others, not even
//! for the moment between making and restricting it.

mod client;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use floodwall_model::Incident;
use serde::{Deserialize, Serialize};

pub use client::ask;
pub use server::{ControlServer, Handler};

use crate::status::Status;
use crate::summary::IncidentSummary;

/// Connections served at once. When full: the next is told so and closed, and counted.
pub const CONNECTIONS_MAX: usize = 16;

/// Longest request line. When longer: the connection gets an error and is closed.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Longest answer that a client accepts. When longer: the client says so.
pub const RESPONSE_BYTES_MAX: usize = 8 << 20;

/// A whole exchange, from connection to answer, takes no longer at the server.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What is going on.
    Status,
    /// The newest incidents.
    Incidents {
        /// How many at most.
        limit: usize,
    },
    /// One incident, whole.
    Incident {
        /// Its number.
        id: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// What is going on.
    Status {
        /// It.
        status: Box<Status>,
    },
    /// The newest incidents.
    Incidents {
        /// Newest first.
        incidents: Vec<IncidentSummary>,
        /// Numbers of incidents whose record cannot be read.
        unreadable: Vec<u64>,
    },
    /// One incident.
    Incident {
        /// It.
        incident: Box<Incident>,
    },
    /// It could not be answered.
    Error {
        /// Why, for programs.
        kind: ErrorKind,
        /// Why, for people.
        message: String,
    },
}

/// Why a request could not be answered.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The line is no request (the client's).
    BadRequest,
    /// No such incident (the client's).
    NotFound,
    /// As many connections as there may be are served (wait).
    Busy,
    /// The answer could not be made (ours; the message says why).
    Internal,
}

/// What can go wrong on either side of the socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no Floodwall is running here: no socket at {}; start it with `floodwall run`", .0.display())]
    NotRunning(PathBuf),
    /// The socket is left over.
    #[error("no Floodwall is running here: the socket at {} was left by one that ended; start it with `floodwall run`", .0.display())]
    Ended(PathBuf),
    /// The caller may not.
    #[error("{}: permission denied; run this as root or as {allowed}", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
        /// Who may, in words.
        allowed: String,
    },
    /// Another Floodwall is there.
    #[error("a Floodwall is already running here: it answers at {}; stop it first, or give this one another control_socket", .0.display())]
    AlreadyRunning(PathBuf),
    /// The path is taken by something that is no socket. It is left alone.
    #[error("{}: this is not a socket; nothing was changed; give another control_socket, or move it away", .0.display())]
    NotASocket(PathBuf),
    /// The kernel takes no longer path (sockaddr_un, unix(7)).
    #[error("{}: longer than the {max} bytes that a socket's path may have; give a shorter control_socket", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// What may be.
        max: usize,
    },
    /// The other side took too long.
    #[error("Floodwall did not answer at {} within {} seconds; it may be overloaded or stopped", .0.display(), client::ANSWER_TIME_MAX.as_secs())]
    TimedOut(PathBuf),
    /// The answer makes no sense here.
    #[error("the answer from {} cannot be understood ({what}); is it another version of Floodwall?", path.display())]
    BadAnswer {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Anything else that the system says.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

impl ControlError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ControlError {
        let path = path.to_owned();
        move |source| ControlError::Io { path, source }
    }
}

/// Reads up to a line feed, or to the end, or to `max` bytes, always within `deadline`.
/// `None` when there are more than `max` bytes.
fn read_line(
    stream: &mut std::os::unix::net::UnixStream,
    max: usize,
    deadline: std::time::Instant,
) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let mut line = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        // Per read, so that one byte every few seconds does not hold the connection for ever.
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut buffer)?;
        let new = buffer.get(..read).unwrap_or_default();
        let end = new.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(new.get(..end.unwrap_or(read)).unwrap_or_default());
        if line.len() > max {
            return Ok(None);
        }
        if end.is_some() || read == 0 {
            return Ok(Some(line));
        }
    }
}

/// Writes all within `deadline`.
fn write_all(
    stream: &mut std::os::unix::net::UnixStream,
    mut bytes: &[u8],
    deadline: std::time::Instant,
) -> std::io::Result<()> {
    use std::io::Write;
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        let written = stream.write(bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
#[path = "control/tests.rs"]
mod tests;
