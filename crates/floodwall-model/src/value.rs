//! Attribute values as keyed 64-bit ids.
//!
//! A request is described by a fixed row of ids, one per [`Attr`], so that counting and matching
//! never touch a string. Ids are SipHash-1-3 under a key that outsiders do not know: somebody who
//! could choose two texts with one id could make his requests look like those of honest visitors.
//! Texts travel separately and bounded ([`ValueName`]), only so that a rule can be read aloud.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// What can be known of a request before it is answered. The order is the storage order.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Attr {
    /// Request method, as sent.
    Method,
    /// Host header or `:authority`, lower case, without port.
    Host,
    /// Path with its varying parts replaced, see [`crate::template::path_template`].
    PathTemplate,
    /// Sorted query keys with length classes, see [`crate::template::query_shape`].
    QueryShape,
    /// Protocol version the client spoke to us.
    HttpVersion,
    /// Names of the headers in the order sent, without those that vary from page to page.
    HeaderOrder,
    /// User-Agent, whole.
    UserAgent,
    /// User-Agent with every run of digits replaced: survives version changes.
    AgentShape,
    /// Accept-Language, whole.
    Language,
    /// Whether a Cookie header came with the request.
    CookieState,
    /// Where the Referer points: nowhere, this site, another.
    RefererClass,
    /// Accept and Accept-Encoding of a request for a page, whole. Other requests ask for all sorts
    /// of things and leave it unknown.
    Accept,
    /// Client hints (`Sec-CH-UA`, `-Mobile`, `-Platform`), whole.
    ClientHints,
    /// Derived: what the client claims to be and whether its headers bear that out, see
    /// [`crate::claim`].
    Claim,
    /// TLS fingerprint. Not filled yet: the place is kept so that stored rows keep their shape.
    Ja4,
    /// Derived: the make of the client: TLS fingerprint, version, header order, Accept, and the
    /// wording of user agent, hints and language, together. A new release of a browser keeps it.
    Stack,
    /// Derived: the same with user agent and hints whole.
    Implementation,
    /// The country of the source's address, as an operator's database has it.
    Country,
    /// The network (autonomous system) of the source's address, likewise.
    Network,
    /// The class of that network, see [`crate::NetworkClass`].
    NetworkClass,
}

/// Number of attributes in a row.
pub const ATTR_COUNT: usize = 20;

impl Attr {
    /// Every attribute, in storage order.
    pub const ALL: [Attr; ATTR_COUNT] = [
        Attr::Method,
        Attr::Host,
        Attr::PathTemplate,
        Attr::QueryShape,
        Attr::HttpVersion,
        Attr::HeaderOrder,
        Attr::UserAgent,
        Attr::AgentShape,
        Attr::Language,
        Attr::CookieState,
        Attr::RefererClass,
        Attr::Accept,
        Attr::ClientHints,
        Attr::Claim,
        Attr::Ja4,
        Attr::Stack,
        Attr::Implementation,
        Attr::Country,
        Attr::Network,
        Attr::NetworkClass,
    ];

    /// Whether the attribute tells where the request came from. Such a value may narrow a signature
    /// and never carries one: a crowd comes from somewhere, too.
    pub const fn is_place(self) -> bool {
        matches!(self, Attr::Country | Attr::Network | Attr::NetworkClass)
    }

    /// Whether the attribute tells which software sent the request, as opposed to what it wanted.
    ///
    /// A language is not software: blocking one would refuse everybody who speaks it and had not
    /// come before. Nor is a protocol version, or what a browser accepts, which half of all software
    /// shares. See [`crate::Predicate::names_software`].
    pub const fn is_implementation(self) -> bool {
        matches!(
            self,
            Attr::HeaderOrder
                | Attr::UserAgent
                | Attr::AgentShape
                | Attr::ClientHints
                | Attr::Claim
                | Attr::Ja4
                | Attr::Stack
                | Attr::Implementation
        )
    }

    /// The attribute in an operator's words.
    pub const fn words(self) -> &'static str {
        match self {
            Attr::Method => "method",
            Attr::Host => "host",
            Attr::PathTemplate => "path",
            Attr::QueryShape => "query shape",
            Attr::HttpVersion => "HTTP version",
            Attr::HeaderOrder => "header order",
            Attr::UserAgent => "user agent",
            Attr::AgentShape => "user agent pattern",
            Attr::Language => "language",
            Attr::CookieState => "cookie",
            Attr::RefererClass => "referer",
            Attr::Accept => "accept",
            Attr::ClientHints => "client hints",
            Attr::Claim => "claim to be a browser",
            Attr::Ja4 => "TLS fingerprint",
            Attr::Stack => "make of client",
            Attr::Implementation => "client implementation",
            Attr::Country => "country",
            Attr::Network => "network",
            Attr::NetworkClass => "class of network",
        }
    }
}

/// A keyed id of one attribute value.
#[derive(
    Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ValueId(pub u64);

impl ValueId {
    /// This observer cannot see the attribute at all (an access log has no header order).
    pub const UNKNOWN: ValueId = ValueId(0);
    /// The observer can see the attribute and the request did not carry it.
    pub const ABSENT: ValueId = ValueId(1);

    /// Whether the attribute was visible to the observer.
    pub const fn is_known(self) -> bool {
        self.0 != Self::UNKNOWN.0
    }
}

/// One id per attribute, indexed by [`Attr`].
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Attrs(pub [ValueId; ATTR_COUNT]);

impl std::ops::Index<Attr> for Attrs {
    type Output = ValueId;
    fn index(&self, attr: Attr) -> &ValueId {
        &self.0[attr as usize]
    }
}

impl std::ops::IndexMut<Attr> for Attrs {
    fn index_mut(&mut self, attr: Attr) -> &mut ValueId {
        &mut self.0[attr as usize]
    }
}

/// The secret under which ids are made. One per installation.
#[derive(Copy, Clone)]
pub struct ValueKey {
    k0: u64,
    k1: u64,
}

impl std::fmt::Debug for ValueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ValueKey(secret)")
    }
}

impl ValueKey {
    /// A key from two random words.
    pub const fn new(k0: u64, k1: u64) -> Self {
        ValueKey { k0, k1 }
    }

    /// The id of `bytes` as a value of `attr`. Never [`ValueId::UNKNOWN`] or [`ValueId::ABSENT`].
    pub fn id(&self, attr: Attr, bytes: &[u8]) -> ValueId {
        // The attribute goes into the key, so that equal texts of two attributes differ.
        let mut hasher = SipHasher13::new_with_keys(self.k0, self.k1 ^ (attr as u64 + 1));
        hasher.write(bytes);
        ValueId(hasher.finish().max(2))
    }

    /// The id of several ids taken together.
    pub fn combine(&self, attr: Attr, parts: &[ValueId]) -> ValueId {
        let mut hasher = SipHasher13::new_with_keys(self.k0, self.k1 ^ (attr as u64 + 1));
        for part in parts {
            hasher.write_u64(part.0);
        }
        ValueId(hasher.finish().max(2))
    }
}

/// The text behind an id, sent along when an edge meets the id for the first time (or again after
/// forgetting it), so that rules can be explained.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValueName {
    /// Which attribute the value belongs to.
    pub attr: Attr,
    /// Its id.
    pub id: ValueId,
    /// Its text, at most [`crate::limits::VALUE_TEXT_BYTES_MAX`] bytes, control characters escaped.
    pub text: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_of_two_attributes_have_different_ids() {
        let key = ValueKey::new(1, 2);
        assert_ne!(key.id(Attr::Method, b"GET"), key.id(Attr::Host, b"GET"));
        assert_eq!(key.id(Attr::Method, b"GET"), key.id(Attr::Method, b"GET"));
    }

    #[test]
    fn ids_depend_on_the_key() {
        let a = ValueKey::new(1, 2).id(Attr::UserAgent, b"x");
        let b = ValueKey::new(3, 2).id(Attr::UserAgent, b"x");
        assert_ne!(a, b);
    }

    #[test]
    fn neither_a_language_nor_a_version_is_software() {
        assert!(!Attr::Language.is_implementation() && !Attr::HttpVersion.is_implementation());
        assert!(Attr::HeaderOrder.is_implementation());
    }

    #[test]
    fn a_place_is_not_software() {
        let places: Vec<Attr> = Attr::ALL.into_iter().filter(|a| a.is_place()).collect();
        assert_eq!(places, [Attr::Country, Attr::Network, Attr::NetworkClass]);
        assert!(places.iter().all(|attr| !attr.is_implementation()));
    }

    #[test]
    fn storage_order_is_the_declared_order() {
        for (index, attr) in Attr::ALL.iter().enumerate() {
            assert_eq!(*attr as usize, index);
        }
    }
}
