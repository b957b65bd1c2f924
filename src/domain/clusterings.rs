//! Clusterings of users as named resources: their changes, as a store keeps them.
//!
//! Invariant: revisions of one clustering rise. Deliberately absent: the meaning of settings (`engine::settings`).

use serde::{Deserialize, Serialize};

use super::metrics::{Declaration, VISITS};
use super::time::Millis;

/// Name of the clustering that always exists. Popularity within clusters reads it.
pub const DEFAULT: &str = "default";
/// Maximum number of clusterings, [`DEFAULT`] included.
pub const CLUSTERINGS_MAX: usize = 16;
/// Number of revisions of one clustering's settings that stay; older ones are deleted.
pub const REVISIONS_KEPT: u32 = 100;
/// Maximum number of named clusters of one clustering, those of earlier fits included.
pub const NAMES_MAX: usize = 1_000;
/// Most bytes of a cluster's name.
const NAME_BYTES_MAX: usize = 64;

/// One revision of the settings of a clustering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Name of the clustering.
    pub clustering: String,
    /// Number of the revision, from 1.
    pub revision: u32,
    /// Time of the change.
    pub changed_at: Millis,
    /// The settings as JSON.
    pub settings: String,
}

/// The name of one cluster. It follows the cluster's number through refits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterName {
    /// Name of the clustering.
    pub clustering: String,
    /// Number of the cluster.
    pub cluster: u32,
    /// Name of the cluster, unique within the clustering.
    pub name: String,
}

/// A change of a clustering to store.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusteringChange {
    /// New settings. Revisions before the last [`REVISIONS_KEPT`] are deleted.
    Revise(Revision),
    /// Deletes all revisions, so that the settings of the configuration hold. Names and fits stay.
    Reset(String),
    /// Deletes a clustering with its revisions, names and fits.
    Delete(String),
    /// Names a cluster.
    Name(ClusterName),
    /// Removes the name of a cluster.
    Unname(String, u32),
}

/// Checks the name of a clustering; the rules are those of the names of metrics.
///
/// # Errors
/// The violated rule.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    // `visits` is reserved among metrics alone.
    if name == VISITS {
        return Ok(());
    }
    Declaration::default().check(name).map_err(|(_, rule)| rule)
}

/// Checks the name of a cluster.
///
/// # Errors
/// The violated rule.
pub fn check_cluster_name(name: &str) -> Result<(), &'static str> {
    let good = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.trim().is_empty();
    if good && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("must be 1 to 64 bytes without control characters, not all of them blank")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let long = "x".repeat(65);
        for (name, clustering, cluster) in [
            ("pages", true, true),
            ("default", true, true),
            ("visits", true, true),
            ("night readers", true, true),
            ("", false, false),
            (" ", false, false),
            ("a.b", false, true),
            ("a\nb", false, false),
            (&long, false, false),
            (&long[1..], true, true),
        ] {
            assert_eq!(check_name(name).is_ok(), clustering, "{name:?}");
            assert_eq!(check_cluster_name(name).is_ok(), cluster, "{name:?}");
        }
    }
}
