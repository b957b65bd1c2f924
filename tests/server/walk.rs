//! Long scenarios on the real server: sockets, REST, the timer, and effects of one user's actions on others.
//!
//! Invariant: each scenario has a server of its own, and its name states the expected result.

use crate::support;

use std::time::{Duration, Instant};

use eddyline::domain::feeds::{Cause, Ranking};
use eddyline::domain::interactions::Kind;
use eddyline::protocol::problem::Code;
use eddyline::protocol::server::ServerMessage;
use serde_json::json;

use support::socket::Client;
use support::{PATIENCE, block_on, now_ms, server};

fn cause_of(message: &ServerMessage) -> Option<&Cause> {
    match message {
        ServerMessage::Feed(feed) => feed.cause.as_ref(),
        ServerMessage::Patch(patch) => patch.cause.as_ref(),
        _ => None,
    }
}

fn causes(client: &Client) -> Vec<&Cause> {
    client.heard.iter().filter_map(cause_of).collect()
}

fn knows(client: &Client, id: &str) -> bool {
    causes(client).iter().any(|cause| matches!(cause, Cause::Event { id: found } if found.as_str() == id))
}

/// Receives on both until they have one version of the feed.
async fn in_step(one: &mut Client, other: &mut Client) {
    let begin = Instant::now();
    while one.version() != other.version() {
        assert!(begin.elapsed() < PATIENCE, "one shows {:?}, the other {:?}", one.version(), other.version());
        one.listen(Duration::from_millis(20)).await;
        other.listen(Duration::from_millis(20)).await;
    }
    assert_eq!(one.shown(), other.shown());
}

/// Receives until no change of learned aggregates can follow.
async fn until_quiet(client: &mut Client) {
    client.listen(Duration::from_millis(2_500)).await;
}

#[test]
fn two_sockets_of_one_person_stay_in_step() {
    let server = server();
    server.people(&["ada"]);
    server.items(12);
    block_on(async {
        let mut phone = Client::hello(server.address(), "ada").await;
        let mut desk = Client::hello(server.address(), "ada").await;
        assert_eq!(phone.shown().len(), 12, "all that there is");
        assert_eq!(phone.shown(), desk.shown());

        let mut ids = Vec::new();
        for round in 0..10 {
            let item = phone.shown()[round % 5].clone();
            let actor = if round % 2 == 0 { &mut phone } else { &mut desk };
            let kind = if round % 3 == 2 { Kind::Skip } else { Kind::Like };
            ids.push(actor.interact(&item, kind).await);
            let id = ids.last().unwrap();
            phone.wait("the phone to know of it", |client| knows(client, id)).await;
            desk.wait("the desk to know of it", |client| knows(client, id)).await;
            in_step(&mut phone, &mut desk).await;
        }
        let gone = phone.shown()[0].clone();
        phone.interact(&gone, Kind::Hide).await;
        phone.wait("the hidden item to leave the phone", |client| !client.shows(&gone)).await;
        desk.wait("the hidden item to leave the desk", |client| !client.shows(&gone)).await;
        in_step(&mut phone, &mut desk).await;

        // Only the acting socket is answered; numbers are consecutive over both.
        for (index, id) in ids.iter().enumerate() {
            let (own, other) = if index % 2 == 0 { (&mut phone, &desk) } else { (&mut desk, &phone) };
            assert!(!other.accepted().contains_key(id), "{id} was answered on the other socket");
            assert_eq!(own.wait_accepted(id).await, index as u64 + 1);
        }
    });
}

#[test]
fn a_dropped_line_resumes_and_nothing_accepted_is_asked_twice() {
    let server = server();
    server.people(&["ada"]);
    server.items(12);
    block_on(async {
        let mut before = Client::hello(server.address(), "ada").await;
        let item = before.shown()[3].clone();
        let first = before.interact(&item, Kind::Like).await;
        assert_eq!(before.wait_accepted(&first).await, 1);
        before.wait("the feed after it", |client| knows(client, &first)).await;
        let left = before.drop_line();
        let (shown, version) =
            (left.list.items().iter().map(|item| item.item.to_string()).collect::<Vec<_>>(), left.list.version());

        let mut after = Client::resume(server.address(), left).await;
        let opened = after.heard.iter().find(|message| !matches!(message, ServerMessage::Welcome(_))).unwrap();
        match opened {
            ServerMessage::Patch(patch) => assert_eq!(Some(patch.base), version, "the patch starts from what is shown"),
            ServerMessage::Feed(_) => {}
            other => panic!("{other:?} instead of a feed or patch"),
        }
        assert!(after.version() >= version.unwrap(), "versions never fall");
        let mut now = after.shown();
        now.sort();
        let mut then = shown;
        then.sort();
        assert_eq!(now, then, "the same items");

        // The client does not know whether an event arrived: it resends and gets an identical answer.
        after.interact_as(&first, &item, Kind::Like).await;
        assert_eq!(after.wait_accepted(&first).await, 1);
        let second = after.interact(&item, Kind::Click).await;
        assert_eq!(after.wait_accepted(&second).await, 2, "nothing in between was learned");

        // The server does not ask clients about their past: no error, no busy.
        assert_eq!(after.errors(), []);
    });
    assert_eq!(server.rest().history("ada").len(), 2);
}

#[test]
fn resuming_after_the_server_was_killed_works_too() {
    let server = server();
    server.people(&["ada"]);
    server.items(12);
    let (left, id, item) = block_on(async {
        let mut before = Client::hello(server.address(), "ada").await;
        let item = before.shown()[2].clone();
        let id = before.interact(&item, Kind::Like).await;
        before.wait_accepted(&id).await;
        before.wait("the feed after it", |client| knows(client, &id)).await;
        (before.drop_line(), id, item)
    });
    let server = server.restart();
    block_on(async {
        let mut after = Client::resume(server.address(), left).await;
        assert_eq!(after.shown().len(), 12);
        after.interact_as(&id, &item, Kind::Like).await;
        assert_eq!(after.wait_accepted(&id).await, 1, "the same event, the same number");
        let next = after.interact(&item, Kind::Click).await;
        assert_eq!(after.wait_accepted(&next).await, 2);
    });
}

#[test]
fn a_post_reaches_the_followers_socket() {
    let server = server();
    server.people(&["ada", "grace", "someone"]);
    server.items(6);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let mut grace = Client::hello(server.address(), "grace").await;
        grace.follow("g-1", "ada").await;
        assert_eq!(grace.wait_accepted("g-1").await, 1);
        grace.wait("a feed after following", |client| knows(client, "g-1")).await;

        ada.post("a-1", "the river is high today", Some("a")).await;
        ada.wait_accepted("a-1").await;
        let posted = |client: &Client| {
            client.heard.iter().find_map(|message| match message {
                ServerMessage::Accepted(accepted) if accepted.id.as_str() == "a-1" => {
                    accepted.item.as_ref().map(ToString::to_string)
                }
                _ => None,
            })
        };
        let item = posted(&ada).expect("`accepted` names the new item");
        grace.wait("the post to reach the follower", |client| client.shows(&item)).await;
        let shown = grace.list().items().iter().find(|there| there.item.as_str() == item).unwrap().clone();
        assert_eq!(shown.author.as_ref().map(|author| author.as_str()), Some("ada"));
        assert_eq!(&*shown.text, "the river is high today");

        // A resend creates no second item.
        ada.heard.clear();
        ada.post("a-1", "the river is high today", Some("a")).await;
        ada.wait("the same answer", |client| posted(client).as_ref() == Some(&item)).await;
        let id = grace.interact(&item, Kind::Like).await;
        grace.wait_accepted(&id).await;
        grace.wait("the feed after the like", |client| knows(client, &id)).await;
        let by_ada = grace.list().items().iter().filter(|there| there.author.is_some()).count();
        assert_eq!(by_ada, 1);

        // After an unfollow, the author is still known.
        assert_eq!(server.rest().get(&format!("/post/{item}")).status, 200);
    });
}

#[test]
fn the_timer_opens_and_closes_a_window_and_the_sockets_see_both_edges() {
    let server = server();
    server.people(&["ada"]);
    server.items(5);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let (start, stop) = (now_ms() + 1_500, now_ms() + 4_000);
        let item = json!({"text": "a short show", "topics": ["a"], "windows": [{"start": start, "stop": stop}]});
        server.rest().put("/v1/items/show", &item).success("put an item with a window");
        assert!(!server.rest().feed("ada", "limit=100").contains(&"show".to_owned()), "not yet open");
        ada.listen(Duration::from_millis(500)).await;
        assert!(!ada.shows("show"), "not yet open");

        ada.wait("the window to open", |client| client.shows("show")).await;
        let opened_late = now_ms() - start;
        assert!((0..2_000).contains(&opened_late), "opened {opened_late} ms after its start");
        let shown = ada.list().items().iter().find(|item| item.item.as_str() == "show").unwrap().clone();
        assert!(shown.live, "it has a window and it is open");
        assert_eq!(shown.available_until.map(|until| until.0), Some(stop));
        ada.wait("`live` on", |client| {
            client.lives().iter().any(|live| live.item.as_str() == "show" && live.available)
        })
        .await;

        ada.wait("the window to close", |client| !client.shows("show")).await;
        let closed_late = now_ms() - stop;
        assert!((0..2_000).contains(&closed_late), "closed {closed_late} ms after its end");
        ada.wait("`live` off", |client| {
            client.lives().iter().any(|live| live.item.as_str() == "show" && !live.available)
        })
        .await;
        assert!(!server.rest().feed("ada", "limit=100").contains(&"show".to_owned()), "closed");
        assert_eq!(ada.shown().len(), 5, "the others are still there");
        let lives = ada.lives().iter().filter(|live| live.item.as_str() == "show").count();
        assert_eq!(lives, 2, "one message per edge");
    });
}

#[test]
fn windows_set_by_rest_take_effect_at_once() {
    let server = server();
    server.people(&["ada"]);
    server.items(5);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        assert!(ada.shows("item-2"));
        let past = json!([{"start": 1_000, "stop": 2_000}]);
        server.rest().put("/v1/items/item-2/windows", &past).success("close an item");
        ada.wait("the item to leave", |client| !client.shows("item-2")).await;
        server.rest().put("/v1/items/item-2/windows", &json!([])).success("open it again");
        ada.wait("the item to come back", |client| client.shows("item-2")).await;
        server.rest().delete("/v1/items/item-2").success("delete an item");
        ada.wait("the item to leave for good", |client| !client.shows("item-2")).await;
    });
}

#[test]
fn a_resend_gets_the_same_number_and_is_learned_once() {
    let server = server();
    server.people(&["ada"]);
    server.items(8);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        for _ in 0..5 {
            ada.interact_as("same", "item-1", Kind::Like).await;
        }
        // By REST, too: the id belongs to the user, not to the session.
        let again = json!({"user": "ada", "id": "same", "item": "item-1", "kind": "like"});
        server.rest().post("/v1/interactions", &again).success("a resend by REST");
        ada.wait("five answers", |client| {
            let is_answer = |m: &&ServerMessage| matches!(m, ServerMessage::Accepted(a) if a.id.as_str() == "same");
            client.heard.iter().filter(is_answer).count() == 5
        })
        .await;
        assert_eq!(ada.accepted()["same"], 1);
        let next = ada.interact("item-1", Kind::View).await;
        assert_eq!(ada.wait_accepted(&next).await, 2);
    });
    let model = server.rest().get("/v1/users/ada/model").success("the model").json();
    assert_eq!(model["events"], 2, "{model}");
    assert_eq!(model["labelled"], 1, "{model}");
    assert_eq!(server.rest().history("ada").len(), 2);
}

/// A client that was offline sends all of its events at once.
#[test]
fn a_burst_of_interactions_is_answered_one_by_one_and_the_line_stays() {
    let server = server();
    server.people(&["ada"]);
    server.items(20);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        for number in 0..500 {
            ada.interact_as(&format!("burst-{number}"), &format!("item-{}", number % 20), Kind::Click).await;
        }
        ada.wait("all 500 to be accepted", |client| client.accepted().len() == 500).await;
        let numbers: std::collections::BTreeSet<u64> = ada.accepted().values().copied().collect();
        assert_eq!(numbers, (1..=500).collect(), "consecutive, each once");
        assert!(ada.feeds() < 500, "a burst is ranked less often than once per event: {} feeds", ada.feeds());

        // All of it once more, as after a dropped connection: all answers are known and come at once.
        let mut again = Client::hello(server.address(), "ada").await;
        for number in 0..500 {
            again.interact_as(&format!("burst-{number}"), &format!("item-{}", number % 20), Kind::Click).await;
        }
        again.wait("all 500 to be answered again", |client| client.accepted().len() == 500).await;
        assert_eq!(again.accepted(), ada.accepted());
    });
}

/// Ids that the user's state has forgotten are answered from the store, and no screen changes.
#[test]
fn a_resend_of_old_events_pushes_nothing() {
    let server = server();
    server.people(&["ada"]);
    server.items(20);
    let sent = |number: usize| {
        let (id, item) = (format!("old-{number}"), format!("item-{}", number % 20));
        json!({"user": "ada", "id": id, "item": item, "kind": "click"})
    };
    let all: Vec<_> = (0..600).map(sent).collect();
    server.rest().post("/v1/interactions", &json!(all)).success("the first time");
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.listen(Duration::from_millis(200)).await;
        let feeds = ada.feeds();
        for number in 0..300 {
            ada.interact_as(&format!("old-{number}"), &format!("item-{}", number % 20), Kind::Click).await;
        }
        ada.wait("all to be answered again", |client| client.accepted().len() == 300).await;
        assert!((0..300).all(|number| ada.accepted()[&format!("old-{number}")] == number + 1));
        ada.listen(Duration::from_millis(300)).await;
        assert_eq!(ada.feeds(), feeds, "a known id moves no feed");

        // Another item under an old id: one error, with the id.
        ada.interact_as("old-3", "item-9", Kind::Click).await;
        ada.wait("the refusal", |client| !client.errors().is_empty()).await;
        let error = &ada.errors()[0];
        assert_eq!(
            (error.code, error.field.as_deref(), error.id.as_deref()),
            (Code::Conflict, Some("id"), Some("old-3"))
        );
    });
    let again = server.rest().post("/v1/interactions", &json!(all)).success("a resend by REST").json();
    let seqs: Vec<_> = again["results"].as_array().unwrap().iter().map(|part| part["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=600).map(Some).collect::<Vec<_>>());
    let one = json!({"user": "ada", "id": "old-3", "item": "item-9", "kind": "click"});
    let refused = server.rest().post("/v1/interactions", &one);
    assert_eq!((refused.status, refused.code().as_deref()), (409, Some("conflict")), "{}", refused.body);
    let parts = server.rest().post("/v1/interactions", &json!([one, sent(4)])).success("a batch").json();
    assert_eq!(parts["results"][0]["error"]["code"], "conflict", "{parts}");
    assert_eq!(parts["results"][1]["status"], "accepted", "{parts}");
}

#[test]
fn rest_gives_the_feed_of_the_socket() {
    let server = server();
    server.people(&["ada"]);
    server.items(20);
    block_on(async {
        for ranking in Ranking::ALL {
            let settings = |limit| {
                let hello = support::socket::hello("ada");
                eddyline::protocol::client::Hello { ranking: Some(ranking), limit: Some(limit), ..hello }
            };
            let mut ada = Client::hello_with(server.address(), settings(7)).await;
            for number in [3, 6, 9] {
                let id = ada.interact(&format!("item-{number}"), Kind::Like).await;
                ada.wait_accepted(&id).await;
                ada.wait("the feed after it", |client| knows(client, &id)).await;
            }
            until_quiet(&mut ada).await;
            let query = format!("ranking={}&limit=7", ranking.name());
            for explain in ["", "&explain=true"] {
                let asked = server.rest().feed("ada", &format!("{query}{explain}"));
                assert_eq!(asked, ada.shown(), "{}{explain}", ranking.name());
            }

            // `more` continues where the feed ends.
            ada.send_text(r#"{"type": "more", "after": 7}"#).await;
            let is_page = |m: &ServerMessage| matches!(m, ServerMessage::Page(_));
            ada.wait("a page", |client| client.heard.iter().any(is_page)).await;
            let page = ada.heard.iter().find_map(|message| match message {
                ServerMessage::Page(page) => Some(page.clone()),
                _ => None,
            });
            let page = page.unwrap();
            assert_eq!(page.after, 7);
            assert!(page.items.iter().all(|item| !ada.shows(item.item.as_str())), "nothing twice");
        }
    });
}

/// On a young store, a like changes the shared weights a moment after it changed the user's own: popularity, the blend.
#[test]
fn after_a_first_like_the_screen_comes_to_what_rest_says() {
    let server = server();
    server.people(&["ada"]);
    server.items(40);
    block_on(async {
        let hello = eddyline::protocol::client::Hello { limit: Some(8), ..support::socket::hello("ada") };
        let mut ada = Client::hello_with(server.address(), hello).await;
        for number in [5, 2] {
            let item = ada.shown()[number].clone();
            let id = ada.interact(&item, Kind::Like).await;
            ada.wait("the feed after it", |client| knows(client, &id)).await;
            until_quiet(&mut ada).await;
            assert_eq!(server.rest().feed("ada", "limit=8"), ada.shown(), "after a like of {item}");
        }
        // A request without the screen's settings returns the order of the screen, too.
        let longer = server.rest().feed("ada", "limit=9");
        assert_eq!(longer[..8], ada.shown());
    });
}

/// Without events on this socket, openings or closings, popularity changes the feed at most once a second, with this
/// cause.
#[test]
fn what_others_do_reaches_an_open_feed() {
    let server = server();
    let others: Vec<String> = (0..8).map(|n| format!("other-{n}")).collect();
    server.people(&["ada"]);
    server.people(&others.iter().map(String::as_str).collect::<Vec<_>>());
    server.items(12);
    let rest = server.rest();
    block_on(async {
        let hello = eddyline::protocol::client::Hello { limit: Some(4), ..support::socket::hello("ada") };
        let mut ada = Client::hello_with(server.address(), hello).await;
        assert!(!ada.shows("item-9"));
        let begin = Instant::now();
        for round in 0..4 {
            for who in &others {
                let body = json!({"user": who, "item": "item-9", "kind": "click"});
                rest.post("/v1/interactions", &body).success("a click of somebody else");
            }
            ada.listen(Duration::from_millis(if round == 3 { 0 } else { 300 })).await;
        }
        ada.wait("what everybody clicks", |client| client.shows("item-9")).await;
        until_quiet(&mut ada).await;
        assert_eq!(rest.feed("ada", "limit=4"), ada.shown());
        let causes = causes(&ada);
        assert_eq!(causes[0], &Cause::Opened);
        assert!(causes[1..].iter().all(|cause| **cause == Cause::Refreshed), "{causes:?}");
        let allowed = 1 + begin.elapsed().as_secs() as usize;
        assert!(causes.len() - 1 <= allowed, "{} pushes, at most one a second: {allowed}", causes.len() - 1);
        assert_eq!(server.rest().history("ada").len(), 0, "and ada did nothing");
    });
}

/// Where one window continues another without a gap, nothing opens or closes, but the end changes.
#[test]
fn the_end_of_a_window_that_goes_over_into_the_next_reaches_the_screen() {
    let server = server();
    server.people(&["ada"]);
    server.items(3);
    let (start, seam, stop) = (now_ms() - 60_000, now_ms() + 1_500, now_ms() + 3_600_000);
    let windows = json!([{"start": start, "stop": seam}, {"start": seam, "stop": stop}]);
    let item = json!({"text": "two shows in a row", "windows": windows});
    server.rest().put("/v1/items/show", &item).success("put an item with two windows");
    let until = |client: &Client| {
        let show = client.list().items().iter().find(|item| item.item.as_str() == "show").cloned();
        show.and_then(|item| item.available_until).map(|until| until.0)
    };
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        assert_eq!(until(&ada), Some(seam));
        ada.wait("the end of the second window", |client| until(client) == Some(stop)).await;
    });
}

/// A client that has not drawn yet gets the newest feed, which names the event that the client waits for.
#[test]
fn a_refresh_does_not_hide_the_event_that_a_client_waits_for() {
    let server = server();
    server.people(&["ada", "bob"]);
    server.items(12);
    block_on(async {
        let hello = eddyline::protocol::client::Hello { limit: Some(4), ..support::socket::hello("ada") };
        let mut ada = Client::hello_with(server.address(), hello).await;
        ada.draws = false;
        let first = ada.interact("item-1", Kind::Skip).await;
        ada.wait("the feed after it", |client| knows(client, &first)).await;
        // This feed is held back until the last one is drawn.
        let second = ada.interact("item-2", Kind::Skip).await;
        ada.wait_accepted(&second).await;
        for number in 0..9 {
            let body = json!({"user": "bob", "item": format!("item-{}", 9 + number % 3), "kind": "click"});
            server.rest().post("/v1/interactions", &body).success("a click of somebody else");
        }
        ada.listen(Duration::from_millis(2_500)).await;
        ada.draws = true;
        ada.drawn().await;
        ada.wait("the feed that knows of the second", |client| knows(client, &second)).await;
    });
}

#[test]
fn what_a_person_likes_comes_up_and_what_they_hide_is_gone() {
    let server = server();
    server.people(&["ada"]);
    server.items(30);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        // Topic `b` is item-1, item-4, item-7, …
        for number in [1, 4, 7, 10] {
            let id = ada.interact(&format!("item-{number}"), Kind::Like).await;
            ada.wait("the feed after it", |client| knows(client, &id)).await;
        }
        let top = ada.list().items().iter().take(5);
        let of_b = top.filter(|item| item.topic.as_ref().is_some_and(|topic| topic.as_str() == "b")).count();
        assert!(of_b >= 3, "{of_b} of the first five are of the topic that is liked");

        let id = ada.interact("item-13", Kind::Reject).await;
        ada.wait_accepted(&id).await;
        ada.wait("the rejected item to leave", |client| !client.shows("item-13")).await;
        assert!(!server.rest().feed("ada", "limit=100").contains(&"item-13".to_owned()));
    });
}

#[test]
fn a_reader_that_never_draws_costs_others_nothing() {
    let server = server();
    server.people(&["ada", "grace"]);
    server.items(30);
    block_on(async {
        let mut slow = Client::slow(server.address(), "ada").await;
        // Another client that never reads: the pipe fills up, if the server lets it.
        let deaf = Client::slow(server.address(), "ada").await;
        let mut ada = Client::hello(server.address(), "ada").await;
        let mut grace = Client::hello(server.address(), "grace").await;
        let memory_before = server.memory();

        let begin = Instant::now();
        let mut slowest = Duration::ZERO;
        for round in 0..300 {
            let kind = if round % 4 == 3 { Kind::Skip } else { Kind::Like };
            let client = if round % 2 == 0 { &mut ada } else { &mut grace };
            let acted = Instant::now();
            let id = client.interact(&format!("item-{}", round % 30), kind).await;
            client.wait_accepted(&id).await;
            slowest = slowest.max(acted.elapsed());
        }
        let took = begin.elapsed();
        println!("300 interactions in {took:?}, slowest {slowest:?}");
        assert!(slowest < Duration::from_secs(2), "one of the others waited {slowest:?}");

        // At most one feed waits; without `drawn`, one more is sent every 5 s at most.
        slow.listen(Duration::from_millis(500)).await;
        let allowed = 2 + (begin.elapsed().as_secs() / 5) as usize;
        assert!(slow.feeds() <= allowed, "{} feeds to one that never draws, {allowed} allowed", slow.feeds());

        // After `drawn`, the newest feed is sent at once.
        slow.draws = true;
        slow.drawn().await;
        in_step(&mut ada, &mut slow).await;

        if let (Some(before), Some(after)) = (memory_before, server.memory()) {
            let grown = after.saturating_sub(before);
            println!("the server's memory grew by {} KiB", grown / 1024);
            assert!(grown < 64 * 1024 * 1024, "it grew by {grown} bytes");
        }
        drop(deaf);
    });
}

/// Only items that the client reported as visible, above the visited one and without an action, become weak negatives.
#[test]
fn what_a_client_saw_above_a_visited_item_is_a_weak_no_in_the_export() {
    let server = server();
    server.people(&["ada"]);
    server.items(8);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let skipped = ada.shown()[0].clone();
        let id = ada.interact(&skipped, Kind::Skip).await;
        ada.wait("the feed after it", |client| knows(client, &id)).await;
        ada.sees(3).await;
        let shown = ada.shown();
        let id = ada.interact(&shown[5], Kind::Click).await;
        ada.wait_accepted(&id).await;
        let export = server.rest().get("/v1/users/ada/export").success("export").json();
        let entries = export["journal"].as_array().unwrap();
        let visit = entries.iter().find(|entry| entry["id"] == id.as_str()).unwrap();
        let passed: Vec<&str> =
            visit["taught"]["passed"].as_array().unwrap().iter().map(|one| one["item"].as_str().unwrap()).collect();
        let mut expected: Vec<&str> = shown[..3].iter().map(String::as_str).filter(|item| *item != skipped).collect();
        expected.reverse();
        assert_eq!(passed, expected, "{visit}");
        assert!((visit["taught"]["passed"][0]["weight"].as_f64().unwrap() - 0.02).abs() < 1e-6, "{visit}");
    });
}
