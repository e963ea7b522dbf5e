//! The report as one page that needs nothing besides: what it came to, what to do, and where to look.

use std::fmt::Write as _;

use super::chart::{Bar, bars, escaped, grouped};
use super::document::Report;
use super::tables::{self, time};
use super::tally::Counts;

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.5rem}h2{margin-top:2rem;border-bottom:1px solid #ccc}
.verdict{padding:.8rem 1rem;border-radius:.4rem;color:#fff;font-size:1.2rem}
.pass{background:#1a7f37}.fail{background:#b3261e}.open{background:#8a6d00}
table{border-collapse:collapse}td,th{border:1px solid #ddd;padding:.2rem .6rem;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}code{background:#f2f2f2;padding:0 .2rem}
svg text{font:12px system-ui,sans-serif;fill:#1a1a1a}
.key span{display:inline-block;width:.8rem;height:.8rem;margin-right:.3rem}
";

const KINDS: [(&str, &str); 9] = [
    ("different value", "#b3261e"),
    ("different metadata", "#8250df"),
    ("missing left", "#d97706"),
    ("missing right", "#9a3412"),
    ("duplicates", "#0969da"),
    ("wrong owner", "#bf3989"),
    ("out of window", "#1b7c83"),
    ("undecodable", "#57606a"),
    ("ignored", "#c8c8c8"),
];

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut html = String::new();
    let title = format!("Comparison {}: {}", report.comparison, report.verdict);
    let _ = writeln!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title><style>{STYLE}</style></head><body>",
        escaped(&title)
    );
    head(&mut html, report);
    counts(&mut html, report);
    charts(&mut html, report);
    tables::classes(&mut html, report);
    tables::samples(&mut html, report);
    tables::input(&mut html, report);
    tables::orgs(&mut html, report);
    foot(&mut html, report);
    html.push_str("</body></html>\n");
    html
}

fn head(html: &mut String, report: &Report) {
    let colour = match report.verdict.as_str() {
        "pass" | "pass (declared input)" => "pass",
        "fail" => "fail",
        _ => "open",
    };
    let _ = writeln!(
        html,
        "<h1>Comparison {}</h1><p class=\"verdict {colour}\">{}</p>",
        escaped(&report.comparison),
        escaped(&report.verdict)
    );
    list(html, &report.reasons);
    let _ = writeln!(
        html,
        "<p><b>What to do:</b> {}</p>",
        escaped(what_to_do(report))
    );
    let side = |side: &super::document::SideReport| {
        format!("{} ({}, {})", side.pipeline, side.format, side.place)
    };
    let _ = writeln!(
        html,
        "<p>Left: {}<br>Right: {}<br>Event times {} to {} (UTC), {} points compared as {}.</p>",
        escaped(&side(&report.left)),
        escaped(&side(&report.right)),
        time(report.scope.from_ms),
        time(report.scope.to_ms),
        report.scope.resolution,
        escaped(&report.options.values),
    );
    let coverage = &report.coverage;
    let _ = writeln!(
        html,
        "<p>Compared: {} of {} windows ({} %), {} of {} points ({} %); wanted are {} %. Sample: {} % of the series.</p>",
        grouped(coverage.windows.compared),
        grouped(coverage.windows.total),
        coverage.windows.percent,
        grouped(coverage.points.compared),
        grouped(coverage.points.total),
        coverage.points.percent,
        coverage.wanted_percent,
        report.scope.sample_percent
    );
}

fn what_to_do(report: &Report) -> &'static str {
    match report.verdict.as_str() {
        "pass" => "nothing: a gate may rest on this comparison while it is fresh.",
        "pass (declared input)" => {
            "nothing, if the declaration of equal input is true: a person stands for it, not a proof."
        }
        "fail" => {
            "do not switch this org. Readers are not affected by a comparison. Take the largest class below that is new, \
             look at its sample and at its objects, and follow its advice; then compare again."
        }
        _ => {
            "do not switch on this. Nothing is known to be wrong: remove the reasons above (wait, widen the times, declare \
             the input), then compare again."
        }
    }
}

/// What each count is called, and what it means.
const MEANINGS: [(&str, &str); 13] = [
    ("match", "both sides have the same"),
    ("match within tolerance", "the same but for rounding"),
    ("different value", "both have it, with other bits"),
    (
        "different metadata",
        "series and windows: another name, type or tag",
    ),
    ("missing left", "the right side alone has it"),
    ("missing right", "the left side alone has it"),
    ("duplicates", "the same record's point lies there twice"),
    ("wrong owner", "a side wrote a time that is not its own"),
    ("out of window", "it lies in the file of another window"),
    ("undecodable", "one side does not read back"),
    ("ignored", "a rule says that it does not count"),
    (
        "resolved on re-check",
        "it differed once, and then no longer",
    ),
    (
        "set aside",
        "only one side has read a record that touches it",
    ),
];

fn counts(html: &mut String, report: &Report) {
    let counts = &report.counts;
    let same = [counts.equal, counts.match_within_tolerance];
    let others = [counts.resolved_on_recheck, counts.set_aside];
    let all = same.into_iter().chain(stack(counts)).chain(others);
    html.push_str("<h2>Counts</h2><table><tr><th>what<th>points<th>meaning</tr>");
    for ((what, meaning), count) in MEANINGS.into_iter().zip(all) {
        let _ = writeln!(
            html,
            "<tr><td>{what}<td class=\"n\">{}<td>{meaning}</tr>",
            grouped(count)
        );
    }
    html.push_str("</table>\n");
}

fn stack(counts: &Counts) -> Vec<u64> {
    vec![
        counts.different_value,
        counts.different_metadata,
        counts.missing_left,
        counts.missing_right,
        counts.duplicates,
        counts.wrong_owner,
        counts.out_of_window,
        counts.undecodable,
        counts.ignored,
    ]
}

fn charts(html: &mut String, report: &Report) {
    html.push_str("<h2>Where it differs</h2>");
    let bar = |(label, counts): (String, &Counts)| Bar {
        label,
        stack: stack(counts),
    };
    let by = &report.by;
    let windows = by
        .window
        .iter()
        .map(|(day, counts)| bar((day.clone(), counts)));
    let shards = by
        .shard
        .iter()
        .map(|(shard, counts)| bar((shard.clone(), counts)));
    let kinds = by.metric_type.iter().map(|(kind, counts)| {
        let label = if kind.is_empty() { "(no type)" } else { kind };
        bar((label.to_owned(), counts))
    });
    let edges = by
        .edge
        .iter()
        .map(|(edge, counts)| bar(((*edge).to_owned(), counts)));
    let classes = report.classes.iter().filter_map(|class| {
        let of = class.class.as_ref()?;
        let kind = of.kind.name();
        let stack = KINDS.iter().map(|(name, _)| {
            let is_kind = name.trim_end_matches('s') == kind.trim_end_matches('s');
            if is_kind && class.ignored_by.is_none() {
                class.count
            } else {
                0
            }
        });
        Some(Bar {
            label: format!("{kind} {} {}", of.how, class.fingerprint.get(..6)?),
            stack: stack.collect(),
        })
    });
    for (title, all) in [
        (
            "Differences by window (points)",
            windows.collect::<Vec<_>>(),
        ),
        ("Differences by class (points)", classes.collect()),
        ("Differences by shard (points)", shards.collect()),
        ("Differences by type of metric (points)", kinds.collect()),
        (
            "Differences by nearness to an edge (points)",
            edges.collect(),
        ),
    ] {
        let all: Vec<Bar> = all
            .into_iter()
            .filter(|bar| bar.stack.iter().any(|n| *n > 0))
            .collect();
        html.push_str(&bars(title, &KINDS, &all));
    }
}

fn foot(html: &mut String, report: &Report) {
    if !report.errors.is_empty() {
        html.push_str("<h2>Errors</h2>");
        list(html, &report.errors);
    }
    let cost = &report.cost;
    let _ = writeln!(
        html,
        "<p>Made {} (UTC) with {} requests, {} bytes received, {} s.</p>",
        time(report.at_ms),
        grouped(cost.requests),
        grouped(cost.received_bytes),
        cost.wall_ms / 1000
    );
}

fn list(html: &mut String, lines: &[String]) {
    html.push_str("<ul>");
    for line in lines {
        let _ = write!(html, "<li>{}", escaped(line));
    }
    html.push_str("</ul>\n");
}
