//! What whoever gives orders has to know.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::error::{Error, Result};

/// A shared secret. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Shorter ones can be guessed.
const MIN_CHARS: usize = 16;

impl Token {
    /// Takes a secret of printable ASCII, without what lies around it.
    ///
    /// # Errors
    /// [`Error::Invalid`], which does not repeat the secret.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        let is_fit = text.len() >= MIN_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_fit
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| Error::Invalid {
                what: "http token",
                input: "(hidden)".to_owned(),
                reason: format!("it needs {MIN_CHARS} or more visible ASCII characters"),
            })
    }

    /// Whether `given` is the secret, in a time that tells nothing but its length.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }

    /// The header's value that proves to know it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}
