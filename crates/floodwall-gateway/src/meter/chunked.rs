//! Where a chunked body ends (RFC 9112 § 7.1).
//!
//! The decoder behind hands the content on; this only finds the end, strictly, so that the next
//! head is looked for where the origin would look for it. Extensions and trailers are dropped when
//! the body is written anew, and bounded here.

use floodwall_model::Reason;

/// Bytes of chunk extensions in one body. Beyond: refused; nobody uses them honestly.
const EXTENSION_BYTES_MAX: usize = 4 * 1024;
/// Bytes of trailers. Beyond: refused.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Chunks smaller than [`SMALL_CHUNK_BYTES`] in one body before it is refused: each costs us more
/// than the sender.
const SMALL_CHUNKS_MAX: usize = 1_000;
const SMALL_CHUNK_BYTES: u64 = 64;

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Expect {
    /// Hex digits of a size; how many came.
    Size(u8),
    Extension,
    /// The LF after a size line's CR.
    SizeEnd,
    Content,
    ContentCr,
    ContentLf,
    /// At the start of a trailer line.
    Trailer,
    TrailerLine,
    TrailerLineLf,
    LastLf,
    Done,
}

/// Follows a chunked body.
#[derive(Debug)]
pub(crate) struct ChunkScanner {
    expect: Expect,
    left: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    small_chunks: usize,
}

impl ChunkScanner {
    pub(crate) const fn new() -> Self {
        ChunkScanner {
            expect: Expect::Size(0),
            left: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            small_chunks: 0,
        }
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.expect == Expect::Done
    }

    /// Follows `bytes` and tells how many of them belong to this body.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if self.expect == Expect::Content {
                let n = self.left.min((bytes.len() - at) as u64);
                self.left -= n;
                at += n as usize;
                if self.left == 0 {
                    self.expect = Expect::ContentCr;
                }
                continue;
            }
            self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), Reason> {
        self.expect = match (self.expect, byte) {
            // Sixteen hex digits fit into 64 bits; more would wrap in somebody's parser.
            (Expect::Size(n), b) if n < 16 && b.is_ascii_hexdigit() => {
                let digit = (b as char).to_digit(16).unwrap_or(0);
                self.left = (self.left << 4) | u64::from(digit);
                Expect::Size(n + 1)
            }
            (Expect::Size(1..), b'\r') => Expect::SizeEnd,
            (Expect::Size(1..), b';') => self.extension(byte)?,
            (Expect::Extension, b'\r') => Expect::SizeEnd,
            (Expect::Extension, _) => self.extension(byte)?,
            (Expect::SizeEnd, b'\n') if self.left == 0 => Expect::Trailer,
            (Expect::SizeEnd, b'\n') => self.chunk()?,
            (Expect::ContentCr, b'\r') => Expect::ContentLf,
            (Expect::ContentLf, b'\n') => Expect::Size(0),
            (Expect::Trailer, b'\r') => Expect::LastLf,
            (Expect::LastLf, b'\n') => Expect::Done,
            (Expect::TrailerLine, b'\r') => Expect::TrailerLineLf,
            (Expect::TrailerLineLf, b'\n') => Expect::Trailer,
            // A trailer that begins with white space would be an obs-fold.
            (Expect::Trailer, b' ' | b'\t') => return Err(Reason::Malformed),
            (Expect::Trailer | Expect::TrailerLine, b) => self.trailer(b)?,
            _ => return Err(Reason::Malformed),
        };
        Ok(())
    }

    fn chunk(&mut self) -> Result<Expect, Reason> {
        if self.left < SMALL_CHUNK_BYTES {
            self.small_chunks += 1;
            if self.small_chunks > SMALL_CHUNKS_MAX {
                return Err(Reason::Malformed);
            }
        }
        Ok(Expect::Content)
    }

    fn extension(&mut self, byte: u8) -> Result<Expect, Reason> {
        self.extension_bytes += 1;
        let sound = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if sound && self.extension_bytes <= EXTENSION_BYTES_MAX {
            Ok(Expect::Extension)
        } else {
            Err(Reason::Malformed)
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<Expect, Reason> {
        self.trailer_bytes += 1;
        let sound = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if sound && self.trailer_bytes <= TRAILER_BYTES_MAX {
            Ok(Expect::TrailerLine)
        } else {
            Err(Reason::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that belong to the body, if it ended.
    fn follow(bytes: &[u8]) -> Result<Option<usize>, Reason> {
        let mut scanner = ChunkScanner::new();
        let followed = scanner.follow(bytes)?;
        Ok(scanner.is_done().then_some(followed))
    }

    #[test]
    fn bodies_end_where_they_end() {
        for (body, rest) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "GET "),
            ("A\r\n0123456789\r\n0\r\n\r\n", ""),
            ("5;ext=\"x\"\r\nhello\r\n0;y\r\n\r\n", "x"),
            ("0\r\nTrailer: x\r\nSecond: y\r\n\r\n", "more"),
            ("00005\r\nhello\r\n000\r\n\r\n", ""),
        ] {
            let bytes = format!("{body}{rest}");
            assert_eq!(follow(bytes.as_bytes()), Ok(Some(body.len())), "{bytes:?}");
        }
    }

    #[test]
    fn sloppy_chunks_are_refused() {
        for body in [
            "5\nhello\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloX\r\n",
            "\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 \r\n",
            "-1\r\n",
            "10000000000000000\r\n",
            "0\r\n\n",
            "0\r\n folded\r\n\r\n",
            "5;\0\r\n",
            "0\r\na\nb\r\n\r\n",
        ] {
            assert_eq!(follow(body.as_bytes()), Err(Reason::Malformed), "{body:?}");
        }
    }

    #[test]
    fn extensions_trailers_and_tiny_chunks_are_bounded() {
        let extension = format!("5;{}", "x".repeat(EXTENSION_BYTES_MAX));
        assert!(follow(extension.as_bytes()).is_err());
        let trailer = format!("0\r\n{}", "x".repeat(TRAILER_BYTES_MAX + 1));
        assert!(follow(trailer.as_bytes()).is_err());
        assert!(follow("1\r\nx\r\n".repeat(SMALL_CHUNKS_MAX).as_bytes()).is_ok());
        assert!(follow("1\r\nx\r\n".repeat(SMALL_CHUNKS_MAX + 1).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_end_is_the_same(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
            cut in 1usize..7
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            let end = bytes.len();
            bytes.extend_from_slice(b"next");
            let mut scanner = ChunkScanner::new();
            let mut followed = 0;
            for piece in bytes.chunks(cut) {
                followed += scanner.follow(piece).unwrap();
                if scanner.is_done() {
                    break;
                }
            }
            prop_assert_eq!(followed, end);
        }
    }
}
