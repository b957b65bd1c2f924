//! Properties of delivery over scripts of events, with clients at the ends of ordered lines and a small made-up world.

mod line;

use proptest::collection::vec;
use proptest::prelude::*;

use super::events::{FeedEvent, Ranker as _};
use super::flow_control::FeedUpdate;
use super::refresh::FeedRefresh;
use super::standing::Face;
use crate::domain::feeds::Cause;
use crate::domain::ids::{Epoch, ItemId};
use line::{ITEMS, Line, Step, any_step, view};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Checks four promises with each delivery. Versions rise within a session. A patch leads from the feed that the client
    /// shows to the feed that stands. At most one feed is in flight per subscription. A feed holds available items only.
    #[test]
    fn every_update_fits_its_client(script in vec(any_step(), 0..150), keeps in any::<bool>()) {
        let mut line = Line::new(keeps);
        for step in script {
            line.step(step)?;
        }
    }

    /// "Newest feed wins": once the line is quiet, each client shows the newest feed of its view. "The screen shows the
    /// answer of a request": it is the feed that a request gets. "Nothing unavailable is shown."
    #[test]
    fn a_quiet_line_shows_the_answer_of_a_request(script in vec(any_step(), 0..150), keeps in any::<bool>()) {
        let mut line = Line::new(keeps);
        for step in script {
            line.step(step)?;
        }
        line.quieten()?;
        for number in 0..3 {
            let answer = line.request(view(number))?;
            for client in line.clients.values().filter(|client| client.view == number) {
                let (version, screen) = client.screen.as_ref().unwrap();
                let ids: Vec<ItemId> = screen.iter().map(|(id, _)| *id).collect();
                prop_assert_eq!(&ids, &answer, "the screen shows the answer of a request");
                prop_assert_eq!(Some(*version), client.newest_sent, "the newest feed has arrived");
                prop_assert!(ids.iter().all(|id| line.world.open.contains(&id.0)), "nothing unavailable is shown");
                let newest = |(id, face): &(ItemId, Face)| *face == line.published.face(id.0);
                prop_assert!(screen.iter().all(newest), "all faces are the newest");
            }
        }
    }

    /// "`live` is always sent when an item of a feed on screen opens or closes": an item that the newest feed of a client
    /// loses by closing is announced as closed. The last word on an item of a feed says its state.
    #[test]
    fn openings_and_closings_on_screen_are_announced(script in vec(any_step(), 0..150), keeps in any::<bool>()) {
        let mut line = Line::new(keeps);
        line.step(Step::Attach(0, 0, false))?;
        for step in script {
            if matches!(step, Step::Attach(0, ..) | Step::Detach(0) | Step::Configure(0, _)) {
                continue;
            }
            let before = line.feeds.shown_to(0).map_or(Vec::new(), |feed| feed.ids());
            let (open, words, is_message) = (line.world.open.clone(), line.words.len(), matches!(step, Step::Announce));
            let message = line.messages.front().cloned().filter(|_| is_message);
            line.step(step)?;
            let Some(message) = message else { continue };
            for item in before.iter().filter(|item| message.opened.contains(item) && open.contains(&item.0)) {
                prop_assert!(line.words[words..].contains(&(*item, true)), "the opening of {:?} is announced", item);
            }
        }
        line.drain()?;
        let screen: Vec<ItemId> = line.feeds.shown_to(0).unwrap().ids();
        line.quieten()?;
        for item in screen.into_iter().filter(|item| line.world.has_windows(*item)) {
            let last = line.words.iter().rev().find(|(one, _)| *one == item).map(|(_, available)| *available);
            if !line.world.open.contains(&item.0) {
                prop_assert_eq!(last, Some(false), "the closing of {:?} is announced", item);
            }
        }
    }

    /// "An item that opens and closes between two publications drops at once": the next event of the world or of time
    /// removes it from the feed, and announces its closing.
    #[test]
    fn an_item_that_opens_and_closes_between_publications_drops_at_once(item in 0..ITEMS - 1, by_tick in any::<bool>()) {
        let mut line = Line::new(false);
        line.world.open.remove(&item);
        line.publish();
        line.step(Step::Attach(0, 2, false))?;
        line.announce()?;
        line.drain()?;
        line.step(Step::Edge(item))?;
        line.step(Step::Own(item, 9))?;
        line.burst_over()?;
        line.drain()?;
        prop_assert!(line.feeds.shown_to(0).unwrap().contains(ItemId(item)));
        line.step(Step::Edge(item))?;
        line.publish();
        prop_assert!(!line.messages[0].names(ItemId(item)), "no message names the item");
        if by_tick {
            line.step(Step::Tick)?;
        }
        line.announce()?;
        line.drain()?;
        prop_assert!(!line.feeds.shown_to(0).unwrap().contains(ItemId(item)));
        prop_assert_eq!(line.words.last(), Some(&(ItemId(item), false)));
    }
}

/// The cause of the newest feed that subscription 0 shows.
fn cause(line: &Line) -> Cause {
    line.feeds.shown_to(0).unwrap().cause.clone()
}

/// A line on which subscription 0 shows its first feed.
fn open_line() -> Line {
    let mut line = Line::new(false);
    line.step(Step::Attach(0, 0, false)).unwrap();
    line.drain().unwrap();
    line
}

#[test]
fn within_a_burst_an_event_of_the_person_keeps_its_cause_over_the_world() {
    let world = || FeedEvent::Due(Cause::World { epoch: Epoch(2) });
    for order in ["message last", "world first", "world last"] {
        let mut line = open_line();
        line.step(Step::Edge(0)).unwrap();
        line.step(Step::Others(0, 9)).unwrap();
        line.publish();
        if order == "world first" {
            line.event(world()).unwrap();
        }
        line.step(Step::Own(1, 8)).unwrap();
        match order {
            "world last" => line.event(world()).unwrap(),
            _ => line.announce().unwrap(),
        }
        line.burst_over().unwrap();
        line.drain().unwrap();
        assert!(matches!(cause(&line), Cause::Event { .. }), "{order}: {:?}", cause(&line));
    }
}

#[test]
fn a_closing_that_a_refresh_shows_first_is_announced_once() {
    let mut line = open_line();
    let item = line.feeds.shown_to(0).unwrap().ids()[0];
    line.step(Step::Edge(item.0)).unwrap();
    line.publish();
    line.step(Step::Refresh).unwrap();
    line.announce().unwrap();
    assert_eq!(line.words, [(item, false)]);
}

#[test]
fn an_opening_that_a_refresh_shows_first_is_announced() {
    let mut line = open_line();
    line.step(Step::Others(0, 9)).unwrap();
    line.step(Step::Edge(0)).unwrap();
    line.publish();
    line.step(Step::Refresh).unwrap();
    line.drain().unwrap();
    assert!(line.feeds.shown_to(0).unwrap().contains(ItemId(0)));
    assert!(line.words.is_empty());
    line.announce().unwrap();
    assert_eq!(line.words, [(ItemId(0), true)]);
}

#[test]
fn a_returning_client_gets_a_patch_against_the_feed_that_it_shows() {
    let mut line = open_line();
    let shown = line.feeds.shown_to(0).unwrap().feed.version;
    line.step(Step::Detach(0)).unwrap();
    line.step(Step::Own(1, 9)).unwrap();
    line.step(Step::Attach(0, 0, true)).unwrap();
    let FeedUpdate::Patch { base, .. } = line.clients[&0].line[0].clone() else { panic!("a patch") };
    assert_eq!(base.feed.version, shown);
    line.drain().unwrap();

    line.step(Step::Detach(0)).unwrap();
    line.step(Step::Attach(0, 1, true)).unwrap();
    assert!(matches!(line.clients[&0].line[0], FeedUpdate::Whole(_)), "the client shows another view");
}

#[test]
fn a_refresh_without_news_sends_nothing_and_keeps_the_version() {
    let mut line = open_line();
    let version = line.feeds.version();
    line.now = line.now.plus(FeedRefresh::PAUSE_MAX_MS);
    line.step(Step::Refresh).unwrap();
    assert_eq!(line.feeds.version(), version);
    assert!(line.clients[&0].line.is_empty());
}

#[test]
fn messages_postpone_a_due_feed_by_the_limit_at_most() {
    let mut line = open_line();
    line.step(Step::Own(1, 8)).unwrap();
    line.now = line.now.plus(super::feeds::RANK_DELAY_MAX_MS + 1);
    line.step(Step::Own(2, 8)).unwrap();
    assert!(!line.clients[&0].line.is_empty(), "ranked without waiting for the end of the burst");
}
