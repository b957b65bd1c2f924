//! The origin of a browser's request, and the name by which it reached the server.
//!
//! Invariant: a page opens a socket, or changes data, only if it came from this server or its origin is listed. In dev
//! mode the server answers only to names of this machine. So a foreign name that resolves to loopback (DNS rebinding)
//! reaches nothing. Deliberately absent: tokens; requests of programs carry no origin and need none.

use std::net::{IpAddr, Ipv6Addr};

use actix_cors::Cors;
use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, Uri};
use actix_web::middleware::{Condition, Next};
use actix_web::{HttpRequest, ResponseError, web};

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::auth::Auth;
use super::errors::Problem;
use super::state::GatewayState;

/// Seconds for which a browser may keep the answer to a preflight request.
const PREFLIGHT_S: usize = 3_600;

/// Cross-origin access to REST for pages of the allowed origins: answers their preflight requests, and lets them read
/// answers. Without an allowed origin it does nothing. Credentials are left out, because a token comes in a header.
pub(crate) fn cors(allowed: &[String]) -> Condition<Cors> {
    let origins = allowed.to_vec();
    let cors = Cors::default()
        .allowed_origin_fn(move |origin, _| origin.to_str().is_ok_and(|origin| is_listed(origin, &origins)))
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers([
            "accept",
            "authorization",
            "content-type",
            "idempotency-key",
            "if-none-match",
            "x-api-key",
            "x-api-version",
        ])
        .expose_headers([
            "allow",
            "etag",
            "link",
            "location",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
            "repr-digest",
            "retry-after",
            "warning",
        ])
        .max_age(PREFLIGHT_S)
        .block_on_origin_mismatch(false);
    Condition::new(!allowed.is_empty(), cors)
}

/// Whether an origin, as a browser sends it, is one of the allowed ones.
fn is_listed(origin: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|one| one.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// In dev mode, refuses requests for a host other than this machine.
///
/// # Errors
/// Only errors of the inner service.
pub(crate) async fn only_loopback_names_in_dev(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let is_dev = request.app_data::<web::Data<Auth>>().is_none_or(|auth| auth.is_dev());
    if is_dev && !host(request.request()).is_some_and(|host| is_this_machine(&host)) {
        let message = "without a secret the server answers to localhost only: open it under that name";
        let problem = Problem::from(Refusal::new(Code::Forbidden, message));
        return Ok(request.into_response(problem.error_response()).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Refuses sockets of foreign pages, and their requests that might change data, on every path.
///
/// # Errors
/// Only errors of the inner service.
pub(crate) async fn no_changes_by_foreign_pages(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let state = request.app_data::<web::Data<GatewayState>>();
    if state.is_some_and(|state| state.has_feeds_at(request.path())) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    if let Err(refusal) = check(request.request(), state.map_or(&[][..], |state| &state.settings.origins[..])) {
        return Ok(request.into_response(Problem::from(refusal).error_response()).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// The relation of the requesting page to this server, as the browser states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    /// The request does not say: it comes from a program, or from an old browser.
    Unstated,
    /// The page is the server's own, or the user typed the address.
    Own,
    /// The page is foreign. `same-site` counts as foreign, since it is another port or another name of the domain.
    Foreign,
}

/// Checks whether the origin of a request may ask for it.
fn check(request: &HttpRequest, allowed: &[String]) -> Result<(), Refusal> {
    let opens_socket = request.headers().contains_key(header::UPGRADE);
    if !opens_socket && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    may_change(request, allowed)
}

/// Checks whether the origin of a request may change data, whatever the method.
///
/// # Errors
/// `forbidden`.
pub(crate) fn may_change(request: &HttpRequest, allowed: &[String]) -> Result<(), Refusal> {
    let headers = request.headers();
    let opens_socket = headers.contains_key(header::UPGRADE);
    // Every browser sends the origin of a socket; `Sec-Fetch-Site` of a socket differs among browsers.
    let site = if opens_socket { Site::Unstated } else { site(headers) };
    let host = host(request);
    let is_good = |origin: &str| {
        let listed = is_listed(origin, allowed);
        // The server's own forms send the origin `null`, since its pages send no referrer.
        let unnamed = site == Site::Own && origin == "null";
        listed || unnamed || (site != Site::Foreign && is_same(origin, host.as_deref()))
    };
    let mut origins = headers.get_all(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("null")).peekable();
    let is_good = if origins.peek().is_some() { origins.all(is_good) } else { site != Site::Foreign };
    if is_good {
        return Ok(());
    }
    let message = "pages from this origin may not connect, nor change anything: add it to the gateway's origins";
    Err(Refusal::new(Code::Forbidden, message))
}

fn site(headers: &HeaderMap) -> Site {
    let told = headers.get_all("sec-fetch-site").map(|site| match site.as_bytes() {
        b"same-origin" | b"none" => Site::Own,
        _ => Site::Foreign,
    });
    told.fold(Site::Unstated, |found, one| if found == Site::Foreign { found } else { one })
}

fn is_same(origin: &str, host: Option<&str>) -> bool {
    let (Ok(origin), Some(host)) = (origin.parse::<Uri>(), host) else { return false };
    let default_port = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let Some((theirs, ours)) = origin.authority().zip(host.parse::<actix_web::http::uri::Authority>().ok()) else {
        return false;
    };
    theirs.host().eq_ignore_ascii_case(ours.host())
        && theirs.port_u16().unwrap_or(default_port) == ours.port_u16().unwrap_or(default_port)
}

/// The `Host` header; never a forwarded one, which any client can write.
fn host(request: &HttpRequest) -> Option<String> {
    in_headers(request.headers()).or_else(|| request.uri().authority().map(|a| a.as_str().to_owned()))
}

fn in_headers(headers: &HeaderMap) -> Option<String> {
    headers.get(header::HOST)?.to_str().ok().map(str::to_owned)
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<actix_web::http::uri::Authority>() else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().or_else(|_| bare.parse::<Ipv6Addr>().map(IpAddr::V6));
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test as web_test;
    use actix_web::{App, HttpResponse};

    use super::*;

    /// Columns: method, `Origin`, `Sec-Fetch-Site`.
    #[test]
    fn only_own_pages_and_listed_ones_change_anything() {
        let listed = ["https://app.example".to_owned()];
        let (own, foreign, app) =
            (Some("https://example.org"), Some("https://evil.example"), Some("https://app.example"));
        for (name, origin, site, good) in [
            ("a program", None, None, true),
            ("own page", own, Some("same-origin"), true),
            ("own page, old browser", own, None, true),
            ("own form", Some("null"), Some("same-origin"), true),
            ("typed by the person", None, Some("none"), true),
            ("foreign page", foreign, Some("cross-site"), false),
            ("foreign page, old browser", foreign, None, false),
            ("foreign page that is told to be ours", foreign, Some("same-origin"), false),
            ("foreign image or form", None, Some("cross-site"), false),
            ("foreign frame without a name", Some("null"), Some("cross-site"), false),
            ("foreign frame without a name, old browser", Some("null"), None, false),
            ("another port or name of the domain", Some("https://www.example.org"), Some("same-site"), false),
            ("another scheme of the name", Some("http://example.org"), Some("cross-site"), false),
            ("unnamed, same site", None, Some("same-site"), false),
            ("a word that nobody knows", None, Some("near"), false),
            ("listed", app, Some("cross-site"), true),
            ("listed, old browser", app, None, true),
        ] {
            for method in
                [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::from_bytes(b"BREW").unwrap()]
            {
                let mut request =
                    web_test::TestRequest::default().method(method.clone()).insert_header(("host", "example.org"));
                for (header, value) in [("origin", origin), ("sec-fetch-site", site)] {
                    if let Some(value) = value {
                        request = request.insert_header((header, value));
                    }
                }
                assert_eq!(check(&request.to_http_request(), &listed).is_ok(), good, "{method} {name}");
            }
        }
        let twice = web_test::TestRequest::post()
            .insert_header(("host", "example.org"))
            .append_header(("origin", "https://example.org"))
            .append_header(("origin", "https://evil.example"))
            .to_http_request();
        assert!(check(&twice, &listed).is_err(), "two origins");
        let read = web_test::TestRequest::get()
            .insert_header(("host", "example.org"))
            .insert_header(("origin", "https://evil.example"));
        assert!(check(&read.to_http_request(), &listed).is_ok(), "reading changes nothing");
    }

    #[test]
    fn only_own_pages_and_listed_ones_connect() {
        let listed = ["https://app.example".to_owned()];
        for (name, origin, host, good) in [
            ("a program", None, "example.org", true),
            ("own page", Some("http://example.org"), "example.org", true),
            ("own page, default port spelt out", Some("https://example.org"), "example.org:443", true),
            ("own page, port", Some("http://localhost:8080"), "localhost:8080", true),
            ("other case", Some("http://Example.ORG"), "example.org", true),
            ("other port", Some("http://localhost:9090"), "localhost:8080", false),
            ("other host", Some("http://evil.example"), "example.org", false),
            ("host as prefix", Some("http://example.org.evil.example"), "example.org", false),
            ("host as user", Some("http://example.org@evil.example"), "example.org", false),
            ("listed", Some("https://app.example"), "example.org", true),
            ("listed, other scheme", Some("http://app.example"), "example.org", false),
            ("null", Some("null"), "example.org", false),
            ("empty", Some(""), "example.org", false),
            ("a file", Some("file://example.org"), "example.org", false),
        ] {
            let mut request =
                web_test::TestRequest::get().insert_header(("host", host)).insert_header(("upgrade", "websocket"));
            if let Some(origin) = origin {
                request = request.insert_header(("origin", origin));
            }
            assert_eq!(check(&request.to_http_request(), &listed).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn names_of_this_machine_are_known() {
        for (host, good) in [
            ("localhost", true),
            ("localhost:8080", true),
            ("LOCALHOST.", true),
            ("app.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("127.1.2.3", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost.evil.example", false),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("192.0.2.1", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_this_machine(host), good, "{host:?}");
        }
    }

    #[actix_web::test]
    async fn a_foreign_name_reaches_nothing_in_dev_mode() {
        let ring = super::super::keyring::KeyRing::new(&[], None, []);
        let Ok(ring) = ring else { panic!("a ring of no keys") };
        let ring = arc_swap::ArcSwap::from_pointee(ring);
        for (mode, auth, host, status) in [
            ("dev", Some(Auth::dev()), "localhost:80", 200),
            ("dev", Some(Auth::dev()), "rebound.example", 403),
            ("forgotten", None, "rebound.example", 403),
            ("secret", Some(Auth::with_ring(std::sync::Arc::new(ring))), "example.org", 200),
        ] {
            let app = web_test::init_service(
                App::new()
                    .configure(|config| {
                        auth.into_iter().for_each(|auth| {
                            config.app_data(web::Data::new(auth));
                        });
                    })
                    .wrap(from_fn(only_loopback_names_in_dev))
                    .route("/", web::get().to(HttpResponse::Ok)),
            )
            .await;
            let request = web_test::TestRequest::get().insert_header(("host", host)).to_request();
            assert_eq!(web_test::call_service(&app, request).await.status(), status, "{mode} {host}");
        }
    }
}
