//! A token for a login: its text, whom it is for, and until when it is good.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

/// A token; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) value: String,
    pub(super) principal: String,
    pub(super) expires_ms: i64,
}

/// What a JWT says about itself, if it says so.
#[derive(Default, Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    exp: Option<f64>,
}

impl Token {
    /// Reads what a file or a command gave at `now_ms`. A JWT tells when it expires; any other token is taken
    /// to be good for `lifetime`.
    pub(super) fn read(text: &str, now_ms: i64, lifetime: Millis) -> Result<Self, String> {
        let value = text.trim();
        if value.is_empty() {
            return Err("it is empty".to_owned());
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !value.bytes().all(legal) {
            return Err(
                "it holds more than one token: expected letters, digits and -._~+/= only"
                    .to_owned(),
            );
        }
        let claims = claims(value).unwrap_or_default();
        let lifetime_ms = i64::try_from(lifetime.0).unwrap_or(i64::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast of a float saturates, and so may a lifetime"
        )]
        let expires_ms = match claims.exp {
            Some(seconds) => (seconds * 1000.0) as i64,
            None => now_ms.saturating_add(lifetime_ms),
        };
        let token = Self {
            value: value.to_owned(),
            principal: claims.sub.unwrap_or_else(|| "skein".to_owned()),
            expires_ms,
        };
        token.check_fresh(now_ms)?;
        Ok(token)
    }

    /// Refuses a token that is no longer good.
    pub(super) fn check_fresh(&self, now_ms: i64) -> Result<(), String> {
        if self.expires_ms > now_ms {
            return Ok(());
        }
        let ago = (now_ms - self.expires_ms) / 1000;
        let at = TimestampMs(self.expires_ms);
        Err(format!(
            "it expired at {at}, {ago} s ago: have a new one issued"
        ))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("principal", &self.principal)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

/// The middle part of a JWT; `None` for a token of any other kind.
fn claims(value: &str) -> Option<Claims> {
    let mut parts = value.split('.');
    let (_header, body, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let json = URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Milliseconds since 1970 by this machine's clock.
pub(super) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Millis = Millis::seconds(300);

    fn jwt(claims: &str) -> String {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims))
    }

    #[test]
    fn a_jwt_tells_whom_it_is_for_and_when_it_expires() {
        let text = jwt(r#"{"sub":"worker","exp":2000.5,"iat":1}"#);
        let token = Token::read(&format!("{text}\n"), 1_000_000, LIFETIME).unwrap();
        assert_eq!(token.value, text);
        assert_eq!(
            (token.principal.as_str(), token.expires_ms),
            ("worker", 2_000_500)
        );
    }

    #[test]
    fn an_opaque_token_is_taken_to_be_good_for_the_lifetime_of_the_settings() {
        for text in ["opaque", "a.b", "a.b.c", &jwt("not json")] {
            let token = Token::read(text, 1_000_000, LIFETIME).unwrap();
            assert_eq!(token.expires_ms, 1_300_000, "{text}");
        }
    }

    #[test]
    fn an_expired_token_says_since_when() {
        let text = jwt(r#"{"sub":"worker","exp":1000}"#);
        let reason = Token::read(&text, 1_060_000, LIFETIME).unwrap_err();
        assert_eq!(
            reason,
            "it expired at 1970-01-01T00:16:40.000Z, 60 s ago: have a new one issued"
        );
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for text in [
            "",
            " \n",
            "two tokens",
            "a\nb",
            "a\0b",
            "{\"access_token\":\"canary\"}",
        ] {
            let reason = Token::read(text, 0, LIFETIME).unwrap_err();
            assert!(!reason.contains("canary"), "{reason}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::read("canary", 0, LIFETIME).unwrap();
        assert!(!format!("{token:?}").contains("canary"));
    }
}
