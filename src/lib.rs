//! Eddyline, a real-time recommender server that learns online and pushes new feeds.
//!
//! All learned state is a fold over one write-ahead journal: a user's state over their entries, the coordinator's state over
//! all entries. A feed ranks the items of the present world by the user's state:
//!
//! ```text
//!     clients                                     files of logs, simulations
//!        │ messages, ▲ feeds,                        │
//!        │ REST      │ accepted                      │
//!  ┌─────▼───────────┴─────┐                         │
//!  │ gateway               │ validates requests      │
//!  └─────┬───────────▲─────┘                         │
//!  ┌─────▼───────────┴────────────────────────────┐  │
//!  │ actors: concurrency and effects              │  │
//!  │   Directory ──► UserActor ──entries──► Journal ───────┐
//!  │                    ▲                    ▲  │ │  │     │
//!  │              World │              writes│  │ │  │     │ batches
//!  │                    └─── Coordinator ────┘  │ │  │     │
//!  │                              ▲             │ │  │     │
//!  │                              └───durable───┘ │  │     │
//!  └──────┬───────────────────────┬───────────────┘  │     │
//!         │ apply, rank           │ apply            │     │
//!  ┌──────▼───────────────────────▼───────────────┐  │ ┌───▼──────────────┐
//!  │ engine: learning and ranking, pure functions │◄─┘ │ store            │
//!  │ event in, effects out; no clock, no random   │◄───┤ journal, items   │
//!  └──────────────────────────────────────────────┘    └──────────────────┘
//! ```
//!
//! **An event of a user.** `gateway::session` reads the frame, `protocol` parses it into a closed enum, and `gateway::checks`
//! turns that into domain types. `actors::directory` finds the user's actor, or activates one from the snapshot and the later
//! entries. The actor first reserves a place in the journal's queue; without one it answers `busy` and learns nothing.
//! `engine::user` learns the event and returns effects: an entry to journal, and a new ranking. `actors::journal` commits
//! entries in groups, and sends `accepted` after the commit. The feed does not wait for the commit: when the actor's mailbox
//! is empty, the actor ranks once. Flow control of each session sends the feed when the client has acknowledged the last one.
//!
//! **A change of the catalogue.** A REST request, a post, or the coordinator's alarm at the next edge of a window reaches
//! `engine::coordinator`. It makes a new `World` and lists the items that opened, closed or changed. `actors::coordinator`
//! swaps one pointer and notifies the actors of users with open sessions. Each asks the engine whether the change can affect
//! one of its feeds. For most the answer is no, and they send nothing.
//!
//! **A new centre.** When a topic has doubled in size, the coordinator recomputes its mean and axes. It stores them under a new
//! epoch and publishes them. Entries name the epoch with which they were learned, so that a later fold gives equal numbers.
//!
//! **A refit of the clusters.** After enough measurements, or on schedule, [`engine::population::refit`] asks for a refit of the
//! clusters of users. It hands out a snapshot of all users ([`engine::population`], shared copy-on-write). A thread of its own
//! fits the mixture; the coordinator receives the result as a message, stores it and publishes it. No request waits for a fit.
//!
//! Reading order of the modules; each imports only from those before it. `tests/house/tidy.rs` has the exact table.

/// The vocabulary: ids, times, items, interactions, windows, feeds.
pub use eddyline_core::domain;

/// The process: its standard error, and its end when a vital part panics.
pub use eddyline_process as process;

/// The engine: learning, ranking, availability and the world; pure.
pub use eddyline_core::engine;

/// The two-tower model as the server runs it: checkpoint, features, forward pass.
pub use eddyline_tower as tower;

/// The wire: the messages of the socket.
pub use eddyline_protocol as protocol;

/// Embedders: text to vectors.
pub use eddyline_embed as embed;

/// The stores: the journal and all durable state.
pub use eddyline_store as store;

/// The engine in one thread, without actors: evaluation, import and the demo's history run on it.
pub use eddyline_fold as fold;

/// The actors: users, coordinator and journal; they carry out the effects of the engine.
pub use eddyline_actors as actors;

/// The gateway: WebSocket, REST, the page, tokens.
pub use eddyline_gateway as gateway;

/// The simulated network: users, tastes, texts, bots.
pub use eddyline_simulate as simulate;

/// Settings: defaults, a file, variables, flags.
pub mod config;
/// Start and shutdown of a server by its configuration.
pub mod app;
/// Commands of the command line.
pub mod commands;
