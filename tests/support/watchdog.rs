//! Ends what the tests started even if the test process is killed.
//!
//! A small shell waits on a pipe whose other end only this process holds. When the process is gone, however it went, the
//! pipe closes and the shell cleans up. It ignores the signals that a terminal sends to the whole group.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs a command when it is dropped, or when this process ends.
pub struct Watchdog(Option<Child>);

impl Watchdog {
    /// `script` is run by `sh` at the end, as this user if one is given.
    pub fn new(script: &str, user: Option<(u32, u32)>) -> std::io::Result<Watchdog> {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("trap '' INT TERM HUP; read _; {script}"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        Ok(Watchdog(Some(command.spawn()?)))
    }

    /// Ends it without running its command.
    pub fn dismiss(mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
