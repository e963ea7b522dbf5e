//! The one table of exit codes, the same for every command.

use std::process;

use skein_shared::ErrorKind;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// All is well.
    Ok,
    /// Something failed that no input explains; trying again may help.
    Internal,
    /// The command line, a setting or a permission is wrong.
    Usage,
    /// A difference was found, or a check failed.
    Difference,
    /// Nothing can be said for certain: points may be missing.
    Inconclusive,
    /// Another process won a race for the same thing.
    Conflict,
    /// What was waited for did not come in time.
    TimedOut,
    /// It could not be undone, and nobody has said that it is meant.
    Irreversible,
    /// A task failed for a reason that another try may not meet.
    TaskTransient,
    /// Others have done what the task was to do, or something that forbids it.
    TaskSuperseded,
    /// What the task reads is damaged.
    TaskPoison,
    /// The task is too large; the next plan splits it.
    TaskOverBudget,
    /// The task was asked to stop.
    TaskPreempted,
}

impl ExitCode {
    /// The code of an error that asks the caller for this.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Transient => Self::Internal,
            ErrorKind::Fenced => Self::Conflict,
            ErrorKind::Corrupt => Self::Difference,
            ErrorKind::Invalid => Self::Usage,
        }
    }

    /// The code of a task's error: engines retry by it.
    pub(crate) fn of_task(error: &skein_compactor::Error) -> Self {
        if matches!(error, skein_compactor::Error::Cancelled) {
            return Self::TaskPreempted;
        }
        if matches!(error, skein_compactor::Error::OverBudget { .. }) {
            return Self::TaskOverBudget;
        }
        match error.kind() {
            ErrorKind::Transient => Self::TaskTransient,
            ErrorKind::Fenced => Self::TaskSuperseded,
            ErrorKind::Corrupt => Self::TaskPoison,
            ErrorKind::Invalid => Self::Usage,
        }
    }

    /// The number that the shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Difference => 3,
            Self::Inconclusive => 4,
            Self::Conflict => 5,
            Self::TimedOut => 6,
            Self::Irreversible => 7,
            Self::TaskTransient => 20,
            Self::TaskSuperseded => 30,
            Self::TaskPoison => 42,
            Self::TaskOverBudget => 43,
            Self::TaskPreempted => 143,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const OPERATIONS: &str = include_str!("../docs/operations.md");
    const ALL: [ExitCode; 13] = [
        ExitCode::Ok,
        ExitCode::Internal,
        ExitCode::Usage,
        ExitCode::Difference,
        ExitCode::Inconclusive,
        ExitCode::Conflict,
        ExitCode::TimedOut,
        ExitCode::Irreversible,
        ExitCode::TaskTransient,
        ExitCode::TaskSuperseded,
        ExitCode::TaskPoison,
        ExitCode::TaskOverBudget,
        ExitCode::TaskPreempted,
    ];

    /// Number and meaning of each row of the table.
    fn documented() -> BTreeMap<u8, &'static str> {
        let section = OPERATIONS.split("## Exit codes").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| {
            let mut cells = line.split('|').skip(1).map(str::trim);
            let number = cells.next()?.parse().ok()?;
            Some((number, cells.next()?))
        });
        rows.collect()
    }

    #[test]
    fn the_documented_codes_are_those_that_exist() {
        let documented: Vec<u8> = documented().into_keys().collect();
        assert_eq!(documented, ALL.map(ExitCode::number));
    }

    #[test]
    fn each_code_is_documented_as_what_it_is() {
        let words = [
            "all is well",
            "internal",
            "usage",
            "difference",
            "inconclusive",
            "race",
            "timed out",
            "cannot be undone",
            "may succeed",
            "superseded",
            "damaged",
            "too large",
            "preempted",
        ];
        let documented = documented();
        for (code, word) in ALL.into_iter().zip(words) {
            let meaning = documented[&code.number()];
            assert!(meaning.contains(word), "{code:?}: {meaning}");
        }
    }

    #[test]
    fn engines_retry_a_task_by_its_code() {
        let over = skein_compactor::Error::OverBudget { bytes: 2, most: 1 };
        assert_eq!(ExitCode::of_task(&over).number(), 43);
        let preempted = skein_compactor::Error::Cancelled;
        assert_eq!(ExitCode::of_task(&preempted).number(), 143);
        let differs = skein_compactor::Error::ObjectDiffers {
            object: String::new(),
            reason: String::new(),
        };
        assert_eq!(ExitCode::of_task(&differs).number(), 42);
    }

    #[test]
    fn the_worse_of_two_kinds_never_hides_behind_the_code_of_the_better() {
        let kinds = [
            (ErrorKind::Transient, 1),
            (ErrorKind::Fenced, 5),
            (ErrorKind::Invalid, 2),
            (ErrorKind::Corrupt, 3),
        ];
        assert!(kinds.is_sorted());
        for (kind, number) in kinds {
            assert_eq!(ExitCode::of(kind).number(), number);
        }
    }
}
