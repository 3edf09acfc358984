//! What can be said on the command line of `floodwall replay`.

use std::path::PathBuf;

use super::field::FieldName;
use super::log::LogFormat;

/// Runs recorded access logs or packet captures through the detector: what would have been seen,
/// which rules would have been placed, whom they would have hit. Nothing is installed, nothing is sent anywhere.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Access logs or packet captures (.pcap, .pcapng), plain or .gz, in any order; - reads standard
    /// input
    ///
    /// Several files are read in the order of time, whether rotated (access.log access.log.1.gz)
    /// or written side by side by several servers.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// What the lines are
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub format: LogFormat,

    /// Name of a field in JSON logs, e.g. source=http_x_forwarded_for; may be repeated
    ///
    /// FIELD is one of time, source, request, method, target, query, version, status, bytes,
    /// referer, agent, host, language, accept, fetch_dest, cookie, request_time (seconds), headers.
    /// NAME may lead into nested objects: agent=request.headers.User-Agent. The names nginx, Caddy,
    /// Traefik and the Elastic Common Schema use are known.
    #[arg(long = "field", value_name = "FIELD=NAME")]
    pub fields: Vec<FieldName>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Write what would have been done with each record to this file
    ///
    /// One line per record: its number, a tab, the action (pass, throttle, block, ban; of packets:
    /// pass, drop, challenge), a tab, the rule, for packets perhaps a reason, or -. Records are
    /// numbered from 1 as they are read: in one file its lines without blank and broken ones, over
    /// several files in the order of time.
    #[arg(long, value_name = "FILE")]
    pub decisions: Option<PathBuf>,

    /// A database (.mmdb) that says in which country an address is
    ///
    /// Unlike a running Floodwall, replay reads none unless it is named: the databases of today
    /// need not be right about the addresses of an old log.
    #[arg(long, value_name = "FILE")]
    pub country: Option<PathBuf>,

    /// A database (.mmdb) that says to which network (autonomous system) an address belongs
    #[arg(long, value_name = "FILE")]
    pub network: Option<PathBuf>,

    /// A database (.mmdb) that says of which class that network is, unless the other two do
    #[arg(long, value_name = "FILE")]
    pub network_class: Option<PathBuf>,

    /// 1 reads and decides on one thread, 2 on two
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub threads: u8,

    /// Seed of everything that is chosen by chance; the same seed gives the same result
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// No progress bar
    #[arg(long, short)]
    pub quiet: bool,
}
