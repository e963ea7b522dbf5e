//! The steps that there are: which verb leads from which state to which. A log with another one was not made by us.

use skein_shared::cutover::CutoverState;

/// Whether `verb` can have led from a state to another.
pub fn is_step(verb: &str, (from, to): (CutoverState, CutoverState)) -> bool {
    use CutoverState as S;
    let is_way = |ways: &[(S, S)]| ways.contains(&(from, to));
    let is_still = from == to;
    match verb {
        "create" => is_way(&[(S::Off, S::Starting)]),
        "mirror-traffic" => is_way(&[
            (S::Shadow, S::Canary),
            (S::Canary, S::Canary),
            (S::Canary, S::Shadow),
        ]),
        "switch-traffic" => is_way(&[
            (S::Canary, S::Scheduled),
            (S::Reversing, S::Scheduled),
            (S::Reversed, S::Scheduled),
        ]),
        "reverse-traffic" => {
            let starts = [
                S::Scheduled,
                S::Armed,
                S::Switched,
                S::Contracting,
                S::Sealed,
                S::Done,
            ];
            to == S::Reversing && starts.contains(&from)
        }
        "complete" => is_way(&[(S::Switched, S::Contracting), (S::Sealed, S::Done)]),
        "cancel" => is_way(&[
            (S::Starting, S::Off),
            (S::Shadow, S::Off),
            (S::Canary, S::Off),
            (S::Scheduled, S::Canary),
            (S::Scheduled, S::Reversing),
            (S::Armed, S::Canary),
            (S::Armed, S::Reversing),
            (S::Reversing, S::Switched),
            (S::Reversing, S::Off),
            (S::Reversed, S::Off),
        ]),
        "purge" => is_way(&[(S::Done, S::Done)]),
        "reassign" => is_way(&[(S::Reversed, S::Reversed)]),
        "pause" => {
            let back = [
                (S::Scheduled, S::Canary),
                (S::Armed, S::Canary),
                (S::Contracting, S::Switched),
            ];
            is_still || is_way(&back)
        }
        "postpone" => is_still && [S::Starting, S::Scheduled, S::Reversing].contains(&from),
        "advance" => {
            let on = [
                (S::Starting, S::Shadow),
                (S::Scheduled, S::Armed),
                (S::Scheduled, S::Canary),
                (S::Armed, S::Switched),
                (S::Armed, S::Canary),
                (S::Contracting, S::Sealed),
                (S::Reversing, S::Reversed),
            ];
            is_still || is_way(&on)
        }
        "resume" | "fault" | "repair" => is_still,
        _ => false,
    }
}

/// Whether a verb leaves timelines as they are.
pub fn is_still(verb: &str) -> bool {
    ["mirror-traffic", "purge", "resume", "fault", "repair"].contains(&verb)
}
