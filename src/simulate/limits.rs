//! Limits of a simulated world, and the error for a world beyond them.
//!
//! Invariant: a size within the limits always gives a world.

/// Smallest network: with fewer users, two friends each are impossible.
pub const PEOPLE_MIN: usize = 3;
/// Largest network: a million users, which bounds memory.
pub const PEOPLE_MAX: usize = 1_000_000;
/// Longest history, in days: ten years.
pub const DAYS_MAX: u32 = 3_650;

/// Reason why a simulation is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulateError {
    /// The number of users is out of range.
    #[error("`people` must be {min} to {max}, is {found}", min = PEOPLE_MIN, max = PEOPLE_MAX)]
    People {
        /// Requested number of users.
        found: usize,
    },
    /// The number of days is out of range.
    #[error("`days` must be 1 to {max}, is {found}", max = DAYS_MAX)]
    Days {
        /// Requested number of days.
        found: u32,
    },
    /// The tables would have no users or no posts.
    #[error("tables need at least one user and one post: raise --people or --posts")]
    Tables,
    /// The start or the end of the history lies outside of the years 1 to 9999.
    #[error("`start` must leave the whole history between the years 1 and 9999")]
    Start,
}
