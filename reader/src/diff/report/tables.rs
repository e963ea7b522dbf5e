//! The tables of the page.

use std::fmt::Write as _;

use skein_shared::window::TimestampMs;

use super::chart::{escaped, grouped};
use super::document::Report;
use crate::diff::discrepancy::Hand;

pub(super) fn classes(html: &mut String, report: &Report) {
    html.push_str("<h2>Classes</h2>");
    if report.classes.is_empty() {
        html.push_str("<p>None.</p>");
        return;
    }
    html.push_str(
        "<table><tr><th>class<th>points<th>state<th>first seen<th>what<th>type<th>shard<th>near<th>look at</tr>",
    );
    for class in &report.classes {
        let state = match &class.ignored_by {
            Some(ticket) => format!("ignored by {ticket}"),
            None => format!("{:?}", class.state).to_lowercase(),
        };
        let _ = write!(
            html,
            "<tr><td><code>{}</code><td class=\"n\">{}<td>{}<td>{}",
            escaped(&class.fingerprint),
            grouped(class.count),
            escaped(&state),
            time(class.first_seen_ms)
        );
        match &class.class {
            None => html.push_str("<td colspan=\"5\">no longer there</tr>\n"),
            Some(of) => {
                let side = of.side.map_or("", Hand::name);
                let _ = writeln!(
                    html,
                    "<td>{} {} {side}<td>{}<td>{}<td>{}<td>{}</tr>",
                    of.kind,
                    escaped(&of.how),
                    escaped(&of.metric_type),
                    escaped(&of.shard),
                    of.near.name(),
                    escaped(class.advice)
                );
            }
        }
    }
    html.push_str("</table>\n");
}

pub(super) fn samples(html: &mut String, report: &Report) {
    html.push_str(
        "<h2>Samples</h2><p>One of each class; all are in <code>differences.jsonl</code>.</p>",
    );
    html.push_str(
        "<table><tr><th>class<th>org<th>series<th>time (UTC)<th>left<th>right<th>objects</tr>",
    );
    for sample in &report.samples {
        let of = &sample.difference;
        let series = if of.series.is_empty() {
            of.metric.to_string()
        } else {
            of.series.clone()
        };
        let objects = sample.left_objects.iter().chain(&sample.right_objects);
        let objects: Vec<String> = objects.map(|key| escaped(key)).collect();
        let text = |side: &Option<String>| escaped(side.as_deref().unwrap_or("-"));
        let _ = writeln!(
            html,
            "<tr><td><code>{}</code><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<br>{}</tr>",
            of.class,
            of.org,
            escaped(&series),
            sample.at.as_deref().unwrap_or("-"),
            text(&of.left),
            text(&of.right),
            text(&of.detail),
            objects.join("<br>")
        );
    }
    html.push_str("</table>\n");
}

pub(super) fn input(html: &mut String, report: &Report) {
    html.push_str("<h2>Input</h2><table><tr><th>org<th>comparable<th>known by<th>records between<th>doubts</tr>");
    for input in &report.input {
        let known = &input.known;
        let _ = writeln!(
            html,
            "<tr><td>{}<td>{}<td>{}<td class=\"n\">{}<td>{}</tr>",
            known.org,
            if input.is_comparable { "yes" } else { "no" },
            format!("{:?}", known.how).to_lowercase(),
            grouped(known.records_between),
            escaped(&known.short.join("; "))
        );
    }
    html.push_str("</table>\n");
}

pub(super) fn orgs(html: &mut String, report: &Report) {
    html.push_str("<h2>Orgs</h2><table><tr><th>org<th>verdict<th>windows<th>match<th>differences<th>reasons</tr>");
    for org in &report.orgs {
        let _ = writeln!(
            html,
            "<tr><td>{}<td>{}<td class=\"n\">{} of {}<td class=\"n\">{}<td class=\"n\">{}<td>{}</tr>",
            org.org,
            escaped(&org.verdict),
            grouped(org.windows.compared),
            grouped(org.windows.total),
            grouped(org.counts.equal + org.counts.match_within_tolerance),
            grouped(org.counts.differences()),
            escaped(&org.reasons.join("; "))
        );
    }
    html.push_str("</table>\n");
}

/// A time for people.
pub(super) fn time(ms: i64) -> String {
    match ms {
        i64::MIN => "the beginning".to_owned(),
        i64::MAX => "the end".to_owned(),
        ms => TimestampMs(ms).to_string(),
    }
}
