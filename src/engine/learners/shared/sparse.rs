//! One row of a sparse item-by-item matrix of sums: an open-addressed table by item id.
//!
//! Invariant: at most [`ROW_MAX`] entries; a full row drops the weaker half. Rows with equal entries compare equal and
//! serialise alike, wherever their entries lie.
//! Deliberately absent: an order of the entries, since a row receives hundreds of random additions per full read.

use serde::{Deserialize, Serialize};

/// Maximum number of entries in a row.
pub(crate) const ROW_MAX: usize = 384;

/// Marks an empty slot; no item has this id, since ids end below it.
const NOBODY: u32 = u32::MAX;

/// Slots of the smallest table.
const SLOTS_MIN: usize = 8;

/// Sums by item id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u32, f32)>", into = "Vec<(u32, f32)>")]
pub(crate) struct SparseRow {
    /// Power-of-two table, at most three quarters full; empty before the first entry.
    slots: Vec<(u32, f32)>,
    len: usize,
}

impl SparseRow {
    /// Adds to the sum of an item; a new sum starts at 0.
    pub fn add(&mut self, item: u32, amount: f32) {
        if let Some((_, sum)) = self.slot(item).and_then(|slot| self.slots.get_mut(slot)).filter(|(id, _)| *id == item)
        {
            *sum += amount;
            return;
        }
        if self.len == ROW_MAX {
            let mut entries = self.sorted();
            entries.push((item, amount));
            entries.select_nth_unstable_by(ROW_MAX / 2, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            entries.truncate(ROW_MAX / 2);
            *self = SparseRow::from(entries);
            return;
        }
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let wanted = (self.slots.len() * 2).max(SLOTS_MIN);
            let entries = std::mem::replace(&mut self.slots, vec![(NOBODY, 0.0); wanted]);
            for entry in entries.into_iter().filter(|(id, _)| *id != NOBODY) {
                self.put(entry);
            }
        }
        self.put((item, amount));
        self.len += 1;
    }

    /// Prefetches the slot of an item's sum for a later addition. Changes nothing.
    pub fn touch(&self, item: u32) {
        std::hint::black_box(self.slots.get(self.home(item)).map(|(id, _)| *id));
    }

    /// All entries, unordered.
    fn iter(&self) -> impl Iterator<Item = (u32, f32)> {
        self.slots.iter().copied().filter(|(id, _)| *id != NOBODY)
    }

    /// Maps all entries by `of` into `out`, unordered. To stay branchless, `of` is also called for empty slots, with an
    /// id that no item has; those results are overwritten.
    pub(crate) fn map_into<T: Copy + Default>(&self, out: &mut Vec<T>, of: impl Fn(u32, f32) -> T) {
        out.clear();
        out.resize(self.slots.len(), T::default());
        let mut n = 0;
        for (id, sum) in &self.slots {
            out[n] = of(*id, *sum);
            n += usize::from(*id != NOBODY);
        }
        out.truncate(n);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Multiplies all sums, for moving the origin of their decay.
    pub fn scale(&mut self, by: f32) {
        self.slots.iter_mut().for_each(|(_, sum)| *sum *= by);
    }

    fn sorted(&self) -> Vec<(u32, f32)> {
        let mut entries: Vec<(u32, f32)> = self.iter().collect();
        entries.sort_unstable_by_key(|(id, _)| *id);
        entries
    }

    fn put(&mut self, entry: (u32, f32)) {
        if let Some(slot) = self.slot(entry.0) {
            self.slots[slot] = entry;
        }
    }

    /// Slot that holds an item, or the slot for inserting it; `None` without a table.
    fn slot(&self, item: u32) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = self.home(item);
        while self.slots[slot].0 != item && self.slots[slot].0 != NOBODY {
            slot = (slot + 1) & mask;
        }
        Some(slot)
    }

    /// Slot where the probing for an item starts.
    fn home(&self, item: u32) -> usize {
        // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): the high bits are good. For an empty table
        // the result is not used.
        item.wrapping_mul(2_654_435_769).wrapping_shr(32 - (self.slots.len() as u32).trailing_zeros()) as usize
    }
}

impl PartialEq for SparseRow {
    fn eq(&self, other: &SparseRow) -> bool {
        self.len == other.len && self.sorted() == other.sorted()
    }
}

impl From<Vec<(u32, f32)>> for SparseRow {
    fn from(entries: Vec<(u32, f32)>) -> SparseRow {
        let mut row = SparseRow::default();
        for (id, sum) in entries {
            row.add(id, sum);
        }
        row
    }
}

impl From<SparseRow> for Vec<(u32, f32)> {
    fn from(row: SparseRow) -> Vec<(u32, f32)> {
        row.sorted()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The row agrees with a map of sums for any ids, and a serialisation round trip keeps it.
        #[test]
        fn it_is_a_map_of_sums(added in prop::collection::vec((prop_oneof![0u32..40, 0u32..u32::MAX], -2.0f32..2.0), 0..300)) {
            let (mut row, mut map) = (SparseRow::default(), BTreeMap::new());
            for (id, amount) in added {
                row.add(id, amount);
                *map.entry(id).or_insert(0.0) += amount;
            }
            prop_assert_eq!(row.len(), map.len());
            let mut mapped = vec![(7, 7.0)];
            row.map_into(&mut mapped, |id, sum| (id, sum));
            mapped.sort_unstable_by_key(|(id, _)| *id);
            prop_assert_eq!(&mapped, &row.sorted());
            prop_assert_eq!(mapped, map.into_iter().collect::<Vec<(u32, f32)>>());
            let bytes = postcard::to_stdvec(&row).unwrap_or_default();
            prop_assert_eq!(postcard::from_bytes::<SparseRow>(&bytes), Ok(row));
        }
    }

    #[test]
    fn when_it_is_full_the_weaker_half_goes() {
        let mut row = SparseRow::default();
        for id in 0..=ROW_MAX as u32 {
            row.add(id * 977, id as f32);
        }
        assert_eq!(row.len(), ROW_MAX / 2);
        assert!(row.iter().all(|(_, sum)| sum > (ROW_MAX / 2) as f32));
    }
}
