//! Budgets that all requests share, with a share for each subject and each address.
//!
//! Invariant: the sum of all permits never exceeds the total, and no holder exceeds its share; one token or one address
//! never takes the whole budget. A permit returns its amount when it is dropped. Deliberately absent: rates over time
//! (`rates`).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::grant::{Grant, Subject};
use super::rates::network;

const MIB: usize = 1024 * 1024;

/// Bytes of request bodies in memory, all requests together.
pub const BODIES_BYTES_MAX: usize = 256 * MIB;
/// Bytes of answers that wait for their readers, all requests together.
pub const ANSWERS_BYTES_MAX: usize = 64 * MIB;
/// Parts of batches in progress, all requests together; each holds at most some 2 KiB.
pub const PARTS_MAX: usize = 16_384;

/// The holder of an amount: a user or a service token, and an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    subject: Option<u64>,
    address: Option<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Share {
    Subject(u64),
    Address(IpAddr),
}

/// A total with shares; all clones count together.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    total: usize,
    per_subject: usize,
    per_address: usize,
    taken: Mutex<Taken>,
    returned: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    // Holders with an amount above 0.
    by_share: HashMap<Share, usize>,
}

/// A held amount; returned when dropped.
pub struct Permit {
    budget: Budget,
    holder: Holder,
    amount: usize,
}

impl Budget {
    /// A budget of which one subject may hold a quarter, and one address a half.
    #[must_use]
    pub fn new(total: usize) -> Budget {
        Budget(Arc::new(Inner {
            total,
            per_subject: total / 4,
            per_address: total / 2,
            taken: Mutex::default(),
            returned: Notify::new(),
        }))
    }

    /// A budget of one, which one subject may hold, unlike a quarter of a larger budget.
    fn of_one() -> Budget {
        Budget(Arc::new(Inner {
            total: 1,
            per_subject: 1,
            per_address: 1,
            taken: Mutex::default(),
            returned: Notify::new(),
        }))
    }

    /// A permit for `amount`, or `None` while the total or the holder's share has no room for it. An amount beyond the
    /// share counts as the whole share.
    #[must_use]
    pub(crate) fn try_take(&self, holder: Holder, amount: usize) -> Option<Permit> {
        let mut permit = Permit { budget: self.clone(), holder, amount: 0 };
        permit.grow(amount.min(self.0.per_subject)).then_some(permit)
    }

    /// Waits until the budget has room, and returns a permit for `amount`.
    pub async fn take(&self, holder: Holder, amount: usize) -> Permit {
        loop {
            let mut returned = std::pin::pin!(self.0.returned.notified());
            // Registers before the try, so that it does not miss an amount that returns in between.
            returned.as_mut().enable();
            if let Some(permit) = self.try_take(holder, amount) {
                return permit;
            }
            returned.await;
        }
    }

    /// The sum of all permits.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    fn shares(&self, holder: Holder) -> impl Iterator<Item = (Share, usize)> {
        let subject = holder.subject.map(|subject| (Share::Subject(subject), self.0.per_subject));
        let address = holder.address.map(|address| (Share::Address(address), self.0.per_address));
        subject.into_iter().chain(address)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // No code panics while it holds the lock, so a poisoned lock guards valid data.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Adds `more` to the permit; false without any change when the budget has no room.
    pub fn grow(&mut self, more: usize) -> bool {
        if more == 0 {
            return true;
        }
        let mut taken = self.budget.lock();
        let held = |share: Share| taken.by_share.get(&share).copied().unwrap_or_default();
        let fits = taken.all + more <= self.budget.0.total
            && self.budget.shares(self.holder).all(|(share, most)| held(share) + more <= most);
        if fits {
            taken.all += more;
            for (share, _) in self.budget.shares(self.holder) {
                *taken.by_share.entry(share).or_default() += more;
            }
            drop(taken);
            self.amount += more;
        }
        fits
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        let mut taken = self.budget.lock();
        taken.all -= self.amount;
        for (share, _) in self.budget.shares(self.holder) {
            if let Some(held) = taken.by_share.get_mut(&share) {
                *held -= self.amount;
                if *held == 0 {
                    taken.by_share.remove(&share);
                }
            }
        }
        drop(taken);
        self.budget.0.returned.notify_waiters();
    }
}

/// All budgets of one server.
pub struct Budgets {
    /// Bytes of request bodies, at most [`BODIES_BYTES_MAX`].
    pub bodies: Budget,
    /// Bytes of unread answers, at most [`ANSWERS_BYTES_MAX`].
    pub answers: Budget,
    /// Parts of batches in progress, at most [`PARTS_MAX`].
    pub parts: Budget,
    /// Checkpoints being received: one at a time.
    pub checkpoints: Budget,
    /// Checkpoints being sent: one at a time.
    pub downloads: Budget,
    // Seeded at the start, so that no client can choose a key that collides with another holder's.
    hasher: RandomState,
}

impl Default for Budgets {
    fn default() -> Self {
        Budgets {
            bodies: Budget::new(BODIES_BYTES_MAX),
            answers: Budget::new(ANSWERS_BYTES_MAX),
            parts: Budget::new(PARTS_MAX),
            checkpoints: Budget::of_one(),
            downloads: Budget::of_one(),
            hasher: RandomState::new(),
        }
    }
}

impl Budgets {
    /// The holder for whom a request counts. In dev mode all requests of an address have one holder.
    #[must_use]
    pub fn holder(&self, grant: Option<&Grant>, address: Option<IpAddr>) -> Holder {
        let subject = grant.and_then(|grant| match (&grant.subject, &grant.token) {
            (Subject::Person(key), _) => Some(self.hasher.hash_one(("person", key))),
            (Subject::Anyone, Some(token)) => Some(self.hasher.hash_one(("service", token))),
            (Subject::Anyone, None) => None,
        });
        Holder { subject, address: address.map(network) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holder(subject: u64, address: u8) -> Holder {
        Holder { subject: Some(subject), address: Some([192, 0, 2, address].into()) }
    }

    #[test]
    fn one_subject_holds_a_quarter_and_one_address_a_half() {
        let budget = Budget::new(100);
        let first = budget.try_take(holder(1, 1), 25).unwrap();
        assert!(budget.try_take(holder(1, 2), 1).is_none(), "from another address");
        let _second = budget.try_take(holder(2, 1), 25).unwrap();
        assert!(budget.try_take(holder(3, 1), 1).is_none(), "another token of the address");
        let _third = budget.try_take(holder(3, 3), 25).unwrap();
        let _fourth = budget.try_take(holder(4, 4), 25).unwrap();
        assert!(budget.try_take(holder(5, 5), 1).is_none(), "all is taken");
        drop(first);
        assert!(budget.try_take(holder(5, 5), 25).is_some());
    }

    #[actix_web::test]
    async fn an_amount_that_returns_is_found_by_whoever_waits() {
        let budget = Budget::new(4);
        let all: Vec<_> = (0..4).map(|n| budget.try_take(holder(n, n as u8), 1).unwrap()).collect();
        let waiting = actix_web::rt::spawn({
            let budget = budget.clone();
            async move { budget.take(holder(9, 9), 1).await.amount }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(all);
        assert_eq!(waiting.await.unwrap(), 1);
    }

    proptest! {
        #[test]
        fn no_order_of_taking_growing_and_returning_exceeds_total_or_share(
            steps in proptest::collection::vec((0_u64..5, 0_u8..3, 0_usize..40, any::<bool>()), 1..200),
        ) {
            let budget = Budget::new(100);
            let mut held: Vec<(u64, u8, Permit)> = Vec::new();
            for (subject, address, amount, back) in steps {
                if back && !held.is_empty() {
                    held.remove(amount % held.len());
                } else if let Some((_, _, permit)) = held.first_mut().filter(|_| amount % 2 == 0) {
                    permit.grow(amount);
                } else if let Some(permit) = budget.try_take(holder(subject, address), amount) {
                    held.push((subject, address, permit));
                }
                let sum = |of: &dyn Fn(&(u64, u8, Permit)) -> bool| -> usize {
                    held.iter().filter(|one| of(one)).map(|(_, _, permit)| permit.amount).sum()
                };
                prop_assert_eq!(sum(&|_| true), budget.taken());
                prop_assert!(budget.taken() <= 100);
                prop_assert!((0..5).all(|n| sum(&|one| one.0 == n) <= 25));
                prop_assert!((0..3).all(|n| sum(&|one| one.1 == n) <= 50));
            }
            held.clear();
            prop_assert_eq!(budget.taken(), 0);
            prop_assert!(budget.lock().by_share.is_empty());
        }
    }
}
