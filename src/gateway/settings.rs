//! Settings of the gateway, with defaults that suit one machine.
//!
//! Invariant: plain values. Deliberately absent: reading them from files or the environment (`config`).

use std::time::Duration;

use super::rates::RateSettings;

/// Limits and times of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Worker threads; one per core by default.
    pub workers: Option<usize>,
    /// Connections in the backlog of the listener.
    pub backlog: u32,
    /// Largest number of open WebSockets; further handshakes get 503.
    pub sessions_max: usize,
    /// Largest number of open connections per worker, sockets included; further connections wait.
    pub connections_max: usize,
    /// Largest number of connections with a second handle, each of which takes a second file.
    pub handles_max: usize,
    /// Rate limits per address, user and service token.
    pub rates: RateSettings,
    /// Foreign origins whose pages may open a WebSocket, change data, and read answers, as in `https://app.example`.
    pub origins: Vec<String>,
    /// Time before an idle connection closes.
    pub keep_alive: Duration,
    /// Time within which the head of a request must arrive.
    pub head_within: Duration,
    /// Time within which a session must send `hello`.
    pub hello_within: Duration,
    /// Time between two pings of a session.
    pub heartbeat: Duration,
    /// Time for which a peer may stay silent, or leave a feed without `drawn`.
    pub patience: Duration,
    /// Time between two scans of all sessions.
    pub scan: Duration,
    /// Time for which requests may finish while the server shuts down.
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
