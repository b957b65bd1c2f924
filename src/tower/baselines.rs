//! What a model must beat: rates of likes, as far as they were known at each moment.
//!
//! Invariant: a moment is scored before it, and everything at the same instant, is counted. Absent on purpose: content.

use crate::tower::checkpoint::Quality;
use crate::tower::dataset::{FeedLog, Moment, Slice};
use crate::tower::quality::quality;

/// Views that a rate is worth before anything was seen of it.
const PRIOR_VIEWS: f32 = 20.0;

/// What a rate is of: the place of a post, a topic or a person.
type Group<'a> = &'a dyn Fn(&Moment) -> Option<u32>;

/// Figures on a slice of the rate of likes in training, of the post, of its topic (by its row in the model's table, one
/// per post) and of the person, by name. Empty where the slice has not both outcomes.
#[must_use]
pub fn baselines(log: &FeedLog, topics: &[u32], slice: Slice) -> Vec<(&'static str, Quality)> {
    let train = log.moments.iter().filter(|moment| moment.slice == Slice::Train);
    let (views, likes) = train
        .fold((1.0_f32, 0.5_f32), |(views, likes), moment| (views + 1.0, likes + f32::from(u8::from(moment.liked))));
    let base = likes / views;
    let mut order: Vec<&Moment> = log.moments.iter().collect();
    order.sort_by_key(|moment| moment.at);
    let rates: [(&str, Group<'_>); 4] = [
        ("rate of all", &|_| None),
        ("rate of the post", &|moment| Some(moment.post)),
        ("rate of the topic", &|moment| topics.get(moment.post as usize).copied()),
        ("rate of the person", &|moment| Some(moment.person)),
    ];
    let figures = rates.iter().map(|(name, group)| {
        let (mut odds, mut liked, mut counts) = (Vec::new(), Vec::new(), Vec::<[f32; 2]>::new());
        for together in order.chunk_by(|a, b| a.at == b.at) {
            for moment in together.iter().filter(|moment| moment.slice == slice) {
                let [seen, likes] =
                    group(moment).and_then(|place| counts.get(place as usize)).copied().unwrap_or_default();
                let rate = ((likes + PRIOR_VIEWS * base) / (seen + PRIOR_VIEWS)).clamp(1e-6, 1.0 - 1e-6);
                odds.push((rate / (1.0 - rate)).ln());
                liked.push(moment.liked);
            }
            for moment in together {
                if let Some(place) = group(moment).map(|place| place as usize) {
                    counts.resize(counts.len().max(place + 1), [0.0; 2]);
                    let [seen, likes] = &mut counts[place];
                    (*seen, *likes) = (*seen + 1.0, *likes + f32::from(u8::from(moment.liked)));
                }
            }
        }
        (*name, quality(&odds, &liked))
    });
    figures.collect()
}
