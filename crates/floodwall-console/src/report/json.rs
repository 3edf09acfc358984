//! The report for programs: the record, without what an incident of its kind cannot have.
//!
//! An incident of packets has no requests: a zero under `totals` would read as "none came", which
//! nobody measured. What is left out reads back as its default, so the text is still a record.

use floodwall_model::Incident;
use serde_json::Value;

use crate::verdict;

/// What only an incident of requests has. Sources of packets stand under `packets`.
const OF_REQUESTS_ONLY: [&str; 8] = [
    "expected_rps",
    "baseline_span_s",
    "peaks",
    "totals",
    "sources",
    "attack_sources",
    "top_networks",
    "top_paths",
];

/// The record of `incident` as JSON; the verdict is the one that [`super::report_text`] tells.
///
/// # Errors
///
/// When the record cannot be written as JSON (ours).
pub fn report_json(incident: &Incident) -> Result<Value, serde_json::Error> {
    let mut record = serde_json::to_value(incident)?;
    let Some(fields) = record.as_object_mut() else { return Ok(record) };
    if incident.packets.is_none() {
        fields.remove("packets");
        return Ok(record);
    }
    for name in OF_REQUESTS_ONLY {
        fields.remove(name);
    }
    fields.insert("verdict".to_owned(), serde_json::to_value(verdict::told(incident))?);
    Ok(record)
}

#[cfg(test)]
mod tests {
    use floodwall_model::packet::PacketAccount;
    use floodwall_model::{IncidentVerdict, Totals};

    use super::*;

    #[test]
    fn a_record_of_packets_holds_no_sum_of_requests_and_reads_back() {
        let packets = PacketAccount { received: 5, ..PacketAccount::default() };
        let incident = Incident { id: 4, packets: Some(packets), ..Incident::default() };
        let json = report_json(&incident).unwrap();
        let text = json.to_string();
        for name in OF_REQUESTS_ONLY.into_iter().filter(|name| *name != "sources") {
            assert!(!text.contains(&format!("\"{name}\"")), "{name} in {text}");
        }
        assert!(json.get("sources").is_none() && json["packets"]["sources"] == 0);
        assert_eq!(serde_json::from_value::<Incident>(json).unwrap(), incident);
    }

    #[test]
    fn every_name_that_is_left_out_is_a_name_of_the_record() {
        let record = serde_json::to_value(Incident::default()).unwrap();
        assert!(OF_REQUESTS_ONLY.iter().all(|name| record.get(name).is_some()));
    }

    #[test]
    fn a_record_of_requests_is_told_whole() {
        let totals = Totals { received: 9, ..Totals::default() };
        let incident = Incident { totals, verdict: IncidentVerdict::Attack, ..Incident::default() };
        let json = report_json(&incident).unwrap();
        assert_eq!(json["totals"]["received"], 9);
        assert!(json.get("packets").is_none());
        assert_eq!(serde_json::from_value::<Incident>(json).unwrap(), incident);
    }

    #[test]
    fn text_and_json_tell_one_verdict() {
        let packets = Some(PacketAccount::default());
        let verdict = IncidentVerdict::Attack;
        let json = report_json(&Incident { packets, verdict, ..Incident::default() }).unwrap();
        assert_eq!(json["verdict"], "cannot_tell");
    }
}
