//! REST clients: a regular one through a library, and one for raw bytes that no library would send.
//!
//! Invariant: every answer is read to its end or to the deadline. An answer that came before the server closed the
//! connection is never lost to a write error.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::PATIENCE;

/// A regular client.
#[derive(Clone)]
pub struct Rest {
    agent: ureq::Agent,
    address: SocketAddr,
}

/// An HTTP answer, as the tests compare it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0 when none came.
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Rest {
    pub fn new(address: SocketAddr) -> Rest {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            // A killed and restarted server must not be contacted on an old connection.
            .max_idle_connections(0)
            .build()
            .into();
        Rest { agent, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        answer(self.agent.get(self.url(path)).call())
    }

    pub fn delete(&self, path: &str) -> Answer {
        answer(self.agent.delete(self.url(path)).call())
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.put(self.url(path)).header("Content-Type", "application/json");
        answer(request.send(body.to_string()))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.patch(self.url(path)).header("Content-Type", "application/json");
        answer(request.send(body.to_string()))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.post(self.url(path)).header("Content-Type", "application/json");
        answer(request.send(body.to_string()))
    }

    /// Posts bytes as they are.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        answer(self.agent.post(self.url(path)).header("Content-Type", "application/octet-stream").send(body))
    }

    /// Any method, with or without a token and a body.
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        self.ask_with(method, path, token, body, &[])
    }

    /// Any method, with or without a token and a body, with additional headers.
    pub fn ask_with(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        match body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.to_string());
                answer(self.agent.run(request.expect("a request")))
            }
            None => answer(self.agent.run(request.body(()).expect("a request"))),
        }
    }

    /// Keys of the items in a feed, in order.
    pub fn feed(&self, user: &str, query: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/users/{user}/feed?{query}"));
        let body = answer.success("the feed of a person").json();
        items(&body)
    }

    /// The user's interactions, newest first.
    pub fn history(&self, user: &str) -> Vec<Value> {
        let answer = self.get(&format!("/user/{user}/feed/?limit=100"));
        rows(&answer.success("the interactions of a person").json())
    }
}

impl Answer {
    /// Panics with the server's message unless the status is 2xx.
    #[track_caller]
    pub fn success(self, what: &str) -> Answer {
        assert!((200..300).contains(&self.status), "{what}: status {}: {}", self.status, self.body);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON: {error}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The code at the end of a problem's `type`.
    pub fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        Some(body.get("type")?.as_str()?.rsplit(['/', ':', '#']).next()?.to_owned())
    }

    /// The fields that a problem names.
    pub fn fields(&self) -> Vec<String> {
        let Ok(body) = serde_json::from_str::<Value>(&self.body) else { return Vec::new() };
        let errors = body.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
        errors.iter().filter_map(|error| Some(error.get("field")?.as_str()?.to_owned())).collect()
    }
}

/// The rows of a list, whether it is the body or the only list of an object.
pub fn rows(body: &Value) -> Vec<Value> {
    match body {
        Value::Array(rows) => rows.clone(),
        Value::Object(fields) => fields.values().find_map(Value::as_array).cloned().unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Keys of items.
pub fn items(body: &Value) -> Vec<String> {
    let key = |row: &Value| Some(row.get("item")?.as_str()?.to_owned());
    rows(body).iter().map(|row| key(row).unwrap_or_else(|| panic!("a row without `item`: {row}"))).collect()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let Ok(mut response) = response else { return Answer::default() };
    let status = response.status().as_u16();
    let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = response.headers().iter().map(header).collect();
    let body = response.body_mut().read_to_string().unwrap_or_default();
    Answer { status, headers, body }
}

/// Sends raw bytes and reads until the server closes the connection or the answer ends. The caller adds `Connection:
/// close`.
pub fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let bytes = std::thread::scope(|scope| {
        // A server may stop reading a rejected request: writing fails then, and the answer is there nevertheless.
        scope.spawn(move || {
            let _ = writer.write_all(request);
            let _ = writer.flush();
        });
        let mut bytes = Vec::new();
        let mut part = [0; 16 * 1024];
        while !is_whole(&bytes) {
            match stream.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&part[..count]),
            }
        }
        // Unblocks the writer, should it still be blocked.
        let _ = stream.shutdown(Shutdown::Both);
        bytes
    });
    read_answer(&bytes)
}

/// A request with a body and the matching headers.
pub fn request(method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
    if let Some(content_type) = content_type {
        bytes.extend_from_slice(format!("Content-Type: {content_type}\r\n").as_bytes());
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A chunked request, whose length is not known in advance.
pub fn request_in_chunks(method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    for chunk in body.chunks(64 * 1024) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((&bytes[..end], &bytes[end + 4..]))
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some((head, body)) = split(bytes) else { return false };
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

fn read_answer(bytes: &[u8]) -> Answer {
    let Some((head, body)) = split(bytes) else { return Answer::default() };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked"));
    let body = if chunked { without_chunks(body) } else { body.to_vec() };
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

fn without_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size @ 1..) = size else { break };
        let begin = end + 2;
        let stop = (begin + size).min(rest.len());
        body.extend_from_slice(&rest[begin..stop]);
        rest = rest.get(stop + 2..).unwrap_or_default();
    }
    body
}
