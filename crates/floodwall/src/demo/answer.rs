//! Reads an HTTP/1.1 answer as it arrives, keeping nothing of its body.
//!
//! Hand-written because the load generator shares two cores with what it measures: thousands of
//! connections hold no buffer while they wait. It reads what the gateway sends, so whatever comes
//! must end in an answer or an error, never in a panic. Framing follows RFC 9112 § 6.3.

/// Longest answer head, bytes. When longer: the answer is an error.
const HEAD_BYTES_MAX: usize = 16_384;
/// Header fields in an answer. When more: the answer is an error.
const FIELDS_MAX: usize = 64;
/// Longest line of a chunked body's framing, bytes.
const CHUNK_LINE_BYTES_MAX: usize = 4_096;

/// The answer cannot be understood.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum AnswerError {
    /// Not HTTP/1.x.
    #[error("the answer is not HTTP/1.1")]
    Malformed,
    /// Head or framing line too long.
    #[error("the answer's head is too long")]
    TooLong,
    /// The connection ended within the answer.
    #[error("the connection was closed before the answer was whole")]
    Cut,
}

/// One answer being read.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    state: State,
    /// What came of a head or framing line that is not whole yet.
    partial: Vec<u8>,
    head_request: bool,
    status: u16,
    keep_alive: bool,
    cookie: Option<String>,
    started: bool,
}

#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Head,
    Body {
        left: u64,
    },
    UntilClose,
    ChunkSize,
    ChunkData {
        left: u64,
    },
    ChunkEnd,
    Trailers,
    Done,
}

impl AnswerReader {
    /// The answer to a request; `head_request` if its method was HEAD.
    pub(super) fn new(head_request: bool) -> Self {
        AnswerReader { head_request, ..AnswerReader::default() }
    }

    /// Takes the next bytes. `true` once the answer is whole.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, AnswerError> {
        self.started |= !bytes.is_empty();
        while !bytes.is_empty() && self.state != State::Done {
            bytes = match self.state {
                State::Head => self.head(bytes)?,
                State::Body { left } => {
                    let taken = left.min(bytes.len() as u64);
                    self.state = body(left - taken);
                    &bytes[taken as usize..]
                }
                State::UntilClose => &[],
                State::ChunkData { left } => {
                    let taken = left.min(bytes.len() as u64);
                    if taken == left {
                        self.state = State::ChunkEnd;
                    } else {
                        self.state = State::ChunkData { left: left - taken };
                    }
                    &bytes[taken as usize..]
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => self.line(bytes)?,
                State::Done => bytes,
            };
        }
        if !bytes.is_empty() {
            // Nobody asked for more: the two sides disagree on where the answer ended.
            self.keep_alive = false;
        }
        Ok(self.state == State::Done)
    }

    /// The connection ended. `true` if that is how the answer's end is told.
    pub(super) fn closed(&mut self) -> Result<(), AnswerError> {
        self.keep_alive = false;
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(AnswerError::Cut),
        }
    }

    /// Whether anything of an answer has come.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Status; 0 before the head is whole.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether another request may be sent on this connection.
    pub(super) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The cookie set, `name=value`.
    pub(super) fn take_cookie(&mut self) -> Option<String> {
        self.cookie.take()
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], AnswerError> {
        let held = self.partial.len();
        if held == 0 {
            // The usual case: the whole head came at once and is read where it lies.
            return match self.parse_head(bytes)? {
                Some(length) => Ok(&bytes[length..]),
                None => self.hold(bytes),
            };
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        match self.parse_head(&whole)? {
            Some(length) => Ok(&bytes[length.saturating_sub(held).min(bytes.len())..]),
            None => {
                self.partial = whole;
                self.hold(&[])
            }
        }
    }

    fn hold<'a>(&mut self, bytes: &[u8]) -> Result<&'a [u8], AnswerError> {
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > HEAD_BYTES_MAX {
            return Err(AnswerError::TooLong);
        }
        Ok(&[])
    }

    /// Reads a head at the start of `bytes`; its length if it is whole.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, AnswerError> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(AnswerError::Malformed),
        };
        let status = response.code.unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            // An interim answer; the real one follows (RFC 9110 § 15.2).
            return Ok(Some(length));
        }
        self.status = status;
        self.keep_alive = response.version == Some(1);
        let (mut chunked, mut content_length) = (false, None);
        for field in response.headers.iter() {
            let value = field.value;
            if field.name.eq_ignore_ascii_case("content-length") {
                content_length = Some(decimal(value).ok_or(AnswerError::Malformed)?);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.trim_ascii().to_ascii_lowercase().ends_with(b"chunked");
            } else if field.name.eq_ignore_ascii_case("connection") {
                if value.to_ascii_lowercase().windows(5).any(|word| word == b"close") {
                    self.keep_alive = false;
                }
            } else if field.name.eq_ignore_ascii_case("set-cookie") && self.cookie.is_none() {
                let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
                self.cookie = std::str::from_utf8(&value[..end]).ok().map(str::to_owned);
            }
        }
        self.state = match (status, chunked, content_length) {
            (204 | 304 | 101, ..) => State::Done,
            _ if self.head_request => State::Done,
            (_, true, _) => State::ChunkSize,
            (_, false, Some(left)) => body(left),
            (_, false, None) => State::UntilClose,
        };
        Ok(Some(length))
    }

    /// Takes one line of a chunked body's framing (RFC 9112 § 7.1).
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], AnswerError> {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            self.partial.extend_from_slice(bytes);
            if self.partial.len() > CHUNK_LINE_BYTES_MAX {
                return Err(AnswerError::TooLong);
            }
            return Ok(&[]);
        };
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(&bytes[..end]);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.state = match self.state {
            State::ChunkSize => match hexadecimal(line).ok_or(AnswerError::Malformed)? {
                0 => State::Trailers,
                left => State::ChunkData { left },
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Done,
            State::Trailers => State::Trailers,
            _ => return Err(AnswerError::Malformed),
        };
        Ok(&bytes[end + 1..])
    }
}

fn body(left: u64) -> State {
    if left == 0 { State::Done } else { State::Body { left } }
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// The size before any extension.
fn hexadecimal(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    u64::from_str_radix(std::str::from_utf8(&line[..end]).ok()?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Status, whether the connection lives on, and the cookie, of an answer fed in pieces.
    fn read(answer: &[u8], piece: usize) -> Result<(u16, bool, Option<String>), AnswerError> {
        let mut reader = AnswerReader::new(false);
        for bytes in answer.chunks(piece.max(1)) {
            if reader.feed(bytes)? {
                break;
            }
        }
        if reader.state != State::Done {
            reader.closed()?;
        }
        Ok((reader.status(), reader.keep_alive(), reader.take_cookie()))
    }

    fn check(answer: &str, expected: Result<(u16, bool, Option<&str>), AnswerError>) {
        let expected = expected.map(|(s, k, c)| (s, k, c.map(str::to_owned)));
        for piece in [1, 2, 7, 64, 10_000] {
            assert_eq!(read(answer.as_bytes(), piece), expected, "{answer:?} by {piece}");
        }
    }

    #[test]
    fn answers_end_where_their_framing_says() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Ok((200, true, None)));
        check("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Ok((304, true, None)));
        check(
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Ok((403, false, None)),
        );
        check("HTTP/1.1 200 OK\r\n\r\nuntil the end", Ok((200, false, None)));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwiki\r\n0\r\nT: 1\r\n\r\n",
            Ok((200, true, None)),
        );
        check(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            Ok((204, true, None)),
        );
        check(
            "HTTP/1.1 200 OK\r\nSet-Cookie: sid=ab; Path=/\r\nContent-Length: 0\r\n\r\n",
            Ok((200, true, Some("sid=ab"))),
        );
    }

    #[test]
    fn broken_answers_are_errors() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Err(AnswerError::Cut));
        check("HTTP/1.1 200 OK\r\nContent-Le", Err(AnswerError::Cut));
        check("SSH-2.0-OpenSSH_9.2\r\n\r\n", Err(AnswerError::Malformed));
        check("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Err(AnswerError::Malformed));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Err(AnswerError::Malformed),
        );
        check(&format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(20_000)), Err(AnswerError::TooLong));
    }

    #[test]
    fn more_than_was_asked_for_ends_the_connection() {
        let mut reader = AnswerReader::new(false);
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"), Ok(true));
        assert!(!reader.keep_alive());
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let mut reader = AnswerReader::new(true);
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Ok(true));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_do_not_matter(
            bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..50
        ) {
            let answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat();
            let whole = read(&answer, answer.len());
            let pieces = read(&answer, piece);
            prop_assert_eq!(whole.is_ok(), pieces.is_ok());
            let _ = read(&bytes, piece);
        }
    }
}
