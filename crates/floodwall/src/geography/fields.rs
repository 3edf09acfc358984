//! Which fields hold what, in the layouts that databases in this format have.
//!
//! A database is told by its fields and never by its name: names belong to whoever sells it. Only
//! what a field says outright is believed; a class of network is never guessed from a name or number.

use std::fmt;

use floodwall_model::{Country, NetworkClass};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a database is asked for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Role {
    /// Countries.
    Country,
    /// Networks by number.
    Network,
    /// Classes of networks.
    Class,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Country, Role::Network, Role::Class];

    /// What is held, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Role::Country => "countries",
            Role::Network => "networks",
            Role::Class => "classes of networks",
        }
    }

    /// The key that names such a database in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Role::Country => "country",
            Role::Network => "network",
            Role::Class => "class",
        }
    }
}

/// A field: the keys that lead to it.
pub(super) type Field = &'static [&'static str];

/// Where a country's code stands.
pub(super) const COUNTRY: [Field; 3] = [&["country", "iso_code"], &["country_code"], &["country"]];

/// Where a network's number stands.
pub(super) const NETWORK: [Field; 3] =
    [&["autonomous_system_number"], &["traits", "autonomous_system_number"], &["asn"]];

/// Where it stands who runs the network.
pub(super) const NETWORK_NAME: [Field; 4] = [
    &["autonomous_system_organization"],
    &["traits", "autonomous_system_organization"],
    &["as_name"],
    &["name"],
];

/// Fields that are true of one class.
pub(super) const CLASS_MARKS: [(Field, NetworkClass); 6] = [
    (&["is_hosting_provider"], NetworkClass::Hosting),
    (&["traits", "is_hosting_provider"], NetworkClass::Hosting),
    (&["is_hosting"], NetworkClass::Hosting),
    (&["hosting"], NetworkClass::Hosting),
    (&["is_mobile"], NetworkClass::Mobile),
    (&["mobile"], NetworkClass::Mobile),
];

/// Fields that name the class.
pub(super) const CLASS_NAMES: [Field; 6] = [
    &["connection_type"],
    &["traits", "connection_type"],
    &["user_type"],
    &["traits", "user_type"],
    &["as_type"],
    &["type"],
];

/// A value of a record as far as it matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Number(u64),
    Truth(bool),
    /// Something else: a field of that name which means something else.
    Other,
}

impl Scalar {
    pub(super) fn country(&self) -> Option<Country> {
        match self {
            Scalar::Text(text) => Country::of_code(text),
            _ => None,
        }
    }

    /// `64500`, `"64500"`, `"AS64500"`. 0 is no network (RFC 7607).
    pub(super) fn network(&self) -> Option<u32> {
        let number = match self {
            Scalar::Number(number) => u32::try_from(*number).ok()?,
            Scalar::Text(text) => {
                let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
                digits.unwrap_or(text).parse().ok()?
            }
            Scalar::Truth(_) | Scalar::Other => return None,
        };
        (number > 0).then_some(number)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Some databases write truths as texts.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Scalar::Truth(truth) => Some(*truth),
            Scalar::Text(text) => match text.as_str() {
                "true" => Some(true),
                "false" | "" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A class by the words databases use for it. Offices, schools and the like are of none.
    pub(super) fn class(&self) -> Option<NetworkClass> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "hosting" | "content" | "data center" | "datacenter" | "content_delivery_network" => {
                Some(NetworkClass::Hosting)
            }
            "cellular" | "mobile" => Some(NetworkClass::Mobile),
            "residential" | "isp" | "cable/dsl" | "dialup" | "satellite" => {
                Some(NetworkClass::Residential)
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;

        impl<'de> Visitor<'de> for Reads {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number))
            }
            fn visit_u128<E>(self, _: u128) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(u64::try_from(number).map_or(Scalar::Other, Scalar::Number))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Scalar, E> {
                Ok(Scalar::Truth(truth))
            }
            fn visit_bytes<E>(self, _: &[u8]) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }

        deserializer.deserialize_any(Reads)
    }
}
