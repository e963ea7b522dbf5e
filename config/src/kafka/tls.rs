//! `[kafka.tls]`: whether connections are encrypted, whom they trust, and who they are.

use std::path::Path;
use std::sync::Once;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::bound::Bounds;
use crate::error::{Error, Result};
use crate::secret::check_private;

/// Settings of encrypted connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Whether connections are encrypted.
    pub enabled: bool,
    /// PEM file of the authorities to trust; empty is those of the system.
    pub ca: String,
    /// PEM file of our own certificate and its chain; empty is none.
    pub certificate: String,
    /// PEM file of its private key, mode 0600.
    pub key: String,
    /// What is checked of the broker's certificate.
    pub verify: Verify,
}

/// The warning about `verify = "none"` is given once, not by each client.
static TOLD: Once = Once::new();

/// What is checked of the broker's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// Who signed it, and that it is for the host that was asked.
    Full,
    /// Who signed it.
    Chain,
    /// Nothing: whoever answers is believed.
    None,
}

impl TlsSettings {
    pub(super) fn check(&self, bounds: &mut Bounds<'_>) {
        for (name, value) in [
            ("tls.ca", &self.ca),
            ("tls.certificate", &self.certificate),
            ("tls.key", &self.key),
        ] {
            if !self.enabled && !value.is_empty() {
                bounds.refuse(name, value, "set only with kafka.tls.enabled = true");
            }
        }
        if self.certificate.is_empty() != self.key.is_empty() {
            let (name, value) = if self.key.is_empty() {
                ("tls.certificate", &self.certificate)
            } else {
                ("tls.key", &self.key)
            };
            let allowed = "kafka.tls.certificate and kafka.tls.key, both or neither";
            bounds.refuse(name, value, allowed);
        }
    }

    /// Sets librdkafka's properties.
    ///
    /// # Errors
    /// A file that is not there, or a key that others may read.
    pub(super) fn set(&self, config: &mut ClientConfig) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        if self.ca.is_empty() {
            // OpenSSL is built in, and its own idea of where the system keeps them is wrong.
            config.set("ssl.ca.location", "probe");
        } else {
            check_readable("kafka.tls.ca", &self.ca)?;
            config.set("ssl.ca.location", &self.ca);
        }
        if !self.key.is_empty() {
            check_readable("kafka.tls.certificate", &self.certificate)?;
            check_private("kafka.tls.key", Path::new(&self.key))?;
            config.set("ssl.certificate.location", &self.certificate);
            config.set("ssl.key.location", &self.key);
        }
        let (chain, host) = match self.verify {
            Verify::Full => ("true", "https"),
            Verify::Chain => ("true", "none"),
            Verify::None => ("false", "none"),
        };
        if self.verify == Verify::None {
            TOLD.call_once(|| {
                tracing::warn!(
                    "kafka.tls.verify = \"none\": whoever answers is taken for the broker"
                );
            });
        }
        config.set("enable.ssl.certificate.verification", chain);
        config.set("ssl.endpoint.identification.algorithm", host);
        Ok(())
    }
}

fn check_readable(key: &str, file: &str) -> Result<()> {
    let unreadable = |error: std::io::Error| Error::Unreadable {
        file: file.to_owned(),
        reason: format!("{error}; {key} names it"),
    };
    std::fs::File::open(file).map(drop).map_err(unreadable)
}
