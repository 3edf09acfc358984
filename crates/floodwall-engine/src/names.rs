//! The texts behind value ids, so that rules can be read. Bounded; a flood of new values displaces
//! other junk, and a value that matters is announced again by the edges.

use std::collections::HashMap;
use std::sync::Arc;

use floodwall_model::limits::VALUE_TEXT_BYTES_MAX;
use floodwall_model::{
    ATTR_COUNT, Attr, Claim, NetworkClass, Predicate, Signature, ValueId, ValueName,
};

use crate::memory::{Damaged, Reader, Writer};

/// Texts kept per attribute. When full: the table starts over, and what is still met comes back
/// with its next announcement; texts of rules in force are kept with the rules themselves.
const NAMES_PER_ATTR_MAX: usize = 8_192;
/// Texts per attribute that are remembered across a restart; every value that comes again is
/// announced again. When over: some are left out.
const REMEMBERED_PER_ATTR_MAX: usize = 1_024;
/// Longest text remembered: what the edges cut to, and what marks the cut. Longer: left out.
const REMEMBERED_BYTES_MAX: usize = VALUE_TEXT_BYTES_MAX + 16;

/// The texts met. Cloning shares them; the next text learned copies its attribute's table.
#[derive(Clone, Debug)]
pub struct Names {
    by_attr: Vec<Arc<HashMap<ValueId, Arc<str>>>>,
}

impl Names {
    /// No texts.
    pub fn new() -> Self {
        Names { by_attr: vec![Arc::default(); ATTR_COUNT] }
    }

    /// Takes in announced names.
    pub fn learn(&mut self, names: &[ValueName]) {
        for name in names {
            let table = Arc::make_mut(&mut self.by_attr[name.attr as usize]);
            if table.len() >= NAMES_PER_ATTR_MAX && !table.contains_key(&name.id) {
                table.clear();
            }
            table.insert(name.id, name.text.as_ref().into());
        }
    }

    /// All texts kept of an attribute's values.
    pub fn texts(&self, attr: Attr) -> impl Iterator<Item = (ValueId, &str)> {
        self.by_attr[attr as usize].iter().map(|(id, text)| (*id, text.as_ref()))
    }

    /// The text of a value, or a stand-in that says that it is not known.
    pub fn text(&self, attr: Attr, id: ValueId) -> String {
        match self.by_attr[attr as usize].get(&id) {
            Some(text) => text.to_string(),
            None => format!("(text not kept, id {:016x})", id.0),
        }
    }

    /// A predicate as a phrase that completes "requests with …", or "requests …" where it begins
    /// with "from".
    pub fn predicate(&self, predicate: Predicate) -> String {
        match predicate {
            Predicate::Is(Attr::NetworkClass, id) => {
                let class = NetworkClass::of(id).map_or("unknown", NetworkClass::words);
                format!("from a {class} network")
            }
            Predicate::Is(Attr::Network, id) => {
                format!("from network {}", self.text(Attr::Network, id))
            }
            Predicate::Is(Attr::Country, id) => {
                format!("from {}", self.text(Attr::Country, id))
            }
            Predicate::Is(Attr::Claim, id) if Claim::of(id).is_some() => {
                Claim::of(id).map_or("", Claim::words).to_owned()
            }
            Predicate::Is(Attr::Stack, id) => format!("one make of client (id {:016x})", id.0),
            Predicate::Is(attr, ValueId::ABSENT) => format!("no {}", attr.words()),
            Predicate::Is(Attr::CookieState, _) => "a cookie".to_owned(),
            Predicate::Is(Attr::RefererClass, id) => {
                format!("a referer that is {}", self.text(Attr::RefererClass, id))
            }
            Predicate::Is(Attr::Implementation, id) => {
                format!("one client implementation (id {:016x})", id.0)
            }
            Predicate::Is(attr, id) => format!("{} “{}”", attr.words(), self.text(attr, id)),
            Predicate::Unseen(attr) => format!("a {} never seen here before", attr.words()),
        }
    }

    /// A signature as a phrase.
    pub fn signature(&self, signature: &Signature) -> String {
        let phrases = |of_place: bool| -> Vec<String> {
            let wanted = |p: &&Predicate| p.attr().is_place() == of_place;
            signature.predicates().iter().filter(wanted).map(|p| self.predicate(*p)).collect()
        };
        let (places, others) = (phrases(true), phrases(false));
        let from = places.iter().fold(String::new(), |text, place| text + " " + place);
        if others.is_empty() {
            return format!("requests{from}");
        }
        format!("requests{from} with {}", others.join(" and "))
    }

    /// Writes the texts of values that were written.
    pub fn pack(&self, out: &mut Writer) {
        for table in self.by_attr.iter().take(out.row()) {
            let kept: Vec<_> = table
                .iter()
                .filter(|(id, text)| out.has_value(**id) && text.len() <= REMEMBERED_BYTES_MAX)
                .take(REMEMBERED_PER_ATTR_MAX)
                .collect();
            out.count(kept.len());
            for (id, text) in kept {
                out.value(*id);
                out.text(text);
            }
        }
    }

    /// Reads them back.
    pub fn unpack(input: &mut Reader<'_>) -> Result<Names, Damaged> {
        let mut names = Names::new();
        for table in names.by_attr.iter_mut().take(input.row()) {
            let mut read = HashMap::new();
            for _ in 0..input.count(REMEMBERED_PER_ATTR_MAX)? {
                let id = input.value()?;
                read.insert(id, input.text(REMEMBERED_BYTES_MAX)?.into());
            }
            *table = Arc::new(read);
        }
        Ok(names)
    }

    /// Texts kept and most that fit.
    pub fn occupancy(&self) -> (usize, usize) {
        (self.by_attr.iter().map(|table| table.len()).sum(), ATTR_COUNT * NAMES_PER_ATTR_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u64) -> ValueName {
        ValueName { attr: Attr::UserAgent, id: ValueId(n), text: format!("agent {n}").into() }
    }

    #[test]
    fn a_signature_reads_as_a_sentence() {
        let mut names = Names::new();
        names.learn(&[name(7)]);
        let signature = Signature::new(vec![
            Predicate::Is(Attr::UserAgent, ValueId(7)),
            Predicate::Is(Attr::CookieState, ValueId::ABSENT),
            Predicate::Unseen(Attr::HeaderOrder),
        ]);
        assert_eq!(
            names.signature(&signature),
            "requests with user agent “agent 7” and no cookie and a header order never seen \
             here before"
        );
    }

    #[test]
    fn where_it_comes_from_reads_as_such() {
        let mut names = Names::new();
        let place = |attr, text: &str| ValueName { attr, id: ValueId(7), text: text.into() };
        names.learn(&[place(Attr::Country, "DE"), place(Attr::Network, "AS64500 (Example Ltd)")]);
        let is = |attr| match attr {
            Attr::NetworkClass => Predicate::Is(attr, NetworkClass::Hosting.id()),
            _ => Predicate::Is(attr, ValueId(7)),
        };
        let check = |attrs: &[Attr], expected: &str| {
            let signature = Signature::new(attrs.iter().copied().map(is).collect());
            assert_eq!(names.signature(&signature), expected);
        };
        check(&[Attr::Country], "requests from DE");
        check(
            &[Attr::Country, Attr::Network, Attr::NetworkClass, Attr::Stack],
            "requests from DE from network AS64500 (Example Ltd) from a hosting network with one \
             make of client (id 0000000000000007)",
        );
    }

    #[test]
    fn a_flood_of_names_stays_bounded() {
        let mut names = Names::new();
        for n in 2..100_000 {
            names.learn(&[name(n)]);
        }
        let (kept, most) = names.occupancy();
        assert!(kept <= NAMES_PER_ATTR_MAX && kept <= most);
    }
}
