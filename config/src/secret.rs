//! Texts that must never be seen, and files that only their owner may read.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Fault, Result};
use crate::property::HIDDEN;

/// Access of group and others.
const OF_OTHERS: u32 = 0o077;

/// A text that neither `Debug` nor `Serialize` shows.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is not set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { HIDDEN }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

/// Reads a file that holds a secret; `key` is the setting that names it.
///
/// # Errors
/// [`Error::Unreadable`]; [`Error::Faults`] for a file that others may read.
pub fn read_private(key: &str, file: &Path) -> Result<String> {
    let unreadable = |error: std::io::Error| Error::Unreadable {
        file: file.display().to_string(),
        reason: format!("{error}; {key} names it"),
    };
    check_private(key, file)?;
    std::fs::read_to_string(file).map_err(unreadable)
}

/// Demands that a file is there and that only its owner may read it; `key` is the setting that names it.
///
/// # Errors
/// As [`read_private`].
pub fn check_private(key: &str, file: &Path) -> Result<()> {
    let metadata = std::fs::metadata(file).map_err(|error| Error::Unreadable {
        file: file.display().to_string(),
        reason: format!("{error}; {key} names it"),
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OF_OTHERS == 0 {
        return Ok(());
    }
    Err(Error::Faults(vec![Fault {
        key: key.to_owned(),
        value: file.display().to_string(),
        allowed: format!("a file that only its owner can read (chmod 600); its mode is {mode:o}"),
        origin: String::new(),
    }]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_that_it_is_set() {
        let secret = Secret::new("canary");
        assert_eq!(secret.reveal(), "canary");
        assert_eq!(format!("{secret:?}"), HIDDEN);
        assert_eq!(
            serde_json::to_string(&secret).unwrap(),
            format!("{HIDDEN:?}")
        );
        assert_eq!(format!("{:?}", Secret::default()), "");
    }

    #[test]
    fn a_private_file_that_others_can_read_is_refused_by_key_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "canary\n").unwrap();
        for (mode, refused) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read_private("kafka.sasl.password_file", &file);
            assert_eq!(read.is_err(), refused, "{mode:o}");
            if let Err(error) = read {
                let error = error.to_string();
                assert!(error.contains("kafka.sasl.password_file"), "{error}");
                assert!(error.contains(&format!("{mode:o}")), "{error}");
                assert!(!error.contains("canary"), "{error}");
            }
        }
    }
}
