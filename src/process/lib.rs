//! The process: its standard error, and its end when a thread dies without which the server does nothing.
//!
//! Invariant: a standard error that is closed, full or broken loses the line and nothing else. No function here panics.
//! Absent on purpose: `eprintln!`, which panics when the line cannot be written; `tests/house/tidy.rs` refuses it everywhere.

use std::fmt;
use std::io::{self, Write};

/// Exit status after the death of a thread or actor that holds [`Vital`].
const DEAD: i32 = 1;

/// Standard error as a writer for the log: every write succeeds, and a line that cannot be written is lost.
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

/// Writes one line to standard error, in one piece; a line that cannot be written is lost.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = Stderr.write_all(format!("{line}\n").as_bytes());
}

/// Held by a thread, task or actor without which the server does nothing: a panic there ends the process.
///
/// A dead journal or writer would otherwise leave a server that answers `busy` until somebody looks.
#[derive(Debug)]
pub struct Vital(&'static str);

impl Vital {
    /// The name is that of the part, for the message.
    #[must_use]
    pub fn new(name: &'static str) -> Vital {
        Vital(name)
    }

    /// A task that is vital as long as it runs.
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
                "a part of the server has panicked, and nothing works without it: the process ends. What was acknowledged is stored; start the server again and report this"
            );
            std::process::exit(DEAD);
        }
    }
}
