//! One full example of every wire message: every field is present, and none has its default.
//!
//! Invariant: `clients()` and `servers()` contain each type of message at least once, in the order of the enum. The
//! match in each test below is exhaustive, so a new variant does not compile before it has an example.

use eddyline::domain::feeds::{Cause, Expert, Ranking};
use eddyline::domain::ids::{Epoch, FeedVersion, Key, ModelVersion, Seq};
use eddyline::domain::interactions::Kind;
use eddyline::domain::time::Millis;
use eddyline::domain::windows::Window;
use eddyline::protocol::client::{
    ClientMessage, Configure, Drawn, Follow, GoLive, Hello, Interact, More, Ping, Post, Resume, Undo,
};
use eddyline::protocol::problem::Code;
use eddyline::protocol::server::{
    Accepted, Busy, Bye, Decay, DecayCurve, ErrorMessage, FeedMessage, Live, Model, Op, Page, Patch, Pong,
    ServerMessage, Timing, Welcome, Why, WireItem,
};

const NOW: Millis = Millis(1_767_225_600_000);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Every client message with every field.
pub fn clients() -> Vec<ClientMessage> {
    let tag = Default::default;
    vec![
        ClientMessage::Hello(Hello {
            tag: tag(),
            token: Some("header.claims.signature".into()),
            user: key("ada"),
            ranking: Some(Ranking::Topics),
            limit: Some(20),
            resume: Some(Resume { epoch: Epoch(7), version: FeedVersion(41) }),
            explain: Some(true),
            timing: Some(true),
        }),
        ClientMessage::Interact(Interact {
            tag: tag(),
            id: key("ada-17"),
            item: key("river-cam"),
            kind: Kind::Watch.into(),
            dwell_ms: Some(42_000),
            at: Some(NOW),
        }),
        ClientMessage::Undo(Undo { tag: tag(), id: key("ada-23"), event: key("ada-17") }),
        ClientMessage::Post(Post {
            tag: tag(),
            id: key("ada-18"),
            text: "High water at the old bridge".into(),
            topic: Some(key("rivers")),
            embedding: Some(vec![0.5, -0.25, 0.125]),
            windows: Some(vec![
                Window { start: NOW, stop: Some(NOW.plus(3_600_000)) },
                Window { start: NOW.plus(86_400_000), stop: None },
            ]),
        }),
        ClientMessage::Live(GoLive { tag: tag(), id: key("ada-22"), item: key("river-cam"), on: true }),
        ClientMessage::Follow(Follow { tag: tag(), id: key("ada-19"), user: key("grace") }),
        ClientMessage::Unfollow(Follow { tag: tag(), id: key("ada-20"), user: key("grace") }),
        ClientMessage::Drawn(Drawn {
            tag: tag(),
            version: FeedVersion(42),
            visible: Some(vec![key("river-cam"), key("weir-cam")]),
        }),
        ClientMessage::Configure(Configure {
            tag: tag(),
            ranking: Some(Ranking::Model),
            limit: Some(50),
            topics: Some([(key("rivers"), 0.75), (key("trains"), 0.0)].into()),
            id: Some(key("ada-21")),
            explain: Some(true),
            timing: Some(false),
        }),
        ClientMessage::More(More { tag: tag(), after: 50 }),
        ClientMessage::Ping(Ping { tag: tag(), t: 123_456 }),
    ]
}

fn item() -> WireItem {
    WireItem {
        item: key("river-cam"),
        author: Some(key("grace")),
        topic: Some(key("rivers")),
        text: "The river, live".into(),
        at: NOW,
        available_until: Some(NOW.plus(3_600_000)),
        expected_until: Some(NOW.plus(5_400_000)),
        live: true,
        score: 1.5,
        likely: Some(0.625),
        position: 1,
        why: vec![Why { expert: Expert::Topic, amount: 1.25 }, Why { expert: Expert::Freshness, amount: 0.25 }],
    }
}

/// An item without its optional fields.
fn bare_item() -> WireItem {
    WireItem {
        item: key("weir-cam"),
        author: None,
        topic: None,
        text: "The weir".into(),
        at: NOW,
        available_until: None,
        expected_until: None,
        live: false,
        score: 2.0,
        likely: None,
        position: 0,
        why: Vec::new(),
    }
}

/// Every server message with every field; `patch` with every step.
pub fn servers() -> Vec<ServerMessage> {
    let timing = Some(Timing { queue_us: 12, learn_us: 3, rank_us: 85, encode_us: 21 });
    vec![
        ServerMessage::Welcome(Welcome {
            session: "s-9".into(),
            user: key("ada"),
            epoch: Epoch(7),
            version: FeedVersion(41),
            server_time: NOW,
            decay: Some(Decay { curve: DecayCurve::Exact, rate: 1.0, horizon_ms: 604_800_000 }),
        }),
        ServerMessage::Feed(FeedMessage {
            version: FeedVersion(42),
            epoch: Epoch(7),
            ranking: Ranking::Model,
            model_version: Some(ModelVersion(3)),
            cause: Some(Cause::Event { id: key("ada-17") }),
            timing,
            items: vec![bare_item(), item()],
        }),
        ServerMessage::Patch(Patch {
            version: FeedVersion(43),
            base: FeedVersion(42),
            epoch: Epoch(8),
            model_version: Some(ModelVersion(3)),
            cause: Some(Cause::World { epoch: Epoch(8) }),
            timing,
            ops: vec![
                Op::Remove { item: key("old-cam") },
                Op::Move { item: key("weir-cam"), position: 3 },
                Op::Insert { item: item() },
                Op::Update { item: bare_item() },
            ],
        }),
        ServerMessage::Accepted(Accepted { id: key("ada-18"), seq: Seq(18), item: Some(key("post-5")) }),
        ServerMessage::Page(Page { after: 50, items: vec![bare_item()], end: true }),
        ServerMessage::Model(Model {
            topics: [(key("rivers"), 0.75)].into(),
            auc: Some(0.875),
            log_loss: Some(0.5),
            auc_model: Some(0.75),
            auc_topics: Some(0.625),
            log_loss_model: Some(0.5625),
            positives: 11,
            negatives: 12,
            labelled: 23,
            events: 25,
            drifts: 1,
        }),
        ServerMessage::Live(Live { item: key("river-cam"), available: true, until: Some(NOW) }),
        ServerMessage::Busy(Busy { id: Some(key("ada-17")), retry_after_ms: 250 }),
        ServerMessage::Error(ErrorMessage {
            code: Code::UnknownItem,
            message: "no item \"no-cam\"".into(),
            field: Some("item".into()),
            id: Some("ada-17".into()),
        }),
        ServerMessage::Pong(Pong { t: 123_456, server_time: NOW }),
        ServerMessage::Bye(Bye { reason: "shutdown".into() }),
    ]
}

/// Every cause that a feed can have.
pub fn causes() -> Vec<Cause> {
    let causes = vec![
        Cause::Opened,
        Cause::Event { id: key("ada-17") },
        Cause::World { epoch: Epoch(8) },
        Cause::Configured,
        Cause::Refreshed,
    ];
    for cause in &causes {
        // A new variant does not compile here before it has an example above.
        match cause {
            Cause::Opened | Cause::Event { .. } | Cause::World { .. } | Cause::Configured | Cause::Refreshed => {}
        }
    }
    causes
}

/// The tag of a client message.
pub fn client_type(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Hello(_) => "hello",
        ClientMessage::Interact(_) => "interact",
        ClientMessage::Undo(_) => "undo",
        ClientMessage::Post(_) => "post",
        ClientMessage::Live(_) => "live",
        ClientMessage::Follow(_) => "follow",
        ClientMessage::Unfollow(_) => "unfollow",
        ClientMessage::Drawn(_) => "drawn",
        ClientMessage::Configure(_) => "configure",
        ClientMessage::More(_) => "more",
        ClientMessage::Ping(_) => "ping",
    }
}

/// The tag of a server message.
pub fn server_type(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Welcome(_) => "welcome",
        ServerMessage::Feed(_) => "feed",
        ServerMessage::Patch(_) => "patch",
        ServerMessage::Accepted(_) => "accepted",
        ServerMessage::Page(_) => "page",
        ServerMessage::Model(_) => "model",
        ServerMessage::Live(_) => "live",
        ServerMessage::Busy(_) => "busy",
        ServerMessage::Error(_) => "error",
        ServerMessage::Pong(_) => "pong",
        ServerMessage::Bye(_) => "bye",
    }
}
