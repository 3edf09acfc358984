//! Opening what was named on the command line: plain or gzip, log or capture, told apart by content,
//! or standard input. What is neither is refused here, in words that say what to do.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::error::ReplayError;

/// An opened input, ready to be split into lines.
pub(crate) type Bytes = Box<dyn Read + Send>;

/// How a file that is no log begins, what it is, and how to unpack it.
const FOREIGN: [(&[u8], &str, &str); 4] = [
    (b"\x28\xb5\x2f\xfd", "zstd", "zstdcat"),
    (b"\xfd7zXZ\0", "xz", "xzcat"),
    (b"BZh", "bzip2", "bzcat"),
    (b"PK\x03\x04", "zip", "unzip -p"),
];

/// How packet captures begin (pcap in either byte order and resolution, the "modified" pcap of
/// Kuznetzov's patch, pcapng).
const CAPTURES: [&[u8]; 7] = [
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x34\xcd\xb2\xa1",
    b"\xa1\xb2\xcd\x34",
    b"\x0a\x0d\x0d\x0a",
];

const GZIP: &[u8] = b"\x1f\x8b";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes looked at to tell what a file is.
const MAGIC_BYTES: usize = 6;

/// Whether `path` means standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens `path`, a log. `read_bytes` counts what is read from the disk.
pub(crate) fn open(path: &Path, read_bytes: &Arc<AtomicU64>) -> Result<Bytes, ReplayError> {
    let (magic, unpacked) = open_any(path, read_bytes)?;
    without_mark(path, &magic, unpacked)
}

/// Opens `path`, a capture. Returns how it begins, and the whole of it.
pub(crate) fn open_capture(
    path: &Path,
    read_bytes: &Arc<AtomicU64>,
) -> Result<(Vec<u8>, Bytes), ReplayError> {
    open_any(path, read_bytes)
}

/// Opens `path` and unpacks it if it is packed.
fn open_any(path: &Path, read_bytes: &Arc<AtomicU64>) -> Result<(Vec<u8>, Bytes), ReplayError> {
    let wrong = |source| ReplayError::Open { path: path.to_owned(), source };
    let raw: Bytes = if is_stdin(path) {
        Box::new(io::stdin())
    } else {
        let file = File::open(path).map_err(wrong)?;
        if file.metadata().map_err(wrong)?.is_dir() {
            return Err(ReplayError::Directory { path: path.to_owned() });
        }
        Box::new(file)
    };
    let counted = Counted { input: raw, bytes: Arc::clone(read_bytes) };
    let (magic, whole) = peek(counted).map_err(wrong)?;
    if magic.starts_with(GZIP) {
        let (magic, unpacked) = peek(MultiGzDecoder::new(whole)).map_err(wrong)?;
        return Ok((magic, Box::new(unpacked)));
    }
    Ok((magic, Box::new(whole)))
}

/// Whether `path` is a packet capture, told by its beginning and without taking anything away from
/// it. A pipe with a name cannot be looked into: it is taken for a log.
pub(crate) fn is_capture(path: &Path) -> Result<bool, ReplayError> {
    let wrong = |source| ReplayError::Open { path: path.to_owned(), source };
    let magic = if is_stdin(path) {
        // What is looked at stays in the buffer that all of this process shares.
        let mut stdin = io::stdin().lock();
        let beginning = stdin.fill_buf().map_err(wrong)?;
        match beginning.starts_with(GZIP) {
            // Cut short by the buffer: what it begins with comes out nevertheless.
            true => peek(MultiGzDecoder::new(beginning)).map_or(Vec::new(), |(magic, _)| magic),
            false => beginning.get(..MAGIC_BYTES).unwrap_or(beginning).to_vec(),
        }
    } else if is_rereadable(path) {
        open_any(path, &Arc::default())?.0
    } else {
        return Ok(false);
    };
    Ok(CAPTURES.iter().any(|capture| magic.starts_with(capture)))
}

/// Refuses what is no text, leaves the rest as it is but for a byte order mark.
fn without_mark(
    path: &Path,
    magic: &[u8],
    mut input: impl Read + Send + 'static,
) -> Result<Bytes, ReplayError> {
    if CAPTURES.iter().any(|capture| magic.starts_with(capture)) {
        return Err(ReplayError::Capture { path: path.to_owned() });
    }
    if let Some((_, kind, unpack)) = FOREIGN.iter().find(|(start, _, _)| magic.starts_with(start)) {
        return Err(ReplayError::Compressed { path: path.to_owned(), kind, unpack });
    }
    if magic.starts_with(BYTE_ORDER_MARK) {
        let wrong = |source| ReplayError::Open { path: path.to_owned(), source };
        input.read_exact(&mut [0; BYTE_ORDER_MARK.len()]).map_err(wrong)?;
    }
    Ok(Box::new(input))
}

/// The first bytes of `input`, and the whole of it.
fn peek<R: Read>(mut input: R) -> io::Result<(Vec<u8>, impl Read + use<R>)> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    input.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    Ok((magic.clone(), io::Cursor::new(magic).chain(input)))
}

/// Counts what passes.
struct Counted {
    input: Bytes,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Whether `path` can be read twice: a pipe cannot.
pub(crate) fn is_rereadable(path: &Path) -> bool {
    !is_stdin(path) && path.metadata().is_ok_and(|meta| meta.is_file())
}

/// Whether both paths lead to one file.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => a.is_file() && a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

/// Bytes on disk, 0 where that is not known.
pub(crate) fn size_bytes(path: &Path) -> u64 {
    if is_rereadable(path) { path.metadata().map_or(0, |meta| meta.len()) } else { 0 }
}

/// The name of an input in messages.
pub(crate) fn shown(path: &Path) -> PathBuf {
    if is_stdin(path) { PathBuf::from("standard input") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn opened(content: &[u8]) -> Result<Vec<u8>, ReplayError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut bytes = Vec::new();
        open(file.path(), &Arc::default())?.read_to_end(&mut bytes).unwrap();
        Ok(bytes)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_told_by_content_and_may_have_several_members() {
        assert_eq!(opened(b"hello\n").unwrap(), b"hello\n");
        assert_eq!(opened(b"").unwrap(), b"");
        let two = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(opened(&two).unwrap(), b"one\ntwo\n");
        assert_eq!(opened(&gzip(b"")).unwrap(), b"");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(opened(b"\xef\xbb\xbfhello").unwrap(), b"hello");
    }

    #[test]
    fn what_is_no_log_is_refused_with_advice() {
        let words = |content: &[u8]| opened(content).unwrap_err().to_string();
        assert!(words(b"\xd4\xc3\xb2\xa1\x02\x00").contains("packet capture"));
        assert!(words(b"\x0a\x0d\x0d\x0a....").contains("packet capture"));
        assert!(words(&gzip(b"\xd4\xc3\xb2\xa1\x02\x00")).contains("packet capture"));
        assert!(words(b"\x28\xb5\x2f\xfd....").contains("zstdcat"));
        assert!(words(b"\xfd7zXZ\0").contains("xzcat"));
    }

    #[test]
    fn a_missing_file_and_a_directory_are_named() {
        let counter = Arc::default();
        let words = |path: &Path| open(path, &counter).err().unwrap().to_string();
        assert!(words(Path::new("/nonexistent/x.log")).contains("/nonexistent/x.log"));
        assert!(words(&std::env::temp_dir()).contains("directory"));
    }

    #[test]
    fn bytes_are_counted_as_they_lie_on_the_disk() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let packed = gzip(&vec![b'x'; 100_000]);
        file.write_all(&packed).unwrap();
        let counter = Arc::default();
        open(file.path(), &counter).unwrap().read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(counter.load(Ordering::Relaxed), packed.len() as u64);
    }
}
