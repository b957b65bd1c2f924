//! The form of refused requests over HTTP: `application/problem+json` (RFC 9457).
//!
//! Invariant: this module builds every error body of the server, so that a client needs one way to read them. The code
//! of a refusal alone decides the status. Deliberately absent: error pages, stack traces, texts of the store.

use std::fmt;

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;

use super::busy;
use crate::actors::errors::{Busy, RequestError};
use crate::protocol::client::BadMessage;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// A refusal as an HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    refusal: Refusal,
    allow: Option<&'static str>,
}

/// The result of a handler: a response, or a problem that becomes one.
pub type HttpResult = Result<HttpResponse, Problem>;

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError<'a>>,
}

#[derive(Serialize)]
struct FieldError<'a> {
    field: &'a str,
    message: &'a str,
}

impl Problem {
    /// The refusal that the response carries.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// A 405 for a route that exists for the methods in `allow`.
    #[must_use]
    pub(crate) fn not_allowed(method: &Method, allow: &'static str) -> Problem {
        let message = format!("{method} is not possible here: use {allow}");
        Problem { refusal: Refusal::new(Code::MethodNotAllowed, message), allow: Some(allow) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem { refusal: refusal.bounded(), allow: None }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        busy::refusal(error).into()
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        RequestError::from(busy).into()
    }
}

impl From<BadMessage> for Problem {
    fn from(bad: BadMessage) -> Self {
        refusal_of(bad).into()
    }
}

/// The refusal of a body or frame that does not parse.
#[must_use]
pub(crate) fn refusal_of(bad: BadMessage) -> Refusal {
    Refusal { code: bad.code, field: bad.field, message: bad.message, retry_after_ms: None }.bounded()
}

/// The HTTP status of a code.
#[must_use]
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::BadJson | Code::BadFrame | Code::UnknownType | Code::BadField | Code::HelloFirst => {
            StatusCode::BAD_REQUEST
        }
        Code::OutOfRange | Code::UnfitModel => StatusCode::UNPROCESSABLE_ENTITY,
        Code::UnknownUser | Code::UnknownItem | Code::UnknownRoute => StatusCode::NOT_FOUND,
        Code::UnknownToken | Code::UnknownModel | Code::UnknownEvent => StatusCode::NOT_FOUND,
        Code::UnknownClustering | Code::UnknownMetric => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::Unavailable | Code::Conflict => StatusCode::CONFLICT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The title of a problem with this code.
#[must_use]
pub(crate) fn title(code: Code) -> &'static str {
    match code {
        Code::BadJson => "Not readable as JSON",
        Code::BadFrame => "Not readable in this form",
        Code::UnknownType => "Unknown type",
        Code::BadField => "A field is wrong",
        Code::OutOfRange => "A value is out of range",
        Code::UnknownUser => "No such person",
        Code::UnknownItem => "No such item",
        Code::UnknownRoute => "No such route",
        Code::UnknownToken => "No such token or key",
        Code::UnknownModel => "No such model",
        Code::UnknownEvent => "No such event",
        Code::UnknownClustering => "No such clustering or cluster",
        Code::UnknownMetric => "No such metric",
        Code::MethodNotAllowed => "Not this method",
        Code::Unavailable => "Not available now",
        Code::HelloFirst => "Hello comes first",
        Code::Conflict => "Clashes with what is there",
        Code::UnfitModel => "Not a checkpoint for this server",
        Code::TooLarge => "Too large",
        Code::UnsupportedMedia => "Not this content type",
        Code::Unauthorized => "A valid token is needed",
        Code::Forbidden => "Not allowed",
        Code::RateLimited => "Too many requests",
        Code::Busy => "Try again later",
        Code::Internal => "A fault of the server",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal.code.name(), self.refusal.message)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        status(self.refusal.code)
    }

    fn error_response(&self) -> HttpResponse {
        let Refusal { code, field, message, retry_after_ms } = &self.refusal;
        let status = status(*code);
        let body = Body {
            r#type: format!("/problems/{}", code.name()),
            title: title(*code),
            status: status.as_u16(),
            detail: message,
            errors: field.iter().map(|field| FieldError { field, message }).collect(),
        };
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = retry_after_ms.unwrap_or(1_000).div_ceil(1_000).max(1);
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"eddyline\""));
        }
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, allow));
        }
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

/// Answers 404 for a path without a route.
pub async fn unknown_route(request: HttpRequest) -> HttpResult {
    let message = format!("nothing is at {}", request.path());
    Err(Refusal::new(Code::UnknownRoute, message).into())
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    #[test]
    fn every_code_has_an_error_status() {
        for code in Code::ALL {
            let status = status(code);
            assert!(status.is_client_error() || status.is_server_error(), "{}", code.name());
        }
    }

    #[actix_web::test]
    async fn a_problem_names_type_status_field_and_what_to_do() {
        let refusal = Refusal::field(Code::OutOfRange, "limit", "must be 1 to 100, is 0");
        let response = Problem::from(refusal).error_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "/problems/out_of_range",
                "title": "A value is out of range",
                "status": 422,
                "detail": "must be 1 to 100, is 0",
                "errors": [{"field": "limit", "message": "must be 1 to 100, is 0"}],
            })
        );
    }

    #[test]
    fn some_problems_come_with_a_header() {
        for (name, problem, header, value) in [
            ("busy, rounded up", Refusal::busy(1_500).into(), "retry-after", "2"),
            ("busy at once", Refusal::busy(0).into(), "retry-after", "1"),
            ("no token", Refusal::new(Code::Unauthorized, "").into(), "www-authenticate", "Bearer realm=\"eddyline\""),
            ("method", Problem::not_allowed(&Method::POST, "GET, HEAD"), "allow", "GET, HEAD"),
        ] {
            let problem: Problem = problem;
            assert_eq!(problem.error_response().headers().get(header).unwrap(), value, "{name}");
        }
    }
}
