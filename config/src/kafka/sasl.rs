//! `[kafka.sasl]`: who we are to the brokers, and with what we prove it.

use std::path::Path;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use skein_shared::units::Millis;

use crate::bound::Bounds;
use crate::error::{Error, Fault, Result};
use crate::kafka::token_source::TokenSource;
use crate::property::HIDDEN;
use crate::secret::{Secret, read_private};

/// Settings of the login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaslSettings {
    /// How the login is proven.
    pub mechanism: Mechanism,
    /// Name, for the mechanisms with a password.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// File of mode 0600 that holds the password.
    pub password_file: String,
    /// File of mode 0600 that holds the token; read again before the token expires.
    pub token_file: String,
    /// Program and arguments that print the token; run again before the token expires.
    pub token_command: Vec<String>,
    /// How long a token is taken to be good that does not say so itself.
    pub token_lifetime: Millis,
    /// Region of the cluster, for AWS MSK.
    pub region: String,
}

/// How a login is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// Not at all.
    #[serde(rename = "none")]
    None,
    /// The password itself.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof that the password is known.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A proof that the password is known.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token that somebody else has issued.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    /// A token signed with the credentials that AWS' own chain finds.
    #[serde(rename = "AWS_MSK_IAM")]
    AwsMskIam,
}

/// What a mechanism needs to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    Password,
    Token,
    Aws,
}

impl Mechanism {
    fn proof(self) -> Proof {
        match self {
            Self::None => Proof::Nothing,
            Self::Plain | Self::ScramSha256 | Self::ScramSha512 => Proof::Password,
            Self::OauthBearer => Proof::Token,
            Self::AwsMskIam => Proof::Aws,
        }
    }

    /// Whether what is sent would let whoever reads it log in.
    fn needs_tls(self) -> bool {
        match self {
            Self::None | Self::ScramSha256 | Self::ScramSha512 => false,
            Self::Plain | Self::OauthBearer | Self::AwsMskIam => true,
        }
    }

    /// Librdkafka's name for it.
    fn property(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer | Self::AwsMskIam => "OAUTHBEARER",
        }
    }
}

impl SaslSettings {
    /// Whether there is a login.
    pub fn is_on(&self) -> bool {
        self.mechanism != Mechanism::None
    }

    /// Whether the login is a token, which a client has to be polled for.
    pub fn is_by_token(&self) -> bool {
        self.token_source().is_some()
    }

    pub(super) fn check(&self, tls_enabled: Tls, bounds: &mut Bounds<'_>) {
        let proof = self.mechanism.proof();
        let password = if self.password.is_empty() { "" } else { HIDDEN };
        let command = self.token_command.join(" ");
        let given = [
            ("sasl.username", self.username.as_str(), Proof::Password),
            ("sasl.password", password, Proof::Password),
            (
                "sasl.password_file",
                self.password_file.as_str(),
                Proof::Password,
            ),
            ("sasl.token_file", self.token_file.as_str(), Proof::Token),
            ("sasl.token_command", command.as_str(), Proof::Token),
            ("sasl.region", self.region.as_str(), Proof::Aws),
        ];
        for (name, value, of) in given {
            if of != proof && !value.is_empty() {
                bounds.refuse(
                    name,
                    &value,
                    format!("set only with kafka.sasl.mechanism = {}", of.mechanisms()),
                );
            }
        }
        let mechanism = self.mechanism_name();
        if self.mechanism.needs_tls() && tls_enabled == Tls::Off {
            let allowed =
                "with kafka.tls.enabled = true only: what it sends would be read on its way";
            bounds.refuse("sasl.mechanism", &mechanism, allowed);
        }
        self.check_proof(bounds);
        bounds.range(
            "sasl.token_lifetime",
            &self.token_lifetime,
            Millis::seconds(60)..=Millis::seconds(86_400),
        );
    }

    /// Demands exactly what the mechanism needs.
    fn check_proof(&self, bounds: &mut Bounds<'_>) {
        match self.mechanism.proof() {
            Proof::Nothing => {}
            Proof::Password => {
                if self.username.is_empty() {
                    bounds.refuse(
                        "sasl.username",
                        &"",
                        "a name, for this kafka.sasl.mechanism",
                    );
                }
                if self.password.is_empty() == self.password_file.is_empty() {
                    let allowed = "one of kafka.sasl.password, best as SKEIN_KAFKA__SASL__PASSWORD, and \
                                   kafka.sasl.password_file, a file of mode 0600";
                    bounds.refuse("sasl.password_file", &self.password_file, allowed);
                }
            }
            Proof::Token => {
                if self.token_file.is_empty() == self.token_command.is_empty() {
                    let allowed = "one of kafka.sasl.token_file, a file of mode 0600, and kafka.sasl.token_command, \
                                   [\"program\", \"argument\"]";
                    bounds.refuse("sasl.token_file", &self.token_file, allowed);
                }
            }
            Proof::Aws => {
                if self.region.is_empty() {
                    let allowed = "the cluster's region, such as eu-central-1";
                    bounds.refuse("sasl.region", &"", allowed);
                }
            }
        }
    }

    /// Sets librdkafka's properties.
    ///
    /// # Errors
    /// A password file that cannot be read or that others may read.
    pub(super) fn set(&self, config: &mut ClientConfig) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        config.set("sasl.mechanism", self.mechanism.property());
        if self.mechanism.proof() == Proof::Password {
            config.set("sasl.username", &self.username);
            config.set("sasl.password", self.password()?.reveal());
        }
        Ok(())
    }

    /// Where tokens come from, for the mechanisms that have them.
    pub(super) fn token_source(&self) -> Option<TokenSource> {
        let lifetime = self.token_lifetime;
        match self.mechanism.proof() {
            Proof::Nothing | Proof::Password => None,
            Proof::Token if self.token_command.is_empty() => Some(TokenSource::File {
                file: self.token_file.clone().into(),
                lifetime,
            }),
            Proof::Token => Some(TokenSource::Command {
                command: self.token_command.clone(),
                lifetime,
            }),
            Proof::Aws => Some(TokenSource::AwsMsk {
                region: self.region.clone(),
            }),
        }
    }

    fn password(&self) -> Result<Secret> {
        const KEY: &str = "kafka.sasl.password_file";
        if self.password_file.is_empty() {
            return Ok(self.password.clone());
        }
        let text = read_private(KEY, Path::new(&self.password_file))?;
        let password = text.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(Error::Faults(vec![Fault {
                key: KEY.to_owned(),
                value: self.password_file.clone(),
                allowed: "a file that holds the password; it is empty".to_owned(),
                origin: String::new(),
            }]));
        }
        Ok(Secret::new(password))
    }

    fn mechanism_name(&self) -> &'static str {
        if self.mechanism == Mechanism::AwsMskIam {
            return "AWS_MSK_IAM";
        }
        self.mechanism.property()
    }
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    On,
    Off,
}

impl Proof {
    fn mechanisms(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Password => "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
            Self::Token => "OAUTHBEARER",
            Self::Aws => "AWS_MSK_IAM",
        }
    }
}
