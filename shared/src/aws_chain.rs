//! AWS' own chain of credentials (environment, profile, web identity, container, instance), and the HTTP client
//! that it and the bucket use: the one place where either is set up.

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{ProvideCredentials, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use futures::future::BoxFuture;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use aws_sdk_s3::config::Credentials;

/// An HTTP client that trusts the system's authorities and those whose certificates, PEM, are given.
///
/// # Errors
/// What is given holds no certificate, or one that cannot be read.
pub(crate) fn http_client(authorities: Option<&[u8]>) -> Result<SharedHttpClient, String> {
    let mut trusted = TrustStore::default();
    if let Some(pem) = authorities {
        // The client would panic on them.
        check_certificates(pem)?;
        trusted = trusted.with_pem_certificate(pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    if store.is_empty() {
        return Err(
            "it holds no certificate; expected PEM, -----BEGIN CERTIFICATE-----".to_owned(),
        );
    }
    Ok(())
}

/// The chain, which asks each place anew when what it found expires.
pub(crate) async fn provider(
    http_client: SharedHttpClient,
    region: &str,
) -> Option<SharedCredentialsProvider> {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .region(Region::new(region.to_owned()))
        .load()
        .await
        .credentials_provider()
}

/// Asks the chain once.
///
/// # Errors
/// What each place said, in the words of the SDK, which holds no secret.
pub fn credentials(region: &str) -> BoxFuture<'_, Result<Credentials, String>> {
    Box::pin(async move {
        let provider = provider(http_client(None)?, region)
            .await
            .ok_or("the chain is not set up")?;
        provider.provide_credentials().await.map_err(|error| {
            let source = std::error::Error::source(&error);
            source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        })
    })
}
