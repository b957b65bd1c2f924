//! Test fixtures: the real server as a child process, a client for its socket, a client for its REST interface.
//!
//! Invariant: every server has a directory and a port of its own, and is killed when its handle is dropped, so tests
//! run in parallel. Every wait has a timeout, and its failure names the expected and the actual event.
#![allow(dead_code, reason = "each program that includes this module uses a part of it")]

#[path = "../../loadtests/src/list.rs"]
pub mod list;
pub mod rest;
pub mod socket;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use rest::Rest;

/// Timeout of every expected event. Generous: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers in an embedding, by default.
pub const DIM: usize = 384;

/// The server's program: of this package, or beside the program with the offline commands.
pub fn program() -> String {
    let offline = || Some(Path::new(option_env!("CARGO_BIN_EXE_eddyline-offline")?).with_file_name("eddyline"));
    let program = option_env!("CARGO_BIN_EXE_eddyline").map(PathBuf::from).or_else(offline);
    let program = program.expect("a test of a package with a program");
    assert!(program.is_file(), "{} is not built: test with --workspace", program.display());
    program.to_str().expect("a path in UTF-8").to_owned()
}

/// Starts a server on a new directory.
pub fn server() -> Server {
    Server::start(TempDir::new().expect("a directory for the server"))
}

/// A running server with its data.
pub struct Server {
    child: Child,
    address: SocketAddr,
    store: String,
    // The directory must outlive the process; `Drop` below keeps the order.
    directory: Option<TempDir>,
}

impl Server {
    /// Starts on a directory, and waits until the server is ready.
    pub fn start(directory: TempDir) -> Server {
        let store = store(directory.path());
        Server::start_on(directory, store)
    }

    /// Starts on any store; the directory holds the log.
    pub fn start_on(directory: TempDir, store: String) -> Server {
        Server::start_on_with(directory, store, &[])
    }

    /// Starts on a directory with environment variables.
    pub fn start_with(directory: TempDir, variables: &[(&str, &str)]) -> Server {
        let store = store(directory.path());
        Server::start_on_with(directory, store, variables)
    }

    /// Starts in a process with a limit on its data, in MiB: an allocation beyond it ends the process. Memory is not
    /// reserved in advance, so that the limit applies to used memory.
    pub fn start_limited(directory: TempDir, mebibytes: u64, variables: &[(&str, &str)]) -> Server {
        let store = store(directory.path());
        let variables = [&[("MIMALLOC_ARENA_EAGER_COMMIT", "0")], variables].concat();
        let child = serve_within(Some(mebibytes * 1024), directory.path(), &store, &variables);
        Server::ready(child, directory, store)
    }

    /// Starts on any store with environment variables.
    pub fn start_on_with(directory: TempDir, store: String, variables: &[(&str, &str)]) -> Server {
        let child = serve(directory.path(), &store, variables);
        Server::ready(child, directory, store)
    }

    fn ready(mut child: Child, directory: TempDir, store: String) -> Server {
        let stdout = child.stdout.take().expect("its standard output");
        let (said, hear) = mpsc::channel();
        // Reads to the end, so that the server never waits for a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    let _ = said.send(address.trim().to_owned());
                }
            }
        });
        let address = match hear.recv_timeout(PATIENCE) {
            Ok(address) => address.parse().expect("an address behind `listening on http://`"),
            Err(_) => {
                let _ = child.kill();
                let log = std::fs::read_to_string(directory.path().join("server.log")).unwrap_or_default();
                panic!("the server did not say `listening on http://…` on standard output; its log:\n{log}");
            }
        };
        let server = Server { child, address, store, directory: Some(directory) };
        let ready = Instant::now();
        while server.rest().get("/ready").status != 200 {
            assert!(ready.elapsed() < PATIENCE, "/ready never said 200; log:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Sends `kill -9`. Returns the directory, for a restart or an inspection.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("its end");
        self.directory.take().expect("its directory")
    }

    /// Sends SIGTERM, as a service manager does; returns the exit status and the directory. `None` is a death by a
    /// signal.
    pub fn terminate(mut self) -> (Option<i32>, TempDir) {
        terminate(&self.child);
        let status = self.exit_code();
        (status, self.directory.take().expect("its directory"))
    }

    /// Sends `kill -9` and starts again on the directory.
    pub fn restart(self) -> Server {
        Server::start(self.kill())
    }

    /// Address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A REST client for this server.
    pub fn rest(&self) -> Rest {
        Rest::new(self.address)
    }

    /// Everything that the server logged.
    pub fn log(&self) -> String {
        let path = self.directory.as_ref().map(|directory| directory.path().join("server.log"));
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    }

    /// The server's directory, in which `store` and `data` find the store.
    pub fn data_directory(&self) -> String {
        self.directory.as_ref().map(|directory| directory.path().display().to_string()).unwrap_or_default()
    }

    /// Resident memory in bytes, where the system reports it.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
    }

    /// Peak resident memory in bytes; the system records it, so no peak is missed.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// Whether the process has ended by itself.
    pub fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Exit status, once the process has ended by itself.
    pub fn exit_code(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status.code();
            }
            assert!(begin.elapsed() < 3 * PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Process id of the server.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Creates these users.
    pub fn people(&self, names: &[&str]) {
        for name in names {
            self.rest().put(&format!("/v1/users/{name}"), &json!({"name": name})).success("make a person known");
        }
    }

    /// Creates `count` items `item-0`, `item-1`, … that are always available, of the topics a, b, c in turn. Each is an
    /// hour older than the one before: no two scores are so close that time changes their order.
    pub fn items(&self, count: usize) {
        let now = now_ms();
        for number in 0..count {
            let topic = ["a", "b", "c"][number % 3];
            let created = now - number as i64 * 3_600_000;
            let body = json!({"text": format!("item number {number}"), "topics": [topic], "created": created});
            self.rest().put(&format!("/v1/items/item-{number}"), &body).success("put an item");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may be gone already, so a failure is ignored.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- the server's log, newest 40 lines");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Sends SIGTERM, with which service managers request the end.
pub fn terminate(child: &Child) {
    let process = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM)
        .expect("a signal to a child that is not reaped");
}

/// Starts a server on a directory and kills it before it is ready, or just after.
pub fn start_and_kill(directory: &Path, after: Duration) {
    let mut child = serve(directory, &store(directory), &[]);
    std::thread::sleep(after);
    child.kill().expect("kill -9");
    child.wait().expect("its end");
}

fn serve(directory: &Path, store: &str, variables: &[(&str, &str)]) -> Child {
    serve_within(None, directory, store, variables)
}

fn serve_within(data_kib: Option<u64>, directory: &Path, store: &str, variables: &[(&str, &str)]) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("server.log")).unwrap();
    let program = program();
    let mut command = Command::new(if data_kib.is_some() { "sh" } else { &program });
    if let Some(data_kib) = data_kib {
        command.args(["-c", &format!("ulimit -d {data_kib} && exec \"$0\" \"$@\""), &program]);
    }
    command
        .arg("serve")
        .args(["--store", store])
        .env("EDDYLINE_LISTEN", "127.0.0.1:0")
        // Frequent snapshots, so that the tests cover recovery from snapshot and tail.
        .env("EDDYLINE_LIMITS__SNAPSHOT_EVERY", "16")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the server starts")
}

/// Value of `--store` for this directory.
pub fn store(directory: &Path) -> String {
    format!("file:{}", data(directory).display())
}

/// Directory of the store within a server's directory.
pub fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// Runs `eddyline` with these arguments to its end; returns status and output.
pub fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program()).args(arguments).output().expect("eddyline runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Runs a future on a new runtime, for one test.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

/// Whether two answers are equal, apart from the effects of time (decaying weights).
pub fn alike(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-3 * (1.0 + a.abs().max(b.abs()))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        (a, b) => a == b,
    }
}
