//! Which databases of addresses a Floodwall would read here, and how old they are.

use floodwall_console::utc;
use serde::Serialize;

use crate::geography::{GeographyConfig, Opened};

/// Older than this, days, a database is worth replacing: a twentieth of addresses has moved.
const OLD_DAYS: u64 = 90;
const DAY_S: u64 = 24 * 3_600;

/// What there is.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct AddressDatabases {
    pub(super) read: Vec<AddressDatabase>,
    /// Files that cannot be read, and why.
    pub(super) broken: Vec<String>,
}

/// One database.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct AddressDatabase {
    pub(super) path: String,
    /// What it calls itself.
    pub(super) kind: String,
    /// What it is asked for.
    pub(super) holds: Vec<String>,
    pub(super) made: String,
    pub(super) age_days: u64,
}

impl AddressDatabases {
    /// Opens what `config` names, or what lies at the usual places.
    pub(super) fn look(config: &GeographyConfig, now_ms: u64) -> Self {
        let opened = match Opened::open(config) {
            Ok(opened) => opened,
            Err(error) => {
                return AddressDatabases { read: vec![], broken: vec![error.to_string()] };
            }
        };
        let read = opened.databases().map(|(database, roles)| AddressDatabase {
            path: database.path().display().to_string(),
            kind: database.kind().to_owned(),
            holds: roles.iter().map(|role| role.words().to_owned()).collect(),
            made: utc(database.built_s().saturating_mul(1_000)),
            age_days: (now_ms / 1_000).saturating_sub(database.built_s()) / DAY_S,
        });
        let broken = opened.passed_over().iter().map(ToString::to_string).collect();
        AddressDatabases { read: read.collect(), broken }
    }

    /// One line each.
    pub(super) fn words(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.read.iter().map(AddressDatabase::words).collect();
        if lines.is_empty() {
            lines.push(
                "No database is read, so countries and networks are unknown. Everything works \
                 without; to have them, put databases in the MaxMind DB format (.mmdb) into \
                 /usr/share/GeoIP, or name them in [geography]."
                    .to_owned(),
            );
        }
        lines.extend(self.broken.iter().map(|why| format!("Not read: {why}.")));
        lines
    }
}

impl AddressDatabase {
    fn words(&self) -> String {
        let AddressDatabase { path, kind, holds, made, age_days } = self;
        let holds = holds.join(" and ");
        let old =
            if *age_days > OLD_DAYS { "; addresses change hands, get a newer one" } else { "" };
        format!("{holds} from {path} ({kind}, made {made}, {age_days} days ago{old})")
    }
}
