//! Lines out of a stream of bytes, in one buffer of fixed size.
//!
//! A line longer than [`LINE_BYTES_MAX`] is passed over without being kept, so that a file without
//! line ends cannot fill the memory.

use std::io::{self, Read};

/// Longest line read, bytes. Longer ones are skipped and counted as broken.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Read at a time; also what a reader keeps while its file is open.
const BUFFER_BYTES: usize = 256 * 1024;

const _: () = assert!(BUFFER_BYTES > 2 * LINE_BYTES_MAX);

/// A line without its end.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Line<'a> {
    /// Its bytes.
    Text(&'a [u8]),
    /// It was longer than [`LINE_BYTES_MAX`] and is gone.
    TooLong,
}

/// Splits what `input` gives into lines.
pub(crate) struct LineReader<R> {
    input: R,
    buffer: Box<[u8]>,
    /// The bytes not yet handed out are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// The bytes up to here (from `start`) hold no line end.
    searched: usize,
    /// Inside a line that was too long.
    passing_over: bool,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    /// A reader of `input`.
    pub(crate) fn new(input: R) -> Self {
        LineReader {
            input,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            searched: 0,
            passing_over: false,
            ended: false,
        }
    }

    /// The next line, `None` at the end. After an error the reader is at its end.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(at) = memchr::memchr(b'\n', &unread[self.searched..]) {
                let length = self.searched + at;
                let line = self.start..self.start + length;
                self.start += length + 1;
                self.searched = 0;
                if std::mem::take(&mut self.passing_over) || length > LINE_BYTES_MAX {
                    return Ok(Some(Line::TooLong));
                }
                return Ok(Some(Line::Text(trim_end(&self.buffer[line]))));
            }
            self.searched = unread.len();
            if unread.len() > LINE_BYTES_MAX {
                self.passing_over = true;
                (self.start, self.end, self.searched) = (0, 0, 0);
            }
            if self.ended {
                return Ok(self.last_line());
            }
            if let Err(error) = self.fill() {
                self.ended = true;
                return Err(error);
            }
        }
    }

    /// What follows the last line end, if anything does.
    fn last_line(&mut self) -> Option<Line<'_>> {
        let line = self.start..self.end;
        (self.start, self.end, self.searched) = (0, 0, 0);
        if std::mem::take(&mut self.passing_over) {
            return Some(Line::TooLong);
        }
        if line.is_empty() { None } else { Some(Line::Text(trim_end(&self.buffer[line]))) }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives its bytes in pieces of the lengths wished for.
    struct Pieces<'a>(&'a [u8], Vec<usize>);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let wish = self.1.pop().unwrap_or(usize::MAX);
            let count = wish.max(1).min(out.len()).min(self.0.len());
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(text: &[u8], pieces: Vec<usize>) -> Vec<Option<Vec<u8>>> {
        let mut reader = LineReader::new(Pieces(text, pieces));
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(match line {
                Line::Text(text) => Some(text.to_vec()),
                Line::TooLong => None,
            });
        }
        lines
    }

    #[test]
    fn lines_with_any_ending() {
        let texts = |text: &str| {
            read(text.as_bytes(), vec![])
                .into_iter()
                .map(|l| String::from_utf8(l.unwrap()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("a\nb\r\n\nc"), ["a", "b", "", "c"]);
        assert_eq!(texts("a\n"), ["a"]);
        assert!(texts("").is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
        for length in [LINE_BYTES_MAX, LINE_BYTES_MAX + 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 7] {
            let text = [&b"a\n"[..], &vec![b'x'; length], b"\nb"].concat();
            let lines = read(&text, vec![]);
            assert_eq!(lines.len(), 3, "{length}");
            assert_eq!(lines[1].is_none(), length > LINE_BYTES_MAX);
            assert_eq!(lines[2].as_deref(), Some(&b"b"[..]));
        }
        let endless = vec![b'x'; 2 * BUFFER_BYTES];
        assert_eq!(read(&endless, vec![]), [None]);
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_lines_of_the_whole(
            lines in prop::collection::vec("[a-z]{0,30}", 0..60), pieces in prop::collection::vec(0usize..40, 0..60),
        ) {
            let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
            let found = read(text.as_bytes(), pieces);
            let expected: Vec<_> = lines.into_iter().map(|l| Some(l.into_bytes())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
