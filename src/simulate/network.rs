//! The users of the network and their friendships.
//!
//! Invariant: friendship is mutual and irreflexive, each user has 2 to 10 friends, and friends of friends are often
//! friends. Keys are unique lower-case ASCII. Absent on purpose: tastes (`taste`) and activities.

use std::collections::HashMap;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::chance::{mixed, stream};
use super::limits::{PEOPLE_MAX, PEOPLE_MIN, SimulateError};
use crate::domain::ids::Key;

/// Largest number of friends of a user; the smallest is 2.
pub const FRIENDS_MAX: usize = 10;

/// Number of neighbours on the ring that share an outlook (see `taste`).
const CIRCLE_PEOPLE: usize = 24;
/// Share of friendships beyond the nearest neighbour that lead to a random user.
const FAR_SHARE: f64 = 0.12;

/// Index of a simulated user in [`Network::people`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonIndex(pub u32);

impl PersonIndex {
    /// The index for slices.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Key and name of a simulated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Key, such as `maya.lindqvist`.
    pub key: Key,
    /// Full name, such as `Maya Lindqvist`.
    pub name: String,
}

/// Users and friendships.
#[derive(Clone, Debug)]
pub struct Network {
    seed: u64,
    people: Vec<Person>,
    by_key: HashMap<Key, PersonIndex>,
    /// Friends of all users one after the other, each list sorted.
    friends: Vec<PersonIndex>,
    /// Offset of each user's friends; one more at the end.
    starts: Vec<u32>,
    /// Index of each user's circle of like-minded neighbours.
    circles: Vec<u32>,
}

impl Network {
    /// A network of `people` users.
    ///
    /// # Errors
    /// [`SimulateError::People`] below [`PEOPLE_MIN`] or above [`PEOPLE_MAX`].
    pub fn new(people: usize, seed: u64) -> Result<Network, SimulateError> {
        if !(PEOPLE_MIN..=PEOPLE_MAX).contains(&people) {
            return Err(SimulateError::People { found: people });
        }
        let ring = shuffled(people, seed, "ring");
        let mut circles = vec![0; people];
        for (place, person) in ring.iter().enumerate() {
            circles[person.index()] = (place / CIRCLE_PEOPLE) as u32;
        }
        let mut friends = Vec::with_capacity(people * 6);
        let mut starts = Vec::with_capacity(people + 1);
        for mut list in friendships(&ring, seed) {
            list.sort_unstable();
            starts.push(friends.len() as u32);
            friends.extend(list);
        }
        starts.push(friends.len() as u32);
        let people = named(people, seed);
        let by_key = people.iter().zip(0..).map(|(person, n)| (person.key.clone(), PersonIndex(n))).collect();
        Ok(Network { seed, people, by_key, friends, starts, circles })
    }

    /// Seed of the network.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All users, in order of their indices.
    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// Indices of all users, ascending.
    pub fn indices(&self) -> impl Iterator<Item = PersonIndex> + use<> {
        (0..self.people.len() as u32).map(PersonIndex)
    }

    /// The user at one of [`Network::indices`].
    #[must_use]
    pub fn person(&self, person: PersonIndex) -> &Person {
        &self.people[person.index()]
    }

    /// Index of the user with a key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<PersonIndex> {
        self.by_key.get(key).copied()
    }

    /// Friends of a user, sorted.
    #[must_use]
    pub fn friends(&self, person: PersonIndex) -> &[PersonIndex] {
        &self.friends[self.starts[person.index()] as usize..self.starts[person.index() + 1] as usize]
    }

    /// True where two users are friends.
    #[must_use]
    pub fn are_friends(&self, one: PersonIndex, other: PersonIndex) -> bool {
        self.friends(one).binary_search(&other).is_ok()
    }

    /// Index of the circle of like-minded neighbours of a user.
    #[must_use]
    pub fn circle(&self, person: PersonIndex) -> u32 {
        self.circles[person.index()]
    }
}

fn shuffled(count: usize, seed: u64, purpose: &str) -> Vec<PersonIndex> {
    let mut order: Vec<PersonIndex> = (0..count as u32).map(PersonIndex).collect();
    order.shuffle(&mut stream(seed, purpose, 0));
    order
}

/// Friendships on a ring: each user knows the next one and up to three more, some of these replaced by random users.
///
/// Source: Watts & Strogatz, *Collective dynamics of 'small-world' networks*, Nature 1998. Here the reach differs
/// between users. The nearest neighbour is never replaced, so each user has at least two friends.
fn friendships(ring: &[PersonIndex], seed: u64) -> Vec<Vec<PersonIndex>> {
    let count = ring.len();
    let mut friends: Vec<Vec<PersonIndex>> = vec![Vec::new(); count];
    let mut random = stream(seed, "friends", 0);
    let mut befriend = |one: PersonIndex, other: PersonIndex, limit: usize| {
        let full = friends[one.index()].len() >= limit || friends[other.index()].len() >= limit;
        if one == other || full || friends[one.index()].contains(&other) {
            return false;
        }
        friends[one.index()].push(other);
        friends[other.index()].push(one);
        true
    };
    for (place, person) in ring.iter().enumerate() {
        befriend(*person, ring[(place + 1) % count], FRIENDS_MAX);
    }
    for (place, person) in ring.iter().enumerate() {
        let reach = random.random_range(1..=4);
        for step in 2..=reach {
            let far = random.random_bool(FAR_SHARE);
            let other = ring[if far { random.random_range(0..count) } else { (place + step) % count }];
            befriend(*person, other, FRIENDS_MAX);
        }
    }
    friends
}

/// Names in a seeded order; all pairs of first and last names occur before any repeats.
fn named(count: usize, seed: u64) -> Vec<Person> {
    let pairs = FIRST_NAMES.len() * LAST_NAMES.len();
    let order = shuffled(pairs, seed, "names");
    let mut people = Vec::with_capacity(count);
    let mut number = 0;
    while people.len() < count {
        let pair = order[number % pairs].index();
        let round = number / pairs + 1;
        number += 1;
        let (first, last) = (FIRST_NAMES[pair % FIRST_NAMES.len()], LAST_NAMES[pair / FIRST_NAMES.len()]);
        let mut text = format!("{}.{}", plain(first), plain(last));
        if round > 1 {
            text.push_str(&round.to_string());
        }
        // Never fails: both names are short.
        if let Ok(key) = Key::new(&text) {
            people.push(Person { key, name: format!("{first} {last}") });
        }
    }
    people
}

/// The letters of a name in lower-case ASCII.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' => plain.push(c),
            'á' | 'à' | 'ã' | 'å' | 'ä' => plain.push('a'),
            'é' | 'è' | 'ę' | 'ë' | 'ê' => plain.push('e'),
            'í' | 'ı' | 'ï' | 'î' => plain.push('i'),
            'ó' | 'ö' | 'ø' | 'ô' => plain.push('o'),
            'ú' | 'ü' | 'ů' => plain.push('u'),
            'ł' => plain.push('l'),
            'ñ' | 'ń' => plain.push('n'),
            'š' | 'ş' => plain.push('s'),
            'č' | 'ç' => plain.push('c'),
            'ž' => plain.push('z'),
            'ř' => plain.push('r'),
            'ý' => plain.push('y'),
            _ => {}
        }
    }
    plain
}

/// A constant trait of a user in [0, 1), such as activity level or waking hours.
pub(crate) fn trait_of(network: &Network, person: PersonIndex, purpose: u64) -> u64 {
    mixed(network.seed, &[0x0074_7261_6974, u64::from(person.0), purpose])
}

static FIRST_NAMES: [&str; 120] = [
    "Maya", "Tomas", "Ifeoma", "Søren", "Aiko", "Rafael", "Leila", "Bogdan", "Chiara", "Desta", "Emre", "Freya",
    "Gita", "Hugo", "Ines", "Jomo", "Katya", "Lars", "Mira", "Nils", "Oona", "Paulo", "Quyen", "Rosa", "Samir", "Tove",
    "Umar", "Vera", "Wanja", "Ximena", "Yara", "Zoltan", "Amara", "Benoît", "Celia", "Dario", "Elif", "Farid", "Greta",
    "Hana", "Ilya", "Joana", "Kofi", "Linh", "Malik", "Nadia", "Oskar", "Priya", "Ravi", "Saskia", "Tariq", "Ursula",
    "Viktor", "Wren", "Yusuf", "Zofia", "Anouk", "Bilal", "Carmen", "Dmitri", "Esther", "Fionn", "Gwen", "Hassan",
    "Irena", "Jaan", "Keiko", "Lucía", "Matteo", "Noor", "Otis", "Petra", "Rania", "Stellan", "Thandi", "Uma", "Vito",
    "Willa", "Yohan", "Zara", "Agnès", "Bruno", "Dalia", "Eero", "Flora", "Goran", "Hilde", "Isak", "Jaya", "Kaito",
    "Lotte", "Milo", "Nyasha", "Olu", "Pilar", "Rui", "Sunniva", "Teo", "Vesna", "Wim", "Zeno", "Alba", "Brita",
    "Cato", "Dunja", "Ewa", "Femi", "Gideon", "Hedda", "Ivo", "Juno", "Kirsi", "Levin", "Mei", "Nuria", "Odd", "Pia",
    "Rémi", "Sanne", "Tiago",
];

static LAST_NAMES: [&str; 132] = [
    "Lindqvist",
    "Varga",
    "Okonta",
    "Marlowe",
    "Brandt",
    "Castellan",
    "Dahlberg",
    "Esterhaus",
    "Fontane",
    "Garrow",
    "Halvorsen",
    "Ibarra",
    "Jansk",
    "Kestrel",
    "Lorne",
    "Mbali-Lund",
    "Nakahara",
    "Oyelaran",
    "Petrakis",
    "Quintero",
    "Rautio",
    "Silvane",
    "Tamsin",
    "Ulvaeng",
    "Vasilek",
    "Wexley",
    "Yamada-Holt",
    "Zielinka",
    "Abernal",
    "Bellweather",
    "Corvino",
    "Dragan",
    "Elmsworth",
    "Farouq",
    "Grünfeld",
    "Hartog",
    "Iwamoto",
    "Jelinek",
    "Karimova",
    "Lefevre",
    "Moravec",
    "Nwosu",
    "Ostrander",
    "Pellegri",
    "Quist",
    "Ranganath",
    "Sandoval",
    "Thornbury",
    "Ueda",
    "Vanterpool",
    "Winterbourne",
    "Yildiz",
    "Zamfir",
    "Achterberg",
    "Bjornstad",
    "Calloway",
    "Deveraux",
    "Ekström",
    "Fairweather",
    "Gaspar",
    "Hollis",
    "Ivanek",
    "Jurado",
    "Kowalczek",
    "Lindgarde",
    "Montalvo",
    "Nordahl",
    "Oduya",
    "Pražák",
    "Rosander",
    "Sørby",
    "Tanaka-Reyes",
    "Umber",
    "Vidal",
    "Westergren",
    "Yates",
    "Zubiri",
    "Adeyemi",
    "Bauman",
    "Cisneros",
    "Dogan",
    "Engel",
    "Fjeld",
    "Guerra",
    "Hosseini",
    "Ismail",
    "Joubert",
    "Kaur",
    "Lamont",
    "Mehta",
    "Novák",
    "Orsini",
    "Park",
    "Rahman",
    "Sato",
    "Toivonen",
    "Unger",
    "Villanueva",
    "Wolde",
    "Xu",
    "Yeboah",
    "Zeller",
    "Amsel",
    "Birk",
    "Crane",
    "Dove",
    "Egret",
    "Finch",
    "Grouse",
    "Heron",
    "Ibison",
    "Jay",
    "Kite",
    "Larkin",
    "Merle",
    "Nightjar",
    "Oriole",
    "Plover",
    "Quaile",
    "Rooke",
    "Starling",
    "Ternholm",
    "Urraca",
    "Vesper",
    "Wagtail",
    "Yarrow",
    "Zorzal",
    "Ashgrove",
    "Brook",
    "Cove",
    "Delta",
    "Estuary",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Clustering coefficient: share of pairs of a user's friends who are friends themselves, mean over users.
    fn clustering(network: &Network) -> f64 {
        let mut sum = 0.0;
        for person in network.indices() {
            let friends = network.friends(person);
            let mut closed = 0;
            for (n, one) in friends.iter().enumerate() {
                closed += friends[n + 1..].iter().filter(|other| network.are_friends(*one, **other)).count();
            }
            sum += closed as f64 / (friends.len() * (friends.len() - 1) / 2) as f64;
        }
        sum / network.people().len() as f64
    }

    #[test]
    fn everyone_has_two_to_ten_friends_who_know_each_other() {
        for (people, seed) in [(5, 1), (12, 2), (200, 3), (5_000, 4)] {
            let network = Network::new(people, seed).unwrap();
            let mut ties = 0;
            for person in network.indices() {
                let friends = network.friends(person);
                assert!((2..=FRIENDS_MAX).contains(&friends.len()), "{people}: {}", friends.len());
                assert!(friends.windows(2).all(|pair| pair[0] < pair[1]) && !friends.contains(&person));
                assert!(friends.iter().all(|friend| network.are_friends(*friend, person)));
                ties += friends.len();
            }
            // Expected coefficient of a random graph with equal density.
            let random = ties as f64 / people as f64 / (people - 1) as f64;
            let found = clustering(&network);
            assert!(found > 0.3, "{people}: {found}");
            assert!(people < 200 || found > 10.0 * random, "{people}: {found} against {random}");
        }
    }

    #[test]
    fn degrees_spread_over_the_whole_range() {
        let network = Network::new(5_000, 9).unwrap();
        let found: BTreeSet<usize> = network.indices().map(|person| network.friends(person).len()).collect();
        assert!(found.contains(&2) && found.contains(&9), "{found:?}");
    }

    #[test]
    fn keys_are_unique_and_plain() {
        let network = Network::new(40_000, 5).unwrap();
        let keys: BTreeSet<&str> = network.people().iter().map(|person| person.key.as_str()).collect();
        assert_eq!(keys.len(), 40_000);
        for key in keys {
            assert!(key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.'), "{key}");
            assert!(network.find(key).is_some());
        }
        assert_eq!(network.find("nobody"), None);
        for name in FIRST_NAMES.iter().chain(&LAST_NAMES) {
            let letters = name.chars().filter(|c| c.is_alphabetic()).count();
            assert_eq!(plain(name).len(), letters, "{name}: a letter has no plain form");
        }
    }

    #[test]
    fn a_seed_is_a_network() {
        let all = |seed| {
            let network = Network::new(300, seed).unwrap();
            (network.people.clone(), network.friends.clone(), network.circles.clone())
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn too_few_or_too_many_people_are_refused() {
        for (people, good) in [(0, false), (2, false), (3, true), (PEOPLE_MAX + 1, false)] {
            assert_eq!(Network::new(people, 1).is_ok(), good, "{people}");
        }
        let message = Network::new(2, 1).unwrap_err().to_string();
        assert_eq!(message, "`people` must be 3 to 1000000, is 2");
    }
}
