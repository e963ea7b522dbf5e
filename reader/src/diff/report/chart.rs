//! Bars as inline SVG: no script, no font, nothing from elsewhere.

use std::fmt::Write as _;

/// One bar: its label, and what it is stacked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) label: String,
    /// Counts, in the order of the legend.
    pub(super) stack: Vec<u64>,
}

/// Bars of one chart at most: of more the least are left out, and the chart says so.
const MOST_BARS: usize = 60;

const ROW: usize = 22;
const LABEL_WIDTH: usize = 260;
const BAR_WIDTH: usize = 480;

/// A chart of horizontal bars with a legend; of nothing a sentence.
pub(super) fn bars(title: &str, legend: &[(&str, &str)], bars: &[Bar]) -> String {
    let total = |bar: &Bar| bar.stack.iter().sum::<u64>();
    let mut html = format!("<h3>{}</h3>\n", escaped(title));
    let greatest = bars.iter().map(total).max().unwrap_or(0);
    if greatest == 0 {
        html.push_str("<p>None.</p>\n");
        return html;
    }
    for (name, colour) in legend {
        let _ = write!(
            html,
            "<span class=\"key\"><span style=\"background:{colour}\"></span>{}</span> ",
            escaped(name)
        );
    }
    let shown = &bars[..bars.len().min(MOST_BARS)];
    let height = shown.len() * ROW + 4;
    let width = LABEL_WIDTH + BAR_WIDTH + 120;
    let _ = writeln!(
        html,
        "<svg role=\"img\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
    );
    for (row, bar) in shown.iter().enumerate() {
        let (y, text_y) = (row * ROW + 4, row * ROW + 18);
        let mut x = LABEL_WIDTH;
        let _ = writeln!(
            html,
            "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{}</text>",
            LABEL_WIDTH - 8,
            escaped(&bar.label)
        );
        for (count, (name, colour)) in bar.stack.iter().zip(legend) {
            let part = scaled(*count, greatest);
            let _ = writeln!(
                html,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{part}\" height=\"{}\" fill=\"{colour}\"><title>{}: {count}</title></rect>",
                ROW - 6,
                escaped(name)
            );
            x += part;
        }
        let _ = writeln!(
            html,
            "<text x=\"{}\" y=\"{text_y}\">{}</text>",
            x + 6,
            grouped(total(bar))
        );
    }
    html.push_str("</svg>\n");
    if bars.len() > shown.len() {
        let more = bars.len() - shown.len();
        let _ = writeln!(html, "<p>{more} more are in report.json.</p>");
    }
    html
}

/// A count as a length; what is there is seen.
fn scaled(count: u64, greatest: u64) -> usize {
    let length = u128::from(count) * BAR_WIDTH as u128 / u128::from(greatest.max(1));
    let length = usize::try_from(length).unwrap_or(BAR_WIDTH);
    length.max(usize::from(count > 0) * 2)
}

/// A count with its thousands apart.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text that a page takes for nothing but text.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_a_payload_is_text_and_nothing_else() {
        let bar = Bar {
            label: "<script>alert('x')</script>".to_owned(),
            stack: vec![3, 0],
        };
        let html = bars("by \"type\"", &[("a&b", "#111"), ("c", "#222")], &[bar]);
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"));
        assert!(html.contains("a&amp;b") && html.contains("&quot;type&quot;"));
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(
            (scaled(1, 1_000_000), scaled(0, 5), scaled(5, 5)),
            (2, 0, BAR_WIDTH)
        );
    }
}
