//! Charts as SVG, with nothing but text: the same bytes for the same numbers.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 4] = ["#4361a8", "#c4572e", "#3b8a5a", "#8a5fa8"];

/// One line of a chart, or the bars of one colour.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over a common horizontal axis.
pub(crate) fn lines(title: &str, across: &str, up: &str, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|series| &series.points);
    let (most_x, most_y) = (all().map(|p| p.0).fold(0.0, f64::max), all().map(|p| p.1).fold(0.0, f64::max) * 1.05);
    let x = |value: f64| LEFT + value / most_x * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / most_y * (HEIGHT - TOP - BOTTOM);
    let marks: Vec<f64> = (0..=4).map(|step| most_y * f64::from(step) / 4.0).collect();
    let mut svg = frame(title, across, up, &marks, &y);
    for step in 0..=6 {
        let value = most_x * f64::from(step) / 6.0;
        text(&mut svg, x(value), HEIGHT - BOTTOM + 16.0, "middle", &format!("{value:.0}"));
    }
    for (series, colour) in series.iter().zip(COLOURS) {
        let points: Vec<_> = series.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        writeln!(svg, r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{}"/>"#, points.join(" "))
            .ok();
    }
    legend(&mut svg, series.iter().map(|series| &*series.name));
    svg + "</svg>\n"
}

/// Groups of bars, one for each name, with a bar of each series. Heights are logarithms: the worst is a thousand times the best.
pub(crate) fn bars(title: &str, up: &str, names: &[&str], series: &[Series]) -> String {
    let most = series.iter().flat_map(|series| &series.points).map(|p| p.1).fold(1.0, f64::max);
    let decades = most.log10().ceil().max(1.0);
    let y = |value: f64| HEIGHT - BOTTOM - value.max(1.0).log10() / decades * (HEIGHT - TOP - BOTTOM);
    let marks: Vec<f64> = (0..=decades as i32).map(|decade| 10_f64.powi(decade)).collect();
    let mut svg = frame(title, "", up, &marks, &y);
    let wide = (WIDTH - LEFT - RIGHT) / names.len() as f64;
    let bar = wide * 0.7 / series.len() as f64;
    for (place, name) in names.iter().enumerate() {
        let begin = LEFT + wide * (place as f64 + 0.15);
        for (number, (series, colour)) in series.iter().zip(COLOURS).enumerate() {
            let value = series.points[place].1;
            let left = begin + bar * number as f64;
            let (top, high) = (y(value), y(1.0) - y(value));
            writeln!(
                svg,
                r#"<rect x="{left:.1}" y="{top:.1}" width="{:.1}" height="{high:.1}" fill="{colour}"/>"#,
                bar - 2.0
            )
            .ok();
            text(&mut svg, left + bar / 2.0, top - 4.0, "middle", &format!("{value:.0}"));
        }
        text(&mut svg, begin + wide * 0.35, HEIGHT - BOTTOM + 16.0, "middle", name);
    }
    legend(&mut svg, series.iter().map(|series| &*series.name));
    svg + "</svg>\n"
}

fn frame(title: &str, across: &str, up: &str, marks: &[f64], y: &dyn Fn(f64) -> f64) -> String {
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
"##
    );
    text(&mut svg, LEFT, 18.0, "start", &format!("{title} ({up})"));
    text(&mut svg, f64::midpoint(WIDTH, LEFT), HEIGHT - 8.0, "middle", across);
    for value in marks.iter().copied() {
        let (right, at) = (WIDTH - RIGHT, y(value));
        writeln!(svg, r##"<line x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}" stroke="#ddd"/>"##).ok();
        text(&mut svg, LEFT - 6.0, y(value) + 4.0, "end", &format!("{value:.0}"));
    }
    svg
}

fn legend<'a>(svg: &mut String, names: impl Iterator<Item = &'a str>) {
    let mut left = LEFT;
    for (name, colour) in names.zip(COLOURS) {
        writeln!(svg, r#"<rect x="{left:.1}" y="25" width="10" height="10" fill="{colour}"/>"#).ok();
        text(svg, left + 14.0, 34.0, "start", name);
        left += 30.0 + 6.5 * name.len() as f64;
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#).ok();
}
