//! The verdict as it is told: never more than the findings on record carry.
//!
//! An incident of packets opens when a guard is raised, before anything was found out about who
//! sends them. Its record may call that an attack; here it is one only when two independent kinds
//! of evidence speak for it.

use floodwall_model::{Incident, IncidentVerdict};

/// A finding below this weight does not speak for an attack, log-odds (the plan's own floor for a
/// family that counts).
const SPEAKS_FROM: f64 = 1.0;

/// What the incident is told to be.
pub(crate) fn told(incident: &Incident) -> IncidentVerdict {
    let unproven = incident.packets.is_some() && !two_kinds_speak(incident);
    match incident.verdict {
        IncidentVerdict::Attack if unproven => IncidentVerdict::CannotTell,
        verdict => verdict,
    }
}

fn two_kinds_speak(incident: &Incident) -> bool {
    let findings = || incident.rules.iter().flat_map(|r| &r.evidence).chain(&incident.evidence);
    let speaks = |identity: bool| {
        findings().any(|e| e.log_odds >= SPEAKS_FROM && e.family.is_identity() == identity)
    };
    speaks(true) && speaks(false)
}

/// The verdict in a table.
pub(crate) const fn name(verdict: IncidentVerdict) -> &'static str {
    match verdict {
        IncidentVerdict::Attack => "attack",
        IncidentVerdict::Crowd => "crowd",
        IncidentVerdict::CannotTell => "cannot tell",
    }
}

#[cfg(test)]
mod tests {
    use floodwall_model::packet::PacketAccount;
    use floodwall_model::{Evidence, Family};

    use super::*;

    fn of_packets(findings: &[(Family, f64)]) -> Incident {
        let evidence = |(family, log_odds): &(Family, f64)| Evidence {
            family: *family,
            log_odds: *log_odds,
            statement: String::new(),
        };
        Incident {
            verdict: IncidentVerdict::Attack,
            packets: Some(PacketAccount::default()),
            evidence: findings.iter().map(evidence).collect(),
            ..Incident::default()
        }
    }

    fn check(findings: &[(Family, f64)], expected: IncidentVerdict) {
        assert_eq!(told(&of_packets(findings)), expected, "{findings:?}");
    }

    #[test]
    fn a_flood_of_packets_is_an_attack_only_on_two_kinds_of_evidence() {
        check(&[], IncidentVerdict::CannotTell);
        check(&[(Family::Behaviour, 4.0)], IncidentVerdict::CannotTell);
        check(
            &[(Family::Inconsistency, 3.0), (Family::Implementation, 1.5)],
            IncidentVerdict::CannotTell,
        );
        check(
            &[(Family::Inconsistency, 3.0), (Family::Behaviour, 0.5)],
            IncidentVerdict::CannotTell,
        );
        check(&[(Family::Inconsistency, 3.0), (Family::Behaviour, 2.5)], IncidentVerdict::Attack);
    }

    #[test]
    fn other_verdicts_and_incidents_of_requests_are_told_as_recorded() {
        let crowd = Incident { verdict: IncidentVerdict::Crowd, ..of_packets(&[]) };
        assert_eq!(told(&crowd), IncidentVerdict::Crowd);
        let requests = Incident { packets: None, ..of_packets(&[]) };
        assert_eq!(told(&requests), IncidentVerdict::Attack);
    }
}
