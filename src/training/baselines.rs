//! Baselines that a model must beat: like rates known at each moment.
//!
//! Invariant: a view is scored before any view of its instant is counted. Absent on purpose: content features.

use crate::tower::checkpoint::Quality;
use crate::training::dataset::{FeedLog, Moment, Slice};
use crate::training::quality::quality;

/// Prior strength of a rate, in views.
const PRIOR_VIEWS: f32 = 20.0;

/// Grouping of a rate: maps a view to the index of its post, topic or user.
type Group<'a> = &'a dyn Fn(&Moment) -> Option<u32>;

/// Quality of four like rates on a slice, by name: of the training slice, the post, its topic and the user. `topics`
/// has the topic row of each post. Empty where the slice lacks one of both outcomes.
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
