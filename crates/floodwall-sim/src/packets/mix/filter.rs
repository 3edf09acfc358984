//! The few words of the packet filter language (pcap-filter(7)) that labels are written in:
//! `tcp`, `udp`, `icmp`, `[src|dst] host A`, `[tcp|udp] [src|dst] port N`, `tcp[13] & M == V`, and
//! these joined by `and`, `or` (equally strong, from the left, as in pcap-filter) and `not`.
//!
//! Anything else is an error: a label must never be guessed.

use std::net::IpAddr;

use super::view::View;

/// Which end of a packet is meant.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum End {
    Source,
    Destination,
    Either,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Primitive {
    Protocol(u8),
    Host(End, IpAddr),
    Port(Option<u8>, End, u16),
    /// A byte of the TCP header of IPv4 packets, under a mask.
    TcpByte {
        at: usize,
        mask: u8,
        value: u8,
        equal: bool,
    },
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Join {
    And,
    Or,
}

/// A filter expression.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    /// The first one's join does not matter.
    terms: Vec<(Join, bool, Primitive)>,
}

/// Why an expression is not understood. The label's writer's fault, or more words are needed here.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// It ends too early, or says nothing.
    #[error("the filter `{0}` ends too early")]
    Unfinished(String),
    /// A word that is not among the few.
    #[error(
        "the filter `{expression}` uses `{word}`, which is not among the words understood here"
    )]
    Unknown {
        /// The whole expression.
        expression: String,
        /// The word.
        word: String,
    },
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// If it has other words than those at the head of this file.
    pub fn parse(expression: &str) -> Result<Filter, FilterError> {
        let spaced = expression
            .replace("==", " == ")
            .replace("!=", " != ")
            .replace('&', " & ")
            .replace('[', " [ ")
            .replace(']', " ] ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut words = Words { expression, words: &words, at: 0 };
        let mut terms = Vec::new();
        let mut join = Join::And;
        loop {
            let mut wanted = true;
            while words.accept("not") {
                wanted = !wanted;
            }
            terms.push((join, wanted, words.primitive()?));
            join = match words.peek() {
                None => return Ok(Filter { terms }),
                Some("and") => Join::And,
                Some("or") => Join::Or,
                Some(word) => return Err(words.unknown(word)),
            };
            words.at += 1;
        }
    }

    /// Whether an Ethernet frame matches.
    pub fn matches(&self, frame: &[u8]) -> bool {
        let view = View::of(frame);
        self.terms.iter().enumerate().fold(true, |so_far, (number, (join, wanted, primitive))| {
            let holds = view.is_some_and(|view| primitive.holds(&view, frame)) == *wanted;
            match join {
                _ if number == 0 => holds,
                Join::And => so_far && holds,
                Join::Or => so_far || holds,
            }
        })
    }
}

impl Primitive {
    fn holds(&self, view: &View, frame: &[u8]) -> bool {
        match self {
            Primitive::Protocol(protocol) => view.protocol == *protocol,
            Primitive::Host(end, address) => view
                .addresses(frame)
                .is_some_and(|(from, to)| end.is(from == *address, to == *address)),
            Primitive::Port(protocol, end, port) => {
                protocol.is_none_or(|protocol| view.protocol == protocol)
                    && view
                        .ports(frame)
                        .is_some_and(|(from, to)| end.is(from == *port, to == *port))
            }
            Primitive::TcpByte { at, mask, value, equal } => {
                // As in pcap-filter: IPv4 only, and not in later fragments.
                let byte = view.transport_at.and_then(|transport_at| frame.get(transport_at + at));
                let read = byte.filter(|_| view.protocol == 6 && !view.v6);
                read.is_some_and(|byte| (byte & mask == *value) == *equal)
            }
        }
    }
}

impl End {
    fn is(self, source: bool, destination: bool) -> bool {
        match self {
            End::Source => source,
            End::Destination => destination,
            End::Either => source || destination,
        }
    }
}

struct Words<'a> {
    expression: &'a str,
    words: &'a [&'a str],
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self) -> Result<&'a str, FilterError> {
        let word = self.peek();
        self.at += 1;
        word.ok_or_else(|| FilterError::Unfinished(self.expression.to_owned()))
    }

    fn accept(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, word: &str) -> Result<(), FilterError> {
        let found = self.take()?;
        if found == word { Ok(()) } else { Err(self.unknown(found)) }
    }

    fn unknown(&self, word: &str) -> FilterError {
        FilterError::Unknown { expression: self.expression.to_owned(), word: word.to_owned() }
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Result<T, FilterError> {
        let word = self.take()?;
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        let number = number.ok().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| self.unknown(word))
    }

    fn end(&mut self) -> End {
        if self.accept("src") {
            End::Source
        } else if self.accept("dst") {
            End::Destination
        } else {
            End::Either
        }
    }

    fn primitive(&mut self) -> Result<Primitive, FilterError> {
        let protocol = match self.peek() {
            Some("tcp") => Some(6),
            Some("udp") => Some(17),
            Some("icmp") => Some(1),
            _ => None,
        };
        self.at += usize::from(protocol.is_some());
        if protocol == Some(6) && self.accept("[") {
            return self.tcp_byte();
        }
        let qualified = matches!(self.peek(), Some("src" | "dst" | "port" | "host"));
        if let Some(protocol) = protocol
            && (!qualified || protocol == 1)
        {
            return Ok(Primitive::Protocol(protocol));
        }
        let end = self.end();
        match self.take()? {
            "port" => Ok(Primitive::Port(protocol, end, self.number()?)),
            "host" if protocol.is_none() => {
                let word = self.take()?;
                let address = word.parse().map_err(|_| self.unknown(word))?;
                Ok(Primitive::Host(end, address))
            }
            word => Err(self.unknown(word)),
        }
    }

    fn tcp_byte(&mut self) -> Result<Primitive, FilterError> {
        let at: u8 = self.number()?;
        self.expect("]")?;
        let mask = if self.accept("&") { self.number()? } else { 0xff };
        let equal = match self.take()? {
            "==" | "=" => true,
            "!=" => false,
            word => return Err(self.unknown(word)),
        };
        Ok(Primitive::TcpByte { at: usize::from(at), mask, value: self.number()?, equal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(flags: u8, v6: bool) -> Vec<u8> {
        let mut frame = vec![0u8; 12];
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
            frame.extend([0x20; 32]);
        } else {
            frame.extend([
                8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 11, 0, 0, 210, 192, 0, 2, 1,
            ]);
        }
        frame.extend([0, 161, 1, 187, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        frame
    }

    #[test]
    fn the_words_of_labels_are_understood() {
        let syn = tcp(0xc2, false);
        let check = |expression: &str, expected: bool| {
            let filter = Filter::parse(expression).unwrap();
            assert_eq!(filter.matches(&syn), expected, "{expression}");
        };
        check("tcp", true);
        check("udp", false);
        check("udp src port 161", false);
        check("tcp src port 161", true);
        check("src port 161", true);
        check("dst port 161", false);
        check("port 443", true);
        check("src host 11.0.0.210", true);
        check("dst host 11.0.0.210", false);
        check("host 192.0.2.1", true);
        check("tcp[13] & 0xc2 == 0xc2", true);
        check("tcp[13]&2!=0", true);
        check("tcp[13] == 2", false);
        check("not udp and tcp", true);
        check("udp or tcp and src host 10.0.0.1", false);
        assert!(Filter::parse("tcp").unwrap().matches(&tcp(2, true)));
        assert!(!Filter::parse("tcp[13] & 2 == 2").unwrap().matches(&tcp(2, true)));
    }

    #[test]
    fn other_words_are_refused_and_named() {
        for (expression, word) in [
            ("vlan 5", "vlan"),
            ("tcp portrange 1-5", "portrange"),
            ("src host example.org", "example.org"),
            ("udp src port 99999", "99999"),
            ("tcp[tcpflags] & 2 == 2", "tcpflags"),
            ("(tcp)", "(tcp)"),
        ] {
            let unknown = FilterError::Unknown { expression: expression.into(), word: word.into() };
            assert_eq!(Filter::parse(expression), Err(unknown));
        }
        assert!(matches!(Filter::parse(""), Err(FilterError::Unfinished(_))));
        assert!(matches!(Filter::parse("tcp and"), Err(FilterError::Unfinished(_))));
    }
}
