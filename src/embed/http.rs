//! Embeddings from an HTTP server with the API `POST /v1/embeddings`, which many hosted and local servers have.
//!
//! Invariant: the key leaves this process in one header to the configured address only: no error and no log holds it, and
//! no redirect is followed. Time, answer size and attempts are bounded.
//! Absent on purpose: queues and caches; the caller decides how many calls run at once.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{EmbedError, Embedder, checked_dim};
use crate::domain::items::Embedding;
use crate::domain::json::JsonError;

/// Address and limits of an embedding server.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Address up to, and with or without, `/v1`: `https://api.example.com`.
    pub base: String,
    /// The server's name of the model.
    pub model: String,
    /// API key, sent as a bearer token; local servers often need none.
    pub key: Option<SecretString>,
    /// Largest number of texts in one request.
    pub batch_max: usize,
    /// Milliseconds for one attempt, from connecting to the last byte.
    pub timeout_ms: u64,
    /// Retries of one request after 429, 5xx, a timeout or a broken connection.
    pub retries_max: u32,
    /// Back-off in milliseconds before the first retry; it doubles with each further one.
    pub backoff_ms: u64,
    /// Longest back-off in milliseconds; it also bounds `Retry-After`.
    pub backoff_max_ms: u64,
    /// Size limit of an answer in bytes.
    pub answer_bytes_max: u64,
}

impl HttpConfig {
    /// Default limits: 64 texts per request, 10 s per attempt, 3 retries with a back-off from 200 ms, answers up to 32 MiB.
    #[must_use]
    pub fn new(base: &str, model: &str, key: Option<SecretString>) -> HttpConfig {
        HttpConfig {
            base: base.into(),
            model: model.into(),
            key,
            batch_max: 64,
            timeout_ms: 10_000,
            retries_max: 3,
            backoff_ms: 200,
            backoff_max_ms: 10_000,
            answer_bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// Replaces a text without a visible character, because servers of this API refuse an empty text.
const BLANK: &str = "(no text)";

/// Largest number of characters of a refusal that an error quotes.
const DETAIL_CHARS_MAX: usize = 300;

/// An embedder that sends one request per batch to a server, one after the other.
#[derive(Debug)]
pub struct HttpEmbedder {
    agent: ureq::Agent,
    url: String,
    config: HttpConfig,
    dim: usize,
}

impl HttpEmbedder {
    /// Checks the configuration without a request.
    ///
    /// # Errors
    /// [`EmbedError::Setting`] names the key that is wrong.
    pub fn new(config: HttpConfig, dim: usize) -> Result<HttpEmbedder, EmbedError> {
        let wrong = |key: &'static str, why: &str| Err(EmbedError::Setting { key, why: why.into() });
        let base = config.base.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        if host.is_none_or(str::is_empty) || base.contains(['?', '#', ' ', '@']) {
            return wrong(
                "base",
                "must be an address such as https://api.example.com, without a user, a key or a query",
            );
        }
        if config.model.is_empty() {
            return wrong("model", "must name a model of the server");
        }
        for (key, value) in [
            ("batch_max", config.batch_max as u64),
            ("timeout_ms", config.timeout_ms),
            ("answer_bytes_max", config.answer_bytes_max),
        ] {
            if value == 0 {
                return wrong(key, "must be above 0");
            }
        }
        if config.key.as_ref().is_some_and(|key| !key.expose_secret().bytes().all(|b| b.is_ascii_graphic())) {
            return wrong("key", "must be visible ASCII without spaces; is there a line break at its end?");
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(config.timeout_ms)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .new_agent();
        Ok(HttpEmbedder { agent, url: format!("{base}/v1/embeddings"), dim: checked_dim(dim)?, config })
    }

    /// Embeds one batch, with retries after temporary errors. `first` is the batch's position in the caller's texts.
    fn batch(&self, texts: &[&str], first: usize) -> Result<Vec<Embedding>, EmbedError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (error, asked_wait_ms) = match self.attempt(texts, attempts) {
                Ok(answer) => return self.vectors(answer, texts.len(), first),
                Err(failed) => failed,
            };
            if attempts > self.config.retries_max || !error.is_temporary() {
                return Err(error);
            }
            let doubled = self.config.backoff_ms.saturating_mul(1 << (attempts - 1).min(16));
            let wait_ms = doubled.max(asked_wait_ms).min(self.config.backoff_max_ms);
            tracing::debug!(%error, wait_ms, "retrying the embedding server");
            std::thread::sleep(Duration::from_millis(wait_ms));
        }
    }

    /// Sends one request. The number beside an error is the `Retry-After` of the server, in ms.
    fn attempt(&self, texts: &[&str], attempts: u32) -> Result<Answer, (EmbedError, u64)> {
        let input = texts.iter().map(|t| if t.trim().is_empty() { BLANK } else { t }).collect();
        let mut request = self.agent.post(&self.url);
        if let Some(key) = &self.config.key {
            request = request.header("Authorization", format!("Bearer {}", key.expose_secret()));
        }
        let network = |error: ureq::Error| (self.network_error(error, attempts), 0);
        let question = serde_json::to_vec(&Question { model: &self.config.model, input });
        let question = question.map_err(|e| (EmbedError::Answer { why: e.to_string() }, 0))?;
        let mut response = request.content_type("application/json").send(&question[..]).map_err(network)?;
        let body = response.body_mut().with_config().limit(self.config.answer_bytes_max).read_to_vec();
        let status = response.status().as_u16();
        if status == 200 {
            let not_json = |e: serde_json::Error| (EmbedError::Answer { why: JsonError::new(&e).to_string() }, 0);
            return serde_json::from_slice(&body.map_err(network)?).map_err(not_json);
        }
        let wait_ms = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
            .map_or(0, |seconds| seconds.saturating_mul(1_000));
        let detail = self.quoted(&body.unwrap_or_default());
        Err((EmbedError::Status { status, attempts, detail }, wait_ms))
    }

    fn network_error(&self, error: ureq::Error, attempts: u32) -> EmbedError {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match error {
            ureq::Error::Timeout(_) => EmbedError::Timeout { timeout_ms: self.config.timeout_ms, attempts },
            ureq::Error::Io(io) if matches!(io.kind(), TimedOut | WouldBlock) => {
                EmbedError::Timeout { timeout_ms: self.config.timeout_ms, attempts }
            }
            ureq::Error::BodyExceedsLimit(limit) => EmbedError::TooLarge { limit },
            source => EmbedError::Unreachable { attempts, source: Box::new(source) },
        }
    }

    /// The start of a refusal on one line, without the key, which some servers repeat.
    fn quoted(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let hidden = match &self.config.key {
            Some(key) if !key.expose_secret().is_empty() => text.replace(key.expose_secret(), "[key]"),
            _ => text.into_owned(),
        };
        let line = hidden.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect()
    }

    /// Sorts the vectors into the order of the texts and checks each.
    fn vectors(&self, answer: Answer, count: usize, first: usize) -> Result<Vec<Embedding>, EmbedError> {
        let unclear = |why: String| EmbedError::Answer { why };
        let mut placed: Vec<Option<Embedding>> = vec![None; count];
        for row in answer.data {
            let place = placed.get_mut(row.index);
            let place =
                place.ok_or_else(|| unclear(format!("`index` is {}, but {count} texts were sent", row.index)))?;
            if place.is_some() {
                return Err(unclear(format!("`index` {} occurs twice", row.index)));
            }
            let unusable =
                |source| EmbedError::Vector { index: first + row.index, model: self.config.model.clone(), source };
            *place = Some(Embedding::new(row.embedding, self.dim).map_err(unusable)?);
        }
        let missing = |at| unclear(format!("the vector with `index` {at} is missing"));
        placed.into_iter().enumerate().map(|(at, vector)| vector.ok_or_else(|| missing(at))).collect()
    }
}

impl Embedder for HttpEmbedder {
    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.config.batch_max) {
            vectors.extend(self.batch(batch, vectors.len())?);
        }
        Ok(vectors)
    }
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: Vec<&'a str>,
}

/// The fields of the answer that are read; others, such as `usage` and `object`, are ignored.
#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    embedding: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    /// One answer of the test server.
    enum Reply {
        Say(u16, &'static str, String),
        Hang,
    }

    fn json(body: &str) -> Reply {
        Reply::Say(200, "", body.into())
    }

    /// An HTTP server that answers each request with the next reply. Returns its address and the requests.
    fn server(replies: Vec<Reply>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut hung = Vec::new();
            for reply in replies {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
                        length = number.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    head.push_str(&line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let _ = sender.send(head + &String::from_utf8(body).unwrap());
                let mut stream = reader.into_inner();
                match reply {
                    Reply::Say(status, headers, body) => {
                        let length = body.len();
                        let text = format!(
                            "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                        );
                        // A client that gives up early is part of the tests.
                        let _ = stream.write_all(text.as_bytes());
                    }
                    Reply::Hang => hung.push(stream),
                }
            }
            drop(sender);
            if !hung.is_empty() {
                std::thread::sleep(Duration::from_secs(2));
            }
        });
        (address, seen)
    }

    fn embedder(base: &str, change: impl FnOnce(&mut HttpConfig)) -> HttpEmbedder {
        let mut config = HttpConfig::new(base, "tiny", Some(SecretString::from("sk-hidden-1234")));
        config.timeout_ms = 2_000;
        config.backoff_ms = 1;
        config.backoff_max_ms = 5;
        change(&mut config);
        HttpEmbedder::new(config, 2).unwrap()
    }

    const TWO: &str =
        r#"{"object":"list","data":[{"index":1,"embedding":[0,1]},{"index":0,"embedding":[1,0]}],"usage":{}}"#;
    const ONE: &str = r#"{"data":[{"index":0,"embedding":[0.5,0.5]}]}"#;

    #[test]
    fn vectors_come_back_in_the_order_of_the_texts() {
        let (base, seen) = server(vec![json(TWO), json(ONE)]);
        let found = embedder(&base, |c| c.batch_max = 2).embed(&["a", " ", "c"]).unwrap();
        assert_eq!(found.iter().map(|v| v.to_vec()).collect::<Vec<_>>(), [vec![1., 0.], vec![0., 1.], vec![0.5, 0.5]]);
        let first = seen.recv().unwrap();
        assert!(first.starts_with("POST /v1/embeddings HTTP/1.1"), "{first}");
        assert!(first.to_lowercase().contains("authorization: bearer sk-hidden-1234"), "{first}");
        assert!(first.ends_with(r#"{"model":"tiny","input":["a","(no text)"]}"#), "{first}");
        assert!(seen.recv().unwrap().ends_with(r#"{"model":"tiny","input":["c"]}"#));
    }

    #[test]
    fn a_busy_server_is_asked_again() {
        let (base, seen) = server(vec![
            Reply::Say(429, "retry-after: 1\r\n", "slow down".into()),
            Reply::Say(503, "", String::new()),
            json(ONE),
        ]);
        assert_eq!(embedder(&(base + "/v1/"), |_| ()).embed(&["a"]).unwrap().len(), 1);
        assert_eq!(seen.iter().count(), 3);
    }

    #[test]
    fn every_failure_says_what_is_wrong_and_hides_the_key() {
        let refusal = || Reply::Say(500, "", "no luck\nfor sk-hidden-1234".into());
        let row = |index: u32, vector: &str| format!(r#"{{"data":[{{"index":{index},"embedding":{vector}}}]}}"#);
        for (name, replies, part, attempts, temporary) in [
            ("500 for good", vec![refusal(), refusal()], "answered 500 (2 attempts): no luck for [key]", 2, true),
            ("401", vec![Reply::Say(401, "", "bad key".into())], "answered 401 (1 attempts): bad key", 1, false),
            ("a redirect", vec![Reply::Say(302, "location: http://x.invalid/\r\n", String::new())], "302", 1, false),
            ("hangs", vec![Reply::Hang, Reply::Hang], "did not answer within 300 ms (2 attempts)", 2, true),
            ("not JSON", vec![json("<html>")], "not understood: not JSON", 1, false),
            ("cut off", vec![json(&ONE[..30])], "not understood", 1, false),
            ("no data", vec![json("{}")], "the field `data` is missing", 1, false),
            (
                "wrong dimension",
                vec![json(&row(0, "[1,2,3]"))],
                "text 0 is unusable (model `tiny`; does `dim`",
                1,
                false,
            ),
            ("all zeros", vec![json(&row(0, "[0,0]"))], "text 0 is unusable", 1, false),
            ("too large a number", vec![json(&row(0, "[0,1e39]"))], "", 1, false),
            ("foreign index", vec![json(&row(7, "[1,1]"))], "`index` is 7, but 1 texts were sent", 1, false),
            ("too many", vec![json(TWO)], "`index` is 1, but 1 texts were sent", 1, false),
            ("none", vec![json(r#"{"data":[]}"#)], "`index` 0 is missing", 1, false),
            ("too long", vec![json(&" ".repeat(5_000))], "more than 4096 bytes", 1, false),
        ] {
            let (base, seen) = server(replies);
            let asking = embedder(&base, |c| {
                c.retries_max = 1;
                c.answer_bytes_max = 4_096;
                c.timeout_ms = 300;
            });
            let error = asking.embed(&["a"]).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(part), "{name}: {message}");
            assert!(!format!("{error:?} {asking:?}").contains("hidden"), "{name}: the key leaked");
            assert_eq!(error.is_temporary(), temporary, "{name}");
            assert_eq!(seen.iter().take(attempts).count(), attempts, "{name}");
        }
    }

    #[test]
    fn nobody_listening_is_said_so() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let asking = embedder(&format!("http://127.0.0.1:{port}"), |c| c.retries_max = 1);
        assert!(asking.embed(&["a"]).unwrap_err().to_string().contains("cannot be reached (2 attempts)"));
    }

    #[test]
    fn a_wrong_setting_is_refused_before_anything_is_sent() {
        for (name, key, change) in [
            ("no scheme", "base", (|c: &mut HttpConfig| c.base = "api.example.com".into()) as fn(&mut HttpConfig)),
            ("a key in the address", "base", |c| c.base = "https://me:secret@example.com".into()),
            ("no model", "model", |c| c.model.clear()),
            ("no batch", "batch_max", |c| c.batch_max = 0),
            ("key with a line break", "key", |c| c.key = Some(SecretString::from("abc\n"))),
        ] {
            let mut config = HttpConfig::new("https://api.example.com", "m", None);
            change(&mut config);
            let message = HttpEmbedder::new(config, 2).unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{key}`")), "{name}: {message}");
            assert!(!message.contains("secret"), "{name}");
        }
    }
}
