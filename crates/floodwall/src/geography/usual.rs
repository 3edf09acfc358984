//! The directories where distributions and updaters put such databases (FHS; geoipupdate(1)). That
//! none is there is no error: everything works without.

use std::path::{Path, PathBuf};

use super::{Database, Opened, Reading, Role};

/// Where is looked, in this order.
pub(super) const PLACES: [&str; 2] = ["/usr/share/GeoIP", "/var/lib/GeoIP"];
/// Files looked into at one place, the smallest first. When there are more: the rest is left alone,
/// and can be named.
const FILES_MAX: usize = 16;

/// Reads the smallest files that hold what is asked for: one of cities holds countries, too, and
/// costs seven times the memory.
pub(super) fn open(places: &[&str]) -> Opened {
    let mut opened = Opened::default();
    for path in places.iter().flat_map(|place| files(Path::new(place))) {
        if missing(&opened).is_empty() {
            break;
        }
        match Database::open(&path) {
            Ok(database) => {
                let roles: Vec<Role> =
                    missing(&opened).into_iter().filter(|role| database.holds(*role)).collect();
                if !roles.is_empty() {
                    opened.read.push(Reading { database, roles });
                }
            }
            Err(error) => opened.passed_over.push(error),
        }
    }
    opened
}

/// What nothing read so far is asked for. A class alone is not worth reading larger files.
fn missing(opened: &Opened) -> Vec<Role> {
    let read = |role: &Role| opened.read.iter().any(|reading| reading.roles.contains(role));
    let mut missing: Vec<Role> = Role::ALL.into_iter().filter(|role| !read(role)).collect();
    if missing == [Role::Class] {
        missing.clear();
    }
    missing
}

fn files(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut files: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let bytes = std::fs::metadata(&path).ok().filter(|m| m.is_file())?.len();
            path.extension().is_some_and(|e| e == "mmdb").then_some((bytes, path))
        })
        .collect();
    files.sort();
    files.truncate(FILES_MAX);
    files.into_iter().map(|(_, path)| path).collect()
}
