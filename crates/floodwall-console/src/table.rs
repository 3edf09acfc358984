//! Incidents as a table for people. Programs get JSON.

use floodwall_model::Mode;

use crate::civil::utc_bare;
use crate::summary::{IncidentKind, IncidentSummary};
use crate::verdict;
use crate::words::{duration_short, number, rate};

/// The incidents in the order given, with a line that explains what is not obvious.
pub fn incidents_table(incidents: &[IncidentSummary], now_ms: u64) -> String {
    if incidents.is_empty() {
        return "No incident is on record.\n".into();
    }
    let mut rows = vec![
        ["ID", "OPENED (UTC)", "LASTED", "KIND", "VERDICT", "PEAK/S", "STOPPED", "RULES"]
            .map(String::from),
    ];
    rows.extend(incidents.iter().map(|incident| row(incident, now_ms)));
    let mut table = aligned(&rows);
    if incidents.iter().any(|i| i.mode == Mode::Shadow && i.would_stop > 0) {
        table.push_str("\n(n) would have been stopped: shadow mode decides and does not act.\n");
    }
    if incidents.iter().any(|i| i.kind == IncidentKind::Packets) {
        table.push_str("\nPEAK/S (the highest second) and STOPPED count what KIND says.\n");
    }
    if incidents.iter().any(|i| i.rules == 0 && i.guards > 0 && i.stopped > 0) {
        table.push_str("\nNo rule, yet stopped: guards did it. `floodwall report ID` says how.\n");
    }
    table
}

fn row(incident: &IncidentSummary, now_ms: u64) -> [String; 8] {
    let lasted = match incident.closed_at_ms {
        Some(closed) => duration_short(closed.saturating_sub(incident.onset_at_ms)),
        None => format!("{}, open", duration_short(now_ms.saturating_sub(incident.onset_at_ms))),
    };
    let stopped = match incident.mode {
        Mode::Protect => number(incident.stopped),
        Mode::Shadow => format!("({})", number(incident.would_stop)),
    };
    [
        incident.id.to_string(),
        to_the_minute(incident.opened_at_ms),
        lasted,
        incident.kind.name().into(),
        verdict::name(incident.verdict).into(),
        rate(incident.peak_per_1s()),
        stopped,
        number(incident.rules),
    ]
}

/// Without the seconds, so that a row fits on a line.
fn to_the_minute(ms: u64) -> String {
    let mut text = utc_bare(ms);
    text.truncate(text.len().saturating_sub(":05".len()));
    text
}

/// Columns two spaces apart; numbers (from the sixth column on, and the first) to the right.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            if column == 0 || column >= 5 {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::packet::PacketAccount;
    use floodwall_model::{Incident, IncidentVerdict, Peaks, Totals};

    #[test]
    fn nothing_on_record_is_said_in_words() {
        assert_eq!(incidents_table(&[], 0), "No incident is on record.\n");
    }

    #[test]
    fn open_and_shadow_incidents_are_told_apart() {
        let attack = Incident {
            id: 12,
            mode: Mode::Protect,
            verdict: IncidentVerdict::Attack,
            onset_at_ms: 1_795_442_703_000,
            opened_at_ms: 1_795_442_704_000,
            closed_at_ms: Some(1_795_443_309_000),
            peaks: Peaks { per_1s: 1021.6, ..Peaks::default() },
            totals: Totals { blocked: 580_000, throttled: 12, ..Totals::default() },
            rules_left_out: 2,
            ..Incident::default()
        };
        let open = Incident {
            id: 13,
            mode: Mode::Shadow,
            closed_at_ms: None,
            onset_at_ms: 1_795_446_000_000,
            opened_at_ms: 1_795_446_001_000,
            peaks: Peaks { per_1s: 88.0, ..Peaks::default() },
            totals: Totals { would_stop: 7, ..Totals::default() },
            ..Incident::default()
        };
        let rows = [IncidentSummary::from(&open), IncidentSummary::from(&attack)];
        assert_eq!(
            incidents_table(&rows, 1_795_446_042_000),
            "\
ID  OPENED (UTC)      LASTED     KIND      VERDICT      PEAK/S  STOPPED  RULES
13  2026-11-23 15:00  42s, open  requests  cannot tell    88.0      (7)      0
12  2026-11-23 14:05  10m 06s    requests  attack        1,022  580,012      2

(n) would have been stopped: shadow mode decides and does not act.
"
        );
    }
    #[test]
    fn packets_and_requests_stand_side_by_side() {
        let guarded = Incident {
            id: 14,
            mode: Mode::Protect,
            verdict: IncidentVerdict::Attack,
            closed_at_ms: Some(90_000),
            packets: Some(PacketAccount {
                peak_1s_pps: 48_211.0,
                dropped: 0,
                refused: vec![("out_of_state".into(), 300), ("port_zero".into(), 7)],
                guards: vec!["TCP packets of no connection were dropped".into()],
                ..PacketAccount::default()
            }),
            // What an incident of packets must never show.
            peaks: Peaks { per_1s: 5.0, ..Peaks::default() },
            totals: Totals { blocked: 9, ..Totals::default() },
            ..Incident::default()
        };
        let requests = Incident {
            id: 2,
            mode: Mode::Protect,
            closed_at_ms: Some(1_000),
            peaks: Peaks { per_1s: 12.0, ..Peaks::default() },
            ..Incident::default()
        };
        let rows = [IncidentSummary::from(&guarded), IncidentSummary::from(&requests)];
        assert_eq!(
            incidents_table(&rows, 100_000),
            "\
ID  OPENED (UTC)      LASTED  KIND      VERDICT      PEAK/S  STOPPED  RULES
14  1970-01-01 00:00  1m 30s  packets   cannot tell  48,211      300      0
 2  1970-01-01 00:00  1s      requests  cannot tell    12.0        0      0

PEAK/S (the highest second) and STOPPED count what KIND says.

No rule, yet stopped: guards did it. `floodwall report ID` says how.
"
        );
    }

    #[test]
    fn a_row_of_packets_holds_no_rate_of_requests() {
        let flood = Incident { packets: Some(PacketAccount::default()), ..Incident::default() };
        let json = serde_json::to_string(&IncidentSummary::from(&flood)).unwrap();
        assert!(json.contains("\"kind\":\"packets\"") && !json.contains("rps"), "{json}");
        let requests = serde_json::to_string(&IncidentSummary::from(&Incident::default())).unwrap();
        assert!(requests.contains("\"peak_per_1s_rps\":0.0") && !requests.contains("pps"));
    }

    #[test]
    fn a_row_written_before_there_were_packets_is_one_of_requests() {
        let old = r#"{"id":3,"mode":"protect","verdict":"attack","onset_at_ms":1,"opened_at_ms":2,
            "closed_at_ms":null,"peak_per_1s_rps":4.5,"stopped":1,"would_stop":0,"rules":1}"#;
        let row: IncidentSummary = serde_json::from_str(old).unwrap();
        assert_eq!((row.kind, row.peak_per_1s_rps), (IncidentKind::Requests, Some(4.5)));
    }
}
