//! The protobuf of what deletes have taken.

use prost::Message;

use super::Deleted;

/// Points that one delete has taken.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeletedBody {
    #[prost(uint64, tag = "1")]
    delete: u64,
    #[prost(uint64, tag = "2")]
    points: u64,
}

impl DeletedBody {
    pub(crate) fn of(deleted: &Deleted) -> Vec<Self> {
        let body = |(delete, points): (&u64, &u64)| Self {
            delete: *delete,
            points: *points,
        };
        deleted.iter().map(body).collect()
    }

    pub(crate) fn read(self) -> (u64, u64) {
        (self.delete, self.points)
    }
}
