//! Which versions of a stored format are read: every released one, whoever wrote it.
//!
//! Fields are only added to a protobuf body, and readers pass over those that they do not know. What changes the meaning
//! of stored bytes gets a new version, and its reader goes on to read the old ones.

/// The first version of every format. What builds before the first release wrote is version 0.
pub const FIRST: u16 = 1;

/// Checks that this build, which knows the versions up to `newest`, reads `version`.
///
/// # Errors
/// Why not, and what to do.
pub fn check(version: u16, newest: u16) -> Result<(), String> {
    if version > newest {
        return Err(format!(
            "version {version} is newer than {newest}, which this build reads: take the build that wrote it, or a later one"
        ));
    }
    if version < FIRST {
        return Err(format!(
            "version {version} was written before the first release, and no release reads it: begin an empty bucket, read \
             Kafka into it again and compact"
        ));
    }
    Ok(())
}
