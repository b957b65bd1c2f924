//! Clusters as an SVG picture: points, ellipses, a legend.
//!
//! Invariant: the SVG is well-formed for any finite numbers and any names, and loads nothing. It follows the reader's colour
//! scheme, light or dark. Clusters differ by mark as well as by colour.

use std::fmt::Write as _;

use eddyline::engine::mixture::Group;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 640.0;
/// Left, top, right and bottom edge of the plot, in units of the picture.
const PLOT: (f64, f64, f64, f64) = (70.0, 24.0, 700.0, 580.0);
/// Largest number of points in a picture. Of more rows only every n-th is drawn.
const POINTS_MAX: usize = 5_000;
/// Colours of clusters for a light and a dark background; the list repeats after the last one.
pub(crate) const COLOURS: [(&str, &str); 10] = [
    ("#0b62c4", "#6cb0ff"),
    ("#b3530a", "#ff9f4a"),
    ("#1a7a3c", "#5fd08a"),
    ("#9c2fa0", "#e58ae8"),
    ("#b81e3c", "#ff7d92"),
    ("#006d77", "#4fd1d9"),
    ("#6b5b00", "#d9c53a"),
    ("#4b4bc8", "#a5a5ff"),
    ("#7a4326", "#d9a07a"),
    ("#4a6a00", "#a8d04a"),
];
/// Paths of marks around the origin, so that clusters differ without colours.
const MARKS: [&str; 5] = [
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0Z",
    "M-3-3H3V3H-3Z",
    "M0-3.6 3.4 2.6H-3.4Z",
    "M0-4 4 0 0 4-4 0Z",
    "M0 3.6-3.4-2.6H3.4Z",
];

/// Draws two columns; `assignment` holds the cluster id of each row, -1 for outliers.
pub fn draw(groups: &[Group], assignment: &[i64], (x, y): (&[f64], &[f64]), names: (&str, &str)) -> String {
    let axes = (Axis::of(groups, assignment, x, 0), Axis::of(groups, assignment, y, 1));
    let place = |a: f64, b: f64| {
        let (left, top, right, bottom) = PLOT;
        (left + axes.0.share(a) * (right - left), bottom - axes.1.share(b) * (bottom - top))
    };
    let mut out = head(groups);
    frame(&mut out, &axes, names);
    let step = assignment.len().div_ceil(POINTS_MAX).max(1);
    let mut beyond = 0;
    let _ = writeln!(out, "<g clip-path=\"url(#plot)\">");
    for row in 0..assignment.len() {
        let inside = axes.0.holds(x[row]) && axes.1.holds(y[row]);
        beyond += usize::from(!inside);
        if !inside || row % step != 0 {
            continue;
        }
        let (px, py) = place(x[row], y[row]);
        let class = groups.iter().position(|group| i64::from(group.id) == assignment[row]);
        match class {
            Some(k) => {
                let mark = k % MARKS.len();
                let _ = writeln!(out, "<use href=\"#m{mark}\" x=\"{px:.1}\" y=\"{py:.1}\" class=\"p c{k}\"/>");
            }
            None => {
                let _ = writeln!(out, "<use href=\"#x\" x=\"{px:.1}\" y=\"{py:.1}\" class=\"o\"/>");
            }
        }
    }
    for (k, group) in groups.iter().enumerate() {
        ellipse(&mut out, group, k, place);
    }
    out.push_str("</g>\n");
    legend(&mut out, groups, assignment, step, beyond);
    out.push_str("</svg>\n");
    out
}

fn head(groups: &[Group]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"title\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title id=\"title\">{} groups</title>",
        groups.len()
    );
    let rules = |dark: bool| {
        let mut rules = String::new();
        let (ground, ink, line) =
            if dark { ("#14171c", "#e6e9ee", "#3a414d") } else { ("#ffffff", "#1d2230", "#c9ced8") };
        let _ = write!(rules, ".g{{fill:{ground}}}text{{fill:{ink}}}.l{{stroke:{line}}}.o{{stroke:{ink}}}");
        for k in 0..groups.len() {
            let colour = COLOURS[k % COLOURS.len()];
            let _ = write!(rules, ".c{k}{{--c:{}}}", if dark { colour.1 } else { colour.0 });
        }
        rules
    };
    let (light, dark) = (rules(false), rules(true));
    let _ = writeln!(
        out,
        "<style>{light}@media(prefers-color-scheme:dark){{{dark}}}.p{{fill:var(--c);fill-opacity:.55}}\
         .e{{fill:none;stroke:var(--c);stroke-width:2}}.l{{fill:none}}.o{{fill:none;stroke-opacity:.7}}</style>\n<defs>"
    );
    for (index, mark) in MARKS.iter().enumerate() {
        let _ = writeln!(out, "<path id=\"m{index}\" d=\"{mark}\"/>");
    }
    let (left, top, right, bottom) = PLOT;
    let _ = writeln!(
        out,
        "<path id=\"x\" d=\"M-3-3 3 3M-3 3 3-3\"/>\n<clipPath id=\"plot\"><rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"/></clipPath>\n</defs>",
        right - left,
        bottom - top
    );
    let _ = writeln!(out, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" class=\"g\"/>");
    out
}

fn frame(out: &mut String, axes: &(Axis, Axis), names: (&str, &str)) {
    let (left, top, right, bottom) = PLOT;
    for tick in axes.0.ticks() {
        let x = left + axes.0.share(tick) * (right - left);
        let _ = writeln!(out, "<path class=\"l\" d=\"M{x:.1} {top}V{bottom}\"/>");
        let _ =
            writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", bottom + 18.0, number(tick));
    }
    for tick in axes.1.ticks() {
        let y = bottom - axes.1.share(tick) * (bottom - top);
        let _ = writeln!(out, "<path class=\"l\" d=\"M{left} {y:.1}H{right}\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 4.0,
            number(tick)
        );
    }
    let (width, height) = (right - left, bottom - top);
    let _ = writeln!(out, "<rect class=\"l\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>");
    let middle = (0.5 * (left + right), 0.5 * (top + bottom));
    let (x_name, y_name) = (escaped(names.0), escaped(names.1));
    let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{x_name}</text>", middle.0, bottom + 42.0);
    let turn = format!("rotate(-90 16 {})", middle.1);
    let _ =
        writeln!(out, "<text x=\"16\" y=\"{}\" text-anchor=\"middle\" transform=\"{turn}\">{y_name}</text>", middle.1);
}

/// Draws two standard deviations around a cluster's mean. A polygon, since the two axes may have different scales.
fn ellipse(out: &mut String, group: &Group, k: usize, place: impl Fn(f64, f64) -> (f64, f64)) {
    const CORNERS: usize = 72;
    let (xx, xy, yy) = (group.covariance[0][0], group.covariance[0][1], group.covariance[1][1]);
    // The Cholesky factor of the covariance maps a circle to the ellipse.
    let a = xx.max(0.0).sqrt();
    let b = if a > 0.0 { xy / a } else { 0.0 };
    let c = (yy - b * b).max(0.0).sqrt();
    out.push_str("<path class=\"e c");
    let _ = write!(out, "{k}\" d=\"");
    for corner in 0..CORNERS {
        let (sin, cos) = (std::f64::consts::TAU * corner as f64 / CORNERS as f64).sin_cos();
        let (x, y) = place(group.mean[0] + 2.0 * a * cos, group.mean[1] + 2.0 * (b * cos + c * sin));
        let _ = write!(out, "{}{x:.1} {y:.1}", if corner == 0 { 'M' } else { 'L' });
    }
    out.push_str("Z\"/>\n");
}

fn legend(out: &mut String, groups: &[Group], assignment: &[i64], step: usize, beyond: usize) {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (k, group) in groups.iter().enumerate() {
        let mark = format!("href=\"#m{}\" class=\"p c{k}\"", k % MARKS.len());
        lines.push((mark, format!("group {}: {}", group.id, group.size)));
    }
    let outliers = assignment.iter().filter(|group| **group < 0).count();
    lines.push(("href=\"#x\" class=\"o\"".into(), format!("none: {outliers}")));
    lines.push((String::new(), "lines: 2 sigma".into()));
    if step > 1 {
        lines.push((String::new(), format!("drawn: 1 in {step}")));
    }
    if beyond > 0 {
        lines.push((String::new(), format!("outside: {beyond}")));
    }
    let (x, mut y) = (PLOT.2 + 24.0, PLOT.1 + 12.0);
    for (mark, text) in lines {
        if !mark.is_empty() {
            let _ = writeln!(out, "<use {mark} x=\"{x}\" y=\"{y}\"/>");
        }
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{text}</text>", x + 14.0, y + 4.0);
        y += 22.0;
    }
}

/// Range of one axis: all clusters to three deviations, and outliers at most a tenth beyond.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn of(groups: &[Group], assignment: &[i64], values: &[f64], column: usize) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for group in groups {
            let reach = 3.0 * group.covariance[column][column].max(0.0).sqrt();
            low = low.min(group.mean[column] - reach);
            high = high.max(group.mean[column] + reach);
        }
        for (value, _) in values.iter().zip(assignment).filter(|(_, group)| **group >= 0) {
            low = low.min(*value);
            high = high.max(*value);
        }
        // Outliers extend the range by a tenth at most. The legend counts those farther out.
        let reach = 0.1 * (high - low);
        let (least, most) = (low - reach, high + reach);
        for value in values {
            low = low.min(value.max(least));
            high = high.max(value.min(most));
        }
        let margin = (0.03 * (high - low)).max(f64::MIN_POSITIVE);
        let margin = if high - low > 1e-12 * low.abs().max(high.abs()) { margin } else { 0.5 * low.abs().max(1.0) };
        Axis { low: low - margin, high: high + margin }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(-10.0, 11.0)
    }

    fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round numbers at about six places of the axis.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 6.0;
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * unit).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(unit);
        let first = (self.low / step).ceil();
        (0..12).map(|n| (first + f64::from(n)) * step).take_while(|tick| *tick <= self.high).collect()
    }
}

fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        return format!("{value:e}").chars().take(12).collect();
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Escapes a name for SVG, without control characters, at most 60 characters.
pub(crate) fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: u32, mean: [f64; 2], covariance: [[f64; 2]; 2]) -> Group {
        let covariance = covariance.map(|row| row.to_vec()).to_vec();
        Group { id, size: 2, weight: 0.5, mean: mean.to_vec(), covariance, freedom: None }
    }

    #[test]
    fn every_point_and_group_is_there() {
        let groups = [group(0, [0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]]), group(3, [9.0, 9.0], [[0.1, 0.0], [0.0, 0.1]])];
        let (x, y) = (vec![0.1, 9.0, 9.1, 4.0, 1e9], vec![0.2, 9.1, 8.9, 5.0, -1e9]);
        let drawn = draw(&groups, &[0, 3, 3, -1, -1], (&x, &y), ("a<b", "c&d"));
        assert_eq!(drawn.matches("class=\"e c").count(), 2);
        assert_eq!(drawn.matches("class=\"p c0\"").count(), 1 + 1, "a point, and one in the legend");
        assert_eq!(drawn.matches("class=\"p c1\"").count(), 2 + 1);
        assert_eq!(drawn.matches("class=\"o\"").count(), 1 + 1);
        assert!(drawn.contains("outside: 1") && drawn.contains("none: 2"));
        assert!(drawn.contains("a&lt;b") && drawn.contains("c&amp;d") && drawn.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn numbers_without_any_width_can_be_drawn() {
        for value in [0.0, 5.0, -1e200, 1e-300] {
            let groups = [group(0, [value, value], [[0.0, 0.0], [0.0, 0.0]])];
            let drawn = draw(&groups, &[0, 0], (&[value, value], &[value, value]), ("a", "b"));
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }
}
