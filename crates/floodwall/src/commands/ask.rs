//! `status`, `incidents`, `report`: questions to the running Floodwall. Where none runs, the last two
//! are answered from what the last one wrote.

use std::path::{Path, PathBuf};

use floodwall_console::control::{ControlError, Request, Response, ask};
use floodwall_console::{incidents_table, metrics_text, report_json, report_text, status_text};
use floodwall_store::Store;
use serde::Serialize;

use super::{Failure, print};
use crate::cli::{IncidentsArgs, ReportArgs, SocketArgs, StatusArgs};
use crate::clock::now_ms;
use crate::config::Config;
use crate::node::DATABASE;
use crate::paths;

/// `floodwall status`.
pub(crate) fn status(args: &StatusArgs) -> Result<(), Failure> {
    match put(&args.socket, &Request::Status)? {
        Response::Status { status } if args.socket.json => print_json(&status),
        Response::Status { status } if args.metrics => print(&metrics_text(&status)),
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

/// Where the running Floodwall is asked, and where its records are, as far as that is known.
struct Place {
    socket: PathBuf,
    state_dir: Option<PathBuf>,
}

impl Place {
    fn of(args: &SocketArgs) -> Result<Place, Failure> {
        let default_dir = paths::state_dir_default();
        if let Some(file) = &args.config {
            let config = Config::load(file)?;
            let elsewhere = config.state_dir != default_dir
                && config.control_socket == paths::control_socket_default();
            let socket = if elsewhere {
                paths::control_socket_in(&config.state_dir)
            } else {
                config.control_socket
            };
            return Ok(Place { socket, state_dir: Some(config.state_dir) });
        }
        Ok(match (&args.control_socket, &args.state_dir) {
            (Some(socket), _) => Place { socket: socket.clone(), state_dir: None },
            (None, Some(dir)) => {
                Place { socket: paths::control_socket_in(dir), state_dir: Some(dir.clone()) }
            }
            (None, None) => {
                Place { socket: paths::control_socket_default(), state_dir: Some(default_dir) }
            }
        })
    }
}

fn put(args: &SocketArgs, request: &Request) -> Result<Response, Failure> {
    let place = Place::of(args)?;
    let error = match ask(&place.socket, request) {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    if !matches!(error, ControlError::NotRunning(_) | ControlError::Ended(_)) {
        return Err(error.into());
    }
    if let Some(state_dir) = &place.state_dir
        && let Some(response) = from_records(&state_dir.join(DATABASE), request)?
    {
        return Ok(response);
    }
    let asked_by_default =
        args.control_socket.is_none() && args.state_dir.is_none() && args.config.is_none();
    Err(if asked_by_default {
        format!(
            "{error}. If it was started with --state-dir or --control-socket, give the same here"
        )
        .into()
    } else {
        error.into()
    })
}

/// The answer from what the last Floodwall wrote, where none is running; `None` where the records
/// do not hold it or are not there.
fn from_records(database: &Path, request: &Request) -> Result<Option<Response>, Failure> {
    if matches!(request, Request::Status) || !database.exists() {
        return Ok(None);
    }
    let store = Store::open_read_only(database)?;
    eprintln!(
        "floodwall: none is running here; this is from the records in {}",
        database.display()
    );
    Ok(match request {
        Request::Status => None,
        Request::Incidents { limit } => {
            let listed = store.incidents(*limit)?;
            let incidents = listed.incidents.iter().map(Into::into).collect();
            Some(Response::Incidents { incidents, unreadable: listed.unreadable })
        }
        Request::Incident { id } => match store.incident(*id)? {
            Some(incident) => Some(Response::Incident { incident: Box::new(incident) }),
            None => return Err(format!("there is no incident {id} in these records").into()),
        },
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
