//! What the reader of a result must know to judge it: what was not read, not recorded, not told.

use super::super::input;
use super::session::Outcomes;
use super::summary::{CaptureSummary, CountSummary, ReadSide};

/// What the reader must know to judge the result.
pub(crate) fn notes(summary: &CaptureSummary, read: &ReadSide, outcomes: &Outcomes) -> Vec<String> {
    let mut notes = read.lost.clone();
    for (path, tally) in &read.recordings {
        let file = input::shown(path);
        let file = file.display();
        if let Some(why) = &tally.broke_off {
            notes.push(format!("{file}: reading broke off {why}"));
        } else if tally.packets == 0 {
            notes.push(format!("{file}: it holds no packet"));
        }
    }
    let cut: u64 = read.recordings.iter().map(|(_, tally)| tally.cut).sum();
    if cut > 0 {
        notes.push(format!(
            "the recorder kept only the beginning of {cut} packets; what is missing counts as zeros"
        ));
    }
    for link in &summary.links_unread {
        let CountSummary { name, packets } = link;
        notes.push(format!("{packets} packets were not looked at: {name} is not read"));
    }
    if summary.clock_set_back > 0 {
        let count = summary.clock_set_back;
        notes.push(format!(
            "the recorder's clock stepped back {count} times (or recordings were joined end to \
             end); each time, time goes on from where it was"
        ));
    }
    if !summary.both_directions && summary.parsed.read > 0 {
        notes.push(
            "only one direction was recorded: whether a packet answers another cannot be told, so \
             guards for conversations dropped nothing here"
                .to_owned(),
        );
    }
    if summary.neutral_profile && summary.parsed.read > 0 {
        notes.push(
            "the capture has too little past of its own: rules are judged by the packaged neutral \
             profile of ordinary traffic"
                .to_owned(),
        );
    }
    if summary.sampled_one_of > 1 {
        let n = summary.sampled_one_of;
        notes.push(format!(
            "at its busiest, one of {n} packets was looked at whole; counts and decisions are exact"
        ));
    }
    if outcomes.flows_forgotten > 0 {
        let count = outcomes.flows_forgotten;
        notes.push(format!(
            "{count} conversations were forgotten because there were too many at once"
        ));
    }
    notes
}
