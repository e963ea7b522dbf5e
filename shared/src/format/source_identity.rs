//! Which Kafka cluster a source's name stands for.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::ids::{SourceName, WriteId};

/// The object at `sources/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The operator's name.
    pub source: SourceName,
    /// The cluster's own id.
    pub cluster_id: String,
}

impl SourceIdentity {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let message = IdentityMessage {
            source: self.source.to_string(),
            cluster_id: self.cluster_id.clone(),
        };
        envelope::seal(Kind::SourceIdentity, write_id, &message)
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact source identity.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<IdentityMessage>(Kind::SourceIdentity, bytes)?;
        let source = SourceName::new(message.source).map_err(|reason| {
            Error::decode(Kind::SourceIdentity.name(), HEADER_BYTES as u64, reason)
        })?;
        let cluster_id = message.cluster_id;
        Ok((id, Self { source, cluster_id }))
    }
}

#[derive(Clone, PartialEq, Message)]
struct IdentityMessage {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(string, tag = "2")]
    cluster_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back() {
        let identity = SourceIdentity {
            source: SourceName::new("prod-eu").unwrap(),
            cluster_id: "MkU3OEVBNTcwNTJENDM2Qk".into(),
        };
        let id = WriteId::random();
        let read = SourceIdentity::decode(&identity.encode(id)).unwrap();
        assert_eq!(read, (id, identity));
    }
}
