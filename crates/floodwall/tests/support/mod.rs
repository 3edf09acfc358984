//! A small origin and a running `floodwall` process for tests from outside.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// An origin that answers every request with 200, its path and its `X-Forwarded-For`.
pub struct Origin {
    pub address: SocketAddr,
}

impl Origin {
    pub fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || answer(stream));
            }
        });
        Origin { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(stream: TcpStream) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => head.push_str(&line),
            }
        }
        let path = head.split(' ').nth(1).unwrap_or("?").to_owned();
        let body = format!("{path}\n{head}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// The program.
pub fn floodwall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floodwall"));
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn output(args: &[&str]) -> Output {
    floodwall().args(args).output().expect("floodwall runs")
}

/// A `floodwall run` that ends with the test.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
    pub socket: PathBuf,
}

impl Running {
    /// Starts `floodwall run` with `args` and waits until `port` of 127.0.0.1 answers.
    pub fn start(args: &[&str], directory: &Path, port: u16) -> Running {
        let mut command = floodwall();
        command.arg("run").args(args);
        Running::of(command, directory, port)
    }

    /// The same for a whole command, whose control socket must be in `directory`.
    pub fn of(mut command: Command, directory: &Path, port: u16) -> Running {
        let log = std::fs::File::create(directory.join("log")).expect("a log");
        let child = command.stderr(log).spawn().expect("floodwall runs");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let socket = directory.join("control.sock");
        let mut running = Running { child, address, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() || !running.socket.exists() {
            let log = || std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(running.child.try_wait().expect("a state").is_none(), "ended: {}", log());
            assert!(Instant::now() < deadline, "does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        running
    }

    pub fn signal(&self, signal: &str) {
        // The shell's own kill: a small system need not have the program.
        let command = format!("kill {signal} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status();
        assert!(sent.expect("a shell runs").success());
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Some(status) = self.child.try_wait().expect("a state") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks over the control socket.
    pub fn ask(&self, args: &[&str]) -> Output {
        let socket = self.socket.to_str().expect("a path in UTF-8");
        floodwall().args(args).args(["--control-socket", socket]).output().expect("floodwall runs")
    }

    pub fn status(&self) -> serde_json::Value {
        let output = self.ask(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request over a connection of its own; the whole answer.
pub fn get(address: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    // A cut connection leaves what came until then; the caller judges.
    let _ = stream.read_to_string(&mut answer);
    answer
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
