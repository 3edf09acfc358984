//! Reading a report as its reader would, for the tests of both kinds of incident.

use floodwall_model::Incident;

use super::report_text;

/// Onset of the incidents in these tests, ms since the epoch.
pub(super) const ONSET: u64 = 1_795_442_703_000;
/// When the reports are read.
pub(super) const NOW: u64 = ONSET + 1_200_000;

/// The report as one line, as it would be read aloud.
fn aloud(incident: &Incident) -> String {
    report_text(incident, NOW).split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn says(incident: &Incident, sentences: &[&str]) {
    let text = aloud(incident);
    for sentence in sentences {
        assert!(
            text.contains(sentence),
            "`{sentence}` is missing in:\n{}",
            report_text(incident, NOW)
        );
    }
}

pub(super) fn never_says(incident: &Incident, words: &[&str]) {
    let text = aloud(incident).to_lowercase();
    for word in words {
        assert!(!text.contains(word), "`{word}` must not be in:\n{}", report_text(incident, NOW));
    }
}
