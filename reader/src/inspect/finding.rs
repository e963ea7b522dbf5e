//! One thing that is wrong in a bucket: where, which promise it breaks, and what to do.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::promise::Promise;
use skein_shared::{Error, Result};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Key of the object that is wrong, or that should be there.
    pub object: String,
    /// Byte in the object, where one can be named.
    pub at: Option<u64>,
    /// Which promise is broken.
    #[serde(serialize_with = "as_number", deserialize_with = "of_number")]
    pub promise: Promise,
    /// What is wrong.
    pub what: String,
    /// What a person should do.
    pub what_to_do: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.object)?;
        if let Some(at) = self.at {
            write!(f, " at byte {at}")?;
        }
        let promise = self.promise.number();
        write!(f, ": {} (SK-{promise}); {}", self.what, self.what_to_do)
    }
}

/// A duty of a kind of object: which promise its damage breaks and what brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duty {
    pub(crate) promise: Promise,
    pub(crate) what_to_do: &'static str,
}

/// Records are there and nowhere else once Kafka has dropped them.
pub(crate) const STATE: Duty = Duty {
    promise: Promise::CompleteOrInvisible,
    what_to_do: "restore the object from a copy of the bucket; while Kafka still has the offsets, keep them there",
};

/// A damage that a shard has gone past waits for a person.
pub(crate) const UNDECIDED: Duty = Duty {
    promise: Promise::PoisonNeverBlocks,
    what_to_do: "restore the object from a copy or a version, then `skein quarantine release ID --retry`; if there is none, \
                 `--accept-loss`",
};

/// The ledger decides what counts.
pub(crate) const LEDGER: Duty = Duty {
    promise: Promise::LedgerContiguous,
    what_to_do: "stop the connectors of this source and restore the ledger's object from a copy of the bucket",
};

/// A worker tells again what it told.
pub(crate) const STATUS: Duty = Duty {
    promise: Promise::CompleteOrInvisible,
    what_to_do: "delete the object: its worker writes it again, or another one tells of the same partitions",
};

/// It only tells what a compaction took.
pub(crate) const RUN_RECORD: Duty = Duty {
    promise: Promise::CompleteOrInvisible,
    what_to_do: "delete the object: nothing but `skein timers` reads it",
};

/// Segments follow from state.
pub(crate) const SEGMENT: Duty = Duty {
    promise: Promise::CompleteOrInvisible,
    what_to_do: "restore the object from a copy of the bucket, or rebuild the shard from its state",
};

/// Every point is accounted for.
pub(crate) const CONSERVATION: Duty = Duty {
    promise: Promise::Conservation,
    what_to_do: "do not trust reads of this shard; rebuild it from its state and report how it came about",
};

impl Duty {
    /// A finding in `object`.
    pub(crate) fn broken(
        self,
        object: impl Into<String>,
        at: Option<u64>,
        what: impl Into<String>,
    ) -> Finding {
        Finding {
            object: object.into(),
            at,
            promise: self.promise,
            what: what.into(),
            what_to_do: self.what_to_do.to_owned(),
        }
    }

    /// As [`Self::finding_for`]. An object that cannot be read though the bucket answers is a finding too:
    /// one broken object must not hide the rest.
    pub(crate) async fn blame(
        self,
        bucket: &Bucket,
        object: &str,
        error: Error,
    ) -> Result<Finding> {
        if let Error::Bucket {
            cause: BucketCause::Unavailable,
            reason,
            ..
        } = &error
            && bucket.head(object).await.is_ok()
        {
            let what = format!("cannot be read, though the bucket answers: {reason}");
            return Ok(self.broken(object, None, what));
        }
        self.finding_for(object, error)
    }

    /// What an error says of `object`.
    ///
    /// # Errors
    /// The error itself when it says nothing of the object: the bucket cannot be read.
    pub(crate) fn finding_for(self, object: &str, error: Error) -> Result<Finding> {
        match error {
            Error::Decode {
                format, at, reason, ..
            } => Ok(self.broken(object, Some(at), format!("{format}: {reason}"))),
            Error::Bucket {
                cause: BucketCause::NotFound,
                ..
            } => Ok(self.broken(object, None, "the object is missing")),
            Error::Bucket {
                cause: BucketCause::Damaged,
                reason,
                ..
            } => Ok(self.broken(object, None, reason)),
            other @ (Error::Invalid { .. }
            | Error::Bucket { .. }
            | Error::Taken { .. }
            | Error::Unfit { .. }) => Err(other),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out a reference"
)]
fn as_number<S: Serializer>(promise: &Promise, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("SK-{}", promise.number()))
}

fn of_number<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Promise, D::Error> {
    let text = String::deserialize(from)?;
    let number = text.strip_prefix("SK-").and_then(|n| n.parse().ok());
    let promise = number.and_then(Promise::numbered);
    promise.ok_or_else(|| D::Error::custom(format!("`{text}` is no promise")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let error = Error::decode("block", 9, "crc32c is off");
        let finding = STATE.finding_for("a/key", error).unwrap();
        let text = finding.to_string();
        assert!(text.starts_with("`a/key` at byte 9: block: crc32c is off (SK-7); restore"));
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(json["promise"], "SK-7");
        assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), finding);
    }

    #[test]
    fn a_bucket_that_cannot_be_read_is_no_finding() {
        let error = Error::Bucket {
            operation: "get",
            key: "k".into(),
            cause: BucketCause::Denied,
            reason: "no".into(),
        };
        assert!(STATE.finding_for("k", error).is_err());
    }
}
