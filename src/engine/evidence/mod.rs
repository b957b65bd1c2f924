//! Evidence that experts read: the feature store, a user's profile, and both joined by item.

pub(crate) mod feature_store;
pub(crate) mod user_profile;
pub mod neighbours;
pub mod hours;
pub mod item_evidence;
