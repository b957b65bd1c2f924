//! A private Postgres: a cluster of its own, with its own directory, socket and port.
//!
//! Invariant: it never touches an existing Postgres. It is gone when its handle is dropped or this process ends,
//! however it ends: a small shell outlives this process to stop it and to remove its files. `fsync` is on, so that
//! tests of `kill -9` hold for real installations.
//! Deliberately absent: installing Postgres. Without one, a test fails with instructions, unless
//! `EDDYLINE_TEST_POSTGRES=skip`.
#![allow(dead_code, reason = "each program that includes this module uses a part of it")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

/// Timeout of starting and stopping. Generous: the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "not-to-be-shown";

/// Whether tests that need Postgres are skipped on purpose.
pub fn skipped() -> bool {
    std::env::var("EDDYLINE_TEST_POSTGRES").is_ok_and(|value| value == "skip")
}

/// The cluster that all cases of this process share, each with a database of its own. No case stops it.
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(&[]));
    &SHARED
}

/// A running cluster.
pub struct Cluster {
    tools: PathBuf,
    /// Owner of its processes when the tests run as root: Postgres refuses to run as root.
    owner: Option<(u32, u32)>,
    directory: PathBuf,
    port: u16,
    settings: Vec<String>,
    postmaster: Mutex<Option<Child>>,
    /// Stops the cluster and removes its files when its standard input ends, which is when this process ends.
    keeper: Option<Child>,
    databases: AtomicU32,
}

impl Cluster {
    /// Creates a cluster and starts it. Settings such as `max_connections=10` override the defaults of the tests.
    pub fn start(settings: &[&str]) -> Cluster {
        Cluster::start_in(&std::env::temp_dir(), settings)
    }

    /// Creates a cluster below a directory, which may be on a file system of its own.
    pub fn start_in(place: &Path, settings: &[&str]) -> Cluster {
        let tools = tools();
        let owner = owner();
        let directory =
            tempfile::Builder::new().prefix("eddyline-pg-").tempdir_in(place).expect("a directory for Postgres").keep();
        if let Some((user, group)) = owner {
            chown(&directory, Some(user), Some(group)).expect("giving the directory to the user who runs Postgres");
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("its permissions");
        let keeper = keeper(&directory);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut cluster = Cluster {
            tools,
            owner,
            directory,
            port,
            settings: settings.iter().map(ToString::to_string).collect(),
            postmaster: Mutex::new(None),
            keeper: Some(keeper),
            databases: AtomicU32::new(0),
        };
        cluster.init();
        cluster.run();
        cluster
    }

    fn init(&mut self) {
        let password = self.directory.join("password");
        fs::write(&password, PASSWORD).expect("the password file");
        let mut command = self.command("initdb");
        command
            .args(["--username=eddyline", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--no-instructions", "--pgdata"])
            .arg(self.directory.join("data"))
            .arg("--pwfile")
            .arg(&password);
        // Readable for the other user alone.
        if let Some((user, group)) = self.owner {
            chown(&password, Some(user), Some(group)).expect("giving the password file away");
        }
        let output = command.output().expect("initdb");
        assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the cluster again after [`Cluster::stop`] or [`Cluster::kill`]; returns when it accepts connections.
    pub fn run(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut postmaster = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut child = self.spawn();
            loop {
                if let Some(status) = child.try_wait().expect("its status") {
                    // After `kill -9` its children may still hold the shared memory for a moment.
                    assert!(Instant::now() < deadline, "Postgres ended with {status}; its log:\n{}", self.log());
                    std::thread::sleep(Duration::from_millis(50));
                    break;
                }
                if self.answers() {
                    *postmaster = Some(child);
                    return;
                }
                assert!(Instant::now() < deadline, "Postgres does not take connections; its log:\n{}", self.log());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Starts the cluster again if it ended by itself.
    pub fn run_if_down(&self) {
        let ended = |postmaster: &mut Option<Child>| match postmaster {
            Some(child) => child.try_wait().expect("its status").is_some(),
            None => true,
        };
        if ended(&mut self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.run();
        }
    }

    fn spawn(&self) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log")).expect("its log");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.directory.join("data"));
        let ours = [
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.directory.display()),
            "listen_addresses=127.0.0.1".into(),
            "fsync=on".into(),
            "max_connections=400".into(),
            "shared_buffers=128MB".into(),
            "max_wal_size=2GB".into(),
        ];
        for setting in ours.iter().chain(&self.settings) {
            command.arg("-c").arg(setting);
        }
        // A process group of its own: Ctrl-C to the tests must not reach it.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone().expect("its log")).stderr(log);
        let child = command.spawn().expect("postgres");
        fs::write(self.directory.join("postmaster"), child.id().to_string()).expect("a note for the keeper");
        child
    }

    fn answers(&self) -> bool {
        let mut command = self.command("pg_isready");
        command.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.status().is_ok_and(|status| status.success())
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(self.tools.join(tool));
        command.current_dir(&self.directory).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    /// The log of the cluster.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Data directory; certificates may be put there before a restart.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a file of the directory readable for the cluster.
    pub fn give(&self, file: &Path) {
        if let Some((user, group)) = self.owner {
            chown(file, Some(user), Some(group)).expect("giving a file away");
        }
    }

    /// Port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// URL of a database, by loopback and with the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://eddyline:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// URL of a database, by unix socket.
    pub fn socket_url(&self, database: &str) -> String {
        let directory = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://eddyline@{directory}:{}/{database}", self.port)
    }

    /// Runs statements in a database. Blocks, so an async task must not call it.
    pub fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        let (url, sql) = (self.url(database), sql.to_owned());
        let work = async move {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
            let connection = tokio::spawn(connection);
            let rows = client.simple_query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            drop(client);
            let _ = connection.await;
            rows.into_iter().filter_map(|row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                _ => None,
            })
        };
        // On a thread of its own, so that it works inside and outside of a runtime.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(work).collect()
        })
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Creates an empty database.
    pub fn database(&self) -> String {
        self.database_like("template1")
    }

    /// Creates a copy of a database, which must have no connections.
    pub fn database_like(&self, template: &str) -> String {
        // One at a time: Postgres cannot copy a template twice at once.
        static COPYING: Mutex<()> = Mutex::new(());
        let copying = COPYING.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("case_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        drop(copying);
        name
    }

    /// Stops the cluster in order.
    pub fn stop(&self) {
        if let Some(mut postmaster) = self.take() {
            signal("INT", &[postmaster.id()]);
            let _ = postmaster.wait();
        }
    }

    /// Sends `kill -9` to the postmaster. Its children notice by themselves, as after a real crash.
    pub fn kill(&self) {
        if let Some(mut postmaster) = self.take() {
            let _ = postmaster.kill();
            let _ = postmaster.wait();
        }
    }

    /// Stops all of its processes, and returns once each of them stands still: on a busy machine a process runs on for a moment,
    /// or the postmaster starts another one meanwhile.
    pub fn freeze(&self) {
        let begin = Instant::now();
        let runs = |process: &u32| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['T', 'Z']))
        };
        loop {
            let running: Vec<u32> = self.processes().into_iter().filter(runs).collect();
            if running.is_empty() {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "these processes do not stop: {running:?}");
            signal("STOP", &running);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends SIGCONT to all of its processes.
    pub fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    fn take(&self) -> Option<Child> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Process ids of the postmaster and its children.
    fn processes(&self) -> Vec<u32> {
        let postmaster = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Child::id);
        let Some(postmaster) = postmaster else { return Vec::new() };
        let children = fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
            let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // `pid (name) state parent …`, and the name may contain anything.
            let parent: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            (parent == postmaster).then_some(process)
        });
        children.chain([postmaster]).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
        if let Some(mut postmaster) = self.take() {
            signal("QUIT", &[postmaster.id()]);
            let _ = postmaster.wait();
        }
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

/// Waits until its standard input ends, then stops the cluster and removes it.
fn keeper(directory: &Path) -> Child {
    let script = r#"
        trap '' INT TERM HUP
        cat >/dev/null
        postmaster=$(cat "$1/postmaster" 2>/dev/null)
        running() { [ -n "$postmaster" ] && tr '\0' ' ' 2>/dev/null <"/proc/$postmaster/cmdline" | grep -qF "$1/data"; }
        if running "$1"; then
            kill -CONT "$postmaster"; kill -QUIT "$postmaster"
            for _ in 1 2 3 4 5 6 7 8 9 10; do running "$1" || break; sleep 0.1; done
            running "$1" && kill -KILL "$postmaster"
        fi
        rm -rf "$1"
    "#;
    Command::new("sh")
        .args(["-c", script, "keeper"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh")
}

fn signal(name: &str, processes: &[u32]) {
    if processes.is_empty() {
        return;
    }
    let list = processes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {list}")]).stderr(Stdio::null()).status();
}

/// Directory of the newest Postgres on this machine.
fn tools() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    packaged.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = packaged.into_iter().rev().map(|(_, path)| path).chain(std::env::split_paths(&path));
    let found =
        candidates.find(|path| ["initdb", "postgres", "pg_isready"].iter().all(|tool| path.join(tool).is_file()));
    found.unwrap_or_else(|| {
        panic!(
            "these tests need Postgres 15 or newer (initdb, postgres, pg_isready in /usr/lib/postgresql/*/bin or PATH): \
             apt-get install postgresql, or leave them out with EDDYLINE_TEST_POSTGRES=skip"
        )
    })
}

/// User and group to run the cluster as; `None` keeps the current user.
fn owner() -> Option<(u32, u32)> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let numbers = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = numbers("postgres").or_else(|| numbers("nobody"));
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "no user `postgres` or `nobody` to run Postgres as");
    }
    found
}
