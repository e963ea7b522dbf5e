//! Whether an org's log of versions is whole: gapless, chained by hashes, each step one that the table has, and as the fleet
//! says.

use futures::future::BoxFuture;
use skein_shared::cutover::CutoverState;
use skein_shared::cutover_log::{self, Hashed};
use skein_shared::error::BucketCause;
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Pipeline, Timeline};
use skein_shared::{Error, ErrorKind, Result, fleet_log};

use crate::cutover::fact_finding::Plane;
use crate::cutover::steps::{is_step, is_still};

/// What was found of one org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCheck {
    /// Its versions.
    pub versions: u64,
    /// What is wrong.
    pub faults: Vec<String>,
}

/// Checks the log of `org`.
///
/// # Errors
/// What the bucket says; damage is no error here, it is found.
pub fn check(plane: &Plane, org: OrgId) -> BoxFuture<'_, Result<LogCheck>> {
    Box::pin(async move {
        let bucket = &plane.bucket;
        let history = match cutover_log::history(bucket, org).await {
            Ok(history) => history,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let faults = vec![error.to_string()];
                return Ok(LogCheck {
                    versions: 0,
                    faults,
                });
            }
            Err(error) => return Err(error),
        };
        let mut faults = steps(&history);
        for (version, _) in &history {
            let Some(seal) = version.seal else { continue };
            match cutover_log::load_seal(bucket, org, seal).await {
                Ok(_) => {}
                Err(Error::Bucket {
                    cause: BucketCause::NotFound,
                    ..
                }) => faults.push(format!(
                    "version {} names the seal of version {seal}, which is missing",
                    version.version
                )),
                Err(error) if error.kind() == ErrorKind::Corrupt => faults.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let fleet = fleet_log::newest(bucket).await?;
        let head = fleet.as_ref().and_then(|fleet| fleet.heads.get(&org));
        faults.extend(head.and_then(|head| {
            let number = usize::try_from(head.version).unwrap_or(usize::MAX);
            let named = number.checked_sub(1).and_then(|at| history.get(at));
            let is_same = named.is_some_and(|(_, hash)| *hash == head.hash);
            (!is_same).then(|| {
                format!(
                    "the fleet names version {}, and the log has another one",
                    head.version
                )
            })
        }));
        Ok(LogCheck {
            versions: history.len() as u64,
            faults,
        })
    })
}

/// Versions that do not follow the one before them.
fn steps(history: &[Hashed]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut state = CutoverState::Off;
    let mut timeline = Timeline::owned_by(Pipeline::Old);
    for (version, _) in history {
        let number = version.version;
        if version.change.from != state {
            faults.push(format!(
                "version {number} was made of state {}, and the one before it is {state}",
                version.change.from
            ));
        }
        if version.timeline != timeline && is_still(&version.change.verb) {
            faults.push(format!(
                "version {number} changes the timeline, which {} never does",
                version.change.verb
            ));
        }
        if !is_step(&version.change.verb, (version.change.from, version.state)) {
            faults.push(format!(
                "version {number} says that {} led from {} to {}, which it cannot",
                version.change.verb, version.change.from, version.state
            ));
        }
        state = version.state;
        timeline = version.timeline.clone();
    }
    faults
}
