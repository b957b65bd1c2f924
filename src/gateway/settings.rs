//! Settings of the gateway, with defaults that suit one machine.
//!
//! Invariant: plain values. Deliberately absent: reading them from files or the environment (`config`).

use std::time::Duration;

use super::rates::RateSettings;

/// How the door is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Threads that serve requests; as many as there are cores by default.
    pub workers: Option<usize>,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// Open WebSockets at most; more get 503.
    pub sessions_max: usize,
    /// Open connections per worker at most, sockets among them; more wait.
    pub connections_max: usize,
    /// Connections that can be cut from outside, which takes a second file each.
    pub handles_max: usize,
    /// How much anybody may ask for.
    pub rates: RateSettings,
    /// Origins whose pages may open a WebSocket and change something, beside our own: `https://app.example`.
    pub origins: Vec<String>,
    /// An idle connection is kept for so long.
    pub keep_alive: Duration,
    /// A request's head must arrive within.
    pub head_within: Duration,
    /// A session says `hello` within.
    pub hello_within: Duration,
    /// Between two pings of a session.
    pub heartbeat: Duration,
    /// A peer may be silent, or leave a feed undrawn, for so long.
    pub patience: Duration,
    /// Between two scans of all sessions.
    pub scan: Duration,
    /// Requests may go on for so long after the server was told to stop.
    pub farewell: Duration,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        GatewaySettings {
            workers: None,
            backlog: 2_048,
            sessions_max: 12_000,
            connections_max: 32_000,
            handles_max: 32_000,
            rates: RateSettings::default(),
            origins: Vec::new(),
            keep_alive: Duration::from_secs(75),
            head_within: Duration::from_secs(10),
            hello_within: Duration::from_secs(30),
            heartbeat: Duration::from_secs(20),
            patience: Duration::from_secs(60),
            scan: Duration::from_secs(5),
            farewell: Duration::from_secs(10),
        }
    }
}
