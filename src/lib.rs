//! Eddyline, a real-time recommender server: learning and pushing are one step.
//!
//! One journal. A person's state is a fold over their own entries, the coordinator's a fold over all of them, and a feed
//! is what a person's state makes of the world now:
//!
//! ```text
//!     browsers and programs                       files of logs, the demo
//!        │ frames,   ▲ feeds,                        │
//!        │ REST      │ accepted                      │
//!  ┌─────▼───────────┴─────┐                         │
//!  │ gateway: the door     │ checks once             │
//!  └─────┬───────────▲─────┘                         │
//!  ┌─────▼───────────┴────────────────────────────┐  │
//!  │ actors: the doing                            │  │
//!  │   Directory ──► UserActor ──entries──► Journal ───────┐
//!  │                    ▲                    ▲  │ │  │     │
//!  │              World │              writes│  │ │  │     │ batches
//!  │                    └─── Coordinator ────┘  │ │  │     │
//!  │                              ▲             │ │  │     │
//!  │                              └───durable───┘ │  │     │
//!  └──────┬───────────────────────┬───────────────┘  │     │
//!         │ apply, rank           │ apply            │     │
//!  ┌──────▼───────────────────────▼───────────────┐  │ ┌───▼──────────────┐
//!  │ engine: the thinking, pure                   │◄─┘ │ store: the memory│
//!  │ event in, effects out; no clock, no chance   │◄───┤ journal, items   │
//!  └──────────────────────────────────────────────┘    └──────────────────┘
//! ```
//!
//! **A person acts.** `gateway::session` reads the frame, `protocol` makes it a closed enum, `gateway::checks` makes that
//! a word of `domain`. `actors::directory` finds the person's actor, or wakes one up, which reads their snapshot and the
//! entries after it. The actor first takes a place in the journal's queue; none left means `busy`, and nothing was
//! learned. `engine::user` learns the event and says what to do: journal this entry, rank again. The entry goes to
//! `actors::journal`, which commits what came in while it was committing; `accepted` goes out after that. The feed does
//! not wait for it: when the actor's mailbox is drained, it ranks once and hands the feed to the gate of each session,
//! which lets it out as soon as the last one was drawn.
//!
//! **Something comes, or goes.** A change by REST, a post, or the coordinator's alarm at the next edge of a window reaches
//! `engine::coordinator`, which makes a new `World` and says what opened, closed or changed. `actors::coordinator` swaps
//! one pointer and tells the people who are looked at. Each asks the engine whether the change can touch a feed of
//! theirs; for most the answer is no, and nothing is sent.
//!
//! **A centre moves.** When a topic has doubled, the coordinator computes its mean and axes afresh, stores them under a new
//! epoch, and publishes them. Entries name the epoch that they were learned with, so that folding them later gives the
//! same numbers.
//!
//! **Groups of people are found afresh.** Enough was measured, or the schedule says so: [`engine::clustering`] asks for a fit
//! and hands out everybody as they are ([`engine::crowd`], shared until somebody changes). A thread of its own makes rows of
//! them and solves; what it found comes back to the coordinator as a message, is stored and published. Nobody waits for it.
//!
//! Read the modules in this order; each imports only from those before it. `tests/house/tidy.rs` has the exact table.

/// The vocabulary: ids, times, items, interactions, windows, feeds.
pub use eddyline_core::domain;

/// The process: its standard error, and its end when a vital part panics.
pub use eddyline_process as process;

/// The engine: learning, ranking, availability and the world; pure.
pub use eddyline_core::engine;

/// Foreign files: opened, decompressed, parsed into cells, with the place of each error.
pub use eddyline_files as files;

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

/// Tables of users, posts and views, in the formats of data sets.
pub use eddyline_tables as tables;

/// Training of the two-tower model from tables.
pub use eddyline_training as training;

/// Offline evaluation of the engine on logs.
pub use eddyline_replay as replay;

/// The simulated network: users, tastes, texts, bots.
pub use eddyline_simulate as simulate;

/// Settings: defaults, a file, variables, flags.
pub mod config;
/// A server put together from its settings, and taken down in order.
pub mod app;
/// What the command line can do.
pub mod commands;
