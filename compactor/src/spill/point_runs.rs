//! Points of one series that memory has no room for: sorted runs of merged points in a local file.
//!
//! A run is chunks one after the other: `points | stretches | first timestamp | CRC32C of all that follows and precedes`,
//! then timestamps, values, and of each stretch its points and its order, little endian. It is read by the process that
//! wrote it and by no other.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use skein_shared::format::checksum;
use skein_shared::format::order_column::{OrderCursor, OrderRun};
use skein_shared::format::segment_reader::SeriesBuffer;

use super::SpillPlace;
use super::entry::{ORDER_BYTES, put_order, take, take_order};
use crate::error::Result;

/// Points of a chunk: what a reader hands out at once.
pub const CHUNK_POINTS: usize = 2048;

const HEAD_BYTES: usize = 4 + 4 + 8 + 4;
const POINT_BYTES: usize = 8 + 8;
const STRETCH_BYTES: usize = 4 + ORDER_BYTES;

/// Sorted runs of points of one series.
#[derive(Debug)]
pub struct PointRuns {
    place: SpillPlace,
    file: Arc<File>,
    runs: Vec<PointRun>,
    end: u64,
    /// The chunk on its way to the disk.
    chunk: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct PointRun {
    from: u64,
    to: u64,
    points: u64,
    last_ms: i64,
}

/// The points of one run, chunk by chunk.
#[derive(Debug)]
pub struct PointReader {
    place: SpillPlace,
    file: Arc<File>,
    /// Behind the head of the next chunk.
    at: u64,
    end: u64,
    head: Option<ChunkHead>,
    chunk: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct ChunkHead {
    bytes: [u8; HEAD_BYTES],
    points: usize,
    stretches: usize,
    first_ms: i64,
    crc32c: u32,
}

impl PointRuns {
    /// Without a point.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill).
    pub fn create(place: &SpillPlace) -> Result<Self> {
        Ok(Self {
            place: place.clone(),
            file: Arc::new(place.new_file()?),
            runs: Vec::new(),
            end: 0,
            chunk: Vec::new(),
        })
    }

    /// Appends points in ascending time: to the last run where they are later than that, else as a run of their own.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill) when the disk is full or fails.
    pub fn append(&mut self, points: &SeriesBuffer) -> Result<()> {
        let times = &points.timestamps_ms;
        let (Some(&first_ms), Some(&last_ms)) = (times.first(), times.last()) else {
            return Ok(());
        };
        let mut orders = OrderCursor::new(&points.orders);
        let from = self.end;
        let values = points.values.chunks(CHUNK_POINTS);
        for (times, values) in times.chunks(CHUNK_POINTS).zip(values) {
            self.encode((times, values), &mut orders);
            let written = self.file.as_ref().write_all(&self.chunk);
            written.map_err(|error| self.place.failed("write", error))?;
            self.end += self.chunk.len() as u64;
        }
        let count = times.len() as u64;
        match self.runs.last_mut() {
            Some(last) if last.last_ms < first_ms => {
                (last.to, last.last_ms) = (self.end, last_ms);
                last.points += count;
            }
            Some(_) | None => self.runs.push(PointRun {
                from,
                to: self.end,
                points: count,
                last_ms,
            }),
        }
        Ok(())
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Points of all runs.
    pub fn points(&self) -> u64 {
        self.runs.iter().map(|run| run.points).sum()
    }

    /// A reader before the first point of each run.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill).
    pub fn readers(&self) -> Result<Vec<PointReader>> {
        let reader = |run: &PointRun| {
            let mut reader = PointReader {
                place: self.place.clone(),
                file: Arc::clone(&self.file),
                at: run.from,
                end: run.to,
                head: None,
                chunk: Vec::new(),
            };
            reader.read_head()?;
            Ok(reader)
        };
        self.runs.iter().map(reader).collect()
    }

    fn encode(&mut self, (times, values): (&[i64], &[f64]), orders: &mut OrderCursor<'_>) {
        let chunk = &mut self.chunk;
        chunk.clear();
        chunk.extend_from_slice(&[0; HEAD_BYTES]);
        chunk.reserve(times.len() * POINT_BYTES);
        for ms in times {
            chunk.extend_from_slice(&ms.to_le_bytes());
        }
        for value in values {
            chunk.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        let points = u32::try_from(times.len()).expect("a chunk is small");
        let mut stretches = 0_u32;
        orders.advance(points, |stretch| {
            stretches += 1;
            chunk.extend_from_slice(&stretch.points.to_le_bytes());
            put_order(&stretch.order, |bytes| chunk.extend_from_slice(bytes));
        });
        let (head, body) = chunk.split_at_mut(HEAD_BYTES);
        head[..4].copy_from_slice(&points.to_le_bytes());
        head[4..8].copy_from_slice(&stretches.to_le_bytes());
        head[8..16].copy_from_slice(&times[0].to_le_bytes());
        let crc32c = checksum::crc32c_of_parts(&[&head[..16], body]);
        head[16..].copy_from_slice(&crc32c.to_le_bytes());
    }
}

impl ChunkHead {
    fn decode(bytes: [u8; HEAD_BYTES]) -> Self {
        let mut rest = &bytes[..];
        Self {
            bytes,
            points: u32::from_le_bytes(take(&mut rest)) as usize,
            stretches: u32::from_le_bytes(take(&mut rest)) as usize,
            first_ms: i64::from_le_bytes(take(&mut rest)),
            crc32c: u32::from_le_bytes(take(&mut rest)),
        }
    }

    fn body_bytes(&self) -> usize {
        self.points * POINT_BYTES + self.stretches * STRETCH_BYTES
    }
}

impl PointReader {
    /// Time of the next point; `None` at the end.
    pub fn next_ms(&self) -> Option<i64> {
        self.head.map(|head| head.first_ms)
    }

    /// Appends the next chunk to `out`; answers whether there was one.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill), also when the disk does not give back what was written.
    pub fn take_into(&mut self, out: &mut SeriesBuffer) -> Result<bool> {
        let Some(head) = self.head.take() else {
            return Ok(false);
        };
        let body_bytes = head.body_bytes();
        if body_bytes as u64 > self.end - self.at {
            return Err(self.place.damaged());
        }
        self.chunk.resize(body_bytes, 0);
        let read = self.file.read_exact_at(&mut self.chunk, self.at);
        read.map_err(|error| self.place.failed("read", error))?;
        self.at += body_bytes as u64;
        if checksum::crc32c_of_parts(&[&head.bytes[..16], &self.chunk]) != head.crc32c {
            return Err(self.place.damaged());
        }
        let mut rest = &self.chunk[..];
        let times = (0..head.points).map(|_| i64::from_le_bytes(take(&mut rest)));
        out.timestamps_ms.extend(times);
        let values = (0..head.points).map(|_| f64::from_bits(u64::from_le_bytes(take(&mut rest))));
        out.values.extend(values);
        for _ in 0..head.stretches {
            let points = u32::from_le_bytes(take(&mut rest));
            let order = take_order(&mut rest);
            out.push_order(OrderRun { order, points });
        }
        self.read_head()?;
        Ok(true)
    }

    fn read_head(&mut self) -> Result<()> {
        if self.at == self.end {
            return Ok(());
        }
        let mut head = [0; HEAD_BYTES];
        if (self.end - self.at) < HEAD_BYTES as u64 {
            return Err(self.place.damaged());
        }
        let read = self.file.read_exact_at(&mut head, self.at);
        read.map_err(|error| self.place.failed("read", error))?;
        self.at += HEAD_BYTES as u64;
        self.head = Some(ChunkHead::decode(head));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
