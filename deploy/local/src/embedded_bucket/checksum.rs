//! Checksums of a body: what the client announces must be what arrived.

use crc_fast::{CrcAlgorithm, Digest};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::Checksum;
use s3s::{S3Result, TrailingHeaders, s3_error};
use serde::{Deserialize, Serialize};

/// The two CRCs that are kept of every stored run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Crcs {
    /// Castagnoli, the one that clients see.
    pub(super) crc32c: u32,
    /// NVME, for the entity tag.
    pub(super) crc64: u64,
}

impl Crcs {
    /// The CRCs of these bytes followed by `next`, which is `next_bytes` long.
    pub(super) fn followed_by(self, next: Self, next_bytes: u64) -> Self {
        let crc32c = crc_fast::checksum_combine(
            CrcAlgorithm::Crc32Iscsi,
            u64::from(self.crc32c),
            u64::from(next.crc32c),
            next_bytes,
        );
        let crc64 =
            crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, self.crc64, next.crc64, next_bytes);
        Self {
            crc32c: narrow(crc32c),
            crc64,
        }
    }

    /// An entity tag from the contents, as S3's is, with the suffix of a multipart one, so that no
    /// client takes it for an MD5.
    pub(super) fn entity_tag(self, bytes: u64, parts: usize) -> String {
        let low = bytes & 0xffff_ffff;
        format!("{:016x}{:08x}{low:08x}-{parts}", self.crc64, self.crc32c)
    }

    /// The CRC32C as S3 writes it.
    pub(super) fn crc32c_text(self) -> String {
        base64(&self.crc32c.to_be_bytes())
    }
}

/// Hashes a body while it arrives, and compares at its end.
pub(super) struct BodyCheck {
    crc32c: Digest,
    crc64: Digest,
    others: ChecksumHasher,
    md5: Option<(Md5, String)>,
    announced: Checksum,
    trailers: Option<TrailingHeaders>,
}

/// What a client sent beside a body to prove it.
pub(super) struct Announced {
    /// Values from the head of the request; `None` where it sent none.
    pub(super) checksum: Checksum,
    /// `Content-MD5`.
    pub(super) content_md5: Option<String>,
    /// Values that follow the body.
    pub(super) trailers: Option<TrailingHeaders>,
    /// The names of those values: the header `x-amz-trailer`.
    pub(super) trailer_names: String,
}

impl BodyCheck {
    /// Prepares every hash that was announced.
    pub(super) fn new(announced: Announced) -> Self {
        let Announced {
            checksum,
            content_md5,
            trailers,
            trailer_names,
        } = announced;
        let asked = |value: &Option<String>, name: &str| {
            value.is_some() || trailer_names.to_ascii_lowercase().contains(name)
        };
        let mut others = ChecksumHasher::default();
        if asked(&checksum.checksum_crc32, "x-amz-checksum-crc32") {
            others.crc32 = Some(Crc32::new());
        }
        if asked(&checksum.checksum_crc64nvme, "x-amz-checksum-crc64nvme") {
            others.crc64nvme = Some(Crc64Nvme::new());
        }
        if asked(&checksum.checksum_sha1, "x-amz-checksum-sha1") {
            others.sha1 = Some(Sha1::new());
        }
        if asked(&checksum.checksum_sha256, "x-amz-checksum-sha256") {
            others.sha256 = Some(Sha256::new());
        }
        Self {
            crc32c: Digest::new(CrcAlgorithm::Crc32Iscsi),
            crc64: Digest::new(CrcAlgorithm::Crc64Nvme),
            others,
            md5: content_md5.map(|expected| (Md5::new(), expected)),
            announced: checksum,
            trailers,
        }
    }

    pub(super) fn update(&mut self, chunk: &[u8]) {
        self.crc32c.update(chunk);
        self.crc64.update(chunk);
        self.others.update(chunk);
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(chunk);
        }
    }

    /// Compares with everything that was announced.
    pub(super) fn finish(self) -> S3Result<Crcs> {
        let crcs = Crcs {
            crc32c: narrow(self.crc32c.finalize()),
            crc64: self.crc64.finalize(),
        };
        let mut computed = self.others.finalize();
        computed.checksum_crc32c = Some(crcs.crc32c_text());
        let trailers = self.trailers.and_then(|trailers| trailers.take());
        compare(&self.announced, &computed, |name| {
            let value = trailers.as_ref()?.get(name)?;
            value.to_str().ok().map(str::to_owned)
        })?;
        if let Some((md5, expected)) = self.md5 {
            let actual = base64(md5.finalize().as_ref());
            refuse_unless_equal("content-md5", &expected, &actual)?;
        }
        Ok(crcs)
    }
}

/// CRC32C over the parts' CRC32Cs: what S3 calls a composite checksum.
pub(super) fn composite_crc32c(parts: &[Crcs]) -> String {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(&part.crc32c.to_be_bytes());
    }
    let crc = narrow(digest.finalize());
    format!("{}-{}", base64(&crc.to_be_bytes()), parts.len())
}

/// Refuses a value that differs, naming both.
pub(super) fn refuse_unless_equal(name: &str, expected: &str, actual: &str) -> S3Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(s3_error!(
        BadDigest,
        "the body does not match its {name}: announced `{expected}`, received `{actual}`"
    ))
}

fn compare(
    announced: &Checksum,
    computed: &Checksum,
    trailer: impl Fn(&str) -> Option<String>,
) -> S3Result<()> {
    let values = [
        (
            "x-amz-checksum-crc32",
            &announced.checksum_crc32,
            &computed.checksum_crc32,
        ),
        (
            "x-amz-checksum-crc32c",
            &announced.checksum_crc32c,
            &computed.checksum_crc32c,
        ),
        (
            "x-amz-checksum-crc64nvme",
            &announced.checksum_crc64nvme,
            &computed.checksum_crc64nvme,
        ),
        (
            "x-amz-checksum-sha1",
            &announced.checksum_sha1,
            &computed.checksum_sha1,
        ),
        (
            "x-amz-checksum-sha256",
            &announced.checksum_sha256,
            &computed.checksum_sha256,
        ),
    ];
    for (name, announced, computed) in values {
        for expected in announced.clone().into_iter().chain(trailer(name)) {
            let actual = computed.as_deref().unwrap_or("not computed");
            refuse_unless_equal(name, &expected, actual)?;
        }
    }
    Ok(())
}

fn narrow(crc: u64) -> u32 {
    u32::try_from(crc).expect("a 32-bit CRC fits 32 bits")
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = [0; 3];
        word[..group.len()].copy_from_slice(group);
        let [a, b, c] = word.map(usize::from);
        let indexes = [
            a >> 2,
            (a & 3) << 4 | b >> 4,
            (b & 15) << 2 | c >> 6,
            c & 63,
        ];
        for (place, index) in indexes.into_iter().enumerate() {
            text.push(if place <= group.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_examples_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn crcs_of_joined_parts_are_those_of_the_whole() {
        let of = |bytes: &[u8]| Crcs {
            crc32c: narrow(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes)),
            crc64: crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes),
        };
        let joined = of(b"a skein ").followed_by(of(b"of geese"), 8);
        assert_eq!(joined, of(b"a skein of geese"));
    }
}
