//! A certificate authority for one test: a server's certificate for the loopback address, a client's, and keys.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::unavailable::Unavailable;

/// One section for each kind of certificate.
const SETTINGS: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = skein
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = CA:FALSE
subjectAltName = IP:127.0.0.1, DNS:localhost
extendedKeyUsage = serverAuth
[elsewhere]
basicConstraints = CA:FALSE
subjectAltName = DNS:elsewhere.invalid
extendedKeyUsage = serverAuth
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
";

const NEW_KEY: [&str; 11] = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-config",
    "settings",
];

/// For whom the server's certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerName {
    /// The loopback address, which the tests ask.
    Loopback,
    /// A host that nobody asks.
    Elsewhere,
}

/// An authority and what it has signed; the files go when this is dropped.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes them with `openssl`.
    ///
    /// # Errors
    /// There is no `openssl` here, or it refuses.
    pub fn make(name: ServerName) -> Result<Self, Unavailable> {
        let directory = tempfile::Builder::new()
            .prefix("skein-certificates-")
            .tempdir()
            .map_err(|error| Unavailable::because(format!("certificates: {error}")))?;
        let made = Self { directory };
        std::fs::write(made.path("settings"), SETTINGS)
            .map_err(|error| Unavailable::because(format!("certificates: {error}")))?;
        let server = match name {
            ServerName::Loopback => "server",
            ServerName::Elsewhere => "elsewhere",
        };
        made.openssl("authority", "authority", &[])?;
        let signed_by = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        made.openssl(server, "server", &signed_by)?;
        made.openssl("client", "client", &signed_by)?;
        Ok(made)
    }

    /// PEM file of the authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// PEM file of the server's certificate.
    pub fn server_certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    /// PEM file of the server's key, mode 0600.
    pub fn server_key(&self) -> PathBuf {
        self.path("server.key")
    }

    /// PEM file of the client's certificate.
    pub fn client_certificate(&self) -> PathBuf {
        self.path("client.pem")
    }

    /// PEM file of the client's key, mode 0600.
    pub fn client_key(&self) -> PathBuf {
        self.path("client.key")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, section: &str, name: &str, signed_by: &[&str]) -> Result<(), Unavailable> {
        let directory: &Path = self.directory.path();
        let output = Command::new("openssl")
            .args(NEW_KEY)
            .args([
                "-extensions",
                section,
                "-subj",
                &format!("/CN=skein test {section}"),
            ])
            .args([
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.pem"),
            ])
            .args(signed_by)
            .current_dir(directory)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Unavailable::because(format!("`openssl` cannot be run: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).replace('\n', " | ");
        Err(Unavailable::because(format!("`openssl` failed: {said}")))
    }
}
