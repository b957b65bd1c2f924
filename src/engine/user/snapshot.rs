//! Snapshots of a user's state: a format number, the fingerprint of the settings, the state, and a checksum over all of
//! these.
//!
//! Invariant: bytes that are torn, of another format or from other settings are rejected, never read as a state.

use xxhash_rust::xxh3::xxh3_64;

use super::UserState;
use crate::engine::settings::LearnSettings;

/// Reason why a snapshot cannot be read; the caller discards it and folds the journal instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes are torn, or have another format version.
    #[error("torn or of another format")]
    Unreadable,
    /// The state was folded under other learning settings.
    #[error("folded under other settings")]
    OtherSettings,
}

impl UserState {
    /// Format version; raise it whenever the meaning of the bytes changes.
    const FORMAT: u16 = 10;

    /// Serialises the state, with a checksum.
    #[must_use]
    pub fn to_bytes(&self, settings: &LearnSettings) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend(Self::FORMAT.to_le_bytes());
        bytes.extend(settings.fingerprint().to_le_bytes());
        // Serialisation of plain data into memory cannot fail; if it did, reading would detect the missing checksum.
        if let Ok(mut bytes) = postcard::to_extend(self, bytes) {
            let checksum = xxh3_64(&bytes);
            bytes.extend(checksum.to_le_bytes());
            return bytes;
        }
        Vec::new()
    }

    /// Reads the bytes of [`UserState::to_bytes`].
    ///
    /// # Errors
    /// [`SnapshotError`] when the bytes are torn, of another format, or were folded under other settings.
    pub fn from_bytes(bytes: &[u8], settings: &LearnSettings) -> Result<UserState, SnapshotError> {
        let (body, checksum) = bytes.split_last_chunk::<8>().ok_or(SnapshotError::Unreadable)?;
        let (format, rest) = body.split_first_chunk::<2>().ok_or(SnapshotError::Unreadable)?;
        let (fingerprint, state) = rest.split_first_chunk::<8>().ok_or(SnapshotError::Unreadable)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) || u16::from_le_bytes(*format) != Self::FORMAT {
            return Err(SnapshotError::Unreadable);
        }
        if u64::from_le_bytes(*fingerprint) != settings.fingerprint() {
            return Err(SnapshotError::OtherSettings);
        }
        postcard::from_bytes(state).map_err(|_| SnapshotError::Unreadable)
    }
}
