//! Apache Kafka and `SeaweedFS` with a settings file for both.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use skein_local::apache_kafka::{ApacheKafka, Nodes};
use skein_local::seaweedfs::SeaweedFs;
use skein_local::skipped;
use tempfile::TempDir;

use crate::skein::Skein;

const BUCKET: &str = "skein";

/// Both servers; they stop when dropped.
#[derive(Debug)]
pub(crate) struct RealServices {
    pub(crate) kafka: ApacheKafka,
    _seaweedfs: SeaweedFs,
    directory: TempDir,
}

impl RealServices {
    /// Starts both, or reports `test` as skipped. `sections` is added to the settings file.
    pub(crate) async fn start(test: &str, sections: &str) -> Option<Self> {
        Self::start_on(Nodes::One, test, sections).await
    }

    /// The same with three brokers, and topics replicated over all of them.
    pub(crate) async fn start_replicated(test: &str, sections: &str) -> Option<Self> {
        Self::start_on(Nodes::Three, test, sections).await
    }

    async fn start_on(nodes: Nodes, test: &str, sections: &str) -> Option<Self> {
        let (kafka, seaweedfs) = tokio::join!(ApacheKafka::start(nodes), SeaweedFs::start(BUCKET));
        let (kafka, seaweedfs) = match (kafka, seaweedfs) {
            (Ok(kafka), Ok(seaweedfs)) => (kafka, seaweedfs),
            (Err(unavailable), _) | (_, Err(unavailable)) => {
                skipped::report(test, &unavailable);
                return None;
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let credentials = directory.path().join("credentials");
        let keys = format!(
            "access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
            seaweedfs.access_key(),
            seaweedfs.secret_key()
        );
        write_private(&credentials, &keys);
        let settings = format!(
            "[kafka]\nbrokers = \"{}\"\ntopics = [\"points\"]\n\n\
             [bucket]\nurl = \"s3://{BUCKET}/e2e\"\nendpoint = \"{}\"\npath_style = true\n\
             credentials = \"{}\"\n\n{sections}",
            kafka.bootstrap(),
            seaweedfs.endpoint(),
            credentials.display(),
        );
        write_private(&directory.path().join("skein.toml"), &settings);
        Some(Self {
            kafka,
            _seaweedfs: seaweedfs,
            directory,
        })
    }

    pub(crate) fn skein(&self) -> Skein {
        Skein::with_config(&self.config())
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("skein.toml")
    }
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
