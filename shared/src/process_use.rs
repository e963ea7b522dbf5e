//! What this process has used of the machine, as Linux counts it; for reports and benchmarks.

use std::fs;

/// Processor time so far, user and system, in milliseconds; 0 where the system does not tell.
pub fn cpu_ms() -> u64 {
    /// `USER_HZ`, which is 100 on every Linux.
    const MS_PER_TICK: u64 = 10;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the name in brackets and may hold blanks.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|f| f.parse::<u64>().ok());
    (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * MS_PER_TICK
}

/// The most memory that was ever resident; `None` where the system does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// The memory that is resident now; `None` where the system does not tell.
pub fn memory_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_touched_shows_in_the_peak() {
        const BYTES: usize = 64 << 20;
        let before = peak_memory_bytes().unwrap();
        let touched = std::hint::black_box(vec![1_u8; BYTES]);
        assert!(peak_memory_bytes().unwrap() >= before.max(BYTES as u64));
        assert!(memory_bytes().unwrap() >= BYTES as u64);
        drop(touched);
    }
}
