//! Makes the kernel take back the SYN cookies that the filter sends: net.ipv4.tcp_syncookies is 2
//! while the SYN proof stands, and what it was before afterwards. It covers IPv6 too
//! (Documentation/networking/ip-sysctl.rst).
//!
//! The setting is the host's and filters may be several, one per interface: the first whose proof
//! rises changes it, the last whose proof falls puts it back. If each did so by itself, the second
//! would take 2 for what was before, and leave it behind.
//!
//! A process that is killed cannot put it back. So the old value is written to a file first, where
//! the caller names one, and the next start puts it back from there.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SETTING: &str = "/proc/sys/net/ipv4/tcp_syncookies";
/// Every connection by cookie, and cookies are taken.
const ALWAYS: &str = "2";

/// The setting of one network namespace, shared by all filters there.
#[derive(Clone, Debug)]
pub struct SynCookieSetting(Arc<Mutex<Setting>>);

impl SynCookieSetting {
    /// The calling thread's namespace's. Puts back what a killed predecessor noted in `note`.
    pub fn open(note: Option<PathBuf>) -> SynCookieSetting {
        let setting = File::options().read(true).write(true).open(SETTING).ok();
        let mut setting = Setting { setting, note, before: None, holders: 0 };
        if let Some(before) = setting.noted() {
            tracing::info!(value = before, "tcp_syncookies put back after an unclean end");
            setting.before = Some(before);
            setting.restore();
        }
        SynCookieSetting(Arc::new(Mutex::new(setting)))
    }

    fn lock(&self) -> MutexGuard<'_, Setting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Setting {
    /// Open from the start: it stays the setting of the namespace it was opened in.
    setting: Option<File>,
    note: Option<PathBuf>,
    before: Option<String>,
    /// Filters whose proof stands.
    holders: usize,
}

impl Setting {
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

    fn raise(&mut self) -> io::Result<()> {
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

    fn restore(&mut self) {
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

/// One filter's hold on the setting.
#[derive(Debug)]
pub(crate) struct SynCookies {
    setting: SynCookieSetting,
    holds: bool,
}

impl SynCookies {
    pub(crate) fn new(setting: SynCookieSetting) -> SynCookies {
        SynCookies { setting, holds: false }
    }

    /// Cookies are taken from now on.
    pub(crate) fn raise(&mut self) -> io::Result<()> {
        let mut setting = self.setting.lock();
        setting.raise()?;
        setting.holders += usize::from(!self.holds);
        self.holds = true;
        Ok(())
    }

    /// As it was before, unless another filter's proof stands.
    pub(crate) fn restore(&mut self) {
        if !std::mem::take(&mut self.holds) {
            return;
        }
        let mut setting = self.setting.lock();
        setting.holders -= 1;
        if setting.holders == 0 {
            setting.restore();
        }
    }
}

impl Drop for SynCookies {
    fn drop(&mut self) {
        self.restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in place of the setting, whose content after a rewind and a shorter write is longer
    /// than in /proc; all values are of one digit.
    fn setting(place: &std::path::Path) -> SynCookieSetting {
        let path = place.join("setting");
        std::fs::write(&path, "1").unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        let note = Some(place.join("note"));
        let setting = Setting { setting: Some(file), note, before: None, holders: 0 };
        SynCookieSetting(Arc::new(Mutex::new(setting)))
    }

    #[test]
    fn the_last_of_several_filters_puts_the_setting_back() {
        let place = tempfile::tempdir().unwrap();
        let value = || std::fs::read_to_string(place.path().join("setting")).unwrap();
        let shared = setting(place.path());
        let mut first = SynCookies::new(shared.clone());
        let mut second = SynCookies::new(shared.clone());
        for _ in 0..2 {
            first.raise().unwrap();
            second.raise().unwrap();
        }
        assert_eq!(value(), "2");
        assert_eq!(std::fs::read_to_string(place.path().join("note")).unwrap(), "1");
        first.restore();
        first.restore();
        assert_eq!(value(), "2", "the second one's proof stands");
        second.restore();
        assert_eq!(value(), "1");
        assert!(!place.path().join("note").exists());

        second.raise().unwrap();
        first.raise().unwrap();
        drop(second);
        assert_eq!(value(), "2", "an interface went away, the other one's proof stands");
        drop(first);
        assert_eq!(value(), "1");
    }
}
