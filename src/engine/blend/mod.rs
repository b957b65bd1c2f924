//! The blend of all experts, and the opinion model, over one feature vector.

pub mod start;
pub mod weights;
pub mod opinions;
pub mod hedge;
