//! What the engine learned, kept as one file of bytes beside the database.
//!
//! Not in the database: it is written whole every five minutes, and megabytes in the write-ahead log
//! would make every incident wait and the log stay large. The file is written under another name
//! and put in place in one move, so that a kill or a power cut leaves the old one whole.
//!
//! Layout: `FlWlMem1`, length and checksum (SipHash-1-3 under key 0, against disks and not against
//! people) of what follows as eight bytes each, little-endian, then the bytes, of which this crate
//! knows nothing.

use std::fs::File;
use std::hash::Hasher;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher13;

use crate::error::StoreError;
use crate::store::Store;

/// Largest memory kept. A longer one is refused: something is wrong with it, and it would fill the
/// disk every five minutes.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

const MARK: &[u8; 8] = b"FlWlMem1";
const HEAD_BYTES: usize = 24;

impl Store {
    /// Keeps `bytes` in place of what was kept before; all or nothing.
    pub fn save_memory(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let path = memory_path(self.path());
        if bytes.len() > MEMORY_BYTES_MAX {
            let what = format!("it has {} bytes", bytes.len());
            return Err(StoreError::UnstorableMemory { what });
        }
        check_replaceable(&path)?;
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                StoreError::Full { path: path.clone() }
            }
            _ => StoreError::Open { path: path.clone(), source },
        };
        let unfinished = with_ending(&path, ".new");
        let written = write_whole(&unfinished, bytes);
        if written.is_err() {
            // Half a file helps nobody, and on a full disk it is in the way.
            let _ = std::fs::remove_file(&unfinished);
        }
        written.map_err(failed)?;
        std::fs::rename(&unfinished, &path).map_err(failed)?;
        // The move itself must survive a power cut, too.
        let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        File::open(directory).and_then(|d| d.sync_all()).map_err(failed)
    }

    /// What is kept, if anything.
    pub fn memory(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let path = memory_path(self.path());
        let damaged = |what: &str| StoreError::Memory { path: path.clone(), what: what.into() };
        let failed = |source| StoreError::Open { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        let most = (HEAD_BYTES + MEMORY_BYTES_MAX) as u64 + 1;
        file.take(most).read_to_end(&mut bytes).map_err(failed)?;
        if !bytes.starts_with(MARK) {
            return Err(not_ours(&path));
        }
        let word = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
        };
        let (Some(length), Some(sum)) = (word(8), word(16)) else {
            return Err(damaged("it ends within its head"));
        };
        let body = &bytes[HEAD_BYTES..];
        if body.len() as u64 != length {
            return Err(damaged("its length is not what it says"));
        }
        if checksum(body) != sum {
            return Err(damaged("its checksum is not what it says"));
        }
        bytes.drain(..HEAD_BYTES);
        Ok(Some(bytes))
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(MARK)?;
    file.write_all(&(bytes.len() as u64).to_le_bytes())?;
    file.write_all(&checksum(bytes).to_le_bytes())?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A damaged or outdated memory of ours may be replaced, since what it held cannot be used and is
/// learned anew; a file of somebody else never.
fn check_replaceable(path: &Path) -> Result<(), StoreError> {
    let mut mark = [0; MARK.len()];
    match File::open(path).and_then(|mut file| file.read_exact(&mut mark)) {
        Ok(()) if mark == *MARK => Ok(()),
        Ok(()) => Err(not_ours(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => match std::fs::metadata(path) {
            Ok(file) if file.len() == 0 => Ok(()),
            _ => Err(not_ours(path)),
        },
        Err(source) => Err(StoreError::Open { path: path.to_owned(), source }),
    }
}

fn not_ours(path: &Path) -> StoreError {
    StoreError::Memory {
        path: path.to_owned(),
        what: "another program made it; it is left alone, and nothing is kept across restarts \
               until it is moved away"
            .into(),
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(bytes);
    hasher.finish()
}

fn memory_path(database: &Path) -> PathBuf {
    with_ending(database, ".memory")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn open(dir: &tempfile::TempDir) -> (Store, PathBuf) {
        let path = dir.path().join("floodwall.db");
        (Store::open(&path).unwrap(), memory_path(&path))
    }

    #[test]
    fn what_is_kept_is_what_is_read_and_the_newest_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = open(&dir);
        assert_eq!(store.memory().unwrap(), None);
        for bytes in [&b"first"[..], b"", b"the third is longer"] {
            store.save_memory(bytes).unwrap();
            assert_eq!(store.memory().unwrap().as_deref(), Some(bytes));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!with_ending(&path, ".new").exists());
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_noticed_and_the_next_memory_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = open(&dir);
        store.save_memory(&[7; 50]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            assert!(matches!(store.memory(), Err(StoreError::Memory { .. })), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(matches!(store.memory(), Err(StoreError::Memory { .. })), "cut at {at}");
        }
        std::fs::write(&path, &whole[..30]).unwrap();
        store.save_memory(b"anew").unwrap();
        assert_eq!(store.memory().unwrap().as_deref(), Some(&b"anew"[..]));
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = open(&dir);
        for theirs in ["dear diary", "note"] {
            std::fs::write(&path, theirs).unwrap();
            let error = store.save_memory(b"x").unwrap_err().to_string();
            assert!(error.contains("left alone"), "{error}");
            assert!(store.memory().is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), theirs);
        }
    }

    #[test]
    fn one_that_is_too_large_is_refused_and_the_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(&dir);
        store.save_memory(b"old").unwrap();
        assert!(store.save_memory(&vec![0; MEMORY_BYTES_MAX + 1]).is_err());
        assert_eq!(store.memory().unwrap().as_deref(), Some(&b"old"[..]));
    }
}
