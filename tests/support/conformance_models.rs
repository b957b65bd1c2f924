//! Conformance cases of two-tower models.

use super::*;
use eddyline::store::models::{KeptModel, NewModel, PUBLISHED_KEPT, Publication, UNPUBLISHED_KEPT};

fn model(number: u64) -> NewModel {
    let summary = format!("{{\"rows\":{number}}}");
    let checkpoint = [0, 255, number as u8].repeat(number as usize);
    NewModel { version: None, created: Millis(1_000 + number as i64), summary, checkpoint }
}

fn kept(number: u64) -> KeptModel {
    let NewModel { created, summary, checkpoint, .. } = model(number);
    KeptModel { version: ModelVersion(number), created, summary, bytes: checkpoint.len() as u64 }
}

async fn versions(store: &Arc<dyn Store>) -> Vec<u64> {
    store.models().await.unwrap().iter().map(|model| model.version.0).collect()
}

pub(super) async fn models_are_numbered_kept_and_published(place: &impl Place) {
    let mut store = place.open().unwrap();
    assert_eq!((store.models().await.unwrap(), store.publications().await.unwrap()), (vec![], vec![]));
    assert_eq!(store.checkpoint(ModelVersion(1)).await.unwrap(), None);
    assert!(!store.publish_model(ModelVersion(1), Millis(5)).await.unwrap(), "nothing to publish");
    assert_eq!(store.save_model(model(1)).await.unwrap(), ModelVersion(1));
    assert_eq!(store.save_model(model(2)).await.unwrap(), ModelVersion(2));
    assert!(store.publish_model(ModelVersion(2), Millis(10)).await.unwrap());
    assert!(store.publish_model(ModelVersion(2), Millis(11)).await.unwrap(), "it serves already");
    assert!(store.publish_model(ModelVersion(1), Millis(12)).await.unwrap());
    assert!(store.publish_model(ModelVersion(2), Millis(13)).await.unwrap(), "back again");
    assert!(!store.publish_model(ModelVersion(3), Millis(14)).await.unwrap());
    assert!(!store.publish_model(ModelVersion(i64::MAX as u64), Millis(14)).await.unwrap());
    for _ in ["at once", "opened again"] {
        assert_eq!(store.models().await.unwrap(), [kept(1), kept(2)]);
        for number in [1, 2] {
            assert_eq!(store.checkpoint(ModelVersion(number)).await.unwrap(), Some(model(number).checkpoint));
        }
        let served =
            [(2, 10), (1, 12), (2, 13)].map(|(n, at)| Publication { version: ModelVersion(n), at: Millis(at) });
        assert_eq!(store.publications().await.unwrap(), served);
        drop(store);
        store = place.open().unwrap();
    }
}

pub(super) async fn models_that_served_last_and_the_newest_are_kept(place: &impl Place) {
    let store = place.open().unwrap();
    let (published, others) = (u64::from(PUBLISHED_KEPT), u64::from(UNPUBLISHED_KEPT));
    for number in 1..=published + 2 {
        assert_eq!(store.save_model(model(number)).await.unwrap(), ModelVersion(number));
        assert!(store.publish_model(ModelVersion(number), Millis(number as i64)).await.unwrap());
    }
    // The third serves again, so it counts as the last published one, whatever its number.
    assert!(store.publish_model(ModelVersion(3), Millis(100)).await.unwrap());
    let first = published + 3;
    for number in first..first + others + 2 {
        assert_eq!(store.save_model(model(number)).await.unwrap(), ModelVersion(number), "no number comes twice");
    }
    let last = first + others + 1;
    let expected: Vec<u64> = (3..first).chain(last - others + 1..=last).collect();
    assert_eq!(versions(&store).await, expected);
    assert_eq!(store.publications().await.unwrap().len(), published as usize + 3, "what served is told for ever");
}

pub(super) async fn a_model_with_a_number_keeps_it(place: &impl Place) {
    let store = place.open().unwrap();
    for number in 5..20 {
        let numbered = NewModel { version: Some(ModelVersion(number)), ..model(number) };
        assert_eq!(store.save_model(numbered).await.unwrap(), ModelVersion(number));
    }
    assert_eq!(versions(&store).await, (5..20).collect::<Vec<u64>>(), "nothing is forgotten while a dump is loaded");
    let gone = Publication { version: ModelVersion(2), at: Millis(7) };
    store.record_publication(gone).await.unwrap();
    assert!(store.publish_model(ModelVersion(19), Millis(8)).await.unwrap());
    let now = Publication { version: ModelVersion(19), at: Millis(8) };
    assert_eq!(store.publications().await.unwrap(), [gone, now], "of a model that is not kept any more, too");
    assert_eq!(store.save_model(model(20)).await.unwrap(), ModelVersion(20));
    assert!(store.save_model(NewModel { version: Some(ModelVersion(u64::MAX)), ..model(1) }).await.is_err());
}
