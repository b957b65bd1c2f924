//! The process: standard error, and the exit after a panic in an essential thread.
//!
//! Invariant: a standard error that is closed, full or broken loses only the line. No function here panics.
//! Absent on purpose: `eprintln!`, which panics when the line cannot be written; `tests/house/tidy.rs` refuses it everywhere.

use std::fmt;
use std::io::{self, Write};

/// Exit status after a panic in a thread or actor that holds [`Vital`].
const DEAD: i32 = 1;

/// Standard error as a writer for the log. Every write succeeds; a line that cannot be written is lost.
///
/// `tracing_subscriber` reports a failed write by `eprintln!`, which panics where standard error itself has failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line to standard error by one write; a line that cannot be written is lost.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = Stderr.write_all(format!("{line}\n").as_bytes());
}

/// A guard that an essential thread, task or actor holds: a panic there ends the process.
///
/// Without it, a panic in the journal or the writer would leave a server that answers `busy` until an operator restarts it.
#[derive(Debug)]
pub struct Vital(&'static str);

impl Vital {
    /// A guard with the name of its thread, task or actor, for the message.
    #[must_use]
    pub fn new(name: &'static str) -> Vital {
        Vital(name)
    }

    /// Runs a task under a guard.
    pub async fn task(name: &'static str, task: impl Future<Output = ()>) {
        let _vital = Vital::new(name);
        task.await;
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let part = self.0;
            tracing::error!(
                part,
                "an essential part of the server has panicked: the process ends. All acknowledged events are stored; start the server again and report this panic"
            );
            std::process::exit(DEAD);
        }
    }
}
