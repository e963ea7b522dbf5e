//! Replays in the bucket: what each is to do, how far it has come, and whether it is to end. Every object is created
//! if absent and never changed.

use skein_shared::bucket::{Bucket, Created};
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::replay_job::{ReplayCancel, ReplayJob};
use skein_shared::format::replay_step::ReplayStep;
use skein_shared::ids::{JobId, WriteId};
use skein_shared::window::TimestampMs;
use skein_shared::{Error as SharedError, Result as SharedResult};

use crate::error::{Error, Result};

/// The replays of one bucket.
#[derive(Debug, Clone)]
pub struct JobLog {
    bucket: Bucket,
}

impl JobLog {
    /// The replays in `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// Every replay that was begun, in no particular order.
    ///
    /// # Errors
    /// What the bucket says; `Invalid` when a folder under `replays/` is none of ours.
    pub async fn jobs(&self) -> Result<Vec<JobId>> {
        let names = self.bucket.list_folders(Prefix::REPLAYS).await?;
        let job = |name: String| {
            name.parse().map_err(|reason| SharedError::Invalid {
                what: "folder of a replay",
                input: name.clone(),
                reason,
            })
        };
        Ok(names.into_iter().map(job).collect::<SharedResult<_>>()?)
    }

    /// Begins a replay.
    ///
    /// # Errors
    /// [`Error::ReplayTaken`] when its id is taken.
    pub async fn begin(&self, job: &ReplayJob) -> Result<()> {
        let (key, id) = (ObjectKey::ReplayJob(job.job).to_string(), WriteId::random());
        match self.bucket.create(&key, job.encode(id), id).await? {
            Created::Ours => Ok(()),
            Created::Taken => Err(Error::ReplayTaken { job: job.job }),
        }
    }

    /// What a replay is to do.
    ///
    /// # Errors
    /// [`Error::NoSuchReplay`]; `Corrupt` when its plan does not read back.
    pub async fn job(&self, job: JobId) -> Result<ReplayJob> {
        let key = ObjectKey::ReplayJob(job).to_string();
        let bytes = self.bucket.find(&key).await?;
        let bytes = bytes.ok_or(Error::NoSuchReplay { job })?;
        let (_, job) = ReplayJob::decode(&bytes).map_err(|error| error.in_object(&key))?;
        Ok(job)
    }

    /// How far a replay has come; `None` before its first step.
    ///
    /// # Errors
    /// `Corrupt` when the newest step does not read back.
    pub async fn newest_step(&self, job: JobId) -> Result<Option<ReplayStep>> {
        let listed = self.bucket.list_page(&Prefix::replay(job), None, 1).await?;
        let Some(object) = listed.objects.into_iter().next() else {
            return Ok(None);
        };
        let key = object.key;
        if !matches!(key.parse(), Ok(ObjectKey::ReplayStep { .. })) {
            return Ok(None);
        }
        let bytes = self.bucket.get(&key).await?;
        let (_, step) = ReplayStep::decode(&bytes).map_err(|error| error.in_object(&key))?;
        Ok(Some(step))
    }

    /// Notes a step.
    ///
    /// # Errors
    /// [`Error::ReplayTaken`] when another process carries on the same replay.
    pub async fn append(&self, step: &ReplayStep) -> Result<()> {
        let (job, number) = (step.job, step.number);
        let key = ObjectKey::ReplayStep { job, number }.to_string();
        let id = WriteId::random();
        match self.bucket.create(&key, step.encode(id), id).await? {
            Created::Ours => Ok(()),
            Created::Taken => Err(Error::ReplayTaken { job }),
        }
    }

    /// Asks a replay to end. Asking again changes nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchReplay`], and what the bucket says.
    pub async fn cancel(&self, job: JobId, now: TimestampMs) -> Result<()> {
        self.job(job).await?;
        let cancel = ReplayCancel { job, asked: now };
        let (key, id) = (ObjectKey::ReplayCancel(job).to_string(), WriteId::random());
        match self.bucket.create(&key, cancel.encode(id), id).await? {
            Created::Ours | Created::Taken => Ok(()),
        }
    }

    /// Whether somebody asked a replay to end.
    ///
    /// # Errors
    /// What the bucket says.
    pub async fn is_cancelled(&self, job: JobId) -> Result<bool> {
        let key = ObjectKey::ReplayCancel(job).to_string();
        Ok(self.bucket.head(&key).await?.is_some())
    }
}
