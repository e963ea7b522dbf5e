//! `s3rver`, a small S3 server of others that ignores `If-None-Match`: what has to be refused at a start.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::child::ServerProcess;
use crate::fetched;
use crate::free_port::free_ports;
use crate::unavailable::Unavailable;

/// How long the server may take to come up.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// How often a start is tried, each time on another port.
const STARTS: usize = 3;

/// The one pair of keys that it knows.
const KEY: &str = "S3RVER";

/// A running `s3rver`; it stops when dropped, and when the process dies.
#[derive(Debug)]
pub struct S3rver {
    port: u16,
    _process: ServerProcess,
}

impl S3rver {
    /// Fetches it if need be, starts a fresh server with one bucket and waits until it serves.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub async fn start(bucket: &str) -> Result<Self, Unavailable> {
        let program = fetched::s3rver().await?;
        let bucket = bucket.to_owned();
        let start = move || {
            let mut last = Unavailable::because("never tried");
            for _ in 0..STARTS {
                match Self::start_once(&program, &bucket) {
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

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The access key id that is let in.
    pub fn access_key(&self) -> &'static str {
        KEY
    }

    /// Its secret.
    pub fn secret_key(&self) -> &'static str {
        KEY
    }

    fn start_once(program: &Path, bucket: &str) -> Result<Self, Unavailable> {
        let failed = |error: std::io::Error| Unavailable::because(format!("s3rver: {error}"));
        let [port] = free_ports().map_err(|error| Unavailable::because(error.to_string()))?;
        let directory = tempfile::Builder::new()
            .prefix("skein-s3rver-")
            .tempdir()
            .map_err(failed)?;
        let program = program.display().to_string();
        let port_text = port.to_string();
        let command = [
            "node",
            &program,
            "--directory",
            ".",
            "--address",
            "127.0.0.1",
            "--port",
            &port_text,
            "--no-vhost-buckets",
            "--configure-bucket",
            bucket,
        ]
        .map(str::to_owned);
        let mut process = ServerProcess::start("s3rver", directory.path(), &command)
            .map_err(|error| Unavailable::because(error.to_string()))?;
        // From here on the process' shell clears the directory.
        let _cleared_elsewhere = directory.keep();
        process
            .wait_until(READY_WITHIN, |_| listens(port))
            .map_err(Unavailable::because)?;
        Ok(Self {
            port,
            _process: process,
        })
    }
}

fn listens(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1))
        .and_then(|mut stream| stream.write_all(b"\r\n"))
        .is_ok()
}
