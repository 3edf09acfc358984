//! Whole texts kept in `tests/goldens`, to be read by people in review.
//!
//! `FLOODWALL_BLESS=1 cargo test -p floodwall-console` writes them anew; the diff is then what is
//! reviewed.

use std::path::Path;

/// Compares `text` with the kept one.
pub(crate) fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    if std::env::var_os("FLOODWALL_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} differs; the text is now:\n{text}", path.display());
}
