//! A running server, asked over HTTP by those commands that can also work on its store.
//!
//! Invariant: what comes back is the server's answer as JSON, or its reason for a refusal; the token is said nowhere.
//! Absent on purpose: what is asked, and what the answers mean.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A server, and the service token for it.
pub(super) struct Remote {
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// What is sent along, and as what.
pub(super) type Body = (&'static str, Vec<u8>);

impl Remote {
    /// The server at this address, with the token in `EDDYLINE_TOKEN`; one that takes longer than this is given up.
    pub(super) fn new(url: &str, patience: Duration) -> Remote {
        let token = std::env::var("EDDYLINE_TOKEN").ok().filter(|token| !token.is_empty());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(patience)).build();
        Remote { url: url.trim_end_matches('/').to_owned(), token, agent: agent.into() }
    }

    /// Asks.
    ///
    /// # Errors
    /// That there is no answer, that a token is wanted, or what the server said.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<Body>) -> anyhow::Result<Value> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some((kind, _)) = &body {
            request = request.header("content-type", *kind);
        }
        let body = body.map(|(_, bytes)| bytes).unwrap_or_default();
        let mut answer = self.agent.run(request.body(body).context("--url")?).with_context(|| self.url.clone())?;
        let text = answer.body_mut().read_to_string().with_context(|| self.url.clone())?;
        let found: Value = serde_json::from_str(&text).unwrap_or_default();
        match answer.status().as_u16() {
            200..300 => Ok(found),
            401 if self.token.is_none() => bail!("{}: put a service token into EDDYLINE_TOKEN", self.url),
            status => {
                let detail = found["detail"].as_str().unwrap_or("no reason was given");
                bail!("{}: {status}: {detail}", self.url)
            }
        }
    }
}
