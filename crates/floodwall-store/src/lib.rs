//! Alone writes data files: incidents and what must survive a restart, in SQLite.
