//! Real `SeaweedFS` for tests: one process with its S3 gateway, ephemeral ports, own directory.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::certificates::Certificates;
use crate::child::ServerProcess;
use crate::fetched;
use crate::free_port::free_ports;
use crate::unavailable::Unavailable;

/// How long the server may take to come up.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// How often a start is tried, each time on other ports.
const STARTS: usize = 3;

/// How long one question about its health may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Lets a secured server encrypt what it keeps.
const STORE_KEY: &str = "[s3.sse]\nkey = \"for-tests\"\n";

const ACCESS_KEY: &str = "skein";
const SECRET_KEY: &str = "skein-secret";

/// A running `SeaweedFS`; it stops when dropped, and when the process dies.
#[derive(Debug)]
pub struct SeaweedFs {
    port: u16,
    tls_port: u16,
    _process: ServerProcess,
}

impl SeaweedFs {
    /// Fetches `SeaweedFS` if need be, starts a fresh server with one bucket and waits until it serves.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub fn start(bucket: &str) -> BoxFuture<'_, Result<Self, Unavailable>> {
        Box::pin(async move { Self::start_with(bucket, Vec::new()).await })
    }

    /// As [`start`](Self::start), and serves [`tls_endpoint`](Self::tls_endpoint) with the server's certificate
    /// of `certificates`, which must outlive the start.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub fn start_secured<'a>(
        bucket: &'a str,
        certificates: &'a Certificates,
    ) -> BoxFuture<'a, Result<Self, Unavailable>> {
        Box::pin(async move {
            let flags = vec![
                format!(
                    "-s3.cert.file={}",
                    certificates.server_certificate().display()
                ),
                format!("-s3.key.file={}", certificates.server_key().display()),
            ];
            Self::start_with(bucket, flags).await
        })
    }

    async fn start_with(bucket: &str, flags: Vec<String>) -> Result<Self, Unavailable> {
        let weed = fetched::seaweedfs().await?;
        let bucket = bucket.to_owned();
        let start = move || {
            let mut last = Unavailable::because("never tried");
            for _ in 0..STARTS {
                match Self::start_once(&weed, &bucket, &flags) {
                    Ok(server) => return Ok(server),
                    Err(unavailable) => last = unavailable,
                }
            }
            Err(last)
        };
        tokio::task::spawn_blocking(start)
            .await
            .map_err(|error| Unavailable::because(error.to_string()))?
    }

    /// The S3 gateway's URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same gateway over TLS; nobody listens there unless it was started secured.
    pub fn tls_endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// The access key id that is let in.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Its secret.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    fn start_once(weed: &Path, bucket: &str, flags: &[String]) -> Result<Self, Unavailable> {
        let failed = |error: std::io::Error| Unavailable::because(format!("SeaweedFS: {error}"));
        let ports: [u16; 9] =
            free_ports().map_err(|error| Unavailable::because(error.to_string()))?;
        let [tls_port, ports @ ..] = ports;
        let [.., filer, s3, _] = ports;
        let directory = tempfile::Builder::new()
            .prefix("skein-seaweedfs-")
            .tempdir()
            .map_err(failed)?;
        fs::write(directory.path().join("s3.json"), identities()).map_err(failed)?;
        let mut command = command(weed, ports);
        if !flags.is_empty() {
            fs::write(directory.path().join("security.toml"), STORE_KEY).map_err(failed)?;
            command.push(format!("-s3.port.https={tls_port}"));
            command.extend(flags.iter().cloned());
        }
        let sockets = sockets(ports);
        let started =
            ServerProcess::start_clearing("seaweedfs", directory.path(), &sockets, &command);
        let mut process = started.map_err(|error| Unavailable::because(error.to_string()))?;
        // From here on the process' shell clears the directory.
        let _cleared_elsewhere = directory.keep();
        let healthy = |_: Option<&str>| answers_ok(s3, "GET", "/healthz");
        process
            .wait_until(READY_WITHIN, healthy)
            .map_err(Unavailable::because)?;
        // A bucket is a directory of its filer, which takes it without a signature.
        let path = format!("/buckets/{bucket}/");
        process
            .wait_until(READY_WITHIN, |_| answers_ok(filer, "POST", &path))
            .map_err(Unavailable::because)?;
        Ok(Self {
            port: s3,
            tls_port,
            _process: process,
        })
    }
}

fn identities() -> String {
    let identity = serde_json::json!({
        "name": "skein",
        "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    });
    serde_json::json!({ "identities": [identity] }).to_string()
}

/// Every port is given: what is not would be derived or fixed, and could be another test's.
fn command(weed: &Path, ports: [u16; 8]) -> Vec<String> {
    const FLAGS: [&str; 8] = [
        "-master.port",
        "-master.port.grpc",
        "-volume.port",
        "-volume.port.grpc",
        "-filer.port.grpc",
        "-filer.port",
        "-s3.port",
        "-s3.port.grpc",
    ];
    let mut command = vec![weed.display().to_string()];
    let fixed = [
        "-logdir=.",
        "server",
        "-s3",
        "-s3.config=s3.json",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-dir=.",
        "-ip=127.0.0.1",
        "-master.volumeSizeLimitMB=1024",
        "-master.telemetry=false",
        "-volume.max=0",
        "-volume.preStopSeconds=0",
    ];
    command.extend(fixed.map(str::to_owned));
    command.extend(
        FLAGS
            .iter()
            .zip(ports)
            .map(|(flag, port)| format!("{flag}={port}")),
    );
    command
}

/// Where it listens for itself, in a place that no flag moves; killed, it leaves them behind.
fn sockets(ports: [u16; 8]) -> Vec<String> {
    let [
        master,
        master_grpc,
        volume,
        volume_grpc,
        filer_grpc,
        filer,
        s3,
        s3_grpc,
    ] = ports;
    let plain = [
        ("master", master),
        ("volume", volume),
        ("filer", filer),
        ("s3", s3),
    ];
    let grpc = [
        ("master-grpc", master_grpc),
        ("volume-grpc", volume_grpc),
        ("filer-grpc", filer_grpc),
        ("s3-grpc", s3_grpc),
    ];
    let all = plain.into_iter().chain(grpc);
    all.map(|(name, port)| format!("/tmp/seaweedfs-{name}-{port}.sock"))
        .collect()
}

/// Whether the server answers one request with a success.
fn answers_ok(port: u16, method: &str, path: &str) -> bool {
    let ask = || {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(status)
    };
    ask().is_ok_and(|status| status.starts_with(b"HTTP/1.1 2"))
}
