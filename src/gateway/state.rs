//! The state that all connections and requests of one gateway share.
//!
//! Invariant: clones share one set of actors, keys, buckets, budgets and registries. Deliberately absent: routes and
//! sockets.

use std::sync::Arc;

use crate::actors::Server;
use crate::actors::people::Owes;
use crate::domain::time::SECOND_MS;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::access::Access;
use super::answers::Answers;
use super::apps::StreamApps;
use super::auth::Auth;
use super::budget::Budgets;
use super::gorse_settings::GorseDoor;
use super::grant::{Grant, Subject};
use super::keyring::LEEWAY_S;
use super::rates::Rates;
use super::settings::GatewaySettings;
use super::tls::Certificate;
use super::watcher::Registry;

// A token counts whole seconds, and the clock of its signer may run ahead.
const SIGNED_AHEAD_MS: i64 = (LEEWAY_S as i64 + 1) * SECOND_MS;

/// Paths below these belong to clients of hosted feeds, which sign their tokens with the secret of an app.
const FEEDS: [&str; 4] = ["/api/v1.0/", "/personalization/v1.0/", "/analytics/", "/faye"];

/// The shared state of the gateway; all clones share one registry of sessions.
#[derive(Clone)]
pub struct GatewayState {
    /// The handle of the actors.
    pub server: Server,
    /// Limits and times of the gateway.
    pub settings: GatewaySettings,
    /// The check of tokens.
    pub auth: Auth,
    /// Administration of keys and tokens.
    pub access: Arc<Access>,
    /// Rate limits per address, user and service token.
    pub rates: Arc<Rates>,
    /// Budgets that all requests share.
    pub budgets: Arc<Budgets>,
    /// The registry of all open sessions.
    pub registry: Arc<Registry>,
    /// The registry of large answers in transit.
    pub answers: Arc<Answers>,
    /// Key and kinds of the door for Gorse clients.
    pub gorse: Arc<GorseDoor>,
    /// The apps of the feeds API, by key; without one the feeds API has no route.
    pub apps: Arc<StreamApps>,
    /// The TLS certificate; with one, all connections use TLS.
    pub certificate: Option<Arc<Certificate>>,
}

impl GatewayState {
    /// State for a gateway without TLS, before it listens.
    #[must_use]
    pub fn new(server: Server, settings: GatewaySettings, access: Arc<Access>) -> GatewayState {
        let registry = Registry::new(settings.sessions_max, &settings.rates);
        let (auth, rates) = (access.auth(), Arc::new(Rates::new(&settings.rates)));
        let (budgets, answers, gorse, apps) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        GatewayState {
            server,
            settings,
            auth,
            access,
            rates,
            budgets,
            registry,
            answers,
            gorse,
            apps,
            certificate: None,
        }
    }

    /// Whether a path belongs to clients of hosted feeds. Without an app, none does.
    pub(crate) fn has_feeds_at(&self, path: &str) -> bool {
        !self.apps.is_empty() && FEEDS.iter().any(|start| path.starts_with(start))
    }

    /// Checks the `X-API-Key` of a Gorse client: the configured key, or a token. Where no key is configured, dev mode needs
    /// none.
    ///
    /// # Errors
    /// `unauthorized`.
    pub(crate) fn admit_gorse(&self, key: Option<&str>) -> Result<Grant, Refusal> {
        if key.is_some_and(|key| self.gorse.opens(key)) {
            return Ok(Grant::of_gorse_key());
        }
        if self.gorse.has_key() && self.auth.is_dev() {
            return Err(Refusal::new(Code::Unauthorized, "the key of Gorse clients is needed: send X-API-Key"));
        }
        self.admit(key)
    }

    /// Checks a token and returns its rights. A user's token is refused if it may belong to a former holder of the key.
    ///
    /// # Errors
    /// `unauthorized`, with the fault and never the content of the token.
    pub(crate) fn admit(&self, token: Option<&str>) -> Result<Grant, Refusal> {
        let grant = self.auth.check(token)?;
        let Subject::Person(key) = &grant.subject else { return Ok(grant) };
        let people = self.server.people();
        // During an erasure no call acts under the key, and none creates a user with it.
        if people.is_being_erased(key.as_str()) {
            return Ok(grant);
        }
        let refused = |why: &str| Err(Refusal::new(Code::Unauthorized, why));
        if self.access.is_being_erased(key) {
            return refused("the person of this token was erased: get a new one");
        }
        let Owes::SignedAfter(erasure) = people.owes(key.as_str()) else { return Ok(grant) };
        match grant.signed {
            Some(signed) if signed > self.server.clock().now().plus(SIGNED_AHEAD_MS) => {
                refused("the token says that it was signed in the future: check the clocks")
            }
            Some(signed) if signed > erasure => Ok(grant),
            Some(_) => refused("the token may belong to an erased former holder of this key: get a new one"),
            None => refused(
                "the token has no claim iat and may belong to an erased former holder of this key: sign tokens with iat",
            ),
        }
    }
}
