//! The target of the load.
//!
//! Invariant: without an explicit flag, every address of the target belongs to this machine, since a load generator can
//! harm a foreign server. Connections use the checked address.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, bail, ensure};

/// A target whose addresses were checked.
#[derive(Clone, Debug)]
pub struct Target {
    /// The checked address to connect to.
    pub address: SocketAddr,
    /// `host:port` as the user wrote it, for the `Host` header.
    pub authority: String,
}

impl Target {
    /// Parses `ws://host[:port][/]`, resolves its address, and refuses foreign machines unless `anywhere`.
    pub fn find(url: &str, anywhere: bool) -> anyhow::Result<Target> {
        if url.starts_with("wss://") || url.starts_with("https://") {
            bail!("--url: TLS is not spoken here: point the load at the server itself, behind its proxy");
        }
        let rest = url
            .strip_prefix("ws://")
            .or_else(|| url.strip_prefix("http://"))
            .with_context(|| format!("--url: {url:?} must look like ws://127.0.0.1:8080"))?;
        let authority = rest.strip_suffix("/ws").or_else(|| rest.strip_suffix('/')).unwrap_or(rest);
        ensure!(
            !authority.is_empty() && !authority.contains(['/', '@', '?', '#']),
            "--url: {url:?} must be scheme, host and port only"
        );
        // A port follows the last colon, unless that colon is inside the brackets of an IPv6 address.
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let addresses: Vec<SocketAddr> =
            with_port.to_socket_addrs().with_context(|| format!("--url: no address for {with_port:?}"))?.collect();
        if !anywhere && let Some(stranger) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            bail!("--url: {stranger} is not this machine; if it is yours and you may load it, pass --anywhere");
        }
        let address = *addresses.first().with_context(|| format!("--url: no address for {with_port:?}"))?;
        Ok(Target { address, authority: authority.to_owned() })
    }

    /// The URL of the WebSocket route.
    pub fn socket_url(&self) -> String {
        format!("ws://{}/ws", self.authority)
    }

    /// The URL of a REST route, on the checked address.
    pub fn rest_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_unless_the_user_insists() {
        for (name, url, anywhere, good) in [
            ("loopback", "ws://127.0.0.1:8080", false, true),
            ("with a slash", "ws://127.0.0.1:8080/", false, true),
            ("with the route", "ws://127.0.0.1:8080/ws", false, true),
            ("six", "ws://[::1]:8080", false, true),
            ("six without a port", "ws://[::1]", false, true),
            ("another loopback", "ws://127.9.9.9:80", false, true),
            ("a documentation address", "ws://192.0.2.1:80", false, false),
            ("the same, insisted on", "ws://192.0.2.1:80", true, true),
            ("any address", "ws://0.0.0.0:80", false, false),
            ("a name hidden behind a user", "ws://127.0.0.1:80@192.0.2.1:80", false, false),
            ("tls", "wss://127.0.0.1:8080", false, false),
            ("no scheme", "127.0.0.1:8080", false, false),
            ("a path", "ws://127.0.0.1:8080/x/y", false, false),
            ("a port that is none", "ws://127.0.0.1:x", false, false),
        ] {
            assert_eq!(Target::find(url, anywhere).is_ok(), good, "{name}");
        }
    }
}
