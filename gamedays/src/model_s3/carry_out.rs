//! What each request does, once it has reached the bucket.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_shared::ids::WriteId;
use skein_shared::window::TimestampMs;

use crate::model_s3::{
    Ask, EPOCH, Effect, Intact, ModelS3, Object, Refusal, Reply, Upload, UploadId,
};

impl ModelS3 {
    /// Does what is asked, at once and whole.
    pub fn carry_out(&mut self, ask: &Ask, now: u64) -> (Reply, Effect) {
        self.counts.requests += 1;
        match ask {
            Ask::Put(key, bytes, write) => self.write((key, *write), bytes.clone(), now),
            Ask::Create(key, bytes, write) => {
                if self.objects.contains_key(key) {
                    self.counts.preconditions += 1;
                    return (Reply::Precondition, Effect::None);
                }
                self.write((key, *write), bytes.clone(), now)
            }
            Ask::Head(key) => {
                let object = self.objects.get(key);
                let meta = object.map(|object| (object.write, object.bytes.len()));
                (Reply::Meta(meta), Effect::None)
            }
            Ask::Get(key) => {
                let object = self.objects.get(key);
                let body = object.map(|object| object.bytes.clone());
                (Reply::Body(body, Intact::Yes), Effect::None)
            }
            Ask::LastKey(prefix) => (Reply::Key(self.last_key(prefix)), Effect::None),
            Ask::Delete(key) => match self.objects.remove(key) {
                Some(object) => (Reply::Done, Effect::Deleted(key.clone(), object)),
                None => (Reply::Done, Effect::None),
            },
            Ask::StartUpload(key, write) => {
                self.uploads_made += 1;
                let id = UploadId(self.uploads_made);
                let upload = Upload {
                    key: key.clone(),
                    write: *write,
                    started_at: now,
                    parts: BTreeMap::new(),
                };
                self.uploads.insert(id, upload);
                (Reply::Upload(id), Effect::None)
            }
            Ask::UploadPart(id, number, bytes) => match self.uploads.get_mut(id) {
                Some(upload) => {
                    upload.parts.insert(*number, bytes.clone());
                    (Reply::Done, Effect::None)
                }
                None => (Reply::NoSuchUpload, Effect::None),
            },
            Ask::Complete(id, numbers, _) => self.complete(*id, numbers, now),
            Ask::Abort(id) => {
                self.uploads.remove(id);
                (Reply::Done, Effect::None)
            }
            Ask::Clock => (Reply::Clock(time_at(now)), Effect::None),
        }
    }

    fn write(
        &mut self,
        (key, write): (&str, WriteId),
        bytes: Bytes,
        written_at: u64,
    ) -> (Reply, Effect) {
        let object = Object {
            bytes,
            write,
            written_at,
        };
        let before = self.objects.insert(key.to_owned(), object);
        (Reply::Done, Effect::Written(key.to_owned(), before))
    }

    fn last_key(&self, prefix: &str) -> Option<String> {
        let below = self.objects.range(prefix.to_owned()..);
        let keys = below
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix));
        keys.filter(|key| !key.ends_with("genesis")).last().cloned()
    }

    fn complete(&mut self, id: UploadId, numbers: &[u32], now: u64) -> (Reply, Effect) {
        let Some(upload) = self.uploads.get(&id) else {
            self.counts.missing_uploads += 1;
            return (Reply::NoSuchUpload, Effect::None);
        };
        let mut bytes = Vec::new();
        for (place, number) in numbers.iter().enumerate() {
            let part = upload.parts.get(number);
            let is_last = place + 1 == numbers.len();
            let Some(part) =
                part.filter(|part| is_last || part.len() as u64 >= self.least_part_bytes)
            else {
                return (Reply::Refused(Refusal::Invalid), Effect::None);
            };
            bytes.extend_from_slice(part);
        }
        let upload = self.uploads.remove(&id).expect("it was just found");
        self.counts.completions += 1;
        self.write((&upload.key, upload.write), bytes.into(), now)
    }
}

/// The bucket's clock at a moment of the world.
pub fn time_at(now: u64) -> TimestampMs {
    TimestampMs(EPOCH + now.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> WriteId {
        WriteId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn an_object_is_created_once_and_whole_or_not_at_all() {
        let mut s3 = ModelS3::default();
        let create = |n: u128| Ask::Create("a".into(), Bytes::from(vec![1]), id(n));
        assert!(matches!(s3.carry_out(&create(1), 0).0, Reply::Done));
        assert!(matches!(s3.carry_out(&create(2), 0).0, Reply::Precondition));
        let (Reply::Upload(upload), _) = s3.carry_out(&Ask::StartUpload("b".into(), id(3)), 0)
        else {
            panic!("an upload begins");
        };
        for number in [1, 2] {
            s3.carry_out(&Ask::UploadPart(upload, number, Bytes::from(vec![7])), 0);
            assert!(s3.object("b").is_none());
        }
        let complete = Ask::Complete(upload, vec![1, 2], "b".into());
        assert!(matches!(s3.carry_out(&complete, 0).0, Reply::Done));
        assert_eq!(s3.object("b").unwrap().bytes, vec![7, 7]);
        assert!(matches!(s3.carry_out(&complete, 0).0, Reply::NoSuchUpload));
    }
}
