//! What can be typed. What it means is decided in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::demo::DemoArgs;
use crate::replay::ReplayArgs;

/// Keeps a website at full speed during a denial-of-service attack, and gives an account of it
/// afterwards.
#[derive(Debug, Parser)]
#[command(name = "floodwall", version, max_term_width = 100)]
#[command(
    after_help = "Start with `floodwall demo` to see an attack and a crowd on this machine,\n\
    `floodwall replay access.log` to see what would have happened to your site,\n\
    `floodwall run --origin http://127.0.0.1:8080` to stand in front of it."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stand in front of a website
    Run(RunArgs),
    /// Show an attack and a crowd on a sample site, on this machine only
    Demo(DemoArgs),
    /// Say what would have been seen and done in recorded access logs
    Replay(ReplayArgs),
    /// Check a configuration file and report all mistakes in it
    Check(CheckArgs),
    /// Say what this host can do against floods of packets, and what is missing
    Doctor(DoctorArgs),
    /// Show what the running Floodwall is doing
    Status(StatusArgs),
    /// List incidents
    Incidents(IncidentsArgs),
    /// Print the account of an incident
    Report(ReportArgs),
}

/// Stand in front of a website.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Configuration file (TOML); everything below can be said there too
    #[arg(value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The website to stand in front of, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL", conflicts_with = "config", required_unless_present = "config")]
    pub origin: Option<String>,
    /// Where to listen; may be given several times [default: 0.0.0.0:8080, or 8081 if the origin has
    /// that port]
    #[arg(long, value_name = "ADDR", conflicts_with = "config")]
    pub listen: Vec<String>,
    /// Act on decisions. Without it Floodwall only records what it would do (shadow mode)
    #[arg(long)]
    pub protect: bool,
    /// Network interface for the kernel filter, such as eth0; may be given several times. Without it
    /// the filter sits on the listening sockets
    #[arg(long, value_name = "NAME")]
    pub interface: Vec<String>,
    /// Where the record of incidents is kept [default: /var/lib/floodwall as root, else
    /// ~/.local/state/floodwall]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Socket for `status`, `incidents` and `report` [default: /run/floodwall/control.sock as
    /// root, but control.sock in the state directory if that is not the default one]
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// Write the log as JSON lines
    #[arg(long)]
    pub log_json: bool,
}

/// Check a configuration file.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The file
    pub file: PathBuf,
    /// Print the mistakes as JSON
    #[arg(long)]
    pub json: bool,
}

/// Say what this host can do against floods of packets, and what is missing.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Look at the databases that this configuration file names, too
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Look at this network interface only [default: each that is up and has an address]
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the running Floodwall listens for questions.
#[derive(Clone, Debug, Args)]
pub struct SocketArgs {
    /// The control socket of the running Floodwall [default: as for `run`]
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// The state directory that the running Floodwall was started with, if it was given one
    #[arg(long, value_name = "DIR", conflicts_with = "control_socket")]
    pub state_dir: Option<PathBuf>,
    /// The configuration file that the running Floodwall was started with: socket and state
    /// directory are those it names
    #[arg(long, value_name = "FILE", conflicts_with_all = ["control_socket", "state_dir"])]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show what the running Floodwall is doing.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Print metrics (Prometheus text format 0.0.4)
    #[arg(long, conflicts_with = "json")]
    pub metrics: bool,
    /// Where and how.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// List incidents.
#[derive(Clone, Debug, Args)]
pub struct IncidentsArgs {
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: usize,
    /// Where and how.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Print the account of an incident.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Its number, as `floodwall incidents` shows it
    pub id: u64,
    /// Where and how.
    #[command(flatten)]
    pub socket: SocketArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_run_needs_an_origin_or_a_file() {
        assert!(Cli::try_parse_from(["floodwall", "run"]).is_err());
        assert!(Cli::try_parse_from(["floodwall", "run", "site.toml"]).is_ok());
        let both = ["floodwall", "run", "site.toml", "--origin", "http://127.0.0.1:1"];
        assert!(Cli::try_parse_from(both).is_err());
    }
}
