//! One open session of a person: its mailbox, its settings, and the bytes that wait for its socket.
//!
//! Invariant: sessions that get equal feeds with equal settings share one encoded frame.

use std::sync::Arc;

use actix::Recipient;

use super::wire::{feed_frame, patch_frame};
use crate::actors::session::{Frame, FrameBytes, SessionSettings, ToSession};
use crate::domain::ids::{FeedVersion, ItemId};
use crate::engine::delivery::flow_control::FeedUpdate;
use crate::engine::delivery::standing::{FeedView, StandingFeed};
use crate::protocol::server::Timing;

/// A patch of more bytes than this is compared with the whole feed, and the shorter frame is sent.
const PATCH_BYTES_UNCHECKED: usize = 4_096;

/// Visible items that are remembered per session: the longest feed.
const SEEN_MAX: usize = 100;

/// An open session, as the person's actor serves it.
pub struct Subscription {
    /// The session's mailbox.
    pub to: Recipient<ToSession>,
    /// The feed and the extras that the session asked for.
    pub settings: SessionSettings,
    /// Frames that the socket has not taken yet.
    pub bytes: FrameBytes,
    /// Items of a feed that the client reported as visible, in the order of the reports; at most [`SEEN_MAX`].
    seen: (FeedVersion, Vec<ItemId>),
}

impl Subscription {
    /// A session without waiting frames.
    pub fn new(to: Recipient<ToSession>, settings: SessionSettings) -> Subscription {
        Subscription { to, settings, bytes: FrameBytes::default(), seen: (FeedVersion(0), Vec::new()) }
    }

    /// Adds visible items of a feed; those of an earlier feed are dropped.
    pub fn see(&mut self, version: FeedVersion, visible: &[ItemId]) {
        if self.seen.0 != version {
            self.seen = (version, Vec::new());
        }
        for item in visible {
            if self.seen.1.len() < SEEN_MAX && !self.seen.1.contains(item) {
                self.seen.1.push(*item);
            }
        }
    }

    /// Items of this feed that the client reported as visible.
    pub fn seen_in(&self, version: FeedVersion) -> &[ItemId] {
        if self.seen.0 == version { &self.seen.1 } else { &[] }
    }
}

/// The ranking parameters of a session or request.
pub(crate) fn view_of(settings: &SessionSettings) -> FeedView {
    FeedView { ranking: settings.ranking, limit: settings.limit, explain: settings.explain }
}

/// The frames of one batch of deliveries, each encoded when it is first needed.
#[derive(Default)]
pub struct Frames {
    encoded: Vec<Encoded>,
}

/// A frame with all that its bytes depend on.
struct Encoded {
    feed: Arc<StandingFeed>,
    base: Option<FeedVersion>,
    timing: Option<Timing>,
    frame: Frame,
}

impl Frames {
    /// The frame for an update.
    pub fn frame(&mut self, update: &FeedUpdate<StandingFeed>, timing: Option<Timing>) -> Frame {
        let (base, feed) = match update {
            FeedUpdate::Whole(feed) => (None, feed),
            FeedUpdate::Patch { base, feed } => (Some(base), feed),
        };
        let version = base.map(|base| base.feed.version);
        let known = |one: &&Encoded| Arc::ptr_eq(&one.feed, feed) && one.base == version && one.timing == timing;
        if let Some(known) = self.encoded.iter().find(known) {
            return known.frame.clone();
        }
        let frame = match base {
            None => Frame::Feed(feed_frame(feed, timing)),
            Some(base) => {
                let patch = patch_frame(base, feed, timing);
                if patch.len() > PATCH_BYTES_UNCHECKED {
                    let whole = feed_frame(feed, timing);
                    if whole.len() < patch.len() { Frame::Feed(whole) } else { Frame::Patch(patch) }
                } else {
                    Frame::Patch(patch)
                }
            }
        };
        self.encoded.push(Encoded { feed: feed.clone(), base: version, timing, frame: frame.clone() });
        frame
    }
}
