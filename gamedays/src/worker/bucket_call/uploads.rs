//! Uploads of one process: begun by the first part, while the others wait.

use std::collections::{BTreeMap, VecDeque};

use skein_connector::core::action::{ObjectNumber, Request};
use skein_shared::ids::WriteId;

use crate::model_s3::{Ask, UploadId};
use crate::worker::bucket_call::{CallId, Next, Stage};

#[derive(Debug, Default)]
pub(super) struct Uploads {
    all: BTreeMap<ObjectNumber, Upload>,
    ready: VecDeque<CallId>,
}

#[derive(Debug)]
struct Upload {
    key: String,
    write: WriteId,
    id: Option<UploadId>,
    starter: Option<CallId>,
    waiting: Vec<CallId>,
    parts: BTreeMap<u32, usize>,
}

impl Uploads {
    /// What a part needs first: its upload, or nothing but itself.
    pub(super) fn begin_part(&mut self, id: CallId, stage: &mut Stage, request: &Request) -> Next {
        let Request::UploadPart {
            object,
            key,
            write,
            part,
            body,
        } = request
        else {
            unreachable!("only parts are uploaded");
        };
        let upload = self.all.entry(*object).or_insert_with(|| Upload {
            key: key.clone(),
            write: *write,
            id: None,
            starter: None,
            waiting: Vec::new(),
            parts: BTreeMap::new(),
        });
        if let Some(upload) = upload.id {
            *stage = Stage::First;
            return Next::Ask(Ask::UploadPart(upload, *part, body.clone()));
        }
        *stage = Stage::Upload;
        if upload.starter.is_none() || upload.starter == Some(id) {
            upload.starter = Some(id);
            return Next::Ask(Ask::StartUpload(key.clone(), *write));
        }
        upload.waiting.push(id);
        Next::Wait
    }

    pub(super) fn started(&mut self, object: ObjectNumber, id: UploadId) {
        if let Some(upload) = self.all.get_mut(&object) {
            upload.id.get_or_insert(id);
            upload.starter = None;
            self.ready.extend(upload.waiting.drain(..));
        }
    }

    /// Another part begins the upload, if one waits.
    pub(super) fn start_failed(&mut self, object: ObjectNumber, starter: CallId) {
        if let Some(upload) = self.all.get_mut(&object)
            && upload.starter == Some(starter)
        {
            upload.starter = None;
            self.ready.extend(upload.waiting.drain(..));
        }
    }

    pub(super) fn next_ready(&mut self) -> Option<CallId> {
        self.ready.pop_front()
    }

    pub(super) fn part_stored(&mut self, request: &Request) {
        if let Request::UploadPart {
            object, part, body, ..
        } = request
            && let Some(upload) = self.all.get_mut(object)
        {
            upload.parts.insert(*part, body.len());
        }
    }

    pub(super) fn complete(&self, object: ObjectNumber) -> Ask {
        let upload = self.upload(object);
        let parts = upload.parts.keys().copied().collect();
        let id = upload.id.expect("its first part has begun it");
        Ask::Complete(id, parts, upload.key.clone())
    }

    pub(super) fn key_of(&self, object: ObjectNumber) -> &str {
        &self.upload(object).key
    }

    /// Write id and length of the object when it is whole.
    pub(super) fn expected(&self, object: ObjectNumber) -> (WriteId, usize) {
        let upload = self.upload(object);
        (upload.write, upload.parts.values().sum())
    }

    pub(super) fn completed(&mut self, object: ObjectNumber) {
        self.all.remove(&object);
    }

    pub(super) fn open(&self) -> Vec<UploadId> {
        self.all.values().filter_map(|upload| upload.id).collect()
    }

    fn upload(&self, object: ObjectNumber) -> &Upload {
        let upload = self.all.get(&object);
        upload.expect("an object is completed after its parts, and once")
    }
}
