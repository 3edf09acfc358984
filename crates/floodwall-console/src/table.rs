//! Incidents as a table for people. Programs get JSON.

use floodwall_model::Mode;

use crate::civil::utc_bare;
use crate::summary::{IncidentSummary, verdict_name};
use crate::words::{duration_short, number, rate};

/// The incidents in the order given, with a line that explains what is not obvious.
pub fn incidents_table(incidents: &[IncidentSummary], now_ms: u64) -> String {
    if incidents.is_empty() {
        return "No incident is on record.\n".into();
    }
    let mut rows = vec![
        ["ID", "OPENED (UTC)", "LASTED", "VERDICT", "PEAK/S", "STOPPED", "RULES"].map(String::from),
    ];
    rows.extend(incidents.iter().map(|incident| row(incident, now_ms)));
    let mut table = aligned(&rows);
    if incidents.iter().any(|i| i.mode == Mode::Shadow && i.would_stop > 0) {
        table.push_str("\n(n) would have been stopped: shadow mode decides and does not act.\n");
    }
    table
}

fn row(incident: &IncidentSummary, now_ms: u64) -> [String; 7] {
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
        utc_bare(incident.opened_at_ms),
        lasted,
        verdict_name(incident.verdict).into(),
        rate(incident.peak_per_1s_rps),
        stopped,
        number(incident.rules),
    ]
}

/// Columns two spaces apart; numbers (from the fifth column on, and the first) to the right.
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
            if column == 0 || column >= 4 {
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
ID  OPENED (UTC)         LASTED     VERDICT      PEAK/S  STOPPED  RULES
13  2026-11-23 15:00:01  42s, open  cannot tell    88.0      (7)      0
12  2026-11-23 14:05:04  10m 06s    attack        1,022  580,012      2

(n) would have been stopped: shadow mode decides and does not act.
"
        );
    }
}
