//! An HTTP client of a running server, for the commands that work on a store or through its server.
//!
//! Invariant: a call returns the server's answer, or its reason for a refusal. No message holds the token.
//! Absent on purpose: paths and the form of answers, which belong to the commands.

use std::time::Duration;

use anyhow::{anyhow, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// A server's address, and the service token for it.
pub(super) struct Remote {
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

const NOT_AN_ADDRESS: &str = "must be an address such as http://127.0.0.1:8080";

/// Reason why a request got no usable answer.
pub(super) fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("the server answered {status}"),
        ureq::Error::Timeout(_) => "the server did not answer in time".into(),
        ureq::Error::HostNotFound => "no host has this name".into(),
        ureq::Error::Io(error) => format!("the server cannot be reached: {error}"),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => NOT_AN_ADDRESS.into(),
        other => format!("the server's answer cannot be read: {other}"),
    }
}

/// A key or name as one part of a path or query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Content type and bytes of a request.
pub(super) type Body = (&'static str, Vec<u8>);

/// The reason of a refusal: each wrong field with its message, or else the detail.
fn refusal(found: &Value) -> String {
    let named = |error: &Value| Some(format!("{}: {}", error["field"].as_str()?, error["message"].as_str()?));
    let fields: Vec<String> = found["errors"].as_array().into_iter().flatten().filter_map(named).collect();
    match &fields[..] {
        [] => found["detail"].as_str().unwrap_or("the server gave no reason").to_owned(),
        fields => fields.join("; "),
    }
}

impl Remote {
    /// A client of the server at this address, with the token in `EDDYLINE_TOKEN`. Each call ends after `timeout`.
    pub(super) fn new(url: &str, timeout: Duration) -> Remote {
        let token = std::env::var("EDDYLINE_TOKEN").ok().filter(|token| !token.is_empty());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).build();
        Remote { url: url.trim_end_matches('/').to_owned(), token, agent: agent.into() }
    }

    /// Sends a request and returns the JSON of the answer.
    ///
    /// # Errors
    /// The server does not answer, requires a token, or refuses the request.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<Body>) -> anyhow::Result<Value> {
        let text = self.open(method, path, body)?.body_mut().read_to_string();
        let text = text.map_err(|error| anyhow!("{}: {}", self.url, reason(&error)))?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Sends a request and returns the answer with its headers, before its body is read.
    ///
    /// # Errors
    /// The server does not answer, requires a token, or refuses the request.
    pub(super) fn open(
        &self,
        method: &str,
        path: &str,
        body: Option<Body>,
    ) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some((kind, _)) = &body {
            request = request.header("content-type", *kind);
        }
        let body = body.map(|(_, bytes)| bytes).unwrap_or_default();
        let request = request.body(body).map_err(|_| anyhow!("--url: {NOT_AN_ADDRESS}"))?;
        let failed = |error: ureq::Error| anyhow!("{}: {}", self.url, reason(&error));
        let mut answer = self.agent.run(request).map_err(failed)?;
        match answer.status().as_u16() {
            200..300 => Ok(answer),
            401 if self.token.is_none() => {
                bail!("{}: the server requires a token: put a service token into EDDYLINE_TOKEN", self.url)
            }
            status => {
                let text = answer.body_mut().read_to_string().map_err(failed)?;
                let found: Value = serde_json::from_str(&text).unwrap_or_default();
                bail!("{}: {status}: {}", self.url, refusal(&found))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_its_fields() {
        for (answer, expected) in [
            (
                json!({"detail": "must be 1 to 64 different names", "errors": [{"field": "columns", "message": "must be 1 to 64 different names"}]}),
                "columns: must be 1 to 64 different names",
            ),
            (
                json!({"detail": "a", "errors": [{"field": "x", "message": "a"}, {"field": "y.z", "message": "b"}]}),
                "x: a; y.z: b",
            ),
            (json!({"detail": "no token", "errors": []}), "no token"),
            (json!({"detail": "no token"}), "no token"),
            (Value::Null, "the server gave no reason"),
        ] {
            assert_eq!(refusal(&answer), expected, "{answer}");
        }
    }
}
