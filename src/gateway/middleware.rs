//! Middleware of all routes: rate limits and unclear paths before a handler, budgets of large answers after it.
//!
//! Invariant: each request with a clear path passes [`limit_rates`] once, which checks its token; [`limit_responses`] sees the
//! answer last. Deliberately absent: the origin of a page (`origin`).

use std::sync::Arc;

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue, WARNING};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError as _, web};

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::answers::{Metered, Watched};
use super::auth::{Checked, bearer, gorse_key};
use super::errors::Problem;
use super::rates::{Remaining, address_of};
use super::state::GatewayState;
use super::stream::caller::{Admitted, CheckedStream};
use super::stream::reply;
use super::timestamps::Doubts;
use super::watcher::ConnectionHandle;

// Load balancers ask these, and need the truth under load, too.
const FREE: [&str; 4] = ["/health", "/ready", "/api/health/live", "/api/health/ready"];

/// Paths below this one belong to Gorse clients, which send a key in place of a token.
const GORSE: &str = "/api/";

const PROBLEM: &str = "application/problem+json";

/// Headers that pages may send to the feeds API, and read from it.
const ALLOWED: &str = "authorization, content-type, stream-auth-type, x-stream-client, x-client-request-id";
const EXPOSED: &str = "x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, retry-after";

/// A smaller answer fits into the buffer that every connection has.
const SMALL_BYTES: u64 = 16 * 1024;

/// Refuses changes below `/v1/` whose path ends with a slash or has two in a row. HTTP clients resolve `..`, so such a path may
/// stand for another one: `DELETE /v1/users/ada/follows/..` arrives as `DELETE /v1/users/ada/`.
///
/// # Errors
/// Only errors of the inner service.
pub async fn no_changes_at_unclear_paths(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let path = request.path();
    let is_unclear = path.starts_with("/v1/") && (path.ends_with('/') || path.contains("//"));
    if is_unclear && !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        let message = "a change takes a path without empty parts: leave out the slash at the end, and write %2F for a slash \
                       within a key";
        let refusal = Refusal::new(Code::UnknownRoute, message);
        return Ok(request.into_response(Problem::from(refusal).error_response()).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Takes tokens from the buckets of address and subject, refuses with 429, and reports the rest in headers. Checks the
/// token once and keeps the result for the handler.
///
/// # Errors
/// Only errors of the inner service.
pub async fn limit_rates(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let state = request.app_data::<web::Data<GatewayState>>().cloned();
    let Some(state) = state.filter(|_| !FREE.contains(&request.path())) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    let is_of_feeds = state.has_feeds_at(request.path());
    let mut left = address_of(request.request()).and_then(|address| state.rates.address(address));
    if left.is_none_or(|left| left.retry_after_ms.is_none()) {
        let checked = if is_of_feeds {
            let admitted = Admitted::check(&state.apps, request.request());
            let grant = admitted.as_ref().map(Admitted::grant).map_err(reply::StreamError::refusal);
            request.extensions_mut().insert(CheckedStream(admitted));
            grant
        } else if request.path().starts_with(GORSE) {
            state.admit_gorse(gorse_key(request.headers()))
        } else {
            state.admit(bearer(request.headers()))
        };
        let of_subject = checked.as_ref().ok().and_then(|grant| state.rates.subject(grant));
        left = left.map(|left| left.tighter(of_subject)).or(of_subject);
        request.extensions_mut().insert(Checked(checked));
    }
    let mut response = match left.and_then(Remaining::refusal) {
        Some(refusal) => {
            let response = match is_of_feeds {
                true => reply::StreamError::from(refusal).error_response(),
                false => Problem::from(refusal).error_response(),
            };
            request.into_response(response).map_into_right_body()
        }
        None => {
            let response = next.call(request).await?;
            let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == PROBLEM);
            match is_of_feeds && is_problem {
                true => {
                    let problem = reply::problem(response.status()).error_response();
                    response.into_response(problem).map_into_right_body()
                }
                false => response.map_into_left_body(),
            }
        }
    };
    if let Some(left) = left {
        left.write(response.headers_mut());
        if is_of_feeds {
            write_limit(left, response.headers_mut());
        }
    }
    let doubts = response.request().extensions().get::<Doubts>().cloned();
    let doubts = doubts.filter(|_| response.status().is_success());
    for doubt in doubts.into_iter().flat_map(|Doubts(all)| all) {
        // 299: a lasting warning; RFC 9111 leaves the header to applications.
        if let Ok(value) = HeaderValue::from_str(&format!("299 eddyline \"{doubt}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    Ok(response)
}

/// Writes the rate limit as clients of hosted feeds read it: the reset is an instant in Unix seconds.
fn write_limit(left: Remaining, headers: &mut HeaderMap) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    for (name, value) in [
        ("x-ratelimit-limit", u64::from(left.limit)),
        ("x-ratelimit-remaining", u64::from(left.remaining)),
        ("x-ratelimit-reset", now + u64::from(left.reset_s)),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// Lets pages of all origins use the feeds API: their token comes in a header, so a foreign page has no right of its own.
///
/// # Errors
/// Only errors of the inner service.
pub async fn feeds_for_all_origins(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let state = request.app_data::<web::Data<GatewayState>>();
    if !state.is_some_and(|state| state.has_feeds_at(request.path())) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let is_preflight = *request.method() == Method::OPTIONS;
    let mut response = match is_preflight {
        true => request.into_response(HttpResponse::Ok().finish()).map_into_right_body(),
        false => next.call(request).await?.map_into_left_body(),
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    if is_preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    }
    Ok(response)
}

/// Takes a large answer from the budget until it is written, or refuses with `busy` when the budget has no room.
///
/// # Errors
/// Only errors of the inner service.
pub async fn limit_responses<B>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error>
where
    B: MessageBody + 'static,
{
    let response = next.call(request).await?;
    let state = response.request().app_data::<web::Data<GatewayState>>().cloned();
    let size = response.response().body().size();
    let is_large = match size {
        BodySize::None => false,
        BodySize::Sized(bytes) => bytes > SMALL_BYTES,
        BodySize::Stream => response.status() != StatusCode::SWITCHING_PROTOCOLS,
    };
    let Some(state) = state.filter(|_| is_large) else { return Ok(response.map_into_left_body()) };
    let grant = response.request().extensions().get::<Checked>().and_then(|Checked(grant)| grant.clone().ok());
    let holder = state.budgets.holder(grant.as_ref(), address_of(response.request()));
    let permit = match size {
        BodySize::Sized(bytes) => match state.budgets.answers.try_take(holder, bytes as usize) {
            Some(permit) => Some(permit),
            None => {
                let message = "too many answers wait for their readers: ask again later, and read what was answered";
                let problem = Problem::from(Refusal { message: message.into(), ..Refusal::busy(2_000) });
                return Ok(response.into_response(problem.error_response()).map_into_right_body());
            }
        },
        BodySize::None | BodySize::Stream => None,
    };
    let connection = response.request().conn_data::<Arc<ConnectionHandle>>().cloned();
    let watched = Watched::new(Arc::clone(&state.answers), connection);
    Ok(response.map_body(|_, body| EitherBody::right(BoxBody::new(Metered::new(body, watched, permit)))))
}
