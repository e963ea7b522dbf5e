//! Draws one series for the terminal, in braille dots: two across and four down in each character.

mod canvas;

use std::fmt::Write;

use skein_shared::window::TimestampMs;

use self::canvas::Canvas;

/// Size of a plot in characters, labels included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlotSize {
    /// Across; at least 40 are used.
    pub columns: usize,
    /// Down, without title and times; at least 4 are used.
    pub rows: usize,
}

impl Default for PlotSize {
    fn default() -> Self {
        Self {
            columns: 100,
            rows: 20,
        }
    }
}

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Plot<'a> {
    /// Above the chart.
    pub title: &'a str,
    /// Unit of the values, where it is known.
    pub unit: Option<&'a str>,
    /// Milliseconds since the epoch, ascending.
    pub timestamps_ms: &'a [i64],
    /// As many values; those that are not finite are counted and left out.
    pub values: &'a [f64],
    /// How large.
    pub size: PlotSize,
}

/// The finite points and their bounds.
struct Drawn {
    points: Vec<(i64, f64)>,
    lowest: (i64, f64),
    highest: (i64, f64),
    not_finite: usize,
}

/// Rows between two labels of the value axis.
const LABEL_EVERY: usize = 5;

/// Steps that are so many times longer than the usual one are gaps.
const GAP_FACTOR: i64 = 4;

/// The chart as text of several lines.
pub fn render(plot: &Plot<'_>) -> String {
    let mut text = String::new();
    let unit = plot
        .unit
        .map(|unit| format!("  [{unit}]"))
        .unwrap_or_default();
    let _ = writeln!(text, "{}{unit}", plot.title);
    match Drawn::of(plot) {
        Some(drawn) => {
            draw_chart(&mut text, plot, &drawn);
            draw_summary(&mut text, plot, &drawn);
        }
        None => {
            let _ = writeln!(text, "{} points, none of them finite", plot.values.len());
        }
    }
    text
}

impl Drawn {
    fn of(plot: &Plot<'_>) -> Option<Self> {
        let all = plot
            .timestamps_ms
            .iter()
            .copied()
            .zip(plot.values.iter().copied());
        let points: Vec<(i64, f64)> = all.filter(|(_, value)| value.is_finite()).collect();
        let by_value = |a: &&(i64, f64), b: &&(i64, f64)| a.1.total_cmp(&b.1);
        Some(Self {
            lowest: *points.iter().min_by(by_value)?,
            highest: *points.iter().max_by(by_value)?,
            not_finite: plot.values.len() - points.len(),
            points,
        })
    }

    /// Lower and upper end of the value axis; apart, so that a constant has a place in the middle.
    fn value_bounds(&self) -> (f64, f64) {
        let (low, high) = (self.lowest.1, self.highest.1);
        if low < high {
            return (low, high);
        }
        let margin = (low.abs() * 0.1).max(1.0);
        (low - margin, high + margin)
    }

    /// The longest step that still joins two points.
    fn longest_joined_ms(&self) -> i64 {
        let mut steps: Vec<i64> = self
            .points
            .windows(2)
            .map(|pair| pair[1].0.saturating_sub(pair[0].0))
            .collect();
        steps.sort_unstable();
        let usual = steps.get(steps.len() / 2).copied().unwrap_or(0);
        usual.saturating_mul(GAP_FACTOR)
    }
}

fn draw_chart(text: &mut String, plot: &Plot<'_>, drawn: &Drawn) {
    let rows = plot.size.rows.max(4);
    let (low, high) = drawn.value_bounds();
    let label_at = |row: usize| {
        let share = share_of(row, rows - 1);
        // Halves first: the distance of two finite values may be infinite.
        value_label(high * (1.0 - share) + low * share, high / 2.0 - low / 2.0)
    };
    let labelled = |row: usize| row.is_multiple_of(LABEL_EVERY) || row == rows - 1;
    let labels = (0..rows).filter(|row| labelled(*row)).map(label_at);
    let gutter = labels.map(|label| label.len()).max().unwrap_or(0);
    let columns = plot.size.columns.max(40).saturating_sub(gutter + 2).max(10);
    let mut canvas = Canvas::new(columns, rows);
    let place = Place::new(drawn, &canvas, (low, high));
    let longest = drawn.longest_joined_ms();
    let mut last: Option<(i64, (usize, usize))> = None;
    for (time, value) in &drawn.points {
        let dot = place.dot(*time, *value);
        match last {
            Some((before, from)) if time.saturating_sub(before) <= longest => {
                canvas.line(from, dot);
            }
            Some(_) | None => canvas.dot(dot),
        }
        last = Some((*time, dot));
    }
    for (row, line) in canvas.lines().enumerate() {
        let (label, tick) = if labelled(row) {
            (label_at(row), '┤')
        } else {
            (String::new(), '│')
        };
        let _ = writeln!(
            text,
            "{label:>gutter$} {tick}{}",
            line.trim_end_matches('\u{2800}')
        );
    }
    draw_times(text, place.times, gutter, columns);
}

/// Where values and times lie on a canvas.
struct Place {
    times: (i64, i64),
    values: (f64, f64),
    across: usize,
    down: usize,
}

impl Place {
    fn new(drawn: &Drawn, canvas: &Canvas, values: (f64, f64)) -> Self {
        let first = drawn.points.first().map_or(0, |(time, _)| *time);
        let last = drawn.points.last().map_or(0, |(time, _)| *time);
        Self {
            times: (first, last),
            values,
            across: canvas.across() - 1,
            down: canvas.down() - 1,
        }
    }

    fn dot(&self, time: i64, value: f64) -> (usize, usize) {
        let length = self.times.1.abs_diff(self.times.0).max(1);
        let across = ratio(time.abs_diff(self.times.0), length);
        let (low, high) = self.values;
        let down = (high / 2.0 - value / 2.0) / (high / 2.0 - low / 2.0);
        (scaled(across, self.across), scaled(down, self.down))
    }
}

fn draw_times(text: &mut String, (first, last): (i64, i64), gutter: usize, columns: usize) {
    let _ = writeln!(text, "{:>gutter$} └{}", "", "─".repeat(columns));
    let (first, last) = (
        TimestampMs(first).to_string(),
        TimestampMs(last).to_string(),
    );
    let space = columns.saturating_sub(first.len() + last.len()).max(2);
    let _ = writeln!(text, "{:>gutter$}  {first}{:space$}{last}", "", "");
}

fn draw_summary(text: &mut String, plot: &Plot<'_>, drawn: &Drawn) {
    let at = |(time, value): (i64, f64)| format!("{value:?} at {}", TimestampMs(time));
    let unit = plot.unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    let (lowest, highest) = (at(drawn.lowest), at(drawn.highest));
    let count = plot.values.len();
    let _ = write!(
        text,
        "{count} points (UTC), min {lowest}, max {highest}{unit}"
    );
    if drawn.not_finite > 0 {
        let _ = write!(text, ", {} not finite and not shown", drawn.not_finite);
    }
    text.push('\n');
}

/// A value with about four digits that count within `span`.
fn value_label(value: f64, span: f64) -> String {
    let magnitude = value.abs().max(span);
    if magnitude >= 1e9 || (magnitude < 1e-4 && magnitude > 0.0) {
        return format!("{value:.3e}");
    }
    let decimals = match span {
        span if span >= 1000.0 => 0,
        span if span >= 10.0 => 1,
        span if span >= 0.1 => 3,
        _ => 6,
    };
    format!("{value:.decimals$}")
}

#[expect(clippy::cast_precision_loss, reason = "a place on the screen")]
fn share_of(index: usize, last: usize) -> f64 {
    index as f64 / last as f64
}

#[expect(clippy::cast_precision_loss, reason = "a place on the screen")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place on the screen, clamped to it"
)]
fn scaled(share: f64, last: usize) -> usize {
    ((share.clamp(0.0, 1.0) * last as f64).round() as usize).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(timestamps_ms: &[i64], values: &[f64]) -> String {
        render(&Plot {
            title: "up",
            unit: Some("s"),
            timestamps_ms,
            values,
            size: PlotSize {
                columns: 40,
                rows: 4,
            },
        })
    }

    #[test]
    fn a_rising_line_runs_from_the_lower_left_to_the_upper_right() {
        let times: Vec<i64> = (0..=100).map(|i| 1_700_000_000_000 + i * 1000).collect();
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        let shown = plot(&times, &values);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "up  [s]");
        assert!(
            lines[1].starts_with("100.0 ┤⠀") && !lines[1].ends_with('⠀'),
            "{shown}"
        );
        assert!(
            lines[4].starts_with("  0.0 ┤") && !lines[4].starts_with("  0.0 ┤⠀"),
            "{shown}"
        );
        assert!(lines[6].contains("2023-11-14T22:13:20.000Z"), "{shown}");
        assert!(lines[7].contains("101 points (UTC), min 0.0 at 2023-11-14T22:13:20.000Z"));
    }

    #[test]
    fn constants_extremes_and_points_that_are_not_finite_have_their_place() {
        assert!(plot(&[0], &[5.0]).contains("min 5.0"));
        assert!(plot(&[0, 1], &[f64::NAN, 1.0]).contains("1 not finite"));
        assert!(plot(&[0], &[f64::NAN]).contains("none of them finite"));
        assert!(plot(&[i64::MIN, i64::MAX], &[f64::MIN, f64::MAX]).contains("e308"));
        assert!(plot(&[0, 1, 2], &[0.0, -0.0, 5e-324]).contains("min -0.0"));
    }

    #[test]
    fn a_gap_in_time_is_not_bridged() {
        let times: Vec<i64> = (0..20).chain(80..100).map(|i| i * 1000).collect();
        let shown = plot(&times, &[1.0; 40]);
        let dotted = |line: &&str| line.contains(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
        let line = shown.lines().find(dotted).unwrap();
        assert!(line.contains("⠀⠀⠀⠀⠀"), "{shown}");
    }
}
