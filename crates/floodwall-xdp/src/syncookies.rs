//! Makes the kernel take back the SYN cookies that the filter sends: net.ipv4.tcp_syncookies is 2
//! while the SYN proof stands, and what it was before afterwards. It covers IPv6 too
//! (Documentation/networking/ip-sysctl.rst).
//!
//! A process that is killed cannot put it back. So the old value is written to a file first, where
//! the caller names one, and the next start puts it back from there.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

const SETTING: &str = "/proc/sys/net/ipv4/tcp_syncookies";
/// Every connection by cookie, and cookies are taken.
const ALWAYS: &str = "2";

/// The setting of one network namespace.
#[derive(Debug)]
pub(crate) struct SynCookies {
    /// Open from the start: it stays the setting of the namespace it was opened in.
    setting: Option<File>,
    note: Option<PathBuf>,
    before: Option<String>,
}

impl SynCookies {
    /// The calling thread's namespace's. Puts back what a killed predecessor noted in `note`.
    pub(crate) fn open(note: Option<PathBuf>) -> SynCookies {
        let setting = File::options().read(true).write(true).open(SETTING).ok();
        let mut cookies = SynCookies { setting, note, before: None };
        if let Some(before) = cookies.noted() {
            tracing::info!(value = before, "tcp_syncookies put back after an unclean end");
            cookies.before = Some(before);
            cookies.restore();
        }
        cookies
    }

    /// What was noted; only a value that the setting can have.
    fn noted(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.note.as_ref()?).ok()?;
        let value = text.trim().to_owned();
        ["0", "1", "2"].contains(&value.as_str()).then_some(value)
    }

    fn write(&mut self, value: &str) -> io::Result<()> {
        let setting = self.setting.as_mut().ok_or_else(|| io::Error::other("not writable"))?;
        setting.rewind()?;
        setting.write_all(value.as_bytes())
    }

    fn read(&mut self) -> io::Result<String> {
        let setting = self.setting.as_mut().ok_or_else(|| io::Error::other("not writable"))?;
        let mut text = String::new();
        setting.rewind()?;
        setting.read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    }

    /// Cookies are taken from now on.
    pub(crate) fn raise(&mut self) -> io::Result<()> {
        if self.before.is_some() {
            return Ok(());
        }
        let before = self.read()?;
        if let Some(note) = &self.note {
            std::fs::write(note, &before)?;
        }
        self.write(ALWAYS)?;
        self.before = Some(before);
        Ok(())
    }

    /// As it was before.
    pub(crate) fn restore(&mut self) {
        let Some(before) = self.before.take() else { return };
        if let Err(error) = self.write(&before) {
            tracing::warn!(%error, value = before, "tcp_syncookies could not be put back");
            return;
        }
        if let Some(note) = &self.note {
            // Left behind it would put back the same value once more.
            let _ = std::fs::remove_file(note);
        }
    }
}

impl Drop for SynCookies {
    fn drop(&mut self) {
        self.restore();
    }
}
