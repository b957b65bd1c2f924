//! From which page a request comes, and which name it used for the server.
//!
//! Invariant: a browser's page opens a socket only when it came from this server, or is on the list; in dev mode the
//! server answers only to names of this machine, so that a foreign name that resolves to loopback (DNS rebinding)
//! reaches nothing. Absent on purpose: tokens; requests of programs carry no origin and are not held to one.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, ResponseError, web};

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::auth::Auth;
use super::errors::Problem;

/// Middleware: in dev mode, refuses requests that name a host other than this machine.
///
/// # Errors
/// Only those of the service within.
pub async fn only_loopback_names_in_dev(
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

/// May this page open a socket?
///
/// # Errors
/// `forbidden`.
pub fn check(request: &HttpRequest, allowed: &[String]) -> Result<(), Refusal> {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("null");
    let listed = allowed.iter().any(|one| one.trim_end_matches('/').eq_ignore_ascii_case(origin));
    if listed || is_same(origin, host(request).as_deref()) {
        return Ok(());
    }
    let message = "pages from this origin may not connect: add it to the gateway's origins";
    Err(Refusal::new(Code::Forbidden, message))
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

/// The `Host` header; never a forwarded one, which anybody may write.
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
            let mut request = web_test::TestRequest::get().insert_header(("host", host));
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
        let ring = super::super::keyring::KeyRing::new(&[], None, [], crate::domain::time::Millis(0));
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
