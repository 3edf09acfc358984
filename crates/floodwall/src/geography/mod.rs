//! Where addresses belong, out of an operator's own databases in the MaxMind DB format
//! (<https://maxmind.github.io/MaxMind-DB/>).
//!
//! Read whole into memory and never changed there: a mapped file that its updater shortens would end
//! the program. What a database does not say is unknown, and so is everything where none is read;
//! nothing here knows a country, a network or a provider by itself, and nothing is fetched.

mod database;
mod fields;
#[cfg(test)]
mod tests;
mod usual;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use floodwall_model::{Geography, Place};

pub use database::{Database, DatabaseError, FILE_BYTES_MAX};
pub use fields::Role;

/// Which databases shall be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GeographyConfig {
    /// The one with countries.
    pub country: Option<PathBuf>,
    /// The one with networks.
    pub network: Option<PathBuf>,
    /// The one with classes of networks. Without it they are read where the others have them.
    pub class: Option<PathBuf>,
    /// Whether databases are looked for at the usual places if none is named.
    pub usual_places: bool,
}

impl Default for GeographyConfig {
    fn default() -> Self {
        GeographyConfig { country: None, network: None, class: None, usual_places: true }
    }
}

impl GeographyConfig {
    /// No database at all.
    pub fn none() -> Self {
        GeographyConfig { usual_places: false, ..GeographyConfig::default() }
    }

    /// This file for this alone.
    pub fn of(role: Role, path: PathBuf) -> Self {
        let mut config = GeographyConfig::none();
        match role {
            Role::Country => config.country = Some(path),
            Role::Network => config.network = Some(path),
            Role::Class => config.class = Some(path),
        }
        config
    }

    /// The files named, with what each is for.
    pub fn named(&self) -> impl Iterator<Item = (Role, &PathBuf)> {
        let of = [
            (Role::Country, &self.country),
            (Role::Network, &self.network),
            (Role::Class, &self.class),
        ];
        of.into_iter().filter_map(|(role, path)| Some((role, path.as_ref()?)))
    }
}

/// Databases that were read.
#[derive(Debug, Default)]
pub struct Opened {
    read: Vec<Reading>,
    /// Files at the usual places that could not be read.
    passed_over: Vec<DatabaseError>,
}

/// A database and what it is asked for.
#[derive(Debug)]
struct Reading {
    database: Database,
    roles: Vec<Role>,
}

impl Opened {
    /// Reads what `config` names, or what lies at the usual places. Only a file that is named must
    /// be there and in order.
    pub fn open(config: &GeographyConfig) -> Result<Opened, DatabaseError> {
        let mut opened = Opened::default();
        for (role, path) in config.named() {
            let read = opened.read.iter().position(|r| r.database.path() == path);
            let at = match read {
                Some(at) => at,
                None => {
                    let database = Database::open(path)?;
                    opened.read.push(Reading { database, roles: Vec::new() });
                    opened.read.len() - 1
                }
            };
            opened.read[at].database.must_hold(role)?;
            opened.read[at].roles.push(role);
        }
        if opened.read.is_empty() && config.usual_places {
            opened = usual::open(&usual::PLACES);
        }
        opened.read_classes_where_they_are();
        Ok(opened)
    }

    /// A database that is read for its networks may say what class they are of, too.
    fn read_classes_where_they_are(&mut self) {
        if self.read.iter().any(|reading| reading.roles.contains(&Role::Class)) {
            return;
        }
        if let Some(reading) = self.read.iter_mut().find(|r| r.database.holds(Role::Class)) {
            reading.roles.push(Role::Class);
        }
    }

    /// What was read: each database and what it is asked for.
    pub fn databases(&self) -> impl Iterator<Item = (&Database, &[Role])> {
        self.read.iter().map(|reading| (&reading.database, reading.roles.as_slice()))
    }

    /// Files at the usual places that could not be read.
    pub fn passed_over(&self) -> &[DatabaseError] {
        &self.passed_over
    }

    fn place(&self, address: IpAddr) -> Place {
        let mut place = Place { of_whole_network: true, ..Place::default() };
        for reading in &self.read {
            reading.database.look_up(address, &reading.roles, &mut place);
        }
        place
    }
}

/// The databases in force, swapped whole when the configuration is read again.
#[derive(Debug, Default)]
pub struct Databases {
    opened: ArcSwap<Opened>,
    revision: AtomicU64,
}

impl Databases {
    /// These.
    pub fn new(opened: Opened) -> Self {
        Databases { opened: ArcSwap::from_pointee(opened), revision: AtomicU64::new(0) }
    }

    /// Takes others; answers given before are asked for again.
    pub fn replace(&self, opened: Opened) {
        self.opened.store(Arc::new(opened));
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Those in force.
    pub fn opened(&self) -> Arc<Opened> {
        self.opened.load_full()
    }
}

impl Geography for Databases {
    fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn place(&self, address: IpAddr) -> Place {
        self.opened.load().place(address)
    }
}
