//! Where the points of the old system are had from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use skein_config::bucket::BucketSection;
use skein_config::cutover::settings::CutoverSettings;
use skein_config::cutover::timelines::OrgCutover;
use skein_shared::bucket::{Bucket, StoreSettings};

use crate::error::{Error, Result};
use crate::old_files::OldFiles;
use crate::old_source::OldSource;
use crate::parquet_files::ParquetFiles;

/// Of every org the place that its cutover names, else the one of the settings. A place is opened when it is read first.
#[derive(Debug, Clone)]
pub struct OldPlaces {
    places: Places,
}

#[derive(Debug, Clone)]
enum Places {
    One(OldSource),
    Named(Arc<NamedPlaces>),
}

#[derive(Debug)]
struct NamedPlaces {
    bucket: Bucket,
    section: BucketSection,
    /// For orgs whose cutover names none.
    default: String,
    opened: Mutex<BTreeMap<String, OldSource>>,
}

impl OldPlaces {
    /// What the settings say; places in other buckets are asked as `section` says for this one.
    pub fn new(bucket: &Bucket, section: &BucketSection, settings: &CutoverSettings) -> Self {
        let named = NamedPlaces {
            bucket: bucket.clone(),
            section: section.clone(),
            default: settings.old_place.clone(),
            opened: Mutex::default(),
        };
        Self {
            places: Places::Named(Arc::new(named)),
        }
    }

    /// The same places; those that are written to say anew what they have.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let places = match &self.places {
            Places::One(source) => Places::One(source.clone()),
            Places::Named(named) => Places::Named(Arc::new(NamedPlaces {
                bucket: named.bucket.clone(),
                section: named.section.clone(),
                default: named.default.clone(),
                opened: Mutex::new(named.unchanging()),
            })),
        };
        Self { places }
    }

    /// The same source for every org.
    pub fn only(source: OldSource) -> Self {
        Self {
            places: Places::One(source),
        }
    }

    /// Where the points of an org are, of which `cutover` is said.
    ///
    /// # Errors
    /// [`Error::OldPlace`] when there is no such place, or nothing in it; what it says.
    pub fn source_of<'a>(
        &'a self,
        cutover: Option<&'a OrgCutover>,
    ) -> BoxFuture<'a, Result<OldSource>> {
        let own = cutover.and_then(|cutover| cutover.old_place.as_deref());
        Box::pin(async move {
            match &self.places {
                Places::One(source) => Ok(source.clone()),
                Places::Named(named) => named.open(own.unwrap_or(&named.default)).await,
            }
        })
    }
}

impl NamedPlaces {
    /// Of what was opened that which nobody writes to.
    fn unchanging(&self) -> BTreeMap<String, OldSource> {
        let mut opened = self
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        opened.retain(|_, source| match source {
            OldSource::Files(_) => false,
            OldSource::Parquet(_) => true,
        });
        opened
    }

    async fn open(&self, place: &str) -> Result<OldSource> {
        let opened = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = opened().get(place) {
            return Ok(source.clone());
        }
        let source = if place.is_empty() || place == self.bucket.url() {
            self.own_files().await?
        } else {
            self.files_at(place).await?
        };
        opened().insert(place.to_owned(), source.clone());
        Ok(source)
    }

    /// Nothing is no answer where nobody has begun to write: points may be somewhere else.
    async fn own_files(&self) -> Result<OldSource> {
        let files = OldFiles::open(&self.bucket).await?;
        if files.positions().is_empty() {
            return Err(Error::OldPlace {
                place: self.bucket.url().to_owned(),
                reason: "no old pipeline has begun here: name the folder or bucket of the old system's files in \
                         cutover.old_place"
                    .to_owned(),
            });
        }
        Ok(OldSource::Files(files))
    }

    async fn files_at(&self, place: &str) -> Result<OldSource> {
        let section = BucketSection {
            url: place.to_owned(),
            ..self.section.clone()
        };
        let settings = section.settings().map_err(|error| Error::OldPlace {
            place: place.to_owned(),
            reason: format!("{error}; correct cutover.old_place"),
        })?;
        let files = match settings {
            StoreSettings::Directory(folder) => ParquetFiles::in_folder(folder.root).await?,
            StoreSettings::S3(settings) => {
                let bucket = Bucket::open(&settings).await?;
                ParquetFiles::in_bucket(bucket).await?
            }
        };
        Ok(OldSource::Parquet(files))
    }
}
