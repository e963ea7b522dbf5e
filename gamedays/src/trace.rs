//! What happened, as a chain of hashes and, if asked, line by line.

use xxhash_rust::xxh3::xxh3_64;

/// A run's history. Two runs with equal digests did the same things in the same order (SK-16).
#[derive(Debug, Default)]
pub struct Trace {
    digest: u64,
    notes: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Keeps the digest alone.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Keeps every line.
    pub fn speaking() -> Self {
        Self {
            lines: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Takes note of one thing that happened at `now`: what, and the numbers that tell it from others.
    pub fn note(&mut self, now: u64, what: &'static str, numbers: &[u64]) {
        let mut digest = mix(self.digest ^ xxh3_64(what.as_bytes()), now);
        for number in numbers {
            digest = mix(digest, *number);
        }
        self.digest = digest;
        self.notes += 1;
        if let Some(lines) = &mut self.lines {
            let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
            lines.push(format!("{now:>8} {what} {}", numbers.join(" ")));
        }
    }

    /// Adds words to the last line; they are not part of the digest.
    pub fn explain(&mut self, words: impl FnOnce() -> String) {
        if let Some(last) = self.lines.as_mut().and_then(|lines| lines.last_mut()) {
            last.push_str("  ");
            last.push_str(&words());
        }
    }

    /// Hash of everything so far.
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// How many things happened.
    pub const fn notes(&self) -> u64 {
        self.notes
    }

    /// The lines, where they were kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

fn mix(digest: u64, number: u64) -> u64 {
    (digest ^ number)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29)
}
