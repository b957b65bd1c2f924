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
use super::auth::Auth;
use super::budget::Budgets;
use super::grant::{Grant, Subject};
use super::keyring::LEEWAY_S;
use super::rates::Rates;
use super::settings::GatewaySettings;
use super::tls::Certificate;
use super::watcher::Registry;

// A token counts whole seconds, and its signer's clock may be ahead.
const SIGNED_AHEAD_MS: i64 = (LEEWAY_S as i64 + 1) * SECOND_MS;

/// Everything that the door needs. Clone freely: all clones share one registry of sessions.
#[derive(Clone)]
pub struct GatewayState {
    /// The actors.
    pub server: Server,
    /// How it is built.
    pub settings: GatewaySettings,
    /// How tokens are checked.
    pub auth: Auth,
    /// Keys and tokens.
    pub access: Arc<Access>,
    /// Who has asked for how much.
    pub rates: Arc<Rates>,
    /// What all requests together may hold.
    pub budgets: Arc<Budgets>,
    /// All open sessions.
    pub registry: Arc<Registry>,
    /// All large answers under way.
    pub answers: Arc<Answers>,
    /// With one, all connections speak TLS.
    pub certificate: Option<Arc<Certificate>>,
}

impl GatewayState {
    /// A door that is not open yet, without TLS.
    #[must_use]
    pub fn new(server: Server, settings: GatewaySettings, access: Arc<Access>) -> GatewayState {
        let registry = Registry::new(settings.sessions_max, &settings.rates);
        let (auth, rates) = (access.auth(), Arc::new(Rates::new(&settings.rates)));
        let (budgets, answers) = (Arc::default(), Arc::default());
        GatewayState { server, settings, auth, access, rates, budgets, registry, answers, certificate: None }
    }

    /// What a token allows. One of a person is refused when it may be a former holder's of the same key.
    ///
    /// # Errors
    /// `unauthorized`, saying what is wrong and never what the token holds.
    pub fn admit(&self, token: Option<&str>) -> Result<Grant, Refusal> {
        let grant = self.auth.check(token)?;
        let Subject::Person(key) = &grant.subject else { return Ok(grant) };
        let people = self.server.people();
        // Nobody can act under the key, nor make somebody of it.
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
            Some(_) => {
                refused("the token was signed before somebody was erased who may have had this key: get a new one")
            }
            None => refused(
                "the token does not say when it was signed, and somebody was erased who may have had this key: sign \
                 tokens with the claim iat",
            ),
        }
    }
}
