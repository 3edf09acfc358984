//! The raw HTTP/1.1 head, judged before the parser sees it.
//!
//! The parser behind normalises: of a request with Content-Length and Transfer-Encoding it keeps
//! one and says nothing, and it takes bare line feeds. What two parsers read differently is how
//! requests are smuggled (RFC 9112 § 11.2), so everything ambiguous is refused here, on the bytes
//! as sent. Pure: bytes in, verdict out.

use floodwall_model::Reason;

use crate::limits::Limits;

/// How the body that follows a head is delimited (RFC 9112 § 6.3).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What the scan found of a sound head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    /// Bytes of the head, its last empty line included.
    pub(crate) len: usize,
    pub(crate) framing: Framing,
    /// Field names in the order sent, lower case, joined by commas.
    pub(crate) names: Vec<u8>,
}

/// A verdict on the bytes so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Scan {
    /// Not all here, nothing wrong yet.
    Partial,
    Sound(Head),
    Refused(Reason),
}

/// Remembers how far it has looked, so that a head that comes byte by byte costs no more in sum.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    /// Bytes looked at.
    looked_at: usize,
    /// Start of the line being looked at.
    line: usize,
}

impl HeadScanner {
    /// Judges `bytes`, which begin with the head and only ever grow between calls.
    pub(crate) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Scan {
        while let Some(at) = memchr::memchr(b'\n', &bytes[self.looked_at..]) {
            let end = self.looked_at + at;
            if end == self.line || bytes[end - 1] != b'\r' {
                // RFC 9112 § 2.2 lets a recipient take a bare LF as line end; taking it where the
                // origin does not is a way to smuggle.
                return Scan::Refused(Reason::Malformed);
            }
            let is_empty = end - self.line == 1;
            self.looked_at = end + 1;
            self.line = end + 1;
            if is_empty && end > 1 {
                return self.judge(&bytes[..end + 1], limits);
            }
            if is_empty {
                // One empty line before a request is to be ignored (RFC 9112 § 2.2); the caller
                // removes it. See `leading_empty_line`.
                return Scan::Refused(Reason::Malformed);
            }
        }
        self.looked_at = bytes.len();
        if bytes.len() > limits.head_bytes_max {
            return Scan::Refused(self.too_large());
        }
        // A control byte will not become sound by waiting for the rest.
        let rest = &bytes[self.line..];
        if self.line == 0 && rest.first().is_some_and(|b| !is_token(*b) && *b != b'\r') {
            return Scan::Refused(Reason::Malformed);
        }
        if self.line == 0 && rest.len() > limits.uri_bytes_max + METHOD_BYTES_MAX + 12 {
            return Scan::Refused(Reason::UriTooLong);
        }
        Scan::Partial
    }

    fn too_large(&self) -> Reason {
        if self.line == 0 { Reason::UriTooLong } else { Reason::HeadTooLarge }
    }

    fn judge(&mut self, head: &[u8], limits: &Limits) -> Scan {
        *self = HeadScanner::default();
        match judge(head, limits) {
            Ok(head) => Scan::Sound(head),
            Err(reason) => Scan::Refused(reason),
        }
    }
}

/// Whether `bytes` begin with the one empty line that may come before a request line.
pub(crate) fn leading_empty_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\r\n")
}

/// Longest method. No site of ours uses a longer one.
const METHOD_BYTES_MAX: usize = 32;

/// Judges a whole head.
fn judge(head: &[u8], limits: &Limits) -> Result<Head, Reason> {
    if head.len() > limits.head_bytes_max {
        return Err(Reason::HeadTooLarge);
    }
    let mut lines = Lines(head);
    let request_line = lines.next().ok_or(Reason::Malformed)?;
    let is_http_11 = judge_request_line(request_line, limits)?;
    let mut fields = Fields { names: Vec::with_capacity(256), ..Fields::default() };
    for line in lines {
        if line.is_empty() {
            break;
        }
        fields.count += 1;
        if fields.count > limits.head_fields_max {
            return Err(Reason::HeadTooLarge);
        }
        fields.add(line)?;
    }
    let framing = fields.framing(is_http_11)?;
    fields.check_host(is_http_11)?;
    Ok(Head { len: head.len(), framing, names: fields.names })
}

/// The lines of a head whose every LF is known to follow a CR.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let at = memchr::memchr(b'\n', self.0)?;
        let line = &self.0[..at.saturating_sub(1)];
        self.0 = &self.0[at + 1..];
        Some(line)
    }
}

/// Method SP target SP version, each separated by exactly one space (RFC 9112 § 3). Whether the
/// version is 1.1.
fn judge_request_line(line: &[u8], limits: &Limits) -> Result<bool, Reason> {
    let first = memchr::memchr(b' ', line).ok_or(Reason::Malformed)?;
    let last = memchr::memrchr(b' ', line).ok_or(Reason::Malformed)?;
    if first == last {
        return Err(Reason::Malformed);
    }
    let (method, target, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
    if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.iter().all(|b| is_token(*b))
    {
        return Err(Reason::Malformed);
    }
    if target.len() > limits.uri_bytes_max {
        return Err(Reason::UriTooLong);
    }
    // No space, no control byte. Above 0x7f the parser behind takes UTF-8, which some clients send.
    let unsound = |b: &u8| *b <= b' ' || *b == 0x7f;
    if target.is_empty() || target.iter().any(unsound) || std::str::from_utf8(target).is_err() {
        return Err(Reason::Malformed);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Reason::Malformed),
    }
}

#[derive(Default)]
struct Fields<'a> {
    count: usize,
    names: Vec<u8>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn add(&mut self, line: &'a [u8]) -> Result<(), Reason> {
        // A line that begins with white space would continue the one before (obs-fold, RFC 9112
        // § 5.2); a space before the colon is refused likewise (§ 5.1). Neither is a token.
        let colon = memchr::memchr(b':', line).ok_or(Reason::Malformed)?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(Reason::Malformed);
        }
        // Field values hold no control bytes (RFC 9110 § 5.5), a lone CR among them.
        if value.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
            return Err(Reason::Malformed);
        }
        if !self.names.is_empty() {
            self.names.push(b',');
        }
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.names[start..].make_ascii_lowercase();
        let twice = match &self.names[start..] {
            // Even two equal lengths are a client's that cannot be trusted to count.
            b"content-length" => self.content_length.replace(value).is_some(),
            b"transfer-encoding" => self.transfer_encoding.replace(value).is_some(),
            b"host" if self.host.replace(value).is_some() => return Err(Reason::HostMissing),
            _ => false,
        };
        if twice { Err(Reason::AmbiguousFraming) } else { Ok(()) }
    }

    fn framing(&self, is_http_11: bool) -> Result<Framing, Reason> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::None),
            (Some(_), Some(_)) => Err(Reason::AmbiguousFraming),
            (Some(coding), None) => {
                let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
                // HTTP/1.0 has no transfer codings (RFC 9112 § 6.1).
                if is_chunked && is_http_11 {
                    Ok(Framing::Chunked)
                } else {
                    Err(Reason::AmbiguousFraming)
                }
            }
            (None, Some(length)) => {
                let digits = !length.is_empty()
                    && length.len() <= 19
                    && length.iter().all(u8::is_ascii_digit);
                if !digits {
                    return Err(Reason::AmbiguousFraming);
                }
                // Nineteen digits fit into 64 bits.
                let length = length.iter().fold(0, |n: u64, b| n * 10 + u64::from(b - b'0'));
                Ok(if length == 0 { Framing::None } else { Framing::Length(length) })
            }
        }
    }

    fn check_host(&self, is_http_11: bool) -> Result<(), Reason> {
        match self.host {
            Some([]) => Err(Reason::HostMissing),
            None if is_http_11 => Err(Reason::HostMissing),
            _ => Ok(()),
        }
    }
}

/// Without white space around (RFC 9110 § 5.6.3).
fn trim(value: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !is_blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_blank(b)).map_or(start, |at| at + 1);
    &value[start..end]
}

/// A byte of a token (RFC 9110 § 5.6.2).
fn is_token(byte: u8) -> bool {
    // A table: every byte of every field name comes by here.
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = is_token_byte(byte as u8);
            byte += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
