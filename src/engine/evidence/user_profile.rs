//! The state of a user that ranking reads.

use std::collections::VecDeque;

use roaring::RoaringBitmap;

use crate::domain::ids::{TopicId, UserId};
use crate::domain::journal::CentreRef;
use crate::engine::learners::person::history::Past;
use crate::engine::learners::person::offset::UserOffset;
use crate::engine::learners::person::quadratic::Form;
use crate::engine::learners::person::visits::Visits;
use crate::engine::two_tower::TowerVector;

/// The state of a person that ranking reads.
pub struct UserProfile<'a> {
    /// Mean weights of the online model, `(dim,)`; `None` before the first label.
    pub weights: Option<&'a [f32]>,
    /// Precision of each weight, `(dim,)`; `None` before the first label.
    pub precision: Option<&'a [f32]>,
    /// Topic shares of their history, for calibration; empty where calibration is off.
    pub shares: Vec<(u32, f64)>,
    /// Quadratic forms that the online model adds for items of these centres.
    pub forms: Vec<(CentreRef, Form)>,
    /// Topic weights above 0, by topic.
    pub topics: Vec<(TopicId, f32)>,
    /// Ids of the people whom they follow, sorted.
    pub follows: &'a [UserId],
    /// Their id: their own posts count as followed in the flat feed.
    pub user: UserId,
    /// Items that the person never wants to see again.
    pub hidden: &'a RoaringBitmap,
    /// Their memory of visits.
    pub visits: &'a Visits,
    /// Their last interactions, oldest first.
    pub history: &'a VecDeque<Past>,
    /// Decayed visits by author: `(author, count)`, sorted by author.
    pub authors: Vec<(UserId, f32)>,
    /// Log-odds of their approval per topic over that of all people, sorted by topic.
    pub opinions: Vec<(TopicId, f32)>,
    /// Log-odds of their approval over that of all people.
    pub approval: f32,
    /// Number of interactions in this session, which ends with a break.
    pub session: u32,
    /// Their own offset to the shared weights of the blend.
    pub offset: &'a UserOffset,
    /// The id of their cluster; `None` outside of all clusters.
    pub group: Option<u32>,
    /// Their vector by the world's two-tower model; `None` without one.
    pub tower: Option<TowerVector>,
}
