//! Declared events: which paths are expected to be crowded, and when.
//!
//! Rules and samples know paths by id only, and only the observers make ids. So the declared paths
//! are looked up among the texts that observers announce, and among those kept when events are
//! declared; nothing here makes an id. One look-up per segment of an announced path: strangers can
//! have a new path announced with every request.
//!
//! It must never say of an undeclared path or time that it was expected: what is not known is
//! undeclared.

use std::collections::HashMap;
use std::sync::Arc;

use floodwall_model::event::{EVENT_PATHS_MAX, EVENTS_MAX};
use floodwall_model::{Attr, Event, Evidence, Family, ValueId, ValueName};

use crate::names::Names;
use crate::record::Record;
use crate::status::DeclaredEvent;

/// Ids of declared paths remembered, about 64 bytes each. When full: a page found below a declared
/// directory afterwards counts as undeclared, and is counted; declared pages have room kept for them.
const DECLARED_PATHS_MAX: usize = 32_768;
/// Attention begins so long before an event, ms: its visitors do not wait for the minute.
const POSTURE_BEFORE_MS: u64 = 600_000;
/// Share of a signature's requests that must ask for declared paths for the prior to hold.
const DECLARED_SHARE_MIN: f64 = 0.9;
/// The prior: all that its family may say.
const DECLARED_LOG_ODDS: f64 = -1.5;

// Room for every declared page, and as much again for what lies below declared directories.
const _: () = assert!(EVENTS_MAX * EVENT_PATHS_MAX * 2 <= DECLARED_PATHS_MAX);

/// Indices of the events that declare a path.
type Declaring = Arc<[usize]>;

/// The events and the ids of their paths.
#[derive(Debug, Default)]
pub struct Calendar {
    events: Vec<Event>,
    pages: HashMap<String, Declaring>,
    directories: HashMap<String, Declaring>,
    declared: HashMap<ValueId, Declaring>,
    undeclared_when_full: u64,
}

impl Calendar {
    /// A calendar of `events`, whose paths are looked up among `names`.
    pub fn new(events: Vec<Event>, names: &Names) -> Calendar {
        let mut tables: [HashMap<String, Vec<usize>>; 2] = Default::default();
        for (index, event) in events.iter().enumerate() {
            for path in &event.paths {
                let table = &mut tables[usize::from(path.is_below())];
                table.entry(path.template().to_owned()).or_default().push(index);
            }
        }
        let [pages, directories] = tables
            .map(|table| table.into_iter().map(|(text, indices)| (text, indices.into())).collect());
        let mut calendar = Calendar { events, pages, directories, ..Calendar::default() };
        calendar.look_up(names);
        calendar
    }

    /// Looks the declared paths up among all texts kept.
    pub fn look_up(&mut self, names: &Names) {
        if !self.events.is_empty() {
            for (id, text) in names.texts(Attr::PathTemplate) {
                self.meet(id, text);
            }
        }
    }

    /// Takes in announced names.
    pub fn learn(&mut self, names: &[ValueName]) {
        if self.events.is_empty() {
            return;
        }
        for name in names.iter().filter(|name| name.attr == Attr::PathTemplate) {
            self.meet(name.id, &name.text);
        }
    }

    fn meet(&mut self, id: ValueId, text: &str) {
        if self.declared.contains_key(&id) {
            return;
        }
        let page = self.pages.get(text);
        let slashes = text.bytes().enumerate().filter(|(_, b)| *b == b'/').map(|(at, _)| at);
        let directories = slashes.filter_map(|at| self.directories.get(&text[..=at]));
        let mut declaring: Vec<usize> =
            page.into_iter().chain(directories).flat_map(|events| events.iter().copied()).collect();
        if declaring.is_empty() {
            return;
        }
        // A page's template is announced under one id, so pages never need more room than is kept.
        let places = DECLARED_PATHS_MAX.saturating_sub(self.pages.len());
        if page.is_none() && self.declared.len() >= places {
            self.undeclared_when_full += 1;
            return;
        }
        declaring.sort_unstable();
        declaring.dedup();
        self.declared.insert(id, declaring.into());
    }

    /// The event during which a request for `path` at `at_ms` was expected.
    fn expected(&self, path: ValueId, at_ms: u64) -> Option<&Event> {
        let declaring = self.declared.get(&path)?;
        declaring.iter().filter_map(|at| self.events.get(*at)).find(|event| event.lasts_at(at_ms))
    }

    /// The events that last at `now_ms` or begin soon.
    pub fn at_hand(&self, now_ms: u64) -> Vec<DeclaredEvent> {
        let soon = |event: &&Event| {
            let next = event.occurrence(now_ms);
            next.is_some_and(|(from_ms, _)| now_ms.saturating_add(POSTURE_BEFORE_MS) >= from_ms)
        };
        let shown = |event: &Event| {
            let (from_ms, until_ms) = event.occurrence(now_ms)?;
            let paths = event.paths.iter().map(|path| path.text().to_owned()).collect();
            let (name, expected_factor) = (event.name.clone(), event.expected_factor);
            Some(DeclaredEvent { name, from_ms, until_ms, paths, expected_factor })
        };
        self.events.iter().filter(soon).filter_map(shown).collect()
    }

    /// E7: were these requests announced? `so_far` is what the other families say.
    pub fn provenance(&self, matched: &[&Record], so_far: &[Evidence]) -> Option<Evidence> {
        if self.events.is_empty() || matched.is_empty() || is_proven(so_far) {
            return None;
        }
        let mut name = None;
        let mut declared = 0_usize;
        for record in matched {
            if let Some(event) = self.expected(record.attrs[Attr::PathTemplate], record.at_ms) {
                declared += 1;
                name.get_or_insert(&event.name);
            }
        }
        let share = declared as f64 / matched.len() as f64;
        let name = name.filter(|_| share >= DECLARED_SHARE_MIN)?;
        let statement = format!(
            "{:.0} % of it asks for what visitors were announced for (“{name}”)",
            share * 100.0
        );
        Some(Evidence { family: Family::Provenance, log_odds: DECLARED_LOG_ODDS, statement })
    }

    /// Ids remembered, most that fit, and those that found no place.
    pub fn occupancy(&self) -> (usize, usize, u64) {
        (self.declared.len(), DECLARED_PATHS_MAX, self.undeclared_when_full)
    }
}

/// Conduct at its full weight settles what a public calendar must not reopen.
fn is_proven(so_far: &[Evidence]) -> bool {
    let conduct = |e: &&Evidence| matches!(e.family, Family::Behaviour | Family::Probe);
    let full = Family::Behaviour.log_odds_cap();
    so_far.iter().filter(conduct).any(|e| e.log_odds >= full)
}

#[cfg(test)]
mod tests;
