//! What people and programs see: control socket, tables, the incident report.
