//! Line plots as SVG, each with a table of its numbers.
//!
//! Invariant: coordinates are finite and rounded to a tenth of a pixel; series differ in dashes as well as in colour.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
/// Margins for labels: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 190.0, 16.0, 44.0);
/// Dash patterns, one per ranker; the style has as many colours.
const DASHES: [&str; 9] = ["", "7 3", "2 3", "9 3 2 3", "4 4", "1 5", "12 4", "6 2 1 2", "3 6"];
const GRID_LINES: usize = 5;
/// Style of a picture without a page.
const FILE_STYLE: &str = "<style>\
:root{color-scheme:light dark;--soft:#59636e;--line:#d0d7de;--paper:#fff;--s0:#0550ae;--s1:#a40e26;--s2:#116329;\
--s3:#8250df;--s4:#953800;--s5:#57606a;--s6:#9e1a7a;--s7:#0b6e75}\
@media(prefers-color-scheme:dark){:root{--soft:#9198a1;--line:#3d444d;--paper:#0d1117;--s0:#79c0ff;--s1:#ff9492;\
--s2:#7ee787;--s3:#d2a8ff;--s4:#ffa657;--s5:#b1bac4;--s6:#ff9bce;--s7:#76e3ea}}\
svg{background:var(--paper)}text{fill:var(--soft);font:12px system-ui,sans-serif}.grid{stroke:var(--line)}\
.line{fill:none;stroke-width:2}.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}\
.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}</style>";

/// Label and scale of one axis.
#[derive(Clone, Debug)]
pub struct Axis {
    name: String,
    /// Fixed range; `None` derives it from the points.
    range: Option<(f64, f64)>,
    /// True for milliseconds since 1970, labelled as days since the first point.
    is_time: bool,
}

impl Axis {
    /// An axis over the range of its points.
    #[must_use]
    pub fn new(name: &str) -> Axis {
        Axis { name: name.to_owned(), range: None, is_time: false }
    }

    /// An axis from 0 to 1.
    #[must_use]
    pub fn unit(name: &str) -> Axis {
        Axis { range: Some((0.0, 1.0)), ..Axis::new(name) }
    }

    /// An axis with a fixed range.
    #[must_use]
    pub fn between(name: &str, low: f64, high: f64) -> Axis {
        Axis { range: Some((low, high)), ..Axis::new(name) }
    }

    /// An axis of milliseconds since 1970, labelled as days since the first point.
    #[must_use]
    pub fn time(name: &str) -> Axis {
        Axis { name: format!("{name}, days since the beginning"), range: None, is_time: true }
    }
}

/// Name and points of one line.
#[derive(Clone, Debug)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    /// True for a reference line: drawn faintly, absent from the table.
    is_even: bool,
}

impl Series {
    /// A line through points `(x, y)`.
    #[must_use]
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.to_owned(), points, is_even: false }
    }

    /// A faint reference line from (0, 0) to (1, 1).
    #[must_use]
    pub fn even() -> Series {
        Series { is_even: true, ..Series::new("perfect", vec![(0.0, 0.0), (1.0, 1.0)]) }
    }
}

/// Axes, lines and caption of a plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Title, unique within its file.
    pub title: String,
    /// Sentence below the plot, without a full stop.
    pub about: String,
    /// Label and range of the horizontal axis.
    pub x: Axis,
    /// Label and range of the vertical axis.
    pub y: Axis,
    /// Lines, the first one at the top of the legend.
    pub series: Vec<Series>,
}

impl Plot {
    /// The plot as HTML with caption and table; empty without a point.
    #[must_use]
    pub fn figure(&self) -> String {
        let Some((svg, x)) = self.svg("") else { return String::new() };
        let caption = format!("<figcaption>{}: {}.</figcaption>", escape(&self.title), escape(&self.about));
        let numbers = self.numbers(x);
        format!("<figure>{svg}{caption}<details><summary>Numbers</summary>{numbers}</details></figure>")
    }

    /// The plot as an SVG file of its own, which follows the reader's colour scheme; empty without a point.
    pub fn file(&self) -> String {
        self.svg(FILE_STYLE).map_or_else(String::new, |(svg, _)| svg + "\n")
    }

    /// The picture with a style, and the range of its horizontal axis; `None` without a point.
    fn svg(&self, style: &str) -> Option<(String, (f64, f64))> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        points().next()?;
        let (x, y) = (range(&self.x, points().map(|point| point.0)), range(&self.y, points().map(|point| point.1)));
        let id: String = self.title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let mut out = format!(
            "<svg{} viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">{style}\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            if style.is_empty() { "" } else { " xmlns=\"http://www.w3.org/2000/svg\"" },
            escape(&self.title),
            escape(&self.about)
        );
        let (left, right, top, bottom) = MARGIN;
        let place_x = |value: f64| left + (value - x.0) / (x.1 - x.0) * (WIDTH - left - right);
        let place_y = |value: f64| HEIGHT - bottom - (value - y.0) / (y.1 - y.0) * (HEIGHT - top - bottom);
        for line in 0..=GRID_LINES {
            let share = line as f64 / GRID_LINES as f64;
            let (at_x, at_y) = (x.0 + share * (x.1 - x.0), y.0 + share * (y.1 - y.0));
            let (px, py) = (place_x(at_x), place_y(at_y));
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{py:.1}\" y2=\"{py:.1}\"/><text x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text><text x=\"{px:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}\
                 </text>",
                WIDTH - right,
                left - 6.0,
                py + 4.0,
                label(&self.y, at_y, y),
                HEIGHT - bottom + 18.0,
                label(&self.x, at_x, x)
            );
        }
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (left + WIDTH - right) / 2.0,
            HEIGHT - 6.0,
            escape(&self.x.name)
        );
        let mut coloured = 0;
        for series in &self.series {
            let mut path = String::new();
            for (at, (px, py)) in series.points.iter().enumerate() {
                let command = if at == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", place_x(*px), place_y(*py));
            }
            if series.is_even {
                let _ = write!(out, "<path class=\"line even\" d=\"{path}\"/>");
                continue;
            }
            let class = coloured % DASHES.len();
            let dash = DASHES[class];
            let key_y = top + 10.0 + 20.0 * coloured as f64;
            coloured += 1;
            let _ = write!(
                out,
                "<path class=\"line s{class}\" stroke-dasharray=\"{dash}\" d=\"{path}\"/><line class=\"line s{class}\" \
                 stroke-dasharray=\"{dash}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{key_y:.1}\" y2=\"{key_y:.1}\"/><text \
                 x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH - right + 8.0,
                WIDTH - right + 32.0,
                WIDTH - right + 38.0,
                key_y + 4.0,
                escape(&series.name)
            );
        }
        if !style.is_empty() {
            // A page has the caption beside the picture, a file within it.
            let _ = write!(out, "<text x=\"{left}\" y=\"11\">{}</text>", escape(&self.title));
        }
        out.push_str("</svg>");
        Some((out, x))
    }

    fn numbers(&self, x: (f64, f64)) -> String {
        let drawn = || self.series.iter().filter(|series| !series.is_even);
        let mut places: Vec<f64> = drawn().flat_map(|series| series.points.iter().map(|point| point.0)).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let head: Vec<&str> =
            std::iter::once(self.x.name.as_str()).chain(drawn().map(|series| series.name.as_str())).collect();
        let rows = places.iter().map(|place| {
            let values = drawn().map(|series| {
                let found = series.points.iter().find(|point| point.0 == *place);
                found.map(|point| format!("{:.4}", point.1)).unwrap_or_default()
            });
            std::iter::once(label(&self.x, *place, x)).chain(values).collect()
        });
        table(&self.title, &head, rows)
    }
}

/// A table with a caption, as HTML; the first cell of a row is its header.
#[must_use]
pub fn table(caption: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: String = head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell))).collect();
    let rows = rows.map(|row| {
        let cells = row.iter().enumerate().map(|(at, cell)| match at {
            0 => format!("<th scope=\"row\">{}</th>", escape(cell)),
            _ => format!("<td>{}</td>", escape(cell)),
        });
        format!("<tr>{}</tr>", cells.collect::<String>())
    });
    format!(
        "<div class=\"wide\"><table><caption>{}</caption><thead><tr>{head}</tr></thead><tbody>{}</tbody></table></div>",
        escape(caption),
        rows.collect::<String>()
    )
}

/// Escapes text for HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The range of an axis, never empty.
fn range(axis: &Axis, values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = axis.range.unwrap_or_else(|| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    });
    if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
}

fn label(axis: &Axis, value: f64, (low, high): (f64, f64)) -> String {
    let (value, span) =
        if axis.is_time { ((value - low) / 86_400_000.0, (high - low) / 86_400_000.0) } else { (value, high - low) };
    let digits = if span >= 50.0 {
        0
    } else if span >= 5.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}
