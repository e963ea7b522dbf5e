//! What is to be done about a request that did not succeed.

use skein_shared::ErrorKind;
use skein_shared::error::BucketCause;

use crate::core::event::{Failure, Remedy};
use crate::error::Error;

/// What became of a request that did not succeed.
pub(super) fn failure_of(step: &'static str, remedy: Remedy, error: &Error) -> Failure {
    crate::metrics::request_failed(step, remedy, error);
    Failure {
        remedy,
        reason: error.to_string(),
    }
}

/// What is to be done about an error of a request that one partition waits for. Only damage of what was read gives
/// it up: a proxy or a store in trouble may answer anything, and something else the next time.
pub(super) fn remedy_of_question(error: &Error) -> Remedy {
    match remedy_of(error) {
        Remedy::GiveUp(ErrorKind::Transient | ErrorKind::Fenced | ErrorKind::Invalid) => {
            Remedy::AskAgain
        }
        remedy @ (Remedy::GiveUp(ErrorKind::Corrupt)
        | Remedy::Again
        | Remedy::SlowDown
        | Remedy::AgainAndAlert
        | Remedy::AskAgain) => remedy,
    }
}

/// What is to be done about an error.
pub(super) fn remedy_of(error: &Error) -> Remedy {
    match error {
        Error::Shared(skein_shared::Error::Bucket { cause, .. }) => match cause {
            BucketCause::Unavailable => Remedy::Again,
            BucketCause::Throttled => Remedy::SlowDown,
            BucketCause::Denied | BucketCause::NoBucket | BucketCause::Full => {
                Remedy::AgainAndAlert
            }
            BucketCause::NotFound
            | BucketCause::Refused
            | BucketCause::Damaged
            | BucketCause::UploadGone => Remedy::GiveUp(error.kind()),
        },
        Error::Kafka { .. } => Remedy::Again,
        // A refused login or certificate may be corrected on the other side; what was read is not dropped for it.
        Error::Config(refusal) => match refusal.kind() {
            ErrorKind::Transient => Remedy::Again,
            ErrorKind::Fenced | ErrorKind::Corrupt | ErrorKind::Invalid => Remedy::AgainAndAlert,
        },
        Error::Shared(_)
        | Error::MissingTopic { .. }
        | Error::NoTopicMatches { .. }
        | Error::Setting { .. }
        | Error::NothingToReplay { .. }
        | Error::RangeGone { .. }
        | Error::NoSuchReplay { .. }
        | Error::ReplayTaken { .. }
        | Error::OtherLife { .. }
        | Error::Ended { .. }
        | Error::Stopped { .. } => Remedy::GiveUp(error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_error(cause: BucketCause) -> Error {
        Error::Shared(skein_shared::Error::Bucket {
            operation: "list",
            key: "ledger/s/t/".to_owned(),
            cause,
            reason: "the answer is no list".to_owned(),
        })
    }

    #[track_caller]
    fn check(error: &Error, of_question: Remedy, of_write: Remedy) {
        assert_eq!(remedy_of_question(error), of_question);
        assert_eq!(remedy_of(error), of_write);
    }

    #[test]
    fn a_question_about_one_partition_is_given_up_only_for_damage_of_what_was_read() {
        let give_up = Remedy::GiveUp;
        for cause in [BucketCause::Refused, BucketCause::NotFound] {
            let error = bucket_error(cause);
            check(&error, Remedy::AskAgain, give_up(ErrorKind::Invalid));
        }
        let gone = bucket_error(BucketCause::UploadGone);
        check(&gone, Remedy::AskAgain, give_up(ErrorKind::Fenced));
        let invalid = Error::Shared(skein_shared::Error::Invalid {
            what: "ledger folder",
            input: "<html>".to_owned(),
            reason: "it is none of ours".to_owned(),
        });
        check(&invalid, Remedy::AskAgain, give_up(ErrorKind::Invalid));
        let corrupt = give_up(ErrorKind::Corrupt);
        let decode = skein_shared::Error::decode("ledger", 7, "checksum");
        for error in [bucket_error(BucketCause::Damaged), Error::Shared(decode)] {
            check(&error, corrupt, corrupt);
        }
        for (cause, remedy) in [
            (BucketCause::Unavailable, Remedy::Again),
            (BucketCause::Throttled, Remedy::SlowDown),
            (BucketCause::Denied, Remedy::AgainAndAlert),
        ] {
            check(&bucket_error(cause), remedy, remedy);
        }
    }
}
