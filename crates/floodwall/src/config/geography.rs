//! The `[geography]` section: databases that say where addresses belong.
//!
//! None is needed. A file that is named is opened and looked into here, so that a mistake is known
//! before it matters; it is read again by whoever starts.

use toml_edit::TableLike;

use super::reader::Reader;
use crate::geography::{GeographyConfig, Opened, Role};

/// The keys known in `[geography]`.
pub(super) const KEYS: &[&str] = &["country", "network", "class", "usual_places"];

/// Reads the section, if it is there.
pub(super) fn read(reader: &mut Reader<'_>, top: &dyn TableLike) -> GeographyConfig {
    let Some(item) = top.get("geography") else { return GeographyConfig::default() };
    let Some(table) = item.as_table_like() else {
        let line = reader.key_line(top, "geography");
        reader.wrong_type(line, "geography", item, "a section: [geography]");
        return GeographyConfig::default();
    };
    reader.check_keys(table, KEYS);
    let mut named = |role: Role| {
        let path = reader.path(table, role.key())?;
        let config = GeographyConfig::of(role, path.value.clone());
        if let Err(what) = Opened::open(&config) {
            reader.wrong(path.line, format!("`{}`: {what}", role.key()));
        }
        Some(path.value)
    };
    let (country, network) = (named(Role::Country), named(Role::Network));
    let class = named(Role::Class);
    let usual_places = reader.boolean(table, "usual_places").is_none_or(|usual| usual.value);
    GeographyConfig { country, network, class, usual_places }
}
