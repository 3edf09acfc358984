//! Shapes of texts: what stays when the parts that vary from visitor to visitor are taken out.
//!
//! A site has a few hundred kinds of page and millions of URLs. Everything here is one pass over
//! the bytes into a buffer the caller owns, because it runs once per request.

/// Bytes of a template kept. What is longer is cut: such paths are nobody's page.
const TEMPLATE_BYTES_MAX: usize = 160;
/// Path segments kept. Deeper paths end in `{…}`.
const SEGMENTS_MAX: usize = 8;
/// A segment at least this long that mixes letters and digits is an identifier.
const IDENTIFIER_LEN_MIN: usize = 20;
/// Hex digits at least this many, with a digit among them, are a hash or an id.
const HEX_LEN_MIN: usize = 8;
/// Query keys looked at. Further ones count as one `…`.
const QUERY_KEYS_MAX: usize = 16;

/// Writes the template of `path` into `out`: runs of digits become `{n}`, hashes and identifiers
/// `{id}`, everything else stays. `/news/2024/05/17/a1` → `/news/{n}/{n}/{n}/a{n}`.
pub fn path_template(path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for (index, segment) in path.split(|b| *b == b'/').enumerate() {
        if index > 0 {
            out.push(b'/');
        }
        if index > SEGMENTS_MAX {
            out.extend_from_slice("{…}".as_bytes());
            break;
        }
        if is_identifier(segment) {
            out.extend_from_slice(b"{id}");
        } else {
            collapse_digits(segment, b"{n}", out);
        }
        if out.len() > TEMPLATE_BYTES_MAX {
            out.truncate(TEMPLATE_BYTES_MAX);
            break;
        }
    }
}

/// Whether a path segment is a hash, a UUID or a long mixed token. The extension stays outside:
/// `app.3f9a…c1.js` is split at its dots by the caller's habit of naming, not here.
fn is_identifier(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits == segment.len() {
        return false;
    }
    let hexish = segment.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    let wordish = segment.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    (hexish && segment.len() >= HEX_LEN_MIN)
        || (wordish && segment.len() >= IDENTIFIER_LEN_MIN && digits * 5 >= segment.len())
}

/// Copies `text` with every run of ASCII digits replaced by `mark`.
fn collapse_digits(text: &[u8], mark: &[u8], out: &mut Vec<u8>) {
    let mut in_digits = false;
    for byte in text {
        if byte.is_ascii_digit() {
            if !in_digits {
                out.extend_from_slice(mark);
            }
            in_digits = true;
        } else {
            in_digits = false;
            out.push(*byte);
        }
    }
}

/// Writes the shape of a user agent into `out`: versions and build numbers become `#`.
pub fn agent_shape(agent: &[u8], out: &mut Vec<u8>) {
    out.clear();
    collapse_digits(&agent[..agent.len().min(512)], b"#", out);
}

/// Entries of an Accept-Language kept in its shape: how an engine words the first ones tells it from
/// others, how many languages somebody speaks does not.
const LANGUAGES_MAX: usize = 3;

/// Writes how an Accept-Language is worded into `out`, whatever it asks for: letters become `x` and
/// `X`. `en-GB,en;q=0.5` → `xx-XX,xx;q=0.5`.
pub fn language_shape(language: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for (index, entry) in language[..language.len().min(512)].split(|b| *b == b',').enumerate() {
        if index == LANGUAGES_MAX {
            break;
        }
        if index > 0 {
            out.push(b',');
        }
        let tag = memchr::memchr(b';', entry).unwrap_or(entry.len());
        out.extend(entry[..tag].iter().map(|b| match b {
            b'a'..=b'z' => b'x',
            b'A'..=b'Z' => b'X',
            other => *other,
        }));
        out.extend_from_slice(&entry[tag..]);
    }
}

/// Writes the sorted query keys with the length class of each value into `out`:
/// `q=hello&page=2` → `page:s q:m`. Nothing is written for an empty query.
pub fn query_shape(query: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut keys: [(&[u8], u8); QUERY_KEYS_MAX] = [(b"", 0); QUERY_KEYS_MAX];
    let mut count = 0;
    let mut more = false;
    for pair in query.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        if count == QUERY_KEYS_MAX {
            more = true;
            break;
        }
        keys[count] = (&key[..key.len().min(32)], length_class(value.len()));
        count += 1;
    }
    keys[..count].sort_unstable();
    for (key, class) in &keys[..count] {
        if !out.is_empty() {
            out.push(b' ');
        }
        collapse_digits(key, b"{n}", out);
        out.extend_from_slice(&[b':', *class]);
    }
    if more {
        out.extend_from_slice(" …".as_bytes());
    }
    out.truncate(TEMPLATE_BYTES_MAX);
}

/// Length classes of a query value: none, short, medium, long, extra long.
const fn length_class(len: usize) -> u8 {
    match len {
        0 => b'0',
        1..=4 => b's',
        5..=16 => b'm',
        17..=64 => b'l',
        _ => b'x',
    }
}

/// Text fit for a report: invalid UTF-8, control and direction-changing characters escaped, cut at
/// `max_bytes`. Everything shown to an operator was written by a stranger.
pub fn printable(bytes: &[u8], max_bytes: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len().min(max_bytes + 8));
    for c in text.chars() {
        if out.len() >= max_bytes {
            out.push('…');
            break;
        }
        let reorders = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || reorders {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(write: fn(&[u8], &mut Vec<u8>), rows: &[(&str, &str)]) {
        let mut out = Vec::new();
        for (input, expected) in rows {
            write(input.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), *expected, "{input}");
        }
    }

    #[test]
    fn a_language_is_reduced_to_how_it_is_worded() {
        check(
            language_shape,
            &[
                ("", ""),
                ("en-GB,en;q=0.5", "xx-XX,xx;q=0.5"),
                ("pl,pl-PL;q=0.8,en-US;q=0.5,en;q=0.3", "xx,xx-XX;q=0.8,xx-XX;q=0.5"),
                ("*", "*"),
            ],
        );
    }

    #[test]
    fn paths_keep_their_words_and_lose_their_numbers() {
        check(
            path_template,
            &[
                ("/", "/"),
                ("/manifesto", "/manifesto"),
                ("/news/2024/05/17/a1", "/news/{n}/{n}/{n}/a{n}"),
                ("/img/photo-0042.jpg", "/img/photo-{n}.jpg"),
                ("/p/3f9a77c1", "/p/{id}"),
                ("/p/550e8400-e29b-41d4-a716-446655440000", "/p/{id}"),
                ("/decade", "/decade"),
                ("/s/aB3dE6gH9jK2mN5pQ8sT", "/s/{id}"),
                ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{…}"),
            ],
        );
    }

    #[test]
    fn queries_keep_keys_and_length_classes() {
        check(
            query_shape,
            &[
                ("", ""),
                ("q=hello&page=2", "page:s q:m"),
                ("page=7&q=world", "page:s q:m"),
                ("&&", ""),
                ("flag", "flag:0"),
                ("x12=1&x13=1", "x{n}:s x{n}:s"),
            ],
        );
    }

    #[test]
    fn agents_of_two_versions_have_one_shape() {
        check(
            agent_shape,
            &[("Chrome/120.0.1", "Chrome/#.#.#"), ("Chrome/9.10.11", "Chrome/#.#.#")],
        );
    }

    #[test]
    fn strangers_text_is_made_harmless() {
        assert_eq!(printable(b"a\x1b[31mb\n", 64), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(printable("\u{202e}evil".as_bytes(), 64), "\\u{202e}evil");
        assert_eq!(printable(b"abcdef", 3), "abc…");
    }

    proptest! {
        #[test]
        fn no_input_panics_or_grows_without_bound(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut out = Vec::new();
            path_template(&bytes, &mut out);
            prop_assert!(out.len() <= TEMPLATE_BYTES_MAX + 8);
            query_shape(&bytes, &mut out);
            prop_assert!(out.len() <= TEMPLATE_BYTES_MAX + 8);
            agent_shape(&bytes, &mut out);
            prop_assert!(out.len() <= 512);
        }
    }
}
