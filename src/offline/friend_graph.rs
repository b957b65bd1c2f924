//! The friend graph of a network as an SVG picture: people as dots, friendships as lines.
//!
//! Invariant: equal networks give equal bytes. The SVG loads nothing and follows the reader's colour scheme. A dot's colour is
//! its circle of like-minded neighbours; its size grows with the number of friends.

use std::fmt::Write as _;

use eddyline::engine::numeric::layout;
use eddyline::simulate::network::Network;

use crate::picture::{COLOURS, escaped};

/// Largest network that is drawn.
pub const PEOPLE_DRAWN: usize = 5_000;
/// Width and height of the picture.
const SIZE: f64 = 900.0;
const MARGIN: f64 = 30.0;
/// Largest network whose people are labelled.
const LABELLED: usize = 60;

/// Draws people and friendships.
#[must_use]
pub fn draw(network: &Network) -> String {
    let people = network.people().len();
    let mut edges = Vec::new();
    for person in network.indices() {
        edges.extend(
            network.friends(person).iter().filter(|friend| **friend > person).map(|friend| (person.0, friend.0)),
        );
    }
    let place = |value: f32| MARGIN + (f64::from(value) + 1.0) / 2.0 * (SIZE - 2.0 * MARGIN);
    let at: Vec<(f64, f64)> =
        layout::positions(people, &edges).into_iter().map(|(x, y)| (place(x), place(y))).collect();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIZE} {SIZE}\" role=\"img\" aria-labelledby=\"title\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n<title id=\"title\">{people} people and {} friendships</title>",
        edges.len()
    );
    let rules = |dark: bool| {
        let (ground, ink, line) =
            if dark { ("#14171c", "#e6e9ee", "#8a93a3") } else { ("#ffffff", "#1d2230", "#5b6474") };
        let mut rules = format!(".g{{fill:{ground}}}text{{fill:{ink}}}.l{{stroke:{line}}}circle{{stroke:{ground}}}");
        for (k, colour) in COLOURS.iter().enumerate() {
            let _ = write!(rules, ".c{k}{{fill:{}}}", if dark { colour.1 } else { colour.0 });
        }
        rules
    };
    let (light, dark) = (rules(false), rules(true));
    // Dots shrink where there are many.
    let unit = (70.0 / (people as f64).sqrt()).clamp(0.8, 4.5);
    let _ = writeln!(
        out,
        "<style>{light}@media(prefers-color-scheme:dark){{{dark}}}.l{{fill:none;stroke-width:{:.2};stroke-opacity:.35}}\
         circle{{stroke-width:{:.2}}}</style>\n<rect width=\"{SIZE}\" height=\"{SIZE}\" class=\"g\"/>",
        (0.25 * unit).max(0.4),
        0.15 * unit
    );
    out.push_str("<path class=\"l\" d=\"");
    for (a, b) in &edges {
        let (from, to) = (at[*a as usize], at[*b as usize]);
        let _ = write!(out, "M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1);
    }
    out.push_str("\"/>\n");
    for person in network.indices() {
        let (x, y) = at[person.index()];
        let friends = network.friends(person).len();
        let (name, class) = (escaped(&network.person(person).name), network.circle(person) as usize % COLOURS.len());
        let radius = unit * (0.6 + 0.4 * (friends as f64 / 3.0).sqrt());
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" class=\"c{class}\"><title>{name}, {friends} friends</title></circle>"
        );
        if people <= LABELLED {
            let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x + radius + 2.0, y + 4.0);
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_all_people_and_friendships_and_is_equal_each_time() {
        let network = Network::new(50, 1).unwrap();
        let drawn = draw(&network);
        let ties: usize = network.indices().map(|person| network.friends(person).len()).sum();
        assert_eq!(drawn.matches("<circle ").count(), 50);
        assert_eq!(drawn.matches("<text ").count(), 50);
        let lines = drawn.split("class=\"l\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(lines.matches('M').count(), ties / 2);
        assert_eq!(drawn, draw(&network));
        assert!(!drawn.contains("NaN") && drawn.contains("prefers-color-scheme:dark"));
    }
}
