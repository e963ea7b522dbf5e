//! What all Kafka clients' callbacks have in common: logs, errors, and tokens for the login.

use std::error::Error as StdError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::token::{Token, wall_clock_ms};
use crate::kafka::token_source::TokenSource;

/// A callback waits this long for a token: it runs where a client is polled, which must not stand still.
/// One that comes later is taken when librdkafka asks again, 10 s after a refusal; since it asks when 80 % of a
/// token's life are over, the old one is still good then.
const WAIT: Duration = Duration::from_secs(5);

/// A source that takes longer than this has failed.
const SOURCE_LIMIT: Duration = Duration::from_mins(1);

/// The context of a client, or the part of one that has more to note.
#[derive(Debug)]
pub struct Login {
    source: Option<TokenSource>,
    wait: Duration,
    /// A token that was asked for and has not come yet.
    asked: Mutex<Option<Receiver<Fetched>>>,
    fault: Mutex<Option<ConnectionFault>>,
}

type Fetched = Result<Token, String>;

/// Why a client has no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionFault {
    pub(super) kind: FaultKind,
    pub(super) reason: String,
}

/// What a fault is about, the more telling the higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultKind {
    /// No connection, or one that broke.
    Connection,
    /// Encryption or a certificate.
    Tls,
    /// The broker refused the login, or there is no token for one.
    Login,
}

impl Login {
    pub(super) fn new(source: Option<TokenSource>) -> Self {
        Self {
            source,
            wait: WAIT,
            asked: Mutex::new(None),
            fault: Mutex::new(None),
        }
    }

    /// The most telling fault so far.
    pub(super) fn fault(&self) -> Option<ConnectionFault> {
        locked(&self.fault).clone()
    }

    /// Forgets a fault: what was asked since has been answered.
    pub(super) fn forget_fault(&self) {
        *locked(&self.fault) = None;
    }

    fn note_fault(&self, error: &KafkaError, reason: &str) {
        let Some(kind) = kind_of(error, reason) else {
            return;
        };
        let mut fault = locked(&self.fault);
        if fault.as_ref().is_none_or(|before| before.kind <= kind) {
            let reason = reason.to_owned();
            *fault = Some(ConnectionFault { kind, reason });
        }
    }

    fn token(&self) -> Fetched {
        let source = self.source.as_ref().ok_or(
            "kafka.sasl.mechanism is not OAUTHBEARER: kafka.properties alone give no token",
        )?;
        let mut asked = locked(&self.asked);
        let waiting = match asked.take() {
            Some(waiting) => waiting,
            None => ask(source.clone())?,
        };
        match waiting.recv_timeout(self.wait) {
            Ok(fetched) => {
                let token = fetched?;
                token.check_fresh(wall_clock_ms())?;
                Ok(token)
            }
            Err(RecvTimeoutError::Timeout) => {
                *asked = Some(waiting);
                Err(format!(
                    "no token came within {:?}; it is still waited for",
                    self.wait
                ))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("no token came within {SOURCE_LIMIT:?}"))
            }
        }
    }
}

impl ClientContext for Login {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "librdkafka: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka goes on by itself: it connects again, and asks the coordinator again.
        tracing::warn!(%error, "kafka: {reason}");
        self.note_fault(&error, reason);
    }

    fn generate_oauth_token(
        &self,
        _oauthbearer_config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn StdError>> {
        let token = self.token()?;
        tracing::debug!(
            expires_ms = token.expires_ms,
            "a token for the login to kafka"
        );
        Ok(OAuthToken {
            token: token.value,
            principal_name: token.principal,
            lifetime_ms: token.expires_ms,
        })
    }
}

impl ConsumerContext for Login {}

/// Asks the source on a thread of its own.
fn ask(source: TokenSource) -> Result<Receiver<Fetched>, String> {
    let (answer, waiting) = sync_channel(1);
    let fetch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let fetched = match runtime {
            Ok(runtime) => runtime
                .block_on(async { tokio::time::timeout(SOURCE_LIMIT, source.fetch()).await })
                .unwrap_or_else(|_| Err(format!("no token came within {SOURCE_LIMIT:?}"))),
            Err(error) => Err(error.to_string()),
        };
        // Nobody waits any more when the client has gone.
        let _ = answer.send(fetched);
    };
    thread::Builder::new()
        .name("kafka-token".to_owned())
        .spawn(fetch)
        .map_err(|error| error.to_string())?;
    Ok(waiting)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client library's codes are many and grow; only these tell why there is no connection"
)]
fn kind_of(error: &KafkaError, reason: &str) -> Option<FaultKind> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            Some(FaultKind::Login)
        }
        RDKafkaErrorCode::SSL => Some(FaultKind::Tls),
        // A handshake that the other side ends comes as a broken connection.
        RDKafkaErrorCode::BrokerTransportFailure if reason.contains("SSL") => Some(FaultKind::Tls),
        RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve => {
            Some(FaultKind::Connection)
        }
        _ => None,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use skein_shared::units::Millis;

    use super::*;

    #[test]
    fn a_token_that_comes_late_is_taken_when_it_is_asked_for_again() {
        let place = tempfile::tempdir().unwrap();
        let gate = place.path().join("gate");
        let calls = place.path().join("calls");
        let script = "echo x >>\"$1\"; until [ -e \"$0\" ]; do sleep 0.05; done; echo late";
        let command = [
            "sh",
            "-c",
            script,
            gate.to_str().unwrap(),
            calls.to_str().unwrap(),
        ];
        let mut login = Login::new(Some(TokenSource::Command {
            command: command.map(str::to_owned).to_vec(),
            lifetime: Millis::seconds(60),
        }));
        login.wait = Duration::from_millis(200);
        let reason = login.token().unwrap_err();
        assert!(reason.contains("still waited for"), "{reason}");
        std::fs::write(&gate, "").unwrap();
        login.wait = Duration::from_secs(30);
        assert_eq!(login.token().unwrap().value, "late");
        let calls = std::fs::read_to_string(&calls).unwrap();
        assert_eq!(calls.lines().count(), 1, "it was asked for twice");
    }
}
