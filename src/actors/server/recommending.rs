//! Recommendations by request: for a known person, or for a session of an unknown one.
//!
//! Invariant: nothing is stored, and no shared state learns from a request. Rankings run beside the threads that serve.

use super::Server;
use crate::actors::errors::RequestError;
use crate::actors::user::messages::ToUser;
use crate::actors::user::wire;
use crate::domain::ids::{Epoch, ModelVersion, UserId};
use crate::domain::interactions::Interaction;
use crate::engine::delivery::ranker::serving_model;
use crate::engine::rank::RankRequest;
use crate::engine::rank::steer::Steering;
use crate::engine::user::UserState;
use crate::protocol::server::WireItem;

/// The id of the state that a session without a person gets; no person has it.
const NO_PERSON: UserId = UserId(u32::MAX - 1);

/// A request for recommendations.
#[derive(Clone, Debug)]
pub struct RecommendRequest {
    /// The person whose state ranks; a cold start when absent.
    pub user: Option<UserId>,
    /// Interactions that the state learns for this ranking only.
    pub interactions: Vec<Interaction>,
    /// The ranking, the number of items, and whether they are explained.
    pub ask: RankRequest,
    /// Filters, exclusions, boosts and factors.
    pub steering: Steering,
}

/// Recommended items as clients see them.
#[derive(Clone, Debug)]
pub struct Recommended {
    /// The epoch of the world that was ranked.
    pub epoch: Epoch,
    /// The two-tower model that took part.
    pub model: Option<ModelVersion>,
    /// Items, best first, each with its boosts: the place of a boost in the request, and its addition to the score.
    pub items: Vec<(WireItem, Vec<(usize, f32)>)>,
}

impl Server {
    /// Ranks for one request. `quota` is the user whose places of scans it takes.
    ///
    /// # Errors
    /// `rate_limited` while too many scans of the quota are under way. Busy while too many are in total, or when the person's
    /// actor or the store does not answer in time.
    pub async fn recommend(
        &self,
        quota: Option<UserId>,
        request: RecommendRequest,
    ) -> Result<Recommended, RequestError> {
        let place = self.context.scans.enter(quota)?;
        let state = match request.user {
            Some(user) => *self.ask(user, ToUser::AskState).await?,
            None => UserState::new(NO_PERSON),
        };
        let (world, now) = (self.world(), self.context.clock.now());
        let ranked = place.run(move || {
            let RecommendRequest { interactions, ask, steering, .. } = request;
            let mut state = state.with_unstored(interactions, &world, now);
            if ask.ranking.asks_the_tower() {
                state.look(&world, now);
            }
            let items = state.rank_steered(&world, now, ask, &steering);
            let likely = state.likely(&world, ask.ranking, &items, now);
            let boosts = items.iter().map(|one| steering.boosts_of(&world, one.item));
            // Ranked items are in the world, so each of them has a face.
            let faces = wire::wire_items(&world, &items, &likely, steering.available_at.unwrap_or(now));
            let items = faces.into_iter().zip(boosts).collect();
            Recommended { epoch: world.epoch(), model: serving_model(&world, ask.ranking), items }
        });
        Ok(ranked.await?)
    }
}
