//! The simulated world is learnable: the built-in embedder separates its texts, within topics too, and a plain online
//! model learns hidden preferences from them.

use eddyline::domain::time::Millis;
use eddyline::embed::Embedder;
use eddyline::embed::hashing::HashingEmbedder;
use eddyline::simulate::network::{Network, PersonIndex};
use eddyline::simulate::taste::oracle_like_probability;
use eddyline::simulate::text::{Theme, Topic, compose};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const DIM: usize = 384;
const NOW: Millis = Millis(1_767_225_600_000);

/// Vectors of texts on one theme.
fn vectors(random: &mut ChaCha8Rng, topic: Topic, theme: Theme, count: usize) -> Vec<Vec<f32>> {
    let texts: Vec<String> = (0..count).map(|_| compose(random, topic, theme)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    HashingEmbedder::new(DIM).unwrap().embed(&texts).unwrap().iter().map(|vector| vector.to_vec()).collect()
}

fn mean(vectors: &[Vec<f32>]) -> Vec<f32> {
    (0..DIM).map(|at| vectors.iter().map(|vector| vector[at]).sum::<f32>() / vectors.len() as f32).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Probability that a positive scores above a negative.
fn auc(scored: &[(f32, bool)]) -> f64 {
    let (mut pairs, mut won) = (0.0, 0.0);
    for (high, _) in scored.iter().filter(|(_, label)| *label) {
        for (low, _) in scored.iter().filter(|(_, label)| !*label) {
            pairs += 1.0;
            won += if high > low {
                1.0
            } else if high == low {
                0.5
            } else {
                0.0
            };
        }
    }
    won / pairs
}

#[test]
fn the_nearest_mean_tells_topics_and_themes() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut means = Vec::new();
    for topic in Topic::ALL {
        for theme in Theme::ALL {
            means.push((topic, theme, mean(&vectors(&mut random, topic, theme, 40))));
        }
    }
    let (mut topics, mut themes, mut total) = (0, 0, 0);
    for topic in Topic::ALL {
        for theme in Theme::ALL {
            for vector in vectors(&mut random, topic, theme, 20) {
                let nearest =
                    means.iter().max_by(|a, b| cosine(&a.2, &vector).total_cmp(&cosine(&b.2, &vector))).unwrap();
                topics += usize::from(nearest.0 == topic);
                themes += usize::from((nearest.0, nearest.1) == (topic, theme));
                total += 1;
            }
        }
    }
    println!("nearest of 48 means: topic right {topics}, theme right {themes} of {total}");
    assert!(topics * 100 > total * 95 && themes * 100 > total * 95, "{topics} {themes} of {total}");
}

/// The online model of the learning specification, section 3, in its plainest form, on one topic of each user.
#[test]
fn an_online_model_learns_hidden_tastes_within_a_topic() {
    let network = Network::new(60, 1).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let (mut model, mut late, mut oracle, mut people) = (0.0, 0.0, 0.0, 0.0);
    for person in network.indices() {
        let topic = Topic::ALL[person.index() % Topic::COUNT];
        let mut posts = Vec::new();
        for theme in Theme::ALL {
            posts.extend(vectors(&mut random, topic, theme, 30).into_iter().map(|vector| (theme, vector)));
        }
        let centre = mean(&posts.iter().map(|(_, vector)| vector.clone()).collect::<Vec<_>>());
        for at in (1..posts.len()).rev() {
            posts.swap(at, random.random_range(0..=at));
        }
        let (mut weights, mut precision) = (vec![0.0_f32; DIM], vec![0.1_f32; DIM]);
        let (mut seen, mut best) = (Vec::new(), Vec::new());
        for (theme, vector) in posts {
            let probability = oracle_like_probability(&network, PersonIndex(person.0), topic, theme, NOW);
            let liked = random.random_bool(probability);
            let mut x: Vec<f32> = vector.iter().zip(&centre).map(|(v, m)| v - m).collect();
            let length = dot(&x, &x).sqrt();
            x.iter_mut().for_each(|v| *v /= length);
            let predicted = 1.0 / (1.0 + (-dot(&weights, &x)).exp());
            seen.push((predicted, liked));
            best.push((probability as f32, liked));
            for at in 0..DIM {
                precision[at] += x[at] * x[at] * predicted * (1.0 - predicted);
                weights[at] += (f32::from(u8::from(liked)) - predicted) * x[at] / precision[at];
            }
        }
        let (early, later) = best.split_at(best.len() / 2);
        let both = |part: &[(f32, bool)]| part.iter().any(|(_, liked)| *liked) && part.iter().any(|(_, liked)| !*liked);
        if both(early) && both(later) {
            model += auc(&seen);
            late += auc(&seen[seen.len() / 2..]);
            oracle += auc(&best);
            people += 1.0;
        }
    }
    let (model, late, oracle) = (model / people, late / people, oracle / people);
    println!(
        "progressive AUC within a topic, 120 posts: model {model:.3} (second half {late:.3}), oracle {oracle:.3}, {people} people"
    );
    assert!(model > 0.65 && late > model && oracle > 0.8, "{model} {late} {oracle}");
}
