//! Ports for servers that must be told their port before they start.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Error, Result};

/// Below the range from which the kernel serves outgoing connections, so that none of those takes a port
/// between its choice and the server's start.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// Attempts before giving up, for each port.
const ATTEMPTS: usize = 200;

/// Finds `N` different loopback ports that nobody listens on. They are not held: a server that loses the
/// race for one fails to start, and is started again with others.
///
/// # Errors
/// Nearly every port of the range is taken.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last is found, so that they differ.
    let mut held = Vec::with_capacity(N);
    for _ in 0..N {
        held.push(bind_one()?);
    }
    let mut ports = [0; N];
    for (port, (_listener, number)) in ports.iter_mut().zip(&held) {
        *port = *number;
    }
    Ok(ports)
}

fn bind_one() -> Result<(TcpListener, u16)> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let width = u64::from(RANGE.end - RANGE.start);
        let offset = u16::try_from(random % width).expect("the range's width fits 16 bits");
        let port = RANGE.start + offset;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok((listener, port)),
            Err(error) => last = error,
        }
    }
    Err(Error::start("a real server", "free port")(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports: [u16; 8] = free_ports().unwrap();
        let _all: Vec<_> = ports
            .iter()
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap())
            .collect();
    }
}
