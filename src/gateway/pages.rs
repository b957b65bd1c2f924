//! The web pages, embedded in the program.
//!
//! Invariant: the server serves only embedded files, and a browser revalidates each file before use. Deliberately
//! absent: directories, templates, files of the machine.

use std::borrow::Cow;

use actix_web::http::header::{self, EntityTag};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::errors::{HttpResult, unknown_route};
use super::request::holds;

#[derive(RustEmbed)]
#[folder = "../../static/"]
struct Files;

/// The client library, which the pages import as it is.
#[derive(RustEmbed)]
#[folder = "../../clients/javascript/src/"]
struct Client;

/// `GET /`.
///
/// # Errors
/// `unknown_route` when there is no page in this build.
pub async fn index(request: HttpRequest) -> HttpResult {
    serve(request, "index.html").await
}

/// `GET /admin`: the page alone; its data come from requests with a service token.
///
/// # Errors
/// `unknown_route` when there is no such page in this build.
pub async fn admin(request: HttpRequest) -> HttpResult {
    serve(request, "admin.html").await
}

/// `GET /examples/pages`: the sample site, whose pages A to J measure their visitor with the visitor's own requests.
///
/// # Errors
/// `unknown_route` when there is no such page in this build.
pub async fn examples(request: HttpRequest) -> HttpResult {
    serve(request, "pages.html").await
}

/// The page of `GET /docs`, without any data.
///
/// # Errors
/// `unknown_route` when there is no such page in this build.
pub(crate) async fn docs(request: HttpRequest) -> HttpResult {
    serve(request, "docs.html").await
}

/// The page of `GET /prediction/{n}`, without any data.
///
/// # Errors
/// `unknown_route` when there is no such page in this build.
pub(crate) async fn prediction(request: HttpRequest) -> HttpResult {
    serve(request, "prediction.html").await
}

/// The page of `GET /score`, without any data.
///
/// # Errors
/// `unknown_route` when there is no such page in this build.
pub(crate) async fn score(request: HttpRequest) -> HttpResult {
    serve(request, "score.html").await
}

/// `GET /static/{path}`.
///
/// # Errors
/// `unknown_route`.
pub async fn file(request: HttpRequest, path: web::Path<String>) -> HttpResult {
    serve(request, &path).await
}

/// `GET /clients/javascript/src/{path}`: a module of the client library. The path is that of the repository, so that
/// the pages' relative imports lead to it in a browser and in tests alike.
///
/// # Errors
/// `unknown_route`.
pub async fn client(request: HttpRequest, path: web::Path<String>) -> HttpResult {
    serve_from::<Client>(request, &path).await
}

async fn serve(request: HttpRequest, path: &str) -> HttpResult {
    serve_from::<Files>(request, path).await
}

async fn serve_from<Folder: RustEmbed>(request: HttpRequest, path: &str) -> HttpResult {
    // The folder may hold private files, such as `.gitkeep` or an editor's backups.
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    match Folder::get(path).filter(|_| !hidden) {
        Some(file) => Ok(answer(&request, path, file)),
        None => unknown_route(request).await,
    }
}

fn answer(request: &HttpRequest, path: &str, file: EmbeddedFile) -> HttpResponse {
    let tag = tag_of(&file);
    let is_known = holds(request, &tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(header::ETag(tag));
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    if is_known {
        return response.finish();
    }
    response.insert_header((header::CONTENT_TYPE, media(path)));
    match file.data {
        // The bytes are part of the program, so they are not copied.
        Cow::Borrowed(bytes) => response.body(Bytes::from_static(bytes)),
        Cow::Owned(bytes) => response.body(bytes),
    }
}

// Weak, since one file goes out compressed or plain.
fn tag_of(file: &EmbeddedFile) -> EntityTag {
    let hash = file.metadata.sha256_hash();
    EntityTag::new_weak(hash[..12].iter().map(|byte| format!("{byte:02x}")).collect())
}

fn media(path: &str) -> String {
    let media = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = media.type_() == mime_guess::mime::TEXT || media.subtype() == "javascript";
    if is_text { format!("{media}; charset=utf-8") } else { media.to_string() }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    use super::*;

    fn sample() -> EmbeddedFile {
        // Any file suffices here.
        rust_embed::utils::read_file_from_fs(std::path::Path::new("Cargo.toml")).unwrap()
    }

    #[actix_web::test]
    async fn a_file_is_sent_once_and_then_found_unchanged() {
        let first = answer(&TestRequest::get().to_http_request(), "js/app.js", sample());
        assert_eq!(first.status(), 200);
        assert_eq!(first.headers().get("content-type").unwrap(), "text/javascript; charset=utf-8");
        let tag = first.headers().get("etag").unwrap().clone();
        assert!(!to_bytes(first.into_body()).await.unwrap().is_empty());
        let again = TestRequest::get().insert_header(("if-none-match", tag)).to_http_request();
        let again = answer(&again, "js/app.js", sample());
        assert_eq!(again.status(), 304);
        assert!(to_bytes(again.into_body()).await.unwrap().is_empty());
        let other = TestRequest::get().insert_header(("if-none-match", "\"x\"")).to_http_request();
        assert_eq!(answer(&other, "js/app.js", sample()).status(), 200);
    }

    #[test]
    fn files_have_their_media_types() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("css/app.css", "text/css; charset=utf-8"),
            ("js/app.js", "text/javascript; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("data.json", "application/json"),
            ("what", "application/octet-stream"),
        ] {
            assert_eq!(media(path), expected, "{path}");
        }
    }

    #[actix_web::test]
    async fn nothing_outside_is_served() {
        for path in ["../Cargo.toml", "/etc/hosts", ".gitkeep", "..%2fCargo.toml", "", "."] {
            let request = TestRequest::get().to_http_request();
            assert!(serve(request, path).await.is_err(), "{path}");
        }
    }
}
