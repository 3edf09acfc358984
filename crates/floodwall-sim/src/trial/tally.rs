//! Counts by group of visitors, and of page views.

use std::collections::HashSet;

use floodwall_model::RequestKind;

use crate::request::Planned;
use crate::who::{Software, Who};

/// Requests below which a group's share says nothing.
pub const GROUP_REQUESTS_MIN: u64 = 100;
/// Views remembered as failed. When full: later failures of the same view count again.
const FAILED_MAX: usize = 1 << 20;

const SHARED: usize = Software::ALL.len();
const RETURNING: usize = SHARED + 1;
const FIRST: usize = SHARED + 2;
const VICTIMS: usize = SHARED + 3;
const LANGUAGES: usize = SHARED + 4;
const GROUPS: usize = LANGUAGES + 26 * 26;

/// A part of a whole.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Part {
    /// Of these …
    pub all: u64,
    /// … so many.
    pub hit: u64,
}

impl Part {
    /// Counts one.
    pub fn add(&mut self, hit: bool) {
        self.all += 1;
        self.hit += u64::from(hit);
    }

    /// Both together.
    pub const fn plus(self, other: Part) -> Part {
        Part { all: self.all + other.all, hit: self.hit + other.hit }
    }

    /// The share hit; of nothing: 0.
    pub fn share(self) -> f64 {
        self.hit as f64 / self.all.max(1) as f64
    }
}

/// A group with its counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its requests, and those refused.
    pub refused: Part,
}

/// Honest requests by group, and those refused. A request counts in each of its sender's groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups(Vec<Part>);

impl Default for Groups {
    fn default() -> Self {
        Groups(vec![Part::default(); GROUPS])
    }
}

impl Groups {
    pub(super) fn count(&mut self, who: &Who, victim: bool, refused: bool) {
        self.0[who.software as usize].add(refused);
        self.0[if who.returning { RETURNING } else { FIRST }].add(refused);
        if who.shared {
            self.0[SHARED].add(refused);
        }
        if victim {
            self.0[VICTIMS].add(refused);
        }
        let letter = |at: usize| usize::from(who.language[at].saturating_sub(b'a')).min(25);
        self.0[LANGUAGES + letter(0) * 26 + letter(1)].add(refused);
    }

    /// Adds another trial's counts.
    pub fn merge(&mut self, other: &Groups) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.plus(*theirs);
        }
    }

    /// Every group that was met.
    pub fn all(&self) -> impl Iterator<Item = Group> {
        let met = self.0.iter().enumerate().filter(|(_, part)| part.all > 0);
        met.map(|(at, part)| Group { name: name(at), refused: *part })
    }

    /// The group hit worst among those with at least [`GROUP_REQUESTS_MIN`] requests.
    pub fn worst(&self) -> Option<Group> {
        let judged = self.all().filter(|group| group.refused.all >= GROUP_REQUESTS_MIN);
        judged.max_by(|a, b| a.refused.share().total_cmp(&b.refused.share()))
    }
}

fn name(at: usize) -> String {
    match at {
        SHARED => "shared addresses".to_owned(),
        RETURNING => "returning visitors".to_owned(),
        FIRST => "first visits".to_owned(),
        VICTIMS => "the attacker's neighbours".to_owned(),
        _ if at >= LANGUAGES => {
            let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
            let language = at - LANGUAGES;
            format!("language {}{}", letter(language / 26), letter(language))
        }
        _ => Software::ALL.get(at).map_or("?", |software| software.name()).to_owned(),
    }
}

/// Page views seen and those of which anything was refused.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// Of those who came for the first time.
    pub first: Part,
    /// Of those who had been here.
    pub returning: Part,
    failed: HashSet<(usize, u64)>,
}

impl Views {
    pub(super) fn count(&mut self, stream: usize, planned: &Planned, refused: bool) {
        let view = (stream, planned.page_view);
        let known = !self.failed.is_empty() && self.failed.contains(&view);
        let part = if planned.who.returning { &mut self.returning } else { &mut self.first };
        // A page sent for again because it was refused is the same view.
        part.all += u64::from(planned.kind == RequestKind::Page && !known);
        if refused && !known {
            part.hit += 1;
            if self.failed.len() < FAILED_MAX {
                self.failed.insert(view);
            }
        }
    }
}
