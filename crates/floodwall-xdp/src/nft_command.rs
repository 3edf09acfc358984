//! Running nft(8): found once, given its transaction on standard input, never through a shell.
//!
//! It must never be looked for in a directory that is named relative to the current one: whoever
//! can write there would be root.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::AttachError;
use crate::nft::own_the_table;
use crate::nft_ruleset;
use crate::probe::capabilities_missing;

/// Where it is when PATH does not say so, as after `su`.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Bans in the table that a trial asks for.
const TRIAL_BANS: u32 = 1;

/// What nft(8) said against a transaction.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("nft: {0}")]
pub(crate) struct NftError(String);

impl NftError {
    /// As a reason why there is no filter.
    pub(crate) fn attach_error(&self) -> AttachError {
        if self.0.contains("Operation not permitted") {
            AttachError::NotPermitted { detail: self.to_string() }
        } else {
            AttachError::Kernel { detail: self.to_string() }
        }
    }
}

/// The program nft(8).
#[derive(Clone, Debug)]
pub(crate) struct Nft {
    path: PathBuf,
}

impl Nft {
    /// In PATH, else where systems put it.
    pub(crate) fn find() -> Option<Nft> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        find_in(&path).or_else(|| {
            let system = std::env::join_paths(SYSTEM_DIRECTORIES).ok()?;
            find_in(&system)
        })
    }

    /// Carries out `transaction` whole or not at all, in the calling thread's network namespace.
    pub(crate) fn commit(&self, transaction: &str) -> Result<(), NftError> {
        self.run(&["-f", "-"], transaction).map(|_| ())
    }

    /// Asks the kernel whether it would take `transaction`, and changes nothing.
    pub(crate) fn check(&self, transaction: &str) -> Result<(), NftError> {
        self.run(&["-c", "-f", "-"], transaction).map(|_| ())
    }

    /// The answer to a question that is no transaction.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String, NftError> {
        self.run(arguments, "")
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<String, NftError> {
        let failed = |error: std::io::Error| NftError(error.to_string());
        let mut child = Command::new(&self.path)
            .args(arguments)
            .env_clear()
            // The answers are read.
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // It reads all of it before it says anything. If it ends early, what it says tells more.
        let written = child.stdin.take().map_or(Ok(()), |mut to| to.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            written.map_err(failed)?;
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(NftError(complaint(&said).unwrap_or("it failed and did not say why").to_owned()))
    }
}

/// The line of nft's complaint that says what is wrong.
fn complaint(said: &str) -> Option<&str> {
    let telling = |line: &&str| line.contains("Error:") || line.contains("not permitted");
    let line = said.lines().find(telling).or_else(|| said.lines().next())?;
    let line = line.split_once("Error: ").map_or(line, |(_, rest)| rest).trim();
    (!line.is_empty()).then_some(line)
}

fn find_in(path: &OsStr) -> Option<Nft> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("nft"))
        .find(|file| file.is_file())
        .map(|path| Nft { path })
}

/// What nftables can do for this process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NftState {
    /// The kernel would take the table of bans.
    Works,
    /// The program `nft` is not installed.
    Missing,
    /// It is there, but this process may not use it.
    NotPermitted,
    /// It is there, and the kernel would not take the table of bans; with what it said.
    Refused(String),
    /// Another Floodwall keeps its bans there now.
    Taken,
}

/// Asks the kernel whether it would take the table of bans, and changes nothing.
pub fn nft_state() -> NftState {
    let Some(nft) = Nft::find() else { return NftState::Missing };
    if capabilities_missing().contains(&"CAP_NET_ADMIN") {
        return NftState::NotPermitted;
    }
    match nft.check(&nft_ruleset::table(TRIAL_BANS)) {
        Ok(()) if matches!(own_the_table(), Err(AttachError::TableTaken)) => NftState::Taken,
        Ok(()) => NftState::Works,
        Err(error) => match error.attach_error() {
            AttachError::NotPermitted { .. } => NftState::NotPermitted,
            _ => NftState::Refused(error.0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_in_absolute_directories_alone() {
        let place = tempfile::tempdir().unwrap();
        assert!(find_in(place.path().as_os_str()).is_none(), "nothing is there");
        std::fs::create_dir(place.path().join("nft")).unwrap();
        assert!(find_in(place.path().as_os_str()).is_none(), "a directory is no program");
        std::fs::remove_dir(place.path().join("nft")).unwrap();
        std::fs::write(place.path().join("nft"), "").unwrap();
        assert_eq!(find_in(place.path().as_os_str()).unwrap().path, place.path().join("nft"));
        for path in ["", ".", "bin:.:.."] {
            assert!(find_in(OsStr::new(path)).is_none(), "{path}");
        }
    }

    #[test]
    fn a_complaint_is_cut_to_what_it_says() {
        for (said, expected) in [
            (
                "Error: Could not process rule: No such file or directory\nget x\n^^^\n",
                Some("Could not process rule: No such file or directory"),
            ),
            (
                "/dev/stdin:1:74-74: Error: syntax error, unexpected '}'\n",
                Some("syntax error, unexpected '}'"),
            ),
            (
                "Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed: Operation not permitted\n",
                Some("Operation not permitted (you must be root)"),
            ),
            ("", None),
        ] {
            assert_eq!(complaint(said), expected, "{said}");
        }
        let error = NftError("Operation not permitted (you must be root)".to_owned());
        assert!(matches!(error.attach_error(), AttachError::NotPermitted { .. }));
    }
}
