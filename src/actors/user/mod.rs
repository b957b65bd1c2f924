//! One actor per active person: accepts their events, holds their state, and serves their open sessions.
//!
//! Invariant: the journal gets exactly the events that the state learned, in the order in which it learned them. Feeds are
//! ranked once per burst of messages.
//! Deliberately absent: decisions about feeds (`engine::delivery`), learning (`engine::user`), sockets (the gateway).
//!
//! | file | subject |
//! |---|---|
//! | `messages`, `registration` | messages to the actor; its entry in the directory |
//! | `actor` | the actor's fields and its handlers of messages |
//! | `lookup` | how an event is learned once, and how a resend is recognised |
//! | `undo` | cancelling earlier interactions |
//! | `acceptance` | answers to events, the journal's verdicts, rebuilding the state |
//! | `deliver` | carrying out deliveries: sessions, frames, outboxes |
//! | `turns`, `refresh` | turns for refreshes of open feeds |
//! | `lifecycle`, `load` | tick, snapshots, passivation, erasure; activation |
//! | `model`, `audience` | answers about the learned model and about one item |

pub mod messages;
pub mod registration;
pub mod turns;
mod pending;
pub mod wire;
mod subscription;
pub mod actor;
mod model;
mod audience;
mod load;
mod deliver;
mod refresh;
mod acceptance;
mod lookup;
mod undo;
mod lifecycle;
