//! Evidence that experts read: the feature store, a user's profile, and both joined by item.

pub mod feature_store;
pub mod user_profile;
pub mod neighbours;
pub mod hours;
pub mod item_evidence;
