//! What one flush sealed: its objects and, per chain, one tenure and one span. Or that it never will.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};
use crate::format::digest::ContentDigest;
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::frame::Stream;
use crate::format::state_object::MadeWith;
use crate::format::wire::{self, Reading};
use crate::ids::{FlushId, ShardId, WriteId};
use crate::offset::{Offset, Span};

/// The object at `flushes/<flush>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushManifest {
    /// Which flush.
    pub flush: FlushId,
    /// What became of it.
    pub body: FlushBody,
}

/// What became of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlushBody {
    /// Every object is complete.
    Written(FlushContents),
    /// It was given up before it was complete: its objects may be deleted.
    Void {
        /// Why.
        reason: String,
    },
}

/// What a flush sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushContents {
    /// Its state objects.
    pub objects: Vec<FlushedObject>,
    /// What it read, one span for each chain.
    pub spans: Vec<FlushedSpan>,
    /// With what it was made.
    pub made_with: MadeWith,
}

/// One state object of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushedObject {
    /// Its key.
    pub key: String,
    /// Whose records.
    pub shard: ShardId,
    /// Its length.
    pub object_bytes: u64,
    /// CRC32C of all its bytes.
    pub crc32c: u32,
    /// How many frames.
    pub frames: u64,
    /// Length of its frames before compression.
    pub raw_bytes: u64,
    /// Digest of its frames.
    pub digest: ContentDigest,
}

/// What a flush read of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushedSpan {
    /// Which chain, in which tenure.
    pub stream: Stream,
    /// Every offset that was passed; some may have no record.
    pub span: Span,
    /// First offset of the hole that it is meant for; `None` when it is meant for the chain's end.
    pub hole: Option<Offset>,
    /// How many records there were.
    pub frames: u64,
    /// Digest of their frames, over all objects.
    pub digest: ContentDigest,
}

impl FlushManifest {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        envelope::seal(Kind::FlushManifest, write_id, &ManifestMessage::of(self))
    }

    /// Reads the object's bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are not an intact flush manifest.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<ManifestMessage>(Kind::FlushManifest, bytes)?;
        let manifest = message.read().map_err(|reason| {
            Error::decode(Kind::FlushManifest.name(), HEADER_BYTES as u64, reason)
        })?;
        Ok((id, manifest))
    }
}

#[derive(Clone, PartialEq, Message)]
struct ManifestMessage {
    #[prost(string, tag = "1")]
    flush: String,
    /// Present when the flush is void.
    #[prost(string, optional, tag = "2")]
    void: Option<String>,
    #[prost(message, repeated, tag = "3")]
    objects: Vec<ObjectMessage>,
    #[prost(message, repeated, tag = "4")]
    spans: Vec<SpanMessage>,
    #[prost(uint64, tag = "5")]
    shard_map_version: u64,
    #[prost(string, tag = "6")]
    software: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ObjectMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    shard: String,
    #[prost(uint64, tag = "3")]
    object_bytes: u64,
    #[prost(fixed32, tag = "4")]
    crc32c: u32,
    #[prost(uint64, tag = "5")]
    frames: u64,
    #[prost(uint64, tag = "6")]
    raw_bytes: u64,
    #[prost(bytes = "vec", tag = "7")]
    digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(message, optional, tag = "1")]
    stream: Option<wire::Stream>,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(uint64, tag = "3")]
    to: u64,
    #[prost(uint64, tag = "4")]
    frames: u64,
    #[prost(bytes = "vec", tag = "5")]
    digest: Vec<u8>,
    #[prost(uint64, optional, tag = "6")]
    hole: Option<u64>,
}

impl ManifestMessage {
    fn of(manifest: &FlushManifest) -> Self {
        let flush = manifest.flush.to_string();
        match &manifest.body {
            FlushBody::Void { reason } => Self {
                flush,
                void: Some(reason.clone()),
                ..Self::default()
            },
            FlushBody::Written(contents) => Self {
                flush,
                void: None,
                objects: contents.objects.iter().map(ObjectMessage::of).collect(),
                spans: contents.spans.iter().map(SpanMessage::of).collect(),
                shard_map_version: contents.made_with.shard_map_version,
                software: contents.made_with.software.clone(),
            },
        }
    }

    fn read(self) -> Reading<FlushManifest> {
        let flush = self.flush.parse()?;
        if let Some(reason) = self.void {
            let body = FlushBody::Void { reason };
            return Ok(FlushManifest { flush, body });
        }
        let objects = self.objects.into_iter().map(ObjectMessage::read);
        let spans = self.spans.into_iter().map(SpanMessage::read);
        let contents = FlushContents {
            objects: objects.collect::<Reading<_>>()?,
            spans: spans.collect::<Reading<_>>()?,
            made_with: MadeWith {
                shard_map_version: self.shard_map_version,
                software: self.software,
            },
        };
        let body = FlushBody::Written(contents);
        Ok(FlushManifest { flush, body })
    }
}

impl ObjectMessage {
    pub(crate) fn of(object: &FlushedObject) -> Self {
        Self {
            key: object.key.clone(),
            shard: object.shard.to_string(),
            object_bytes: object.object_bytes,
            crc32c: object.crc32c,
            frames: object.frames,
            raw_bytes: object.raw_bytes,
            digest: object.digest.to_bytes().to_vec(),
        }
    }

    pub(crate) fn read(self) -> Reading<FlushedObject> {
        Ok(FlushedObject {
            key: self.key,
            shard: self.shard.parse()?,
            object_bytes: self.object_bytes,
            crc32c: self.crc32c,
            frames: self.frames,
            raw_bytes: self.raw_bytes,
            digest: wire::digest(&self.digest)?,
        })
    }
}

impl SpanMessage {
    fn of(span: &FlushedSpan) -> Self {
        Self {
            stream: Some(wire::Stream::of(&span.stream)),
            from: wire::offset_number(span.span.from),
            to: wire::offset_number(span.span.to),
            frames: span.frames,
            digest: span.digest.to_bytes().to_vec(),
            hole: span.hole.map(wire::offset_number),
        }
    }

    fn read(self) -> Reading<FlushedSpan> {
        Ok(FlushedSpan {
            stream: wire::required(self.stream, "stream")?.read()?,
            span: wire::span(self.from, self.to)?,
            hole: self.hole.map(wire::offset).transpose()?,
            frames: self.frames,
            digest: wire::digest(&self.digest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{
        Chain, Incarnation, OrgId, PartitionId, SourceName, Tenure, TopicName, WorkerId,
    };

    fn sample(frames: u64, partition: u32, from: i64) -> FlushManifest {
        let chain = Chain {
            source: SourceName::new("a").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(partition),
        };
        let tenure = Tenure(frames);
        FlushManifest {
            flush: FlushId {
                worker: WorkerId::random(),
                counter: frames,
            },
            body: FlushBody::Written(FlushContents {
                objects: vec![FlushedObject {
                    key: "k".into(),
                    shard: ShardId::Dedicated(OrgId(9)),
                    object_bytes: 10,
                    crc32c: 11,
                    frames,
                    raw_bytes: 12,
                    digest: ContentDigest::EMPTY,
                }],
                spans: vec![FlushedSpan {
                    stream: Stream { chain, tenure },
                    span: Span::new(Offset(from), Offset(from + 1)),
                    hole: frames.is_multiple_of(2).then_some(Offset(from)),
                    frames,
                    digest: ContentDigest::EMPTY,
                }],
                made_with: MadeWith::this_build(frames),
            }),
        }
    }

    proptest! {
        #[test]
        fn a_manifest_reads_back(frames: u64, partition: u32, from in 0..i64::MAX - 1) {
            let manifest = sample(frames, partition, from);
            let id = WriteId::random();
            let read = FlushManifest::decode(&manifest.encode(id)).unwrap();
            prop_assert_eq!(read, (id, manifest));
        }
    }

    #[test]
    fn a_void_flush_reads_back_as_void() {
        let manifest = FlushManifest {
            body: FlushBody::Void {
                reason: String::new(),
            },
            ..sample(1, 1, 1)
        };
        let bytes = manifest.encode(WriteId::random());
        assert_eq!(FlushManifest::decode(&bytes).unwrap().1, manifest);
    }

    #[test]
    fn an_empty_span_is_refused() {
        let mut message = ManifestMessage::of(&sample(1, 1, 1));
        message.spans[0].to = message.spans[0].from;
        let bytes = envelope::seal(Kind::FlushManifest, WriteId::random(), &message);
        let error = FlushManifest::decode(&bytes).unwrap_err().to_string();
        assert!(error.contains("empty"), "{error}");
    }
}
