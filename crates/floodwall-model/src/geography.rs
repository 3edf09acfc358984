//! Where addresses belong: country, network, class of network.
//!
//! Who can tell (the binary, which reads an operator's databases; the simulation, which made its
//! addresses up) hands a [`Geography`] to whoever makes rows of attributes. It is asked once per
//! network and not per request: a look into two databases costs more than the rest of the row. What
//! it does not know stays [`ValueId::UNKNOWN`], which no predicate speaks of; it must never become a
//! value that "was never seen before".

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::source::Source;
use crate::value::ValueId;

/// Networks (/24 or /48) whose place one edge worker remembers: 512 KiB. When full: a network that
/// shares a slot with another displaces it, which costs the next look and nothing else.
pub const PLACES_MAX: usize = 16_384;
/// Longest name of a network kept, bytes.
pub const NETWORK_NAME_BYTES_MAX: usize = 96;

/// Whose lines a network sells.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum NetworkClass {
    /// Homes.
    Residential,
    /// Telephones.
    Mobile,
    /// Servers.
    Hosting,
}

impl NetworkClass {
    /// Every class.
    pub const ALL: [NetworkClass; 3] =
        [NetworkClass::Residential, NetworkClass::Mobile, NetworkClass::Hosting];

    /// Its id, the same under every key: there are only so many, and nobody else chooses them.
    pub const fn id(self) -> ValueId {
        ValueId(match self {
            NetworkClass::Residential => 2,
            NetworkClass::Mobile => 3,
            NetworkClass::Hosting => 4,
        })
    }

    /// The class with this id.
    pub fn of(id: ValueId) -> Option<NetworkClass> {
        NetworkClass::ALL.into_iter().find(|class| class.id() == id)
    }

    /// The class in an operator's words.
    pub const fn words(self) -> &'static str {
        match self {
            NetworkClass::Residential => "residential",
            NetworkClass::Mobile => "mobile",
            NetworkClass::Hosting => "hosting",
        }
    }
}

/// A country: two capital letters (ISO 3166-1 alpha-2).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of this code; `None` for anything but two letters.
    pub fn of_code(code: &str) -> Option<Self> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Country(letters.map(|letter| letter.to_ascii_uppercase())))
    }

    /// Its letters.
    pub const fn letters(&self) -> &[u8; 2] {
        &self.0
    }
}

/// A network as routing knows it: an autonomous system (RFC 1930).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkNumber {
    /// Its number.
    pub number: u32,
    /// Who runs it, if the database says so, at most [`NETWORK_NAME_BYTES_MAX`] bytes.
    pub name: Option<Box<str>>,
}

impl NetworkNumber {
    /// A network; a name that is too long is cut.
    pub fn new(number: u32, name: Option<&str>) -> Self {
        let cut = |name: &str| name[..name.floor_char_boundary(NETWORK_NAME_BYTES_MAX)].into();
        NetworkNumber { number, name: name.map(str::trim).filter(|n| !n.is_empty()).map(cut) }
    }
}

impl fmt::Display for NetworkNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "AS{} ({name})", self.number),
            None => write!(f, "AS{}", self.number),
        }
    }
}

/// What is known of an address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// Its country.
    pub country: Option<Country>,
    /// Its network.
    pub network: Option<NetworkNumber>,
    /// The class of that network.
    pub class: Option<NetworkClass>,
    /// The same is true of every address in [`Source::network`].
    pub of_whole_network: bool,
}

/// Somebody who knows where addresses belong.
pub trait Geography: fmt::Debug + Send + Sync {
    /// Changes when answers may have changed. Asked for every request: it must cost next to nothing.
    fn revision(&self) -> u64;
    /// Where `address` belongs.
    fn place(&self, address: IpAddr) -> Place;
}

/// The values of one place, in the order country, network, class.
pub(crate) type PlaceIds = [ValueId; 3];

#[derive(Copy, Clone, Debug, Default)]
struct Slot {
    /// The key of the network plus one; 0: empty.
    network: u64,
    ids: PlaceIds,
}

/// A geography and the places asked for last.
#[derive(Debug)]
pub(crate) struct Places {
    geography: Arc<dyn Geography>,
    revision: u64,
    slots: Box<[Slot]>,
}

impl Places {
    pub(crate) fn new(geography: Arc<dyn Geography>) -> Self {
        let slots = vec![Slot::default(); PLACES_MAX].into_boxed_slice();
        Places { revision: geography.revision(), geography, slots }
    }

    /// The values of the source's place, if they are remembered.
    pub(crate) fn remembered(&mut self, source: Source) -> Option<PlaceIds> {
        let revision = self.geography.revision();
        if revision != self.revision {
            self.revision = revision;
            self.slots.fill(Slot::default());
        }
        let network = network_key(source);
        let slot = &self.slots[slot_of(network)];
        (slot.network == network).then_some(slot.ids)
    }

    /// Asks for the source's place.
    pub(crate) fn ask(&self, source: Source) -> Place {
        self.geography.place(source.address())
    }

    /// Remembers what the source's network has in common.
    pub(crate) fn remember(&mut self, source: Source, ids: PlaceIds) {
        let network = network_key(source);
        self.slots[slot_of(network)] = Slot { network, ids };
    }
}

/// The network of a source as a number that is never 0: an IPv4 key carries a tag above its address,
/// so no IPv4 network meets an IPv6 one in global use.
fn network_key(source: Source) -> u64 {
    let key = source.key();
    let bits = if source.address().is_ipv4() { 8 } else { 16 };
    (key >> bits) + 1
}

/// Spread by multiplication (Knuth, The Art of Computer Programming 3, § 6.4). An attacker who chooses
/// addresses that share slots makes us look again, which is bounded by what a look costs.
const fn slot_of(network: u64) -> usize {
    const SHIFT: u32 = 64 - PLACES_MAX.trailing_zeros();
    (network.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> SHIFT) as usize
}

const _: () = assert!(PLACES_MAX.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_letters_and_nothing_else() {
        for (code, expected) in [("DE", Some(*b"DE")), ("de", Some(*b"DE"))] {
            assert_eq!(Country::of_code(code).map(|c| *c.letters()), expected, "{code}");
        }
        for wrong in ["", "D", "DEU", "D1", "é", "--", "Germany"] {
            assert_eq!(Country::of_code(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_network_reads_as_people_write_it_and_a_long_name_is_cut_between_letters() {
        let written = |name| NetworkNumber::new(64_500, name).to_string();
        assert_eq!(written(Some(" Example Ltd ")), "AS64500 (Example Ltd)");
        assert_eq!(written(None), "AS64500");
        assert_eq!(written(Some("  ")), "AS64500");
        let long = NetworkNumber::new(1, Some(&"é".repeat(100))).name.unwrap();
        assert!(long.len() <= NETWORK_NAME_BYTES_MAX && long.chars().all(|c| c == 'é'));
    }

    #[test]
    fn no_two_networks_share_a_key() {
        let key = |address: &str| network_key(Source::new(address.parse().unwrap()));
        assert_eq!(key("192.0.2.1"), key("192.0.2.255"));
        assert_ne!(key("192.0.2.1"), key("192.0.3.1"));
        assert_eq!(key("2001:db8:1:2::3"), key("2001:db8:1:ffff::"));
        assert_ne!(key("2001:db8:1::"), key("2001:db8:2::"));
        for address in ["::", "0.0.0.0", "255.255.255.255", "2001:db8::"] {
            assert_ne!(key(address), 0, "{address}");
        }
    }
}
