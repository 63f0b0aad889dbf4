//! QEMU's monitor: just enough of it to save and restore a guest.

use super::GuestError;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection to a monitor.
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
}

/// An answer that takes longer will not come.
const ANSWER_SECONDS: u64 = 60;

impl Monitor {
    /// Connects, as soon as QEMU has made the socket.
    pub fn connect(socket: &Path, patience: Duration) -> Result<Monitor, GuestError> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(_) if start.elapsed() < patience => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(GuestError::Monitor(format!("no monitor: {error}"))),
            }
        };
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS))).map_err(GuestError::io(socket))?;
        let mut monitor = Monitor { stream: BufReader::new(stream) };
        monitor.line()?;
        monitor.command("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Runs a command; its answer.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value, GuestError> {
        let text = json!({ "execute": name, "arguments": arguments }).to_string();
        let sent = self.stream.get_mut().write_all(text.as_bytes());
        sent.map_err(|error| GuestError::Monitor(format!("{name}: {error}")))?;
        loop {
            let mut answer = self.line()?;
            if let Some(answer) = answer.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(GuestError::Monitor(format!("{name}: {}", error["desc"].as_str().unwrap_or("refused"))));
            }
            // Everything else is an event.
        }
    }

    /// Repeats a query until its `status` is one of `wanted`.
    pub fn wait_for_status(&mut self, query: &str, wanted: &[&str], patience: Duration) -> Result<(), GuestError> {
        let start = Instant::now();
        loop {
            let answer = self.command(query, json!({}))?;
            let status = answer["status"].as_str().unwrap_or_default();
            if wanted.contains(&status) {
                return Ok(());
            }
            if status == "failed" || start.elapsed() > patience {
                return Err(GuestError::Monitor(format!("{query} is \"{status}\", not {wanted:?}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn line(&mut self) -> Result<Value, GuestError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(GuestError::Monitor("the monitor was closed".to_owned())),
            Ok(_) => serde_json::from_str(&line).map_err(|error| GuestError::Monitor(error.to_string())),
            Err(error) => Err(GuestError::Monitor(error.to_string())),
        }
    }
}
