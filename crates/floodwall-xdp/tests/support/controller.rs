//! A controller in a process of its own, which can be stopped and killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// Names the part that a child process plays in a test, and its arguments.
pub(crate) const CHILD: &str = "FLOODWALL_XDP_FAULTS_CHILD";

/// A controller in a process of its own.
pub(crate) struct Controller(Child);

impl Controller {
    /// Runs `test` again in a child process, up to where it says that it is in force.
    pub(crate) fn start(test: &str, argument: &str) -> Controller {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(CHILD, argument)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let in_force = stdout.lines().any(|line| line.unwrap() == "in force");
        let controller = Controller(child);
        assert!(in_force, "the child ended early");
        controller
    }

    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Already ended is just as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the parent waits for.
pub(crate) fn say_in_force() {
    // Past the test harness's capture, which println! is not.
    let mut out = std::io::stdout();
    writeln!(out, "\nin force").unwrap();
}
