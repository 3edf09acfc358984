//! What to do next about a flood of packets, the most useful first.

use floodwall_model::packet::SpoofingGrade;

use super::super::advice::{after_an_attack, keep_logs};
use super::flood::Flood;
use crate::civil::utc;
use crate::words::volume;

/// The steps.
pub(super) fn next_steps(flood: &Flood<'_>) -> Vec<String> {
    let mut steps = Vec::new();
    if flood.account.is_open() {
        steps.push("Leave Floodwall running; `floodwall status` shows how it stands.".into());
    }
    if flood.account.is_attack() {
        attack_steps(flood, &mut steps);
    } else {
        unsettled_steps(flood, &mut steps);
    }
    steps
}

fn attack_steps(flood: &Flood<'_>, steps: &mut Vec<String>) {
    steps.push(ask_provider(flood));
    measures(flood, steps);
    if flood.is_forged() {
        steps.push(format!(
            "Do not ban, publish or report the source addresses: {}, and their owners may have \
             sent nothing.",
            if flood.packets.spoofing == SpoofingGrade::Established {
                "some are made up for certain"
            } else {
                "there are strong indications that they are made up"
            }
        ));
    } else if flood.is_reflection() {
        steps.push(
            "Do not accuse the owners of the source addresses: they are consistent with servers \
             that were abused. Their networks' abuse desks can close them."
                .into(),
        );
    }
    after_an_attack(flood.account, steps);
}

fn unsettled_steps(flood: &Flood<'_>, steps: &mut Vec<String>) {
    let onset = utc(flood.account.incident.onset_at_ms);
    steps.push("Call it neither an attack nor a rush of visitors in public yet.".into());
    steps.push(ask_provider(flood));
    steps.push(format!(
        "Look for what could have sent packets or brought visitors shortly before {onset}: a new \
         service, a partner, a monitor, a test, an event."
    ));
    measures(flood, steps);
    steps.push(keep_logs(flood.account));
}

fn ask_provider(flood: &Flood<'_>) -> String {
    let ask = "Ask your hosting provider whether the line to this server was full";
    if flood.packets.peak_1s_bps > 0.0 {
        format!(
            "{ask}: {} reached it in the highest second, and what got lost before it only the \
             provider can see. A full line can be helped only there.",
            volume(flood.packets.peak_1s_bps)
        )
    } else {
        format!("{ask}. A full line can be helped only there.")
    }
}

fn measures(flood: &Flood<'_>, steps: &mut Vec<String>) {
    let acted = flood.account.rules() > 0 || flood.guards() > 0;
    if acted && flood.is_shadow() {
        steps.push(
            "Read the rules and guards in section 6. If they describe nothing that is yours, set \
             mode = \"protect\", so that the next ones act."
                .into(),
        );
    } else if acted {
        steps.push(
            "Open the site from another network, a telephone for instance. Then read section 6: \
             nothing there should describe a service, a partner or a monitor of your own."
                .into(),
        );
    }
    if flood.packets.neutral_profile {
        steps.push(
            "Let Floodwall run in ordinary times too: what it learns then takes the place of the \
             packaged profile."
                .into(),
        );
    }
}
