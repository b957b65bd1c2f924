//! Properties of the whole model on a world with a known law: likes follow a hidden taste that only the history shows,
//! and slightly the city.

use std::fmt::Write as _;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

use super::batch::Source;
use super::dataset::{FeedLog, Slice};
use super::network::Network;
use super::schema_fit::fit;
use super::*;
use crate::domain::ids::{Key, ModelVersion};
use crate::domain::time::{HOUR_MS, MINUTE_MS, Millis};
use crate::engine::numeric::kernels::dot;
use crate::engine::two_tower::{ItemFacts, Sign, Step, TOWER_DIM, TowerVector, TwoTower};
use crate::tables::{Action, FeedRows, PersonRow, PostRow};
use crate::tower::checkpoint::{BYTES_MAX, METADATA};
use crate::tower::layout::{Shapes, Sizes};
use crate::tower::schema::{PersonCode, Similarity};

const DIM: usize = 6;
const START: i64 = 1_700_000_000_000;

/// Users with a taste along one of two directions, and posts along or against one direction.
fn world(people: u32, views: u32, seed: u64) -> Tables {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut tables = Tables::default();
    for post in 0..60_u32 {
        let (kind, noise) = (post % 4, 0.2);
        let mut embedding = vec![0.0; DIM];
        embedding[(kind / 2) as usize] = if kind.is_multiple_of(2) { 1.0 } else { -1.0 };
        embedding.iter_mut().for_each(|x| *x += noise * (chance.random::<f32>() - 0.5));
        tables.posts.push(PostRow {
            key: Key::of_number(post),
            text: format!("Post {post}: {}", "words ".repeat(post as usize % 7)),
            topic: Key::new(if kind < 2 { "art" } else { "cars" }).ok(),
            numbers: vec![("price".to_owned(), post as f32)],
            embedding: Some(embedding),
        });
    }
    let mut rows = Vec::new();
    for person in 0..people {
        let (city, age) = (chance.random_range(0..3_u32), chance.random_range(18..70_u32));
        let attributes = format!(r#"{{"city":"city {city}","age":{age},"gender":{}}}"#, person % 2);
        tables.people.push(PersonRow { key: Key::of_number(person), attributes: Some(attributes) });
        let taste = [0, 1].map(|_| if chance.random::<bool>() { 2.0 } else { -2.0 });
        let mut at = START + chance.random_range(0..20 * HOUR_MS);
        for _ in 0..views {
            at += chance.random_range(MINUTE_MS..5 * HOUR_MS);
            let post = chance.random_range(0..60_u32);
            let embedding = tables.posts[post as usize].embedding.as_ref().unwrap();
            let log_odds = f64::from(taste[0] * embedding[0] + taste[1] * embedding[1]) + 0.5 * f64::from(city) - 0.5;
            rows.push((at, person, post, chance.random::<f64>() < 1.0 / (1.0 + (-log_odds).exp())));
        }
    }
    rows.sort_unstable();
    for (at, person, post, liked) in rows {
        push(&mut tables.feed, at, person, post, Action::View, liked);
    }
    tables
}

fn push(feed: &mut FeedRows, at: i64, person: u32, post: u32, action: Action, target: bool) {
    feed.at.push(Millis(at));
    feed.person.push(person);
    feed.post.push(post);
    feed.action.push(action);
    feed.target.push(target);
}

fn settings() -> TrainSettings {
    TrainSettings {
        sizes: Sizes { history: 12, heads: 2, hidden: 32 },
        epochs: 6,
        rate: 3e-3,
        batch: Some(256),
        ..TrainSettings::default()
    }
}

fn sign(place: u8) -> Sign {
    [Sign::Negative, Sign::Neutral, Sign::Positive][usize::from(place)]
}

/// Log-odds of a slice's views as the server computes them: item vectors once, user vectors from their steps.
fn served(tables: &Tables, log: &FeedLog, model: &dyn TwoTower, slice: Slice) -> Vec<f32> {
    let items = vectors(tables, model);
    let moments = log.moments.iter().filter(|moment| moment.slice == slice);
    let odds = moments.map(|moment| {
        let steps = log.steps[log.window(moment, model.history())].iter();
        let steps: Vec<Step<'_>> =
            steps.map(|step| Step { item: &items[step.post as usize], sign: sign(step.sign), at: step.at }).collect();
        let person = model.person(tables.people[moment.person as usize].attributes.as_deref(), &steps, moment.at);
        model.log_odds(dot(&person, &items[moment.post as usize]))
    });
    odds.collect()
}

fn vectors(tables: &Tables, model: &dyn TwoTower) -> Vec<TowerVector> {
    let vector = |post: &PostRow| {
        let numbers: Vec<(&str, f32)> = post.numbers.iter().map(|(name, x)| (name.as_str(), *x)).collect();
        model.item(&facts(post, &numbers))
    };
    tables.posts.iter().map(vector).collect()
}

fn small() -> (Tables, Checkpoint) {
    let tables = world(40, 30, 3);
    let checkpoint = train(&tables, &TrainSettings { epochs: 1, ..settings() }, |_| {}).unwrap();
    (tables, checkpoint)
}

fn model(checkpoint: &Checkpoint) -> Arc<dyn TwoTower> {
    checkpoint.clone().into_model(ModelVersion(1))
}

#[test]
fn histories_that_carry_signal_make_the_towers_better_than_static_ones_and_good() {
    let tables = world(250, 40, 1);
    let settings = TrainSettings { epochs: 4, ..settings() };
    let with = train(&tables, &settings, |_| {}).unwrap().summary().test.unwrap();
    let alone = TrainSettings { sizes: Sizes { history: 0, ..settings.sizes }, epochs: 2, ..settings };
    let without = train(&tables, &alone, |_| {}).unwrap().summary().test.unwrap();
    // An oracle that knows the tastes reaches 0.89, the city alone 0.56.
    assert!(with.roc_auc.unwrap() > 0.80, "{with:?}");
    assert!(without.roc_auc.unwrap() < 0.65, "{without:?}");
    // A thousand rows in ten bins: sampling noise alone gives 0.04.
    assert!(with.calibration_error.unwrap() < 0.08, "{with:?}");
}

#[test]
fn threads_and_interruptions_change_no_bit_of_a_model_and_a_seed_does() {
    let tables = world(60, 30, 2);
    let settings = |threads: usize, seed: u64| TrainSettings { epochs: 2, threads, seed, ..settings() };
    let bytes = |settings: TrainSettings| train(&tables, &settings, |_| {}).unwrap().to_bytes().unwrap();
    let one = bytes(settings(1, 1));
    assert!(one == bytes(settings(1, 1)), "the same twice");
    assert!(one == bytes(settings(3, 1)), "with three threads");
    assert!(one != bytes(settings(1, 2)), "with another seed");

    // Stopped after every step, in the middle and at the end of epochs.
    let mut training = Training::<Cpu>::new(&tables, &settings(2, 1), Default::default()).unwrap();
    while training.advance().unwrap().is_some() {
        let state = training.state();
        training = Training::<Cpu>::new(&tables, &settings(2, 1), Default::default()).unwrap();
        training.resume(&state).unwrap();
    }
    assert!(one == training.finish().to_bytes().unwrap(), "resumed");
}

#[test]
fn a_state_of_other_tables_or_settings_or_of_nothing_is_refused() {
    let (tables, other) = (world(40, 30, 3), world(40, 30, 4));
    let make =
        |tables: &Tables, settings: &TrainSettings| Training::<Cpu>::new(tables, settings, Default::default()).unwrap();
    let state = make(&tables, &settings()).state();
    let refused = |mut training: Training<Cpu>, state: &[u8]| training.resume(state).unwrap_err().to_string();
    assert!(refused(make(&other, &settings()), &state).contains("other tables or settings"));
    let faster = TrainSettings { rate: 0.1, ..settings() };
    assert!(refused(make(&tables, &faster), &state).contains("other tables or settings"));
    let cosine = TrainSettings { similarity: Similarity::Cosine, ..settings() };
    assert!(refused(make(&tables, &cosine), &state).contains("other tables or settings"));
    assert!(refused(make(&tables, &settings()), &state[..state.len() / 2]).contains("damaged"));
    assert!(refused(make(&tables, &settings()), &[]).contains("another version"));
    // The limit on epochs is not part of the fingerprint.
    make(&tables, &TrainSettings { epochs: 9, ..settings() }).resume(&state).unwrap();
}

#[test]
fn both_forms_of_the_network_give_the_same_numbers() {
    for (history, similarity) in [(0, Similarity::Dot), (12, Similarity::Dot), (12, Similarity::Cosine)] {
        let tables = world(40, 30, 3);
        let sizes = Sizes { history, heads: 4, hidden: 48 };
        let settings = TrainSettings { epochs: 1, sizes, similarity, ..settings() };
        let mut training = Training::<Cpu>::new(&tables, &settings, Default::default()).unwrap();
        while training.advance().unwrap().is_some() {}
        let checkpoint = training.finish();
        for slice in [Slice::Train, Slice::Validation, Slice::Test] {
            let (on_tensors, _) = training.scores(checkpoint.weights(), slice);
            let on_slices = served(&tables, training.log(), model(&checkpoint).as_ref(), slice);
            assert_eq!(on_tensors.len(), on_slices.len());
            for (a, b) in on_tensors.iter().zip(&on_slices) {
                let what = format!("history {history}, {similarity:?}, {slice:?}");
                assert!((a - b).abs() < 1e-4, "{what}: {a} on tensors, {b} on slices");
            }
        }
    }
}

#[test]
fn by_the_cosine_all_vectors_have_length_one_and_histories_make_the_towers_good() {
    let tables = world(250, 40, 1);
    let settings = TrainSettings { epochs: 4, similarity: Similarity::Cosine, ..settings() };
    let checkpoint = train(&tables, &settings, |_| {}).unwrap();
    let test = checkpoint.summary().test.unwrap();
    assert!(test.roc_auc.unwrap() > 0.80, "{test:?}");
    assert!(test.calibration_error.unwrap() < 0.08, "{test:?}");
    let back = Checkpoint::from_bytes(&checkpoint.to_bytes().unwrap()).unwrap();
    assert_eq!((back.schema().similarity, &back), (Similarity::Cosine, &checkpoint));
    let model = model(&back);
    let items = vectors(&tables, model.as_ref());
    let steps = [Step { item: &items[3], sign: Sign::Positive, at: Millis(START) }];
    let people = [model.person(None, &[], Millis(START)), model.person(None, &steps, Millis(START + HOUR_MS))];
    for vector in items.iter().chain(&people) {
        assert!((dot(vector, vector) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_file_without_a_similarity_means_the_dot_product_and_the_dot_product_writes_none() {
    let (tables, checkpoint) = small();
    let bytes = checkpoint.to_bytes().unwrap();
    assert_eq!(checkpoint.schema().similarity, Similarity::Dot);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]).into_owned();
    assert!(!text.contains("similarity"), "the file is the one that versions without similarities wrote");
    let named = |name: &'static str| altered(&bytes, move |all| all["json"]["schema"]["similarity"] = name.into());
    assert_eq!(Checkpoint::from_bytes(&named("dot")).unwrap(), checkpoint);
    let cosine = model(&Checkpoint::from_bytes(&named("cosine")).unwrap());
    let (of_dot, of_cosine) =
        (vectors(&tables, model(&checkpoint).as_ref()).remove(7), vectors(&tables, cosine.as_ref()).remove(7));
    let length = dot(&of_dot, &of_dot).sqrt();
    assert!(of_dot.iter().zip(&of_cosine).all(|(a, b)| (a / length - b).abs() < 1e-6));
    assert!(Checkpoint::from_bytes(&named("angle")).unwrap_err().to_string().contains("schema.similarity"));
}

#[test]
fn the_gradient_is_the_slope_of_the_loss_along_every_kind_of_tensor() {
    let tables = world(30, 20, 5);
    let settings = settings();
    let log = FeedLog::new(&tables.feed, tables.people.len(), settings.fractions);
    let (schema, components) = fit(&tables, &log);
    let people: Vec<PersonCode> =
        tables.people.iter().map(|person| schema.person.code(person.attributes.as_deref())).collect();
    let (mut topics, mut dense) = (Vec::new(), Vec::new());
    for post in &tables.posts {
        topics.push(schema.item.topic(post.topic.as_ref().map(|topic| topic.as_str())));
        schema.item.push(&facts(post, &[("price", 3.0)]), &components, &mut dense);
    }
    let source = Source {
        log: &log,
        people: &people,
        topics: &topics,
        dense: &dense,
        width: schema.item.dense(),
        moments: 8,
        history: settings.sizes.history,
    };
    let mut batch = source.batch(&source.chunks(Slice::Train)[..12]);
    let shelf = super::batch::Shelf::new(&log, tables.posts.len());
    source.shift(&mut batch, &source.chunks(Slice::Train)[..12], &shelf);
    let shapes = Shapes::new(&schema, &settings.sizes);
    let mut weights = init::weights(&schema, &shapes, -1.0, 7);
    for loss in [Loss::CrossEntropy, Loss::Softmax] {
        let at = |weights: &[f32]| {
            gradient::gradient::<Cpu>(&schema, &settings.sizes, weights, &batch, loss, &Default::default())
        };
        let (gradient, _) = at(&weights);
        for index in 0..shapes.all.len() {
            // Along the gradient itself, where the slope is largest compared with the rounding.
            let place = shapes.place(index);
            let length = gradient[place.clone()].iter().map(|x| x * x).sum::<f32>().sqrt();
            if length < 1e-3 {
                continue;
            }
            let before = weights.clone();
            let mut along = |by: f32| {
                for (weight, slope) in weights[place.clone()].iter_mut().zip(&gradient[place.clone()]) {
                    *weight += by * slope / length;
                }
                let (_, loss) = at(&weights);
                weights.clone_from(&before);
                loss
            };
            let step = 0.01;
            let slope = (along(step) - along(-step)) / f64::from(2.0 * step);
            let name = &shapes.all[index].name;
            assert!((slope / f64::from(length) - 1.0).abs() < 0.1, "{loss:?} {name}: {slope} against {length}");
        }
    }
}

#[test]
fn rows_of_the_future_change_no_feature_of_a_moment() {
    let tables = world(20, 20, 6);
    let fractions = Fractions { test: 0.1, validation: 0.1 };
    let whole = FeedLog::new(&tables.feed, tables.people.len(), fractions);
    let cut = tables.feed.at.len() / 2;
    let mut feed = FeedRows::default();
    for row in 0..cut {
        let old = &tables.feed;
        push(&mut feed, old.at[row].0, old.person[row], old.post[row], old.action[row], old.target[row]);
    }
    // After the cut: equal users, other posts, all liked.
    for row in cut..tables.feed.at.len() {
        push(&mut feed, tables.feed.at[row].0, tables.feed.person[row], 59, Action::View, true);
    }
    let other = FeedLog::new(&feed, tables.people.len(), fractions);
    let features = |log: &FeedLog| -> Vec<_> {
        let early = log.moments.iter().filter(|moment| moment.at < tables.feed.at[cut]);
        early
            .map(|moment| (*moment, log.steps[log.window(moment, 12)].to_vec()))
            .map(|(m, w)| (m.person, m.post, m.at, w))
            .collect()
    };
    assert!(features(&whole).len() > 100);
    assert_eq!(features(&whole), features(&other));
}

#[test]
fn a_like_is_part_of_its_view_and_known_from_its_own_time_on() {
    let mut feed = FeedRows::default();
    push(&mut feed, 1_000, 0, 7, Action::View, true);
    push(&mut feed, 2_000, 0, 8, Action::View, false);
    push(&mut feed, 3_000, 0, 7, Action::Like, false);
    push(&mut feed, 3_000, 0, 9, Action::View, false);
    push(&mut feed, 4_000, 0, 8, Action::Like, false);
    push(&mut feed, 5_000, 0, 9, Action::View, true);
    let log = FeedLog::new(&feed, 1, Fractions { test: 0.0, validation: 0.0 });
    let moments: Vec<_> = log.moments.iter().map(|moment| (moment.post, moment.at.0, moment.liked)).collect();
    assert_eq!(moments, [(7, 1_000, true), (8, 2_000, false), (9, 3_000, false), (9, 5_000, true)]);
    let seen = |moment: usize| -> Vec<_> {
        let steps = &log.steps[log.window(&log.moments[moment], 10)];
        steps.iter().map(|step| (step.post, sign(step.sign), step.at.0)).collect()
    };
    assert_eq!(seen(1), [], "the like of 7 is still to come");
    assert_eq!(seen(2), [(8, Sign::Negative, 2_000)], "what happens at this very instant is not known yet");
    let (first, second) = ((8, Sign::Negative, 2_000), (7, Sign::Positive, 3_000));
    // The like of 8 has no view within the span, so it counts as a step of its own.
    assert_eq!(seen(3), [first, second, (9, Sign::Negative, 3_000), (8, Sign::Positive, 4_000)]);
}

#[test]
fn likes_without_views_are_learned_by_softmax_among_posts_that_were_there() {
    let mut tables = world(150, 40, 8);
    let likes: Vec<usize> = (0..tables.feed.at.len()).filter(|row| tables.feed.target[*row]).collect();
    let mut feed = FeedRows::default();
    for row in likes {
        push(&mut feed, tables.feed.at[row].0, tables.feed.person[row], tables.feed.post[row], Action::Like, false);
    }
    tables.feed = feed;
    let checkpoint = train(&tables, &settings(), |_| {}).unwrap();
    assert_eq!(checkpoint.summary().loss, "softmax");
    let test = checkpoint.summary().test.unwrap();
    assert!(test.roc_auc.unwrap() > 0.65, "{test:?}");
}

#[test]
fn tables_with_nothing_to_learn_from_are_refused_by_the_name_of_the_slice() {
    let mut tables = world(20, 20, 9);
    let error = train(&Tables::default(), &settings(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("training slice") && error.contains("0 views"), "{error}");
    let last = tables.feed.at.len() * 85 / 100;
    tables.feed.target[last..].fill(false);
    let error = train(&tables, &settings(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("test slice") && error.contains("0 of them liked"), "{error}");
}

#[test]
fn a_person_of_whom_nothing_is_known_has_a_vector_and_unknown_values_are_all_the_same() {
    let (_, checkpoint) = small();
    let model = model(&checkpoint);
    let vector = |attributes: Option<&str>| model.person(attributes, &[], Millis(START));
    let nobody = vector(None);
    assert!(nobody.iter().all(|x| x.is_finite()) && nobody != [0.0; TOWER_DIM]);
    for (name, text) in [
        ("empty", "{}"),
        ("not an object", "[1]"),
        ("cut off", r#"{"city":"city 1","#),
        ("nothing that is read", r#"{"shoe":{"size":[42]},"city":null,"age":"old","gender":[0]}"#),
        ("values that were not seen", r#"{"city":"city 9","gender":7}"#),
    ] {
        assert_eq!(vector(Some(text)), nobody, "{name}");
    }
    assert_ne!(vector(Some(r#"{"city":"city 1"}"#)), nobody);
    assert_ne!(vector(Some(r#"{"age":69}"#)), vector(Some(r#"{"age":18}"#)));
    assert!(vector(Some(r#"{"age":1e300}"#)).iter().all(|x| x.is_finite()));
    // Escapes and the order of keys change nothing.
    assert_eq!(vector(Some(r#"{"age":20,"c\u0069ty":"city\u00201"}"#)), vector(Some(r#"{"city":"city 1","age":20}"#)));
}

#[test]
fn an_item_of_which_nothing_is_known_has_a_vector_and_odd_numbers_do_no_harm() {
    let (tables, checkpoint) = small();
    let model = model(&checkpoint);
    let known = tables.posts[5].embedding.clone().unwrap();
    let bare = model.item(&ItemFacts::default());
    assert!(bare.iter().all(|x| x.is_finite()));
    let with = |embedding: &[f32], topic: Option<&str>, numbers: &[(&str, f32)]| {
        model.item(&ItemFacts { attributes: None, embedding, text: "", topic, numbers })
    };
    assert_ne!(with(&known, None, &[]), bare);
    for (name, vector) in [
        ("another length", with(&known[1..], None, &[])),
        ("not finite", with(&[f32::NAN; DIM], None, &[])),
        ("a topic that was not seen", with(&[], Some("tea"), &[])),
        ("a number that was not seen", with(&[], None, &[("weight", 5.0)])),
        ("a number that is none", with(&[], None, &[("price", f32::INFINITY)])),
    ] {
        assert_eq!(vector, bare, "{name}");
    }
    assert_ne!(with(&[], Some("art"), &[]), bare);
    assert_ne!(with(&[], None, &[("price", 1.0)]), bare);
}

#[test]
fn a_person_is_what_their_last_steps_make_of_them_and_not_what_was_before() {
    let (tables, checkpoint) = small();
    let model = model(&checkpoint);
    let items = vectors(&tables, model.as_ref());
    let step = |index: usize| Step {
        item: &items[index % items.len()],
        sign: sign((index % 3) as u8),
        at: Millis(START + index as i64 * HOUR_MS),
    };
    let steps: Vec<Step<'_>> = (0..40).map(step).collect();
    let now = Millis(START + 50 * HOUR_MS);
    let person = |steps: &[Step<'_>]| model.person(None, steps, now);
    assert_eq!(person(&steps), person(&steps[28..]), "only the last {} count", model.history());
    assert_ne!(person(&steps), person(&steps[29..]));
    assert_ne!(person(&steps), model.person(None, &steps, now.plus(48 * HOUR_MS)), "time goes by");
}

#[test]
fn empty_places_never_change_a_vector() {
    let tables = world(12, 30, 10);
    let settings = settings();
    let log = FeedLog::new(&tables.feed, tables.people.len(), settings.fractions);
    let (schema, components) = fit(&tables, &log);
    let people: Vec<PersonCode> =
        tables.people.iter().map(|person| schema.person.code(person.attributes.as_deref())).collect();
    let (mut topics, mut dense) = (Vec::new(), Vec::new());
    for post in &tables.posts {
        topics.push(schema.item.topic(post.topic.as_ref().map(|topic| topic.as_str())));
        schema.item.push(&facts(post, &[]), &components, &mut dense);
    }
    let shapes = Shapes::new(&schema, &settings.sizes);
    let weights = init::weights(&schema, &shapes, -1.0, 7);
    let width = schema.item.dense();
    // Equal views in chunks of 3 and of 16: other neighbours, other padding.
    let vectors = |moments: usize| -> Vec<f32> {
        let source = Source {
            log: &log,
            people: &people,
            topics: &topics,
            dense: &dense,
            width,
            moments,
            history: settings.sizes.history,
        };
        let chunks = source.chunks(Slice::Train);
        let batch = source.batch(&chunks);
        let network = Network::<Cpu>::new(&schema, &settings.sizes, &weights, &Default::default(), false);
        let mut all = Vec::new();
        gradient::append(network.people(&batch, network.items(&batch)).into_data(), &mut all);
        let kept = batch.weights.iter().zip(all.chunks(TOWER_DIM)).filter(|(weight, _)| **weight > 0.0);
        kept.flat_map(|(_, vector)| vector.to_vec()).collect()
    };
    let (few, many) = (vectors(3), vectors(16));
    assert_eq!(few.len(), many.len());
    assert!(few.iter().zip(&many).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn a_checkpoint_comes_back_from_its_bytes_as_it_was() {
    let (_, checkpoint) = small();
    let bytes = checkpoint.to_bytes().unwrap();
    let back = Checkpoint::from_bytes(&bytes).unwrap();
    assert_eq!(back, checkpoint);
    assert!(back.to_bytes().unwrap() == bytes);
    assert_eq!(back.dim(), DIM);
    assert_eq!(back.into_model(ModelVersion(3)).version(), ModelVersion(3));
}

/// Bytes of a checkpoint with altered JSON metadata and altered tensors.
fn altered(bytes: &[u8], alter: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<8>().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let text = header["__metadata__"][METADATA].as_str().unwrap().to_owned();
    let mut all = serde_json::json!({ "json": serde_json::from_str::<serde_json::Value>(&text).unwrap() });
    all["tensors"] = header.take();
    alter(&mut all);
    let mut header = all["tensors"].take();
    if header["__metadata__"][METADATA].is_string() {
        header["__metadata__"][METADATA] = all["json"].to_string().into();
    }
    let mut out = String::new();
    write!(out, "{header}").unwrap();
    let mut file = (out.len() as u64).to_le_bytes().to_vec();
    file.extend(out.as_bytes());
    file.extend(&bytes[8 + length..]);
    file
}

#[test]
fn a_file_that_is_wrong_is_refused_by_the_name_of_what_is_wrong() {
    let (_, checkpoint) = small();
    let bytes = checkpoint.to_bytes().unwrap();
    assert_eq!(Checkpoint::from_bytes(&altered(&bytes, |_| {})).unwrap(), checkpoint, "the helper changes nothing");
    type Alter = fn(&mut serde_json::Value);
    let cases: [(&str, Alter, &str); 16] = [
        ("no metadata", |all| all["tensors"]["__metadata__"] = serde_json::json!({}), "has no `eddyline`"),
        ("another layout", |all| all["json"]["format"] = 9.into(), "layout 9"),
        ("a word for a number", |all| all["json"]["sizes"]["history"] = "x".into(), "`sizes.history`"),
        ("an unknown field", |all| all["json"]["schema"]["item"]["smell"] = 1.into(), "smell"),
        ("too long a history", |all| all["json"]["sizes"]["history"] = 101.into(), "`sizes.history`"),
        ("odd heads", |all| all["json"]["sizes"]["heads"] = 3.into(), "`sizes.heads`"),
        ("huge layers", |all| all["json"]["sizes"]["hidden"] = 1_000_000_000.into(), "`sizes.hidden`"),
        ("other layers", |all| all["json"]["sizes"]["hidden"] = 64.into(), "`item.hidden.weight`"),
        (
            "a huge embedding",
            |all| all["json"]["schema"]["item"]["embedding"]["from"] = 1_000_000.into(),
            "embedding.from",
        ),
        ("values not sorted", |all| all["json"]["schema"]["item"]["topics"] = serde_json::json!(["b", "a"]), "topics"),
        ("values twice", |all| all["json"]["schema"]["item"]["topics"] = serde_json::json!(["a", "a"]), "topics"),
        ("no deviation", |all| all["json"]["schema"]["person"]["numbers"][0]["scale"] = 0.into(), "age.scale"),
        ("other statistics", |all| all["json"]["schema"]["item"]["text"][0]["name"] = "x".into(), "schema.item.text"),
        (
            "a tensor of another name",
            |all| {
                let tensor = all["tensors"].as_object_mut().unwrap().remove("fuse.out.bias").unwrap();
                all["tensors"]["fuse.out.bia"] = tensor;
            },
            "`fuse.out.bias` of the model is missing",
        ),
        ("a tensor of another type", |all| all["tensors"]["output"]["dtype"] = "I32".into(), "must be F32"),
        (
            "a tensor beyond the file",
            |all| all["tensors"]["step.weight"]["data_offsets"] = serde_json::json!([0, 1_000_000_000_000_u64]),
            "not a safetensors file",
        ),
    ];
    for (name, alter, message) in cases {
        let error = Checkpoint::from_bytes(&altered(&bytes, alter)).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let more = file.iter().chain([("decoder.weight", file.tensor("output").unwrap())]);
    let more = safetensors::serialize(more, metadata.metadata().clone()).unwrap();
    let error = Checkpoint::from_bytes(&more).unwrap_err().to_string();
    assert!(error.contains("`decoder.weight` of the model is not part of this layout"), "{error}");
    let mut broken = bytes.clone();
    let last = broken.len() - 4;
    broken[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(Checkpoint::from_bytes(&broken).unwrap_err().to_string().contains("not finite"));
    for end in [0, 4, 8, 100, bytes.len() - 1] {
        assert!(Checkpoint::from_bytes(&bytes[..end]).is_err(), "cut off after {end} bytes");
    }
    let error = Checkpoint::from_bytes(&vec![0; BYTES_MAX + 1]).unwrap_err().to_string();
    assert!(error.contains("the limit is"), "{error}");
}
