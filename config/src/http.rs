//! `[http]`: where a process can be looked at, and what whoever gives it orders has to know.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skein_shared::admin_http::{AdminHttpSettings, Token};

use crate::bound::{Bounds, Breach};
use crate::error::{Error, Fault, Result};
use crate::secret::read_private;

/// Environment variable that holds the token itself.
pub const TOKEN_VARIABLE: &str = "SKEIN_HTTP_TOKEN";

/// Settings of the HTTP listener, as a person writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// `address:port`; empty is nowhere.
    pub listen: String,
    /// File of mode 0600 with the token; empty is none.
    pub token_file: String,
}

impl HttpSection {
    /// What is served with, and the token from the environment or the file; `None` when it is off.
    ///
    /// # Errors
    /// [`Error::Faults`] for a file that others may read, or a token that can be guessed;
    /// [`Error::Unreadable`].
    pub fn settings(&self) -> Result<Option<AdminHttpSettings>> {
        let Ok(address) = self.listen.parse() else {
            return Ok(None);
        };
        let token = self.token()?;
        Ok(Some(AdminHttpSettings { address, token }))
    }

    /// The token from the environment or the file.
    ///
    /// # Errors
    /// As [`settings`](Self::settings).
    pub fn token(&self) -> Result<Option<Token>> {
        self.token_over(std::env::var(TOKEN_VARIABLE).ok())
    }

    fn token_over(&self, from_environment: Option<String>) -> Result<Option<Token>> {
        let (origin, text) = match from_environment.filter(|text| !text.is_empty()) {
            Some(text) => (TOKEN_VARIABLE, text),
            None if self.token_file.is_empty() => return Ok(None),
            None => {
                let file = Path::new(&self.token_file);
                ("file", read_private("http.token_file", file)?)
            }
        };
        Token::new(&text).map(Some).map_err(|error| {
            Error::Faults(vec![Fault {
                key: "http.token_file".to_owned(),
                value: self.token_file.clone(),
                allowed: error.to_string(),
                origin: origin.to_owned(),
            }])
        })
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("http", breaches);
        if !self.listen.is_empty() && self.listen.parse::<SocketAddr>().is_err() {
            let allowed = "an address and port like 127.0.0.1:9464, or empty";
            bounds.refuse("listen", &self.listen, allowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SECRET: &str = "a-token-of-some-length";

    fn section(text: &str, mode: u32) -> (tempfile::TempDir, HttpSection) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let section = HttpSection {
            listen: "127.0.0.1:0".to_owned(),
            token_file: file.to_str().unwrap().to_owned(),
        };
        (dir, section)
    }

    #[test]
    fn the_token_comes_from_the_environment_or_a_file_that_only_its_owner_reads() {
        let (_dir, in_file) = section(SECRET, 0o600);
        let token = in_file.token_over(None).unwrap().unwrap();
        assert!(token.is(SECRET.as_bytes()));
        let other = "another-token-of-some-length";
        let token = in_file.token_over(Some(other.to_owned())).unwrap().unwrap();
        assert!(token.is(other.as_bytes()));
        let (_dir, open_to_all) = section(SECRET, 0o640);
        let error = open_to_all.token_over(None).unwrap_err().to_string();
        assert!(
            error.contains("http.token_file") && error.contains("640"),
            "{error}"
        );
        let (_dir, short) = section("short-one", 0o600);
        let error = short.token_over(None).unwrap_err().to_string();
        assert!(
            error.contains("16") && !error.contains("short-one"),
            "{error}"
        );
    }

    #[test]
    fn without_an_address_nothing_is_served_and_without_a_file_there_is_no_token() {
        let (_dir, mut section) = section(SECRET, 0o600);
        section.token_file.clear();
        assert!(section.token_over(None).unwrap().is_none());
        section.listen.clear();
        assert!(section.settings().unwrap().is_none());
    }
}
