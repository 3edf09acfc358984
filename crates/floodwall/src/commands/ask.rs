//! `status`, `incidents`, `report`: questions to the running Floodwall.

use std::path::PathBuf;

use floodwall_console::control::{ControlError, Request, Response, ask};
use floodwall_console::{incidents_table, report_json, report_text, status_text};
use serde::Serialize;

use super::{Failure, print};
use crate::cli::{IncidentsArgs, ReportArgs, SocketArgs, StatusArgs};
use crate::clock::now_ms;
use crate::paths;

/// `floodwall status`.
pub(crate) fn status(args: &StatusArgs) -> Result<(), Failure> {
    match put(&args.socket, &Request::Status)? {
        Response::Status { status } if args.socket.json => print_json(&status),
        Response::Status { status } => print(&status_text(&status)),
        other => Err(unexpected(other)),
    }
}

/// `floodwall incidents`.
pub(crate) fn incidents(args: &IncidentsArgs) -> Result<(), Failure> {
    match put(&args.socket, &Request::Incidents { limit: args.limit })? {
        Response::Incidents { incidents, .. } if args.socket.json => print_json(&incidents),
        Response::Incidents { incidents, unreadable } => {
            print(&incidents_table(&incidents, now_ms()))?;
            for id in unreadable {
                eprintln!("floodwall: the record of incident {id} cannot be read");
            }
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// `floodwall report ID`.
pub(crate) fn report(args: &ReportArgs) -> Result<(), Failure> {
    match put(&args.socket, &Request::Incident { id: args.id })? {
        Response::Incident { incident } if args.socket.json => print_json(&report_json(&incident)?),
        Response::Incident { incident } => print(&report_text(&incident, now_ms())),
        other => Err(unexpected(other)),
    }
}

fn put(socket: &SocketArgs, request: &Request) -> Result<Response, Failure> {
    let path: PathBuf = match (&socket.control_socket, &socket.state_dir) {
        (Some(path), _) => path.clone(),
        (None, Some(state_dir)) => paths::control_socket_in(state_dir),
        (None, None) => paths::control_socket_default(),
    };
    let asked_by_default = socket.control_socket.is_none() && socket.state_dir.is_none();
    ask(&path, request).map_err(|error| match error {
        ControlError::NotRunning(_) if asked_by_default => format!(
            "{error}. If it was started with --state-dir or --control-socket, give the same here"
        )
        .into(),
        error => error.into(),
    })
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value)?)
}

fn unexpected(response: Response) -> Failure {
    match response {
        Response::Error { message, .. } => message.into(),
        _ => "the running Floodwall answered another question; are both of one version?".into(),
    }
}
