//! Attributes of the users in the tables: the data that a product has before a user's first action.
//!
//! Invariant: attributes follow from (seed, user); each city lies in its country. Absent on purpose: tastes.

use crate::simulate::chance::{mixed, normal, unit};

/// Countries and their cities.
pub(super) static COUNTRIES: [(&str, [&str; 6]); 8] = [
    ("Norway", ["Oslo", "Bergen", "Trondheim", "Stavanger", "Tromsø", "Bodø"]),
    ("Kenya", ["Nairobi", "Mombasa", "Kisumu", "Nakuru", "Eldoret", "Thika"]),
    ("Brazil", ["São Paulo", "Recife", "Curitiba", "Manaus", "Salvador", "Belém"]),
    ("Japan", ["Osaka", "Sapporo", "Fukuoka", "Nagoya", "Sendai", "Kobe"]),
    ("Italy", ["Turin", "Naples", "Bologna", "Palermo", "Genoa", "Bari"]),
    ("India", ["Pune", "Chennai", "Jaipur", "Kochi", "Indore", "Patna"]),
    ("Canada", ["Halifax", "Winnipeg", "Calgary", "Québec", "Regina", "Moncton"]),
    ("Poland", ["Gdańsk", "Kraków", "Łódź", "Poznań", "Lublin", "Toruń"]),
];

/// Relative sizes of the countries, and of the cities within each.
const COUNTRY_WEIGHTS: [f64; 8] = [30.0, 8.0, 12.0, 10.0, 9.0, 14.0, 7.0, 10.0];
const CITY_WEIGHTS: [f64; 6] = [40.0, 20.0, 15.0, 10.0, 9.0, 6.0];

/// Number of groups in an experiment without effect.
pub(super) const GROUPS: u64 = 5;

/// The columns of `user_data` beside the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Gender code, 0 or 1.
    pub gender: u8,
    /// Age in years, 14 to 90.
    pub age: u8,
    /// Index in the list of countries.
    pub(super) country: u8,
    /// Index among the cities of the country.
    pub(super) city: u8,
    /// Group of an experiment, 0 to 4.
    pub group: u8,
    /// True for iOS, false for Android.
    pub is_ios: bool,
    /// True for an organic installation, false for one from an advertisement.
    pub is_organic: bool,
}

impl Attributes {
    pub(super) fn of(seed: u64, person: u32) -> Attributes {
        let draw = |what: u64| mixed(seed, &[0x0061_7474_7269, u64::from(person), what]);
        // A skewed distribution: many young users, few old ones.
        let age = 29.0 + 12.0 * normal(draw(1)) + 10.0 * unit(draw(2)).powi(3);
        Attributes {
            gender: u8::from(unit(draw(3)) < 0.55),
            age: age.round().clamp(14.0, 90.0) as u8,
            country: weighted(unit(draw(4)), &COUNTRY_WEIGHTS),
            city: weighted(unit(draw(5)), &CITY_WEIGHTS),
            group: (draw(6) % GROUPS) as u8,
            is_ios: unit(draw(7)) < 0.35,
            is_organic: unit(draw(8)) < 0.4,
        }
    }

    /// Name of the country.
    #[must_use]
    pub fn country(&self) -> &'static str {
        COUNTRIES[usize::from(self.country)].0
    }

    /// Name of the city.
    #[must_use]
    pub fn city(&self) -> &'static str {
        COUNTRIES[usize::from(self.country)].1[usize::from(self.city)]
    }

    /// Name of the operating system: `iOS` or `Android`.
    #[must_use]
    pub fn os(&self) -> &'static str {
        if self.is_ios { "iOS" } else { "Android" }
    }

    /// Source of the installation: `organic` or `ads`.
    #[must_use]
    pub fn source(&self) -> &'static str {
        if self.is_organic { "organic" } else { "ads" }
    }

    /// Age, centred and scaled to about unit variance.
    pub(super) fn age_scaled(&self) -> f64 {
        (f64::from(self.age) - 31.5) / 12.0
    }
}

/// Index of the interval that a number in [0, 1) falls into, by weights.
fn weighted(draw: f64, weights: &[f64]) -> u8 {
    let mut rest = draw * weights.iter().sum::<f64>();
    let place = weights.iter().position(|weight| {
        rest -= weight;
        rest < 0.0
    });
    place.unwrap_or(weights.len() - 1) as u8
}
