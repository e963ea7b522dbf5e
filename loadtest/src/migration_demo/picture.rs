//! Who wrote and who was visible, as a picture for a terminal.

use skein_shared::ids::OrgId;
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::window::{TimeSpan, TimestampMs};

/// Columns of the picture.
const COLUMNS: i64 = 72;

/// One line for an org's writers and one for what readers see, from `span.from` to `span.to`; then what the signs mean.
pub(super) fn draw(timelines: &[(OrgId, Timeline)], span: TimeSpan) -> Vec<String> {
    let width = (span.to.0 - span.from.0).max(COLUMNS);
    let at = |column: i64| TimestampMs(span.from.0 + width * column / COLUMNS);
    let row = |timeline: &Timeline, sign: fn(Phase) -> char| -> String {
        let phases = (0..COLUMNS).map(|column| timeline.phase_at(at(column)));
        phases.map(sign).collect()
    };
    let mut lines = Vec::new();
    for (OrgId(org), timeline) in timelines {
        lines.push(format!("org {org:<4} writes {}", row(timeline, writes)));
        lines.push(format!("         shows  {}", row(timeline, shows)));
    }
    let seconds = width / 1000;
    lines.push(format!(
        "         {seconds} s of event time; o old, n new, = both"
    ));
    lines
}

fn writes(phase: Phase) -> char {
    match phase.writers {
        Writers::Only(Pipeline::Old) => 'o',
        Writers::Only(Pipeline::New) => 'n',
        Writers::Both => '=',
    }
}

fn shows(phase: Phase) -> char {
    match phase.visible {
        Pipeline::Old => 'o',
        Pipeline::New => 'n',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_writers_and_what_is_seen_column_by_column() {
        let phase = |from: i64, writers, visible| Phase {
            from: TimestampMs(from),
            writers,
            visible,
        };
        let timeline = Timeline::new([
            phase(i64::MIN, Writers::Only(Pipeline::Old), Pipeline::Old),
            phase(18_000, Writers::Both, Pipeline::Old),
            phase(36_000, Writers::Both, Pipeline::New),
            phase(54_000, Writers::Only(Pipeline::New), Pipeline::New),
        ]);
        let span = TimeSpan {
            from: TimestampMs(0),
            to: TimestampMs(72_000),
        };
        let lines = draw(&[(OrgId(7), timeline.unwrap())], span);
        let [o, both, n] = ["o", "=", "n"].map(|sign| sign.repeat(18));
        assert_eq!(lines[0], format!("org 7    writes {o}{both}{both}{n}"));
        assert_eq!(lines[1], format!("         shows  {o}{o}{n}{n}"));
        assert!(lines[2].contains("72 s"));
    }
}
