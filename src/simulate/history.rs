//! The log before the recommender starts: days of posts, interactions and follows, as a stream.
//!
//! Invariant: activities come in order of time within `[start, start + days)`, and no reaction precedes its post.
//! Memory holds the posts of the last two days and one hour of activities.
//! Absent on purpose: files and clocks; the caller brings the start time and the writer.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::behaviour::reaction;
use super::chance::{mixed, stream, unit};
use super::limits::{DAYS_MAX, SimulateError};
use super::network::{Network, PersonIndex, trait_of};
use super::taste::{like_probability, subject};
use super::text::{Theme, Topic, compose};

use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::time::{DAY_MS, HOUR_MS, Millis};
use crate::domain::timestamps;

/// Age after which a post gets no more views.
const FRESH_MS: i64 = 2 * DAY_MS;
/// Mean number of visits of a user per day.
const VISITS_PER_DAY: f64 = 1.6;
/// Mean share of visits that begin with a post by the visitor.
const POST_SHARE: f64 = 0.22;
/// Number of a user's latest posts that friends look up.
const LATEST: usize = 4;
const NO_POST: u32 = u32::MAX;

const CHATTY: u64 = 1;
const EARLY: u64 = 2;

/// Kind of an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Writes `object`, a post.
    Post,
    /// Reacts to `object`, a post.
    Interact,
    /// Follows `object`, a user.
    Follow,
}

/// One line of a history: one action of one user.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Activity {
    /// Key of the acting user.
    pub actor: Key,
    /// Kind of the activity.
    pub verb: Verb,
    /// Key of the post or user that the activity is about.
    pub object: Key,
    /// Time of the activity; RFC 3339 in JSON.
    #[serde(serialize_with = "as_rfc3339")]
    pub time: Millis,
    /// Text of a post; empty otherwise.
    pub message: String,
    /// Topic of a post.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// Further recipients: `topic:music` for a post, `user:ada` for the author or the followed user.
    pub to: Vec<String>,
    /// Kind of the interaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Dwell time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u32>,
}

/// Writes an instant as `2026-03-01T12:00:00.25Z`.
fn as_rfc3339<S: Serializer>(time: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamps::text(*time))
}

/// Progress of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryProgress {
    /// Number of simulated hours so far.
    pub hours: u32,
    /// Number of hours in the whole history.
    pub hours_total: u32,
    /// Number of activities so far.
    pub activities: u64,
}

/// The fields of a post that later activities read.
#[derive(Clone, Debug)]
struct Post {
    author: PersonIndex,
    topic: Topic,
    theme: Theme,
    at: Millis,
}

/// An iterator over the activities: first all follows among friends, then the days.
#[derive(Debug)]
pub struct History<'a> {
    network: &'a Network,
    seed: u64,
    among_friends: bool,
    extended_json: bool,
    start: Millis,
    hours: u32,
    hours_total: u32,
    given: u64,
    /// User, and index in their list of friends, of the next follow.
    following: (usize, usize),
    /// Generated activities that are still to come, by time and order.
    waiting: BTreeMap<(Millis, u64), Activity>,
    order: u64,
    /// Posts of the last two days, and the number of the first of them.
    posts: VecDeque<Post>,
    posts_before: u32,
    latest: Vec<[u32; LATEST]>,
    /// Indices of the posts that each user viewed.
    looked: Vec<Vec<u32>>,
}

impl<'a> History<'a> {
    /// A history of `days` days from `start`. `seed` may differ from the network's: other days of equal users.
    ///
    /// # Errors
    /// [`SimulateError`] when `days` or `start` are out of range.
    pub fn new(network: &'a Network, start: Millis, days: u32, seed: u64) -> Result<History<'a>, SimulateError> {
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(SimulateError::Days { found: days });
        }
        if start < Millis::MIN || start.plus(i64::from(days) * DAY_MS) > Millis::MAX {
            return Err(SimulateError::Start);
        }
        let people = network.people().len();
        Ok(History {
            network,
            seed: mixed(seed, &[network.seed()]),
            among_friends: false,
            extended_json: false,
            start,
            hours: 0,
            hours_total: days * 24,
            given: 0,
            following: (0, 0),
            waiting: BTreeMap::new(),
            order: 0,
            posts: VecDeque::new(),
            posts_before: 0,
            latest: vec![[NO_POST; LATEST]; people],
            looked: vec![Vec::new(); people],
        })
    }

    /// Restricts views to posts of friends, and so all reactions.
    #[must_use]
    pub fn among_friends(self) -> History<'a> {
        History { among_friends: true, ..self }
    }

    /// Writes activities as a document database exports them: relaxed extended JSON (`$oid`, `$date`), the verb `add`, and
    /// posts that are their own object.
    #[must_use]
    pub fn as_extended_json(self) -> History<'a> {
        History { extended_json: true, ..self }
    }

    /// Progress in simulated hours.
    #[must_use]
    pub fn progress(&self) -> HistoryProgress {
        HistoryProgress { hours: self.hours, hours_total: self.hours_total, activities: self.given }
    }

    fn end(&self) -> Millis {
        self.start.plus(i64::from(self.hours_total) * HOUR_MS)
    }

    /// The next friendship as a follow; `None` after the last one.
    fn next_follow(&mut self) -> Option<Activity> {
        loop {
            let (person, place) = self.following;
            let actor = self.network.people().get(person)?;
            let Some(friend) = self.network.friends(PersonIndex(person as u32)).get(place) else {
                self.following = (person + 1, 0);
                continue;
            };
            self.following.1 += 1;
            return Some(follow(&actor.key, &self.network.person(*friend).key, self.start));
        }
    }

    /// Generates the activities of one hour.
    fn pass_hour(&mut self) {
        let begin = self.start.plus(i64::from(self.hours) * HOUR_MS);
        let mut visits = Vec::new();
        for person in self.network.indices() {
            let hash = mixed(self.seed, &[u64::from(self.hours), u64::from(person.0)]);
            let chance = VISITS_PER_DAY * liveliness(self.network, person) * wakefulness(self.network, person, begin);
            if unit(hash) < chance {
                let minute = mixed(hash, &[1]) % HOUR_MS as u64;
                visits.push((begin.plus(minute as i64), person));
            }
        }
        visits.sort_unstable();
        for (at, person) in visits {
            self.visit(person, at);
        }
        self.hours += 1;
    }

    /// One visit of a user: perhaps a post, then views of some posts.
    fn visit(&mut self, person: PersonIndex, at: Millis) {
        while self.posts.front().is_some_and(|post| at.since(post.at) > FRESH_MS) {
            self.posts.pop_front();
            self.posts_before += 1;
        }
        let fresh_from = self.posts_before;
        self.looked[person.index()].retain(|number| *number >= fresh_from);
        let mut random = stream(self.seed, "visit", mixed(at.0 as u64, &[u64::from(person.0)]));
        if random.random_bool((POST_SHARE * liveliness(self.network, person)).min(0.9)) {
            self.write(person, at, &mut random);
        }
        let mut now = at;
        let looks = random.random_range(3..14);
        for _ in 0..looks {
            now = now.plus(random.random_range(2_000..30_000));
            if let Some(number) = self.found(person, &mut random) {
                self.look(person, number, now, &mut random);
            }
        }
    }

    fn write(&mut self, author: PersonIndex, at: Millis, random: &mut ChaCha8Rng) {
        let (topic, theme) = subject(self.network, author, at, random);
        let number = self.posts_before + self.posts.len() as u32;
        let Some(object) = post_key(number) else { return };
        self.posts.push_back(Post { author, topic, theme, at });
        self.latest[author.index()].rotate_right(1);
        self.latest[author.index()][0] = number;
        self.tell(Activity {
            actor: self.network.person(author).key.clone(),
            verb: Verb::Post,
            object,
            time: at,
            message: compose(random, topic, theme),
            topic: Some(topic),
            to: vec![format!("topic:{}", topic.name())],
            kind: None,
            dwell_ms: None,
        });
    }

    /// A post to view: a friend's latest, or any fresh one. `None` when it is old, their own, or viewed before.
    fn found(&mut self, person: PersonIndex, random: &mut ChaCha8Rng) -> Option<u32> {
        let number = if self.among_friends || random.random_bool(0.5) {
            let friends = self.network.friends(person);
            let friend = friends[random.random_range(0..friends.len())];
            self.latest[friend.index()][random.random_range(0..LATEST)]
        } else {
            if self.posts.is_empty() {
                return None;
            }
            self.posts_before + random.random_range(0..self.posts.len() as u32)
        };
        if number == NO_POST || number < self.posts_before || self.looked[person.index()].contains(&number) {
            return None;
        }
        let post = &self.posts[(number - self.posts_before) as usize];
        (post.author != person).then_some(number)
    }

    fn look(&mut self, person: PersonIndex, number: u32, now: Millis, random: &mut ChaCha8Rng) {
        self.looked[person.index()].push(number);
        let post = self.posts[(number - self.posts_before) as usize].clone();
        let Some(object) = post_key(number) else { return };
        let about = Some((post.topic, Some(post.theme)));
        let probability = like_probability(self.network, person, Some(post.author), object.as_str(), about, now);
        let likes = random.random_bool(probability);
        let Some((kind, dwell_ms)) = reaction(random, likes, probability) else { return };
        let (actor, author) = (&self.network.person(person).key, &self.network.person(post.author).key);
        let told = Activity {
            actor: actor.clone(),
            verb: Verb::Interact,
            object,
            time: now,
            message: String::new(),
            topic: Some(post.topic),
            to: vec![format!("user:{author}")],
            kind: Some(kind),
            dwell_ms,
        };
        let finds_a_friend = kind == Kind::Share && !self.network.are_friends(person, post.author);
        let followed = finds_a_friend.then(|| follow(actor, author, now.plus(1_000)));
        self.tell(told);
        if let Some(followed) = followed {
            self.tell(followed);
        }
    }

    fn tell(&mut self, activity: Activity) {
        if activity.time < self.end() {
            self.waiting.insert((activity.time, self.order), activity);
            self.order += 1;
        }
    }
}

impl Iterator for History<'_> {
    type Item = Activity;

    fn next(&mut self) -> Option<Activity> {
        if let Some(follow) = self.next_follow() {
            self.given += 1;
            return Some(follow);
        }
        loop {
            let reached = self.start.plus(i64::from(self.hours) * HOUR_MS);
            if let Some(first) = self.waiting.first_entry() {
                if first.key().0 < reached || self.hours == self.hours_total {
                    self.given += 1;
                    return Some(first.remove());
                }
            } else if self.hours == self.hours_total {
                return None;
            }
            self.pass_hour();
        }
    }
}

/// Writes a history as JSON lines and returns their number. `watch` runs after each simulated hour.
///
/// # Errors
/// The error of `out`; lines written before stay written.
pub fn write_json_lines(
    mut history: History<'_>,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(HistoryProgress),
) -> io::Result<u64> {
    let mut hours = 0;
    while let Some(activity) = history.next() {
        if history.extended_json {
            serde_json::to_writer(&mut *out, &as_document(&activity)?)?;
        } else {
            serde_json::to_writer(&mut *out, &activity)?;
        }
        out.write_all(b"\n")?;
        if history.hours != hours {
            hours = history.hours;
            watch(history.progress());
        }
    }
    out.flush()?;
    watch(history.progress());
    Ok(history.given)
}

/// An activity in relaxed extended JSON.
fn as_document(activity: &Activity) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(activity)?;
    document["time"] = json!({"$date": timestamps::text(activity.time)});
    // The digits of a post's key are hexadecimal digits, too.
    let object_id = json!({"$oid": format!("{:0>24}", activity.object.as_str().trim_start_matches("post-"))});
    match activity.verb {
        Verb::Post => {
            document["verb"] = json!("add");
            document["object"] = Value::Null;
            document["_id"] = object_id;
        }
        Verb::Interact => document["object"] = object_id,
        Verb::Follow => {}
    }
    Ok(document)
}

fn follow(actor: &Key, object: &Key, time: Millis) -> Activity {
    Activity {
        actor: actor.clone(),
        verb: Verb::Follow,
        object: object.clone(),
        time,
        message: String::new(),
        topic: None,
        to: vec![format!("user:{object}")],
        kind: None,
        dwell_ms: None,
    }
}

/// Key of a post; never `None`, because the text is short.
fn post_key(number: u32) -> Option<Key> {
    Key::new(&format!("post-{number:08}")).ok()
}

/// Activity level of a user, for visits and posts: 0.3 to 2.5, mean about 1.
pub(super) fn liveliness(network: &Network, person: PersonIndex) -> f64 {
    0.3 + 2.2 * unit(trait_of(network, person, CHATTY)).powi(2)
}

/// Share of a user's day that falls into the hour of `now`: the 24 shares sum to 1. Activity is lowest at four, with
/// early risers as the exception.
fn wakefulness(network: &Network, person: PersonIndex, now: Millis) -> f64 {
    let shift = (trait_of(network, person, EARLY) % 5) as usize;
    let hour = (now.0.rem_euclid(DAY_MS) / HOUR_MS) as usize;
    HOURS[(hour + shift + 22) % 24] / 100.0
}

/// Percentage of a day's visits per hour of the day.
pub(super) static HOURS: [f64; 24] = [
    2.0, 1.0, 0.5, 0.5, 0.5, 1.0, 2.5, 5.0, 6.0, 4.5, 4.0, 4.0, 6.0, 5.5, 4.0, 4.0, 4.5, 5.5, 6.5, 8.0, 9.0, 8.0, 5.0,
    3.0,
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const START: Millis = Millis(1_767_225_600_000);

    fn bytes(people: usize, days: u32, network_seed: u64, seed: u64) -> Vec<u8> {
        let network = Network::new(people, network_seed).unwrap();
        let mut out = Vec::new();
        write_json_lines(History::new(&network, START, days, seed).unwrap(), &mut out, &mut |_| ()).unwrap();
        out
    }

    #[test]
    fn a_seed_is_a_history() {
        let first = bytes(40, 2, 1, 1);
        assert!(first == bytes(40, 2, 1, 1), "same seed, other bytes");
        assert!(first != bytes(40, 2, 1, 2), "other days, same bytes");
        assert!(first != bytes(40, 2, 2, 1), "other people, same bytes");
    }

    #[test]
    fn a_week_is_in_order_and_makes_sense() {
        let network = Network::new(200, 3).unwrap();
        let (mut now, mut posts, mut counts) = (START, BTreeMap::new(), BTreeMap::new());
        let (mut looked, mut days) = (BTreeSet::new(), BTreeSet::new());
        for activity in History::new(&network, START, 7, 3).unwrap() {
            assert!(activity.time >= now && activity.time < START.plus(7 * DAY_MS));
            now = activity.time;
            days.insert(now.since(START) / DAY_MS);
            *counts.entry(activity.verb as u8).or_insert(0) += 1;
            match activity.verb {
                Verb::Post => {
                    assert!(!activity.message.is_empty() && activity.kind.is_none());
                    assert!(posts.insert(activity.object, (activity.actor, activity.time)).is_none());
                }
                Verb::Interact => {
                    let (author, written) = &posts[&activity.object];
                    assert!(*author != activity.actor && *written < activity.time && activity.kind.is_some());
                    assert!(looked.insert((activity.actor, activity.object)), "twice");
                }
                Verb::Follow => assert!(network.find(activity.object.as_str()).is_some()),
            }
        }
        assert_eq!(days.len(), 7);
        assert!(counts[&0] > 200 && counts[&1] > 2_000 && counts[&2] > 800, "{counts:?}");
    }

    #[test]
    fn what_people_do_follows_what_they_like() {
        let network = Network::new(200, 5).unwrap();
        let (mut liked, mut disliked) = ((0.0, 0.0), (0.0, 0.0));
        for activity in History::new(&network, START, 7, 1).unwrap() {
            let (Some(kind), Some(topic)) = (activity.kind, activity.topic) else { continue };
            let person = network.find(activity.actor.as_str()).unwrap();
            let taste = crate::simulate::taste::taste(&network, person, topic, None, activity.time);
            let sum = if matches!(kind, Kind::Like | Kind::Share) { &mut liked } else { &mut disliked };
            sum.0 += taste;
            sum.1 += 1.0;
        }
        assert!(liked.0 / liked.1 > disliked.0 / disliked.1 + 0.5);
    }

    #[test]
    fn among_friends_all_reactions_are_to_posts_of_friends() {
        let network = Network::new(60, 3).unwrap();
        let mut authors = BTreeMap::new();
        let mut reactions = 0;
        for activity in History::new(&network, START, 3, 3).unwrap().among_friends() {
            let actor = network.find(activity.actor.as_str()).unwrap();
            match activity.verb {
                Verb::Post => drop(authors.insert(activity.object, actor)),
                Verb::Interact => {
                    assert!(network.are_friends(actor, authors[&activity.object]));
                    reactions += 1;
                }
                Verb::Follow => {}
            }
        }
        assert!(reactions > 100, "{reactions}");
    }

    #[test]
    fn an_exported_post_is_its_own_object() {
        let network = Network::new(20, 1).unwrap();
        let mut out = Vec::new();
        let history = History::new(&network, START, 1, 1).unwrap().as_extended_json();
        write_json_lines(history, &mut out, &mut |_| ()).unwrap();
        let lines = String::from_utf8(out).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let post = lines.iter().find(|line| line["verb"] == "add").unwrap();
        assert_eq!((&post["object"], post["_id"]["$oid"].as_str().unwrap().len()), (&Value::Null, 24));
        let posts: BTreeSet<&str> = lines.iter().filter_map(|line| line["_id"]["$oid"].as_str()).collect();
        for line in lines.iter().filter(|line| line["verb"] == "interact") {
            assert!(posts.contains(line["object"]["$oid"].as_str().unwrap()) && line["time"]["$date"].is_string());
        }
    }

    #[test]
    fn a_line_has_the_shape_of_the_demo() {
        let text = String::from_utf8(bytes(20, 1, 1, 1)).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &lines {
            for field in ["actor", "verb", "object", "time", "message", "to"] {
                assert!(line.get(field).is_some(), "{field} in {line}");
            }
            let time: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
            assert!(time.as_millisecond() >= START.0);
        }
        let verbs: BTreeSet<_> = lines.iter().map(|line| line["verb"].to_string()).collect();
        assert!(verbs.contains("\"post\"") && verbs.contains("\"interact\""), "{verbs:?}");
    }

    #[test]
    fn progress_reaches_the_end_and_wrong_days_are_refused() {
        let network = Network::new(10, 1).unwrap();
        let mut seen = Vec::new();
        let history = History::new(&network, START, 1, 1).unwrap();
        let count = write_json_lines(history, &mut io::sink(), &mut |progress| seen.push(progress)).unwrap();
        let last = seen.last().unwrap();
        assert_eq!((last.hours, last.hours_total, last.activities), (24, 24, count));
        for (name, start, days) in
            [("none", START, 0), ("too many", START, DAYS_MAX + 1), ("beyond 9999", Millis(Millis::MAX.0 - 5), 1)]
        {
            assert!(History::new(&network, start, days, 1).is_err(), "{name}");
        }
    }

    /// Prints the generation speed: `cargo test --release --lib simulate::history -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        let begin = std::time::Instant::now();
        let network = Network::new(100_000, 1).unwrap();
        println!("network of 100,000 people: {:.2} s", begin.elapsed().as_secs_f64());
        let begin = std::time::Instant::now();
        let history = History::new(&network, START, 7, 1).unwrap();
        let count = write_json_lines(history, &mut io::sink(), &mut |_| ()).unwrap();
        println!("7 days of them: {count} activities in {:.1} s", begin.elapsed().as_secs_f64());
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown"));
    }
}
