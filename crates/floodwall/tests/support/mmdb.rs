//! Writes small databases in the MaxMind DB format, version 2.0, as its specification has it
//! (<https://maxmind.github.io/MaxMind-DB/>): a search tree over address bits, a data section, and
//! metadata behind a mark. For tests; it must know nothing of the code that reads.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

/// A value of a record.
#[derive(Clone, Debug)]
pub enum Value {
    Text(&'static str),
    Number(u32),
    Truth(bool),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

/// A map.
pub fn map<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Map(fields.into())
}

/// A database to be.
#[derive(Clone, Debug)]
pub struct Mmdb {
    ip_version: u16,
    record_bits: u16,
    built_s: u64,
    tree: Vec<[Slot; 2]>,
    data: Vec<u8>,
    records: HashMap<Vec<u8>, usize>,
}

#[derive(Copy, Clone, Debug)]
enum Slot {
    Empty,
    Node(usize),
    Data(usize),
}

impl Mmdb {
    /// An empty one for addresses of version 4, or of 6 with 4 inside it at `::/96`.
    pub fn new(ip_version: u16) -> Self {
        let tree = vec![[Slot::Empty; 2]];
        let (data, records) = (Vec::new(), HashMap::new());
        Mmdb { ip_version, record_bits: 24, built_s: 1_700_000_000, tree, data, records }
    }

    /// One with tree records of 24, 28 or 32 bits.
    pub fn with_record_bits(mut self, record_bits: u16) -> Self {
        self.record_bits = record_bits;
        self
    }

    /// One that says that it was made then, s since the epoch.
    pub fn built_s(mut self, built_s: u64) -> Self {
        self.built_s = built_s;
        self
    }

    /// Notes a record for `prefix`, such as 192.0.2.0/24.
    pub fn put(mut self, prefix: &str, record: &Value) -> Self {
        let (address, bits) = prefix.split_once('/').expect("a prefix");
        let (address, bits): (IpAddr, usize) =
            (address.parse().expect("an address"), bits.parse().expect("a number"));
        let (number, bits) = match (address, self.ip_version) {
            (IpAddr::V4(v4), 4) => (u128::from(u32::from(v4)) << 96, bits),
            (IpAddr::V4(v4), _) => (u128::from(u32::from(v4)), bits + 96),
            (IpAddr::V6(v6), _) => (u128::from(v6), bits),
        };
        let at = self.record(record);
        let mut node = 0;
        for depth in 0..bits {
            let side = (number >> (127 - depth) & 1) as usize;
            if depth + 1 == bits {
                self.tree[node][side] = Slot::Data(at);
                break;
            }
            node = match self.tree[node][side] {
                Slot::Node(next) => next,
                // What was said of a larger network stays true of the rest of it.
                before => {
                    self.tree.push([before; 2]);
                    self.tree[node][side] = Slot::Node(self.tree.len() - 1);
                    self.tree.len() - 1
                }
            };
        }
        self
    }

    /// Where a record lies; equal ones are written once.
    fn record(&mut self, record: &Value) -> usize {
        let mut bytes = Vec::new();
        encode(record, &mut bytes);
        if let Some(at) = self.records.get(&bytes) {
            return *at;
        }
        let at = self.data.len();
        self.data.extend(&bytes);
        self.records.insert(bytes, at);
        at
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let nodes = self.tree.len();
        let mut bytes = Vec::new();
        for sides in &self.tree {
            let [left, right] = sides.map(|slot| match slot {
                Slot::Empty => nodes,
                Slot::Node(node) => node,
                // "The search tree size and the 16 zero bytes" lie before the data.
                Slot::Data(at) => nodes + 16 + at,
            } as u32);
            match self.record_bits {
                24 => {
                    bytes.extend(&left.to_be_bytes()[1..]);
                    bytes.extend(&right.to_be_bytes()[1..]);
                }
                28 => {
                    bytes.extend(&left.to_be_bytes()[1..]);
                    bytes.push((left >> 24 << 4 | right >> 24) as u8);
                    bytes.extend(&right.to_be_bytes()[1..]);
                }
                _ => {
                    bytes.extend(left.to_be_bytes());
                    bytes.extend(right.to_be_bytes());
                }
            }
        }
        bytes.extend([0; 16]);
        bytes.extend(&self.data);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        self.metadata(&mut bytes);
        bytes
    }

    /// Writes it to a file.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes()).expect("a file is written");
    }

    fn metadata(&self, out: &mut Vec<u8>) {
        out.push(7 << 5 | 9);
        for (key, number) in [
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
            ("ip_version", self.ip_version),
            ("record_size", self.record_bits),
        ] {
            text(key, out);
            out.push(5 << 5 | 2);
            out.extend(number.to_be_bytes());
        }
        text("node_count", out);
        encode(&Value::Number(self.tree.len() as u32), out);
        text("build_epoch", out);
        // A 64-bit number is of type 9: extended by 2.
        out.extend([8, 2]);
        out.extend(self.built_s.to_be_bytes());
        text("database_type", out);
        text("Test", out);
        text("languages", out);
        encode(&Value::List(vec![Value::Text("en")]), out);
        text("description", out);
        encode(&map([("en", Value::Text("made by a test"))]), out);
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(value) => text(value, out),
        Value::Number(number) => {
            out.push(6 << 5 | 4);
            out.extend(number.to_be_bytes());
        }
        // Type 14, extended by 7; the size is the value.
        Value::Truth(truth) => out.extend([u8::from(*truth), 7]),
        Value::Map(fields) => {
            out.push(7 << 5 | small(fields.len()));
            for (key, value) in fields {
                text(key, out);
                encode(value, out);
            }
        }
        // Type 11, extended by 4.
        Value::List(values) => {
            out.extend([small(values.len()), 4]);
            values.iter().for_each(|value| encode(value, out));
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..29 => out.push(2 << 5 | small(len)),
        len => out.extend([2 << 5 | 29, u8::try_from(len - 29).expect("a short text")]),
    }
    out.extend(text.as_bytes());
}

fn small(len: usize) -> u8 {
    u8::try_from(len).ok().filter(|len| *len < 29).expect("few and short")
}
