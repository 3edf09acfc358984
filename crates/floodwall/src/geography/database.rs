//! One database file: what it holds, how old it is, and what it says of an address.
//!
//! Where a file keeps things is found out once, when it is opened, from its first records and some
//! drawn over the whole address space. After that a damaged place in it makes an address unknown and
//! is counted; it must never end a request.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use floodwall_model::{NetworkClass, NetworkNumber, Place};
use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader};

use super::fields::{
    CLASS_MARKS, CLASS_NAMES, COUNTRY, Field, NETWORK, NETWORK_NAME, Role, Scalar,
};

/// Largest file read, bytes; it stays in memory. When larger: it is refused with this number.
pub const FILE_BYTES_MAX: u64 = 512 << 20;
/// Records looked into to find out where the file keeps things: so many from its beginning …
const PROBED_FIRST: usize = 4_096;
/// … and those of so many addresses, evenly over IPv4.
const PROBED_EVENLY: u32 = 4_096;

/// Why a database is not read, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error(
        "{path} cannot be read: {error}. Give the path of a database in the MaxMind DB format \
         (.mmdb), or take the key out: none is needed"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It would take too much memory.
    #[error(
        "{path} is larger than {} MiB, which would be kept in memory. A database of countries or \
         networks alone is smaller",
        FILE_BYTES_MAX >> 20
    )]
    TooLarge {
        /// The file.
        path: String,
    },
    /// It is something else, or damaged.
    #[error(
        "{path} is not a database in the MaxMind DB format, or it is damaged ({error}). Fetch it \
         again and unpack it"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What the reader says.
        error: MaxMindDbError,
    },
    /// It lacks what it was named for.
    #[error("{path} holds no {}; it holds {holds}", role.words())]
    Lacks {
        /// The file.
        path: String,
        /// What it was named for.
        role: Role,
        /// What it does hold, in words.
        holds: String,
    },
}

/// Where a file keeps what.
#[derive(Debug, Default)]
struct Layout {
    country: Option<Field>,
    network: Option<Field>,
    network_name: Option<Field>,
    class_marks: Vec<(Field, NetworkClass)>,
    class_names: Vec<Field>,
}

/// A database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
    layout: Layout,
    failed: AtomicU64,
}

type Record<'a> = LookupResult<'a, Vec<u8>>;

impl Database {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Database, DatabaseError> {
        let shown = || path.display().to_string();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| DatabaseError::Unreadable { path: shown(), error })?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(DatabaseError::TooLarge { path: shown() });
        }
        let damaged = |error| DatabaseError::Damaged { path: shown(), error };
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        let layout = Layout::of(&reader).map_err(damaged)?;
        Ok(Database { path: path.to_owned(), reader, layout, failed: AtomicU64::new(0) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it calls itself.
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was made, s since the epoch.
    pub fn built_s(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// Looks that met a damaged place.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether it holds what `role` asks for.
    pub fn holds(&self, role: Role) -> bool {
        match role {
            Role::Country => self.layout.country.is_some(),
            Role::Network => self.layout.network.is_some(),
            Role::Class => {
                !self.layout.class_marks.is_empty() || !self.layout.class_names.is_empty()
            }
        }
    }

    /// An error that says what it holds instead of what `role` asks for.
    pub(super) fn must_hold(&self, role: Role) -> Result<(), DatabaseError> {
        if self.holds(role) {
            return Ok(());
        }
        let held: Vec<String> = Role::ALL
            .into_iter()
            .filter(|role| self.holds(*role))
            .map(|role| format!("{} (`{}`)", role.words(), role.key()))
            .collect();
        let holds = if held.is_empty() { "nothing known here".into() } else { held.join(" and ") };
        Err(DatabaseError::Lacks { path: self.path.display().to_string(), role, holds })
    }

    /// Notes in `place` what it says of `address`.
    pub(super) fn look_up(&self, address: IpAddr, roles: &[Role], place: &mut Place) {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return;
        }
        let found = self.reader.lookup(address).and_then(|record| {
            place.of_whole_network &= covers_network(&record, address)?;
            self.read(&record, roles, place)
        });
        if let Err(error) = found {
            place.of_whole_network = false;
            if self.failed.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(
                    database = %self.path.display(),
                    "a damaged place in it: {error}; such addresses count as unknown"
                );
            }
        }
    }

    fn read(
        &self,
        record: &Record<'_>,
        roles: &[Role],
        place: &mut Place,
    ) -> Result<(), MaxMindDbError> {
        for role in roles {
            match role {
                Role::Country => {
                    let code = read_field(record, self.layout.country)?;
                    place.country = code.and_then(|code| code.country());
                }
                Role::Network => {
                    let number = read_field(record, self.layout.network)?;
                    let Some(number) = number.and_then(|n| n.network()) else { continue };
                    let name = read_field(record, self.layout.network_name)?;
                    let name = name.as_ref().and_then(Scalar::text);
                    place.network = Some(NetworkNumber::new(number, name));
                }
                Role::Class => place.class = self.class(record)?,
            }
        }
        Ok(())
    }

    fn class(&self, record: &Record<'_>) -> Result<Option<NetworkClass>, MaxMindDbError> {
        for (field, class) in &self.layout.class_marks {
            if read_field(record, Some(field))?.and_then(|mark| mark.truth()) == Some(true) {
                return Ok(Some(*class));
            }
        }
        for field in &self.layout.class_names {
            if let Some(class) = read_field(record, Some(field))?.and_then(|name| name.class()) {
                return Ok(Some(class));
            }
        }
        Ok(None)
    }
}

impl Layout {
    fn of(reader: &Reader<Vec<u8>>) -> Result<Layout, MaxMindDbError> {
        let mut layout = Layout::default();
        for record in reader.networks(Default::default())?.take(PROBED_FIRST) {
            layout.learn(&record?)?;
        }
        let step = u32::MAX / PROBED_EVENLY;
        for n in 0..PROBED_EVENLY {
            layout.learn(&reader.lookup(Ipv4Addr::from(n * step).into())?)?;
        }
        Ok(layout)
    }

    fn learn(&mut self, record: &Record<'_>) -> Result<(), MaxMindDbError> {
        if !record.has_data() {
            return Ok(());
        }
        let is = |field: Field, fits: &dyn Fn(&Scalar) -> bool| {
            // `country` is a table in one layout and a text in the next.
            let reachable = match field {
                [outer, _] => read_field(record, Some(&[outer]))? == Some(Scalar::Other),
                _ => true,
            };
            Ok::<bool, MaxMindDbError>(
                reachable && read_field(record, Some(field))?.is_some_and(|s| fits(&s)),
            )
        };
        let first = |fields: &[Field], fits: &dyn Fn(&Scalar) -> bool| {
            for field in fields {
                if is(field, fits)? {
                    return Ok::<Option<Field>, MaxMindDbError>(Some(field));
                }
            }
            Ok(None)
        };
        if self.country.is_none() {
            self.country = first(&COUNTRY, &|code| code.country().is_some())?;
        }
        if self.network.is_none() {
            self.network = first(&NETWORK, &|number| number.network().is_some())?;
        }
        if self.network_name.is_none() {
            self.network_name = first(&NETWORK_NAME, &|name| name.text().is_some())?;
        }
        for mark in CLASS_MARKS {
            let known = self.class_marks.contains(&mark);
            if !known && is(mark.0, &|mark| mark.truth().is_some())? {
                self.class_marks.push(mark);
            }
        }
        for field in CLASS_NAMES {
            let known = self.class_names.contains(&field);
            if !known && is(field, &|name| name.class().is_some())? {
                self.class_names.push(field);
            }
        }
        Ok(())
    }
}

/// The value of a field; `None` if the record lacks it.
fn read_field(
    record: &Record<'_>,
    field: Option<&[&'static str]>,
) -> Result<Option<Scalar>, MaxMindDbError> {
    match field {
        Some([only]) => record.decode_path(&[PathElement::Key(only)]),
        Some([outer, inner]) => {
            record.decode_path(&[PathElement::Key(outer), PathElement::Key(inner)])
        }
        _ => Ok(None),
    }
}

/// Whether the record speaks of the whole /24 or /48 that the address is in.
fn covers_network(record: &Record<'_>, address: IpAddr) -> Result<bool, MaxMindDbError> {
    let found = record.network()?;
    Ok(match (address, found.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => found.prefix() <= 24,
        (IpAddr::V6(_), _) => found.prefix() <= 48,
        // An answer for all of IPv4.
        (IpAddr::V4(_), IpAddr::V6(_)) => true,
    })
}
