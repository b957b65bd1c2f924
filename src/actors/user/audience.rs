//! Scores one item for this person, for the audience of the item.
//!
//! Invariant: the answer equals the item's score in the person's `model` feed. Asking changes nothing.

use actix::prelude::*;

use super::actor::UserActor;
use super::messages::{Want, WantLikeness};
use crate::domain::feeds::Ranking;

impl Handler<Want> for UserActor {
    type Result = ();
    fn handle(&mut self, want: Want, _: &mut Self::Context) {
        let score = if self.state.has_hidden(want.item) {
            None
        } else {
            self.state.look(&want.world, want.now);
            self.state.score_of(&want.world, want.item, want.now, Ranking::Model)
        };
        // The requester may have stopped waiting.
        let _ = want.answer.send((self.user, score));
    }
}

impl Handler<WantLikeness> for UserActor {
    type Result = ();
    fn handle(&mut self, want: WantLikeness, _: &mut Self::Context) {
        let own = self.state.tastes(want.question.now, want.world.settings());
        // The requester may have stopped waiting.
        let _ = want.answer.send((self.user, want.question.tastes.likeness(&own)));
    }
}
