//! The pages on which a user accepts or rejects posts: each path is a page for browsers and JSON for programs.
//!
//! Invariant: a page is open and holds no data; JSON needs a token, as every REST route does. Only `POST` learns.

use actix_web::http::header::{self, Accept, Header, HeaderValue};
use actix_web::{HttpRequest, web};

use super::errors::{HttpResult, Problem};
use super::pages;
use super::request::AuthedRequest;
use super::rest::scores;

/// `GET /prediction/{n}?user=`: post `n` with the prediction for the user, and a form for the user's label.
///
/// # Errors
/// For JSON: `unauthorized`, `unknown_user`, `unknown_item`, or a refusal with the name of the parameter.
pub async fn prediction(request: HttpRequest, authed: Result<AuthedRequest, Problem>) -> HttpResult {
    let answer = if wants_json(&request) {
        scores::numbered_prediction(authed?).await
    } else {
        pages::prediction(request).await
    };
    answer.map(varies)
}

/// `POST /prediction/{n}?user=`, with JSON as body and answer.
///
/// # Errors
/// `unknown_user`, `unknown_item`, or a refusal with the name of the field.
pub async fn label(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    scores::label_numbered(request, payload).await
}

/// `GET /score?user=`: progressive figures with their ROC curves, over all users or of one user.
///
/// # Errors
/// For JSON: `unauthorized`, `forbidden` for a user token without `user`, or `unknown_user`.
pub async fn score(request: HttpRequest, authed: Result<AuthedRequest, Problem>) -> HttpResult {
    let answer =
        if wants_json(&request) { scores::score_with_curves(authed?).await } else { pages::score(request).await };
    answer.map(varies)
}

/// Whether the client names JSON, and prefers it to HTML. A client that takes anything gets the page.
fn wants_json(request: &HttpRequest) -> bool {
    let Ok(accept) = Accept::parse(request) else { return false };
    let ranked = accept.ranked();
    let place = |media: &str| ranked.iter().position(|one| one.essence_str() == media);
    match (place("application/json"), place("text/html")) {
        (Some(json), Some(html)) => json < html,
        (json, _) => json.is_some(),
    }
}

/// Tells caches that the answer depends on `Accept`.
fn varies(mut response: actix_web::HttpResponse) -> actix_web::HttpResponse {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn json_goes_to_clients_that_name_it_before_html() {
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), true),
            (Some("application/json, text/plain, */*"), true),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), false),
            (Some("text/html;q=0.5, application/json"), true),
            (Some("application/json;q=0.5, text/html"), false),
            (Some("nonsense"), false),
        ] {
            let mut request = TestRequest::get();
            if let Some(accept) = accept {
                request = request.insert_header(("accept", accept));
            }
            assert_eq!(wants_json(&request.to_http_request()), expected, "{accept:?}");
        }
    }
}
