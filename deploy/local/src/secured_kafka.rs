//! Apache Kafka as a secured cluster has it: a listener for logins over TLS, one for client certificates.

use futures::future::BoxFuture;

use crate::apache_kafka::{ApacheKafka, ExtraListeners, Nodes};
use crate::certificates::Certificates;
use crate::free_port::free_ports;
use crate::unavailable::Unavailable;

/// The one user that is let in.
pub const USER: &str = "skein-worker";

/// One node with two more listeners; it stops when dropped.
#[derive(Debug)]
pub struct SecuredKafka {
    kafka: ApacheKafka,
    login: String,
    mutual: String,
}

impl SecuredKafka {
    /// Starts one with the server's certificate of `certificates`, and [`USER`] with this password.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub fn start<'a>(
        certificates: &'a Certificates,
        password: &'a str,
    ) -> BoxFuture<'a, Result<Self, Unavailable>> {
        Box::pin(async move {
            let read = |path| {
                std::fs::read_to_string(path)
                    .map_err(|error| Unavailable::because(format!("certificates: {error}")))
            };
            let key = read(certificates.server_key())?;
            let certificate = read(certificates.server_certificate())?;
            let [login, mutual]: [u16; 2] =
                free_ports().map_err(|error| Unavailable::because(error.to_string()))?;
            let scram = |hash: &str| format!("SCRAM-SHA-{hash}=[name={USER},password={password}]");
            let extra = ExtraListeners {
                listeners: vec![("LOGIN", "SASL_SSL", login), ("MUTUAL", "SSL", mutual)],
                properties: properties(certificates, password),
                scram_users: vec![scram("256"), scram("512")],
                files: vec![("keystore.pem", key + &certificate)],
            };
            let kafka = ApacheKafka::start_with(Nodes::One, &extra).await?;
            Ok(Self {
                kafka,
                login: format!("127.0.0.1:{login}"),
                mutual: format!("127.0.0.1:{mutual}"),
            })
        })
    }

    /// The same node without any security, to look behind the scenes.
    pub fn plain(&self) -> &ApacheKafka {
        &self.kafka
    }

    /// Takes PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER with unsigned tokens, over TLS.
    pub fn login_bootstrap(&self) -> &str {
        &self.login
    }

    /// Takes clients with a certificate of the authority.
    pub fn mutual_bootstrap(&self) -> &str {
        &self.mutual
    }
}

fn properties(certificates: &Certificates, password: &str) -> Vec<String> {
    const SECURITY: &str = "org.apache.kafka.common.security";
    let authority = certificates.authority();
    let scram = format!("{SECURITY}.scram.ScramLoginModule required;");
    let login = "listener.name.login";
    vec![
        "ssl.keystore.type=PEM".to_owned(),
        "ssl.keystore.location=keystore.pem".to_owned(),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", authority.display()),
        "listener.name.mutual.ssl.client.auth=required".to_owned(),
        format!("{login}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
        format!(
            "{login}.plain.sasl.jaas.config={SECURITY}.plain.PlainLoginModule required \
             user_{USER}=\"{password}\";"
        ),
        // A connection does not outlive its token.
        format!("{login}.oauthbearer.connections.max.reauth.ms=3600000"),
        format!("{login}.scram-sha-256.sasl.jaas.config={scram}"),
        format!("{login}.scram-sha-512.sasl.jaas.config={scram}"),
        format!(
            "{login}.oauthbearer.sasl.jaas.config={SECURITY}.oauthbearer.OAuthBearerLoginModule \
             required unsecuredLoginStringClaim_sub=\"broker\";"
        ),
    ]
}
