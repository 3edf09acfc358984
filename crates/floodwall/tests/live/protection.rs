//! The program itself in front of the web server: `floodwall run`, watched over its control socket
//! as an operator would.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use floodwall_console::Status;
use floodwall_console::control::{Request, Response, ask};
use floodwall_console::status::KernelTier;
use floodwall_model::packet::Guards;

use super::cable::NEAR;

/// Between two looks at the status: what is reported about times is no finer.
const LOOK: Duration = Duration::from_millis(20);
/// It must be up within.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A change of what is in force.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    pub rules: Vec<String>,
    pub guards: Vec<&'static str>,
}

/// What the program said it did.
#[derive(Clone, Debug)]
pub struct Account {
    pub tier: KernelTier,
    pub why_not_better: Option<String>,
    /// What stood from when on.
    pub actions: Vec<(Instant, Standing)>,
    /// Packets refused, by reason, and matched by rules that stand.
    pub stopped: Vec<(String, u64)>,
    pub samples_lost: u64,
}

/// A program that runs until it is asked what it did.
pub struct Protection {
    child: Child,
    directory: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    watch: Option<JoinHandle<Account>>,
    /// Where visitors find the site.
    pub server: SocketAddr,
}

impl Protection {
    /// Starts the program on the near host, on whose thread this is called, before `origin`.
    pub fn start(near: IpAddr, origin: SocketAddr) -> Protection {
        let directory = tempfile::tempdir().expect("a directory");
        let server = TcpListener::bind((near, 0)).and_then(|l| l.local_addr()).expect("a port");
        let file = directory.path().join("floodwall.toml");
        let path = directory.path().display();
        let text = format!(
            "mode = \"protect\"\nlisten = [\"{server}\"]\ninterface = \"{NEAR}\"\n\
             state_dir = \"{path}\"\ncontrol_socket = \"{path}/control.sock\"\n\
             [site.\"*\"]\norigin = \"http://{origin}\"\n"
        );
        std::fs::write(&file, text).expect("a file");
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_floodwall"))
            .arg("run")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("floodwall runs");
        let socket = directory.path().join("control.sock");
        let from = Instant::now();
        while TcpStream::connect(server).is_err() || !socket.exists() {
            let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().expect("a state").is_none(), "ended: {}", log());
            assert!(from.elapsed() < STARTS_WITHIN, "does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let watch = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || watch(&socket, &stop))
        };
        Protection { child, directory, stop, watch: Some(watch), server }
    }

    /// What it did; then it ends.
    pub fn stop(mut self) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        let watch = self.watch.take().expect("it is asked once");
        watch.join().unwrap_or_else(|_| panic!("no status: {}", self.log()))
    }

    fn log(&self) -> String {
        let path: PathBuf = self.directory.path().join("log");
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Already ended is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(socket: &Path) -> Box<Status> {
    match ask(socket, &Request::Status) {
        Ok(Response::Status { status }) => status,
        other => panic!("no status: {other:?}"),
    }
}

fn watch(socket: &Path, stop: &AtomicBool) -> Account {
    let mut actions: Vec<(Instant, Standing)> = vec![(Instant::now(), Standing::default())];
    loop {
        let last = stop.load(Ordering::Relaxed);
        let now = status(socket);
        let packets = now.packets.as_ref().expect("packets are watched");
        let standing = Standing {
            rules: packets.rules.iter().map(|rule| rule.words.clone()).collect(),
            guards: names(packets.guards),
        };
        if actions.last().is_none_or(|(_, before)| *before != standing) {
            actions.push((Instant::now(), standing));
        }
        if last {
            let refused = packets.refused.iter().map(|r| (r.reason.name().to_owned(), r.count));
            let matched = packets.rules.iter().map(|rule| rule.matched).sum();
            return Account {
                tier: now.kernel.tier,
                why_not_better: now.kernel.why_not_better.clone(),
                actions,
                stopped: refused.chain([("rules".to_owned(), matched)]).collect(),
                samples_lost: packets.samples_lost,
            };
        }
        std::thread::sleep(LOOK);
    }
}

fn names(guards: Guards) -> Vec<&'static str> {
    let all = [
        (guards.syn_proof, "SYN proof"),
        (guards.tcp_state, "TCP state"),
        (guards.udp_solicited, "UDP asked for"),
        (guards.icmp, "ICMP rate"),
    ];
    all.iter().filter(|(stands, _)| *stands).map(|(_, name)| *name).collect()
}
