//! What an item would be worth to this person now, for whoever asks how many would want it.
//!
//! Invariant: the answer is the score that the item would have in their `model` feed; nothing changes by asking.

use actix::prelude::*;

use super::UserActor;
use super::messages::Want;
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
        // Whoever asked may have stopped waiting.
        let _ = want.answer.send((self.user, score));
    }
}
