//! A session's place with its person: where to send, how it wants its feeds, what it has drawn.
//!
//! Invariant: sessions with the same view see the same feed; a frame is encoded once per kind.

use std::sync::Arc;

use actix::Recipient;
use bytestring::ByteString;

use super::wire::{Shown, feed_frame, patch_frame};
use crate::actors::session::{FrameBytes, SessionSettings, ToSession};
use crate::domain::feeds::Ranking;
use crate::domain::ids::FeedVersion;
use crate::engine::rank::gate::{self, Send};
use crate::protocol::server::Timing;

/// Decides what may be sent to one screen now.
pub type Gate = gate::Gate<Shown>;
/// What it lets through.
pub type Released = Send<Shown>;

/// How a feed is ranked, apart from who sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    /// How.
    pub ranking: Ranking,
    /// How many items.
    pub limit: u32,
    /// With reasons.
    pub explain: bool,
}

/// See the module.
pub struct Seat {
    /// The session's mailbox.
    pub to: Recipient<ToSession>,
    /// How it wants its feeds.
    pub settings: SessionSettings,
    /// What it has drawn and what waits.
    pub gate: Gate,
    /// Frames that the socket has not taken yet.
    pub bytes: FrameBytes,
}

impl Seat {
    /// A fresh one: nothing drawn yet.
    pub fn new(to: Recipient<ToSession>, settings: SessionSettings) -> Seat {
        Seat { to, settings, gate: Gate::default(), bytes: FrameBytes::default() }
    }

    /// How its feeds are ranked.
    pub fn view(&self) -> View {
        View { ranking: self.settings.ranking, limit: self.settings.limit, explain: self.settings.explain }
    }
}

/// Frames of one feed, encoded when first needed.
#[derive(Default)]
pub struct Frames {
    encoded: Vec<((Option<FeedVersion>, bool), ByteString)>,
}

impl Frames {
    /// The frame for what a gate let through.
    pub fn frame(&mut self, send: &Released, timing: Option<Timing>) -> ByteString {
        let (base, shown): (Option<&Arc<Shown>>, &Arc<Shown>) = match send {
            Send::Whole(shown) => (None, shown),
            Send::Patch { base, feed } => (Some(base), feed),
        };
        let kind = (base.map(|base| base.feed.version), timing.is_some());
        if let Some((_, frame)) = self.encoded.iter().find(|(known, _)| *known == kind) {
            return frame.clone();
        }
        let frame = match base {
            None => feed_frame(shown, timing),
            // A patch that says more than the feed itself helps nobody.
            Some(base) => {
                let patch = patch_frame(base, shown, timing);
                if patch.len() > 4_096 {
                    let whole = feed_frame(shown, timing);
                    if whole.len() < patch.len() { whole } else { patch }
                } else {
                    patch
                }
            }
        };
        self.encoded.push((kind, frame.clone()));
        frame
    }
}
