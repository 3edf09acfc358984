//! What would help where rules do not, in words, for the incident's record.
//!
//! It must never promise what nobody here does: only what an operator can do is advised.

use floodwall_model::{Action, IncidentVerdict};

use super::Engine;
use super::dear::DearPage;
use super::search::HEAVY_SHARE_MIN;
use crate::stress::Stress;

/// Pages named in advice.
const PATHS_NAMED: usize = 3;

impl Engine {
    /// Brings the open incident's advice up to date.
    pub(super) fn advise(&mut self) {
        let stress = self.stress;
        let alarm = self.alarm.as_ref();
        let stopped_adding = alarm.is_some_and(|a| a.stopped_adding);
        let heavy = alarm.is_some_and(|a| a.heavy_share > HEAVY_SHARE_MIN);
        let dear =
            if self.account.is_some() && self.dear() { self.dear_pages() } else { Vec::new() };
        let usual_ms = self.costs.mean_ms();
        let Some(account) = &mut self.account else { return };
        let incident = account.incident_mut();
        let blocked = incident.rules.iter().any(|r| r.action == Action::Block);
        let throttled = incident.rules.iter().any(|r| r.action != Action::Block);
        let undescribed = !blocked && incident.verdict != IncidentVerdict::Crowd;
        let mut advice = Vec::new();
        if undescribed || stopped_adding {
            advice.push(no_signature(throttled, heavy));
        }
        advice.extend(dear.iter().map(|page| dear_page(page, usual_ms)));
        // Where the dear ones are known, those that are asked for most are not what to look at.
        let helpless = undescribed || stopped_adding || incident.verdict == IncidentVerdict::Crowd;
        if helpless && dear.is_empty() {
            let paths = incident.top_paths.iter().take(PATHS_NAMED);
            advice.push(cheaper(paths.map(|path| path.name.as_str()).collect()));
        }
        if stress >= Stress::Stressed {
            advice.push(format!(
                "The site behind is {}; what exceeds it gets 503. More capacity, or fewer requests \
                 at once to it, keeps it answering.",
                stress.words()
            ));
        }
        incident.advice = advice;
    }
}

fn dear_page(page: &DearPage, usual_ms: f64) -> String {
    let DearPage { path, each_ms, rps, share } = page;
    let times = each_ms / usual_ms.max(1.0);
    format!(
        "The page {path} costs the site behind about {each_ms:.0} ms a request, {times:.0} times what \
         a request costs on average, and is asked for {rps:.1} times a second: {:.0} % of the work \
         that was not expected. Serve it from a cache, or limit how often one visitor may ask for it.",
        (share * 100.0).min(100.0)
    )
}

fn no_signature(throttled: bool, heavy: bool) -> String {
    let limits = match (throttled, heavy) {
        (true, _) => "A limit per source is in force; it stops whoever sends much and nobody else.",
        (false, true) => {
            "A limit per source would stop part of it; it comes when the site suffers or the \
             requests it aims at double."
        }
        (false, false) => {
            "A limit per source does not help either: few sources send more than visitors do."
        }
    };
    format!(
        "No signature tells these requests from visitors', so none is blocked: a rule would hit \
         visitors as much. {limits}"
    )
}

fn cheaper(paths: Vec<&str>) -> String {
    let which = match paths.as_slice() {
        [] => "the pages that are asked for most".to_owned(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    };
    format!(
        "What helps is to make {which} cheap: serve them from a cache or as fixed pages, ask for a \
         sign-in or a question that only people answer where they cost most, and switch off for \
         now what nobody needs today."
    )
}
