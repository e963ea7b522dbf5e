//! Parts as they were sent: what lies on the disk is compared when they become an object.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

use crate::format::checksum::{combine, crc32c};

/// Bytes that are copied at once.
const COPY_BYTES: usize = 256 * 1024;

/// A part as it was sent.
#[derive(Debug)]
pub(super) struct SentPart {
    pub(super) number: u32,
    pub(super) part_bytes: u64,
    pub(super) crc32c: u32,
}

/// What is wrong with a part. A power failure takes what nobody has made durable.
#[derive(Debug)]
pub(super) struct PartFault {
    pub(super) number: u32,
    pub(super) what: String,
}

impl SentPart {
    /// Copies it from a file, no more bytes than were sent; what is wrong with those that were there.
    pub(super) fn copy(&self, from: &mut File, into: &mut File) -> io::Result<Option<String>> {
        Ok(self.misfit(&copy(from, into, self.part_bytes)?))
    }

    /// Where what was found differs from it.
    fn misfit(&self, found: &Copied) -> Option<String> {
        let Copied { bytes, crc32c } = *found;
        if bytes != self.part_bytes {
            let sent = self.part_bytes;
            return Some(format!("has {bytes} bytes, {sent} were sent"));
        }
        (crc32c != self.crc32c).then(|| {
            let sent = self.crc32c;
            format!("has crc32c {crc32c:08x}, that of what was sent is {sent:08x}")
        })
    }
}

/// What was copied.
#[derive(Debug)]
struct Copied {
    bytes: u64,
    crc32c: u32,
}

/// Copies as many bytes as were sent, and sums them up.
fn copy(from: &mut File, into: &mut File, bytes: u64) -> io::Result<Copied> {
    let mut from = from.take(bytes);
    let mut buffer = vec![0; COPY_BYTES];
    let mut copied = Copied {
        bytes: 0,
        crc32c: crc32c(&[]),
    };
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        let piece = &buffer[..read];
        into.write_all(piece)?;
        copied.crc32c = combine(copied.crc32c, crc32c(piece), read as u64);
        copied.bytes += read as u64;
    }
}
