//! `floodwall run`: stands in front of a website until told to stop.
//!
//! SIGTERM and SIGINT drain, SIGHUP reads the configuration again; a bad file changes nothing.

use std::time::Duration;

use floodwall_model::Mode;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::cli::RunArgs;
use crate::config::Config;
use crate::node::{Node, NodeConfig};
use crate::paths;

/// Requests under way get so long to finish after SIGTERM. Less than the 90 s after which systemd
/// kills (systemd.service(5), TimeoutStopSec).
const DRAIN: Duration = Duration::from_secs(30);

/// `floodwall run`.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    log_to_stderr(args.log_json);
    let config = configuration(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything listens: a SIGTERM from now on is a wish, not a kill.
        let signals = Signals::new()?;
        let node = Node::start(NodeConfig::from_config(&config))?;
        announce(&node, &config);
        serve(node, args, signals).await
    })
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }
}

async fn serve(mut node: Node, args: &RunArgs, mut signals: Signals) -> Result<(), Failure> {
    loop {
        tokio::select! {
            _ = signals.term.recv() => break,
            _ = signals.int.recv() => break,
            _ = signals.hup.recv() => reload(&mut node, args),
        }
    }
    tracing::info!("stopping: no new connections; requests under way have {} s", DRAIN.as_secs());
    // A second signal ends at once: whoever sends two means it.
    let stopping = tokio::task::spawn_blocking(move || node.stop(DRAIN));
    tokio::select! {
        done = stopping => done?,
        _ = signals.term.recv() => std::process::exit(1),
        _ = signals.int.recv() => std::process::exit(1),
    }
    tracing::info!("stopped");
    Ok(())
}

fn reload(node: &mut Node, args: &RunArgs) {
    let changed = configuration(args)
        .and_then(|config| node.reload(NodeConfig::from_config(&config)).map_err(Failure::from));
    match changed {
        Ok(()) => {
            tracing::info!(mode = ?node.mode(), sites = node.sites(), "configuration read again")
        }
        Err(failure) => tracing::error!("nothing was changed: {failure}"),
    }
}

/// What was typed and what the file says, as one checked configuration.
fn configuration(args: &RunArgs) -> Result<Config, Failure> {
    let mut config = match (&args.config, &args.origin) {
        (Some(file), _) => Config::load(file)?,
        (None, Some(origin)) => Config::for_origin(origin, &args.listen, &args.interface)?,
        (None, None) => return Err("an origin or a configuration file is needed".into()),
    };
    if args.protect {
        config.mode = Mode::Protect;
    }
    if !args.interface.is_empty() {
        config.interfaces = Config::checked_interfaces(&args.interface)?;
    }
    if let Some(state_dir) = &args.state_dir {
        config.state_dir.clone_from(state_dir);
    }
    // Two Floodwalls on one host differ in their state directories; their sockets follow.
    let elsewhere = config.state_dir != paths::state_dir_default();
    if elsewhere && config.control_socket == paths::control_socket_default() {
        config.control_socket = paths::control_socket_in(&config.state_dir);
    }
    if let Some(socket) = &args.control_socket {
        config.control_socket.clone_from(socket);
    }
    Ok(config)
}

fn announce(node: &Node, config: &Config) {
    for (address, tls) in node.listening() {
        tracing::info!(%address, tls, "listening");
    }
    if node.kernel().interfaces().is_empty() {
        tracing::info!(
            "no interface is given, so floods of packets are not looked for; name it with \
             --interface or `interface` to have them stopped"
        );
    }
    match config.mode {
        Mode::Shadow => tracing::info!(
            "shadow mode: decisions are recorded, nobody is refused by a rule; add --protect to act"
        ),
        Mode::Protect => tracing::info!("protect mode: rules are carried out"),
    }
    tracing::info!(
        "ask with `floodwall status --control-socket {}`",
        config.control_socket.display()
    );
}

fn log_to_stderr(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FLOODWALL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if a subscriber is set already, which then does the same.
    let _ =
        if json { subscriber.json().try_init() } else { subscriber.with_target(false).try_init() };
}
