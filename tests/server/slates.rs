//! Exploration and the log of drawn feeds on the real server.
//!
//! Invariant under test: an interaction carries the propensity of its item's position, and the log carries the
//! propensities of the whole feed.

use crate::support;

use std::time::Instant;

use eddyline::domain::interactions::Kind;
use serde_json::Value;
use tempfile::TempDir;

use support::socket::Client;
use support::{PATIENCE, Server};

fn export(server: &Server, user: &str) -> Value {
    server.rest().get(&format!("/v1/users/{user}/export")).success("the export").json()
}

fn start(log: &str) -> Server {
    let variables = [("EDDYLINE_SLATES__LOG", log), ("EDDYLINE_LEARN__RANK__TEMPERATURE", "0.5")];
    let server = Server::start_with(TempDir::new().unwrap(), &variables);
    server.items(12);
    server.people(&["ada"]);
    server
}

#[test]
fn what_was_drawn_is_logged_with_its_propensities() {
    let server = start("all");
    support::block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.wait("a feed", |ada| ada.shown().len() == 12).await;
        // The client sends `drawn` by itself, and then acts on the drawn feed.
        let shown = ada.shown();
        let version = ada.version().0;
        let id = ada.interact(&shown[3], Kind::Like).await;
        ada.wait_accepted(&id).await;

        let begin = Instant::now();
        let body = loop {
            let body = export(&server, "ada");
            let logged = body["shown"].as_array().unwrap();
            if logged.iter().any(|slate| slate["version"] == version) {
                break body;
            }
            assert!(begin.elapsed() < PATIENCE, "version {version} was never logged: {logged:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        let slate = body["shown"].as_array().unwrap().iter().find(|slate| slate["version"] == version).unwrap();
        assert_eq!(slate["ranking"], "model");
        let places = slate["items"].as_array().unwrap();
        let items: Vec<&str> = places.iter().map(|place| place["item"].as_str().unwrap()).collect();
        assert_eq!(items, shown, "what was on the screen, in its order");
        let propensities: Vec<f64> = places.iter().map(|place| place["propensity"].as_f64().unwrap()).collect();
        assert!(propensities.iter().all(|p| *p > 0.0 && *p <= 1.0), "{propensities:?}");
        assert!(propensities[..6].iter().any(|p| *p < 0.9), "chance was at work: {propensities:?}");
        assert!((propensities[11] - 1.0).abs() < 1e-6, "the last has no choice left");
        let acted = &body["journal"].as_array().unwrap()[0]["shown"];
        assert_eq!((&acted["version"], &acted["position"]), (&Value::from(version), &Value::from(3)));
        assert!((acted["propensity"].as_f64().unwrap() - propensities[3]).abs() < 1e-6, "{acted}");
    });
    assert_eq!(server.rest().delete("/v1/users/ada").status, 204);
}

#[test]
fn nothing_is_logged_unless_it_is_asked_for() {
    let server = start("off");
    support::block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.wait("a feed", |ada| ada.shown().len() == 12).await;
        let item = ada.shown()[0].clone();
        let id = ada.interact(&item, Kind::Like).await;
        ada.wait_accepted(&id).await;
        let body = export(&server, "ada");
        assert_eq!(body["shown"], serde_json::json!([]));
        assert!(body["journal"][0]["shown"]["propensity"].as_f64().unwrap() < 1.0, "the entry carries it all the same");
    });
}
