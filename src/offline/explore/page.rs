//! The page of `eddyline explore`: tables, and pictures as inline SVG.
//!
//! Invariant: the page needs no external resource and no script, all text is escaped, and labels differ by mark as well as
//! by colour. Equal reports give equal bytes.

use std::fmt::Write as _;

use eddyline_replay::html::{STYLE, escape, table};
use eddyline_replay::metrics::shown;

use super::{Duplicates, Lengths, Report, WORDS_PER_BIN, label};

const STYLE_OF_LABELS: &str = ".accepted{--mark:var(--s0)}.rejected{--mark:var(--s1)}.dot{fill:var(--mark);fill-opacity:.6}\
.cross{fill:none;stroke:var(--mark);stroke-width:1.6;stroke-opacity:.8}.bar{fill:var(--mark)}\
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(18rem,100%),1fr));gap:0 2rem}\
.text{text-align:left;overflow-wrap:anywhere;min-width:14rem}h3{font-size:1.05rem;margin:1.5rem 0 0}";
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 520.0;
const MARGIN: f64 = 24.0;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut body = String::from("<h1>Judged texts</h1>");
    facts(&mut body, report);
    section(&mut body, "Files", &files(report));
    section(&mut body, "Lengths", &lengths(report));
    section(&mut body, "Frequent terms", &terms(report));
    section(&mut body, "Embeddings", &projection(report));
    section(&mut body, "Near duplicates", &duplicates(&report.duplicates));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>Judged texts</title><style>{STYLE}{STYLE_OF_LABELS}</style>\
         </head>\n<body>{body}</body></html>\n"
    )
}

fn section(body: &mut String, title: &str, content: &str) {
    let _ = write!(body, "<section><h2>{}</h2>{content}</section>", escape(title));
}

fn facts(body: &mut String, report: &Report) {
    let facts = [
        ("texts", report.texts.to_string()),
        ("files", report.files.len().to_string()),
        ("accepted", report.accepted.to_string()),
        ("rejected", report.rejected.to_string()),
        ("dimensions", report.dim.to_string()),
    ];
    let list = facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value)));
    let _ = write!(body, "<dl>{}</dl>", list.collect::<String>());
}

fn files(report: &Report) -> String {
    let rows = report.files.iter().map(|file| {
        vec![
            file.name.clone(),
            file.texts.to_string(),
            file.accepted.to_string(),
            file.rejected.to_string(),
            shown(file.words_mean, 1),
            file.duplicated.to_string(),
            shown(file.separability.centroid, 3),
            shown(file.separability.ridge, 3),
        ]
    });
    let caption =
        "Separability: mean ROC AUC on held-out texts in 5 folds, near duplicates in one fold. 0.5 is chance.";
    let head = ["file", "texts", "accepted", "rejected", "words", "with a near duplicate", "centroid AUC", "ridge AUC"];
    table(caption, &head, rows)
}

fn lengths(report: &Report) -> String {
    let rows = report.lengths.iter().map(|(label, lengths)| {
        let count = |count: Option<usize>| count.map_or("-".to_owned(), |count| count.to_string());
        let Lengths { mean, least, median, most, .. } = lengths;
        vec![(*label).to_owned(), shown(*mean, 1), count(*least), count(*median), count(*most)]
    });
    let numbers = table("Words per text", &["label", "mean", "least", "median", "most"], rows);
    numbers + &histogram(report)
}

/// Shares of the texts of each label by length, side by side.
fn histogram(report: &Report) -> String {
    let (width, height) = (WIDTH, 220.0);
    let bins = report.lengths.values().map(|lengths| lengths.bins.len()).max().unwrap_or(0);
    let used = (0..bins).rev().find(|bin| report.lengths.values().any(|lengths| lengths.bins[*bin] > 0));
    let Some(last) = used else { return String::new() };
    let share =
        |lengths: &Lengths, bin: usize| lengths.bins[bin] as f64 / lengths.bins.iter().sum::<usize>().max(1) as f64;
    let most = report.lengths.values().flat_map(|lengths| (0..=last).map(move |bin| share(lengths, bin)));
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let step = (width - 2.0 * MARGIN) / (last + 1) as f64;
    let mut out = format!(
        "<figure><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Share of the texts of each label by number \
         of words\">"
    );
    for bin in 0..=last {
        let left = MARGIN + step * bin as f64;
        for (place, (label, lengths)) in report.lengths.iter().enumerate() {
            let tall = share(lengths, bin) / most * (height - 60.0);
            let x = left + step * (0.1 + 0.4 * place as f64);
            let _ = write!(
                out,
                "<rect class=\"bar {label}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>{label}: {} \
                 texts</title></rect>",
                height - 36.0 - tall,
                step * 0.38,
                lengths.bins[bin]
            );
        }
        let more = if bin + 1 == bins { "+" } else { "" };
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}{more}</text>",
            left + 0.5 * step,
            height - 18.0,
            bin * WORDS_PER_BIN
        );
    }
    let _ = write!(
        out,
        "</svg><figcaption>Share of the texts of each label by number of words, in bins of {WORDS_PER_BIN}; {}.</figcaption></figure>",
        key("bar", "M0 0H10V10H0Z")
    );
    out
}

/// A legend of both labels.
fn key(class: &str, mark: &str) -> String {
    let of_label = |label: &str, class: &str, mark: &str| {
        format!(
            "<svg viewBox=\"0 0 10 10\" style=\"width:.8em;height:.8em\" class=\"{label}\" aria-hidden=\"true\"><path class=\"{class}\" d=\"{mark}\"/></svg> {label}"
        )
    };
    let (other, other_mark) = if class == "dot" { ("cross", "M1 1 9 9M1 9 9 1") } else { (class, mark) };
    format!("{}, {}", of_label("accepted", class, mark), of_label("rejected", other, other_mark))
}

fn terms(report: &Report) -> String {
    let names = ["Words", "Pairs of words", "Triples of words"];
    let mut out = format!(
        "<p>Without stop words (language <code>{}</code>) and single characters. Pairs and triples are of the words that \
         remain.</p>",
        escape(&report.language)
    );
    for (lists, name) in report.terms.iter().zip(names) {
        let _ = write!(out, "<h3>{name}</h3><div class=\"pair\">");
        for (wanted, terms) in [(true, &lists.accepted), (false, &lists.rejected)] {
            let rows =
                terms.iter().map(|term| vec![term.term.clone(), term.accepted.to_string(), term.rejected.to_string()]);
            let caption = format!("Most frequent in {} texts", label(wanted));
            out += &table(&caption, &["term", "accepted", "rejected"], rows);
        }
        out += "</div>";
        if lists.pruned {
            out += "<p>Rare terms were dropped while counting: counts are lower bounds.</p>";
        }
    }
    out
}

fn projection(report: &Report) -> String {
    let points = &report.projection.points;
    let span = |of: fn(&super::vectors::Point) -> f64| {
        let (low, high) = points
            .iter()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if high > low { (low, high) } else { (low - 0.5, high + 0.5) }
    };
    let (x, y) = (span(|point| point.x), span(|point| point.y));
    let place =
        |value: f64, (low, high): (f64, f64), size: f64| MARGIN + (value - low) / (high - low) * (size - 2.0 * MARGIN);
    let mut out = format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Embeddings on their first two principal \
         axes, by label\"><rect class=\"grid\" fill=\"none\" x=\"8\" y=\"8\" width=\"{}\" height=\"{}\"/>",
        WIDTH - 16.0,
        HEIGHT - 16.0
    );
    for point in points {
        let (px, py) = (place(point.x, x, WIDTH), HEIGHT - place(point.y, y, HEIGHT));
        let _ = match point.accepted {
            true => write!(out, "<circle class=\"dot accepted\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\"/>"),
            false => {
                write!(out, "<path class=\"cross rejected\" d=\"M{:.1} {:.1}l7 7m0-7l-7 7\"/>", px - 3.5, py - 3.5)
            }
        };
    }
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let every = match report.projection.every {
        1 => String::new(),
        every => format!(" One text in {every} is drawn."),
    };
    let _ = write!(
        out,
        "</svg><figcaption>Embeddings on their first two principal axes, with {} and {} of the variance: {}.{every}\
         </figcaption></figure>",
        percent(report.projection.explained[0]),
        percent(report.projection.explained[1]),
        key("dot", "M1 5a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z")
    );
    out
}

fn duplicates(found: &Duplicates) -> String {
    let mut out = format!(
        "<p>{} pairs of {} texts have a cosine above {}; of the listed ones {} have different labels.</p>",
        found.pairs, found.compared, found.cosine, found.contradictions
    );
    if found.listed.is_empty() {
        return out;
    }
    out += "<div class=\"wide\"><table><thead><tr><th scope=\"col\">cosine</th><th scope=\"col\">first</th>\
            <th scope=\"col\" class=\"text\">text</th><th scope=\"col\">second</th><th scope=\"col\" class=\"text\">text</th></tr></thead><tbody>";
    for pair in &found.listed {
        let _ = write!(out, "<tr><td>{:.4}</td>", pair.cosine);
        for (at, place) in [&pair.first, &pair.second].into_iter().enumerate() {
            let _ = write!(
                out,
                "<td>{}, row {}, {}</td><td class=\"text\">{}</td>",
                escape(&place.file),
                place.row,
                pair.labels[at],
                escape(&pair.texts[at])
            );
        }
        out += "</tr>";
    }
    out += "</tbody></table></div>";
    if found.listed.len() < found.pairs {
        let _ = write!(out, "<p>The {} most similar pairs are listed.</p>", found.listed.len());
    }
    out
}
