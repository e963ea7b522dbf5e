//! The decoder of `skein.v1.Payload`.

use std::borrow::Cow;

use crate::ids::{MetricId, OrgId, SeriesKey};
use crate::payload::fields::{self, Fields};
use crate::payload::limits::Limits;
use crate::payload::org_in_header;
use crate::payload::refusal::Refusal;
use crate::payload::times::{Regular, TimeRange, Times};
use crate::window::TimestampMs;

/// A payload that was checked whole; its points are decoded on demand.
#[derive(Debug, Clone)]
pub struct PayloadView<'a> {
    org: OrgId,
    metric: MetricId,
    points: PayloadPoints<'a>,
    range: Option<TimeRange>,
}

/// The points and the metadata of a payload that was checked.
#[derive(Debug, Clone)]
pub struct PayloadPoints<'a> {
    times: Times<'a>,
    /// Little-endian doubles. Owned only where the producer did not pack them into one field.
    values: Cow<'a, [u8]>,
    /// The fields of metadata. Owned only where they are not side by side.
    metadata: Cow<'a, [u8]>,
}

impl<'a> PayloadView<'a> {
    /// Checks a whole payload: its structure, its counts, its timestamps and every limit. Unknown fields
    /// are skipped; fields may come in any order, and lists also unpacked, as protobuf has it.
    ///
    /// # Errors
    /// Why it has to go to quarantine.
    pub fn parse(
        payload: &'a [u8],
        limits: &Limits,
        record_timestamp: Option<TimestampMs>,
    ) -> Result<Self, Refusal> {
        limits.check_bytes(payload.len())?;
        let mut fields = Fields::read(payload)?;
        limits.check_metadata(fields.metadata_entries, fields.metadata_bytes)?;
        let times = fields.times()?;
        if !fields.values.len().is_multiple_of(8) {
            return Err(Refusal::Malformed {
                at: payload.len(),
                reason: "packed values whose length is not a multiple of 8",
            });
        }
        let view = Self {
            org: fields.org.ok_or(Refusal::OrgMissing)?,
            metric: fields.metric.ok_or(Refusal::MetricMissing)?,
            range: None,
            points: PayloadPoints {
                times,
                values: fields.values,
                metadata: fields.metadata,
            },
        };
        limits.check_points(view.point_count())?;
        let (timestamps, values) = (view.points.times.count(), view.point_count() as u64);
        if timestamps != values {
            return Err(Refusal::CountsDiffer { timestamps, values });
        }
        let range = view.points.times.range()?;
        if let Some(range) = range {
            limits.check_times(range.earliest, range.latest, record_timestamp)?;
            limits.check_windows(range.earliest, range.latest, fields.metadata_bytes)?;
        }
        Ok(Self { range, ..view })
    }

    /// Of which series.
    pub const fn series(&self) -> SeriesKey {
        let (org, metric) = (self.org, self.metric);
        SeriesKey { org, metric }
    }

    /// Whose.
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// How many points.
    pub fn point_count(&self) -> usize {
        self.points.count()
    }

    /// The points and the metadata.
    pub const fn points(&self) -> &PayloadPoints<'a> {
        &self.points
    }

    /// Event times of the points; `None` where there are no points.
    pub const fn time_range(&self) -> Option<TimeRange> {
        self.range
    }

    /// Checks that the record's header, where it has one, names this payload's org.
    ///
    /// # Errors
    /// [`Refusal::OrgHeader`] or [`Refusal::OrgMismatch`].
    pub fn check_org(&self, header: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(header) = header else { return Ok(()) };
        let first = org_in_header(header)?;
        if first == self.org {
            return Ok(());
        }
        Err(Refusal::OrgMismatch {
            first,
            second: self.org,
        })
    }
}

impl PayloadPoints<'_> {
    /// How many points.
    pub fn count(&self) -> usize {
        self.values.len() / 8
    }

    /// Whether there is any metadata.
    pub fn has_metadata(&self) -> bool {
        !self.metadata.is_empty()
    }

    /// Key and value of each metadata entry, in the payload's order; of a key that comes twice the last
    /// counts.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        fields::entries(&self.metadata)
    }

    /// Appends the points, in the payload's order, bit for bit.
    pub fn decode_into(&self, timestamps: &mut Vec<i64>, values: &mut Vec<f64>) {
        self.times.decode_into(self.count(), timestamps);
        let (chunks, _) = self.values.as_chunks::<8>();
        values.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
    }
}

/// Packed points stand in memory and on the local disk, for the process that packed them and no other: number of points
/// (u32), length of the packed deltas (u32), then those, or, where that is 2^32 - 1, start and step (i64, u64);
/// values; metadata. Little endian.
impl<'a> PayloadPoints<'a> {
    /// Length of what [`PayloadPoints::pack_into`] appends.
    pub fn packed_bytes(&self) -> usize {
        let times = match &self.times {
            Times::Deltas(bytes) => bytes.len(),
            Times::Regular(_) => 16,
        };
        8 + times + self.values.len() + self.metadata.len()
    }

    /// Appends what [`PayloadPoints::of_packed`] reads in a few steps.
    ///
    /// # Panics
    /// If there are 4 GiB of timestamps, which no limit admits.
    pub fn pack_into(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.count()).expect("the limits bound the points");
        out.extend_from_slice(&count.to_le_bytes());
        match &self.times {
            Times::Deltas(bytes) => {
                let length = u32::try_from(bytes.len()).ok();
                let length = length.filter(|length| *length != REGULAR);
                let length = length.expect("the limits bound a payload far below 4 GiB");
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Times::Regular(regular) => {
                out.extend_from_slice(&REGULAR.to_le_bytes());
                out.extend_from_slice(&regular.start_ms.to_le_bytes());
                out.extend_from_slice(&regular.step_ms.to_le_bytes());
            }
        }
        out.extend_from_slice(&self.values);
        out.extend_from_slice(&self.metadata);
    }

    /// Reads [`PayloadPoints::pack_into`] back; nothing is copied.
    ///
    /// # Panics
    /// If it is something else.
    pub fn of_packed(packed: &'a [u8]) -> Self {
        let mut rest = packed;
        let count = u32::from_le_bytes(take(&mut rest));
        let times = match u32::from_le_bytes(take(&mut rest)) {
            REGULAR => Times::Regular(Regular {
                start_ms: i64::from_le_bytes(take(&mut rest)),
                step_ms: u64::from_le_bytes(take(&mut rest)),
                count,
            }),
            length => {
                let (deltas, behind) = rest.split_at(length as usize);
                rest = behind;
                Times::Deltas(Cow::Borrowed(deltas))
            }
        };
        let (values, metadata) = rest.split_at(count as usize * 8);
        Self {
            times,
            values: Cow::Borrowed(values),
            metadata: Cow::Borrowed(metadata),
        }
    }

    /// Reads a payload that was encoded here: nothing is checked.
    ///
    /// # Panics
    /// If it is another one.
    pub fn of_encoded(payload: &'a [u8]) -> Self {
        const OURS: &str = "it was encoded here";
        let mut fields = Fields::read(payload).expect(OURS);
        Self {
            times: fields.times().expect(OURS),
            values: fields.values,
            metadata: fields.metadata,
        }
    }
}

/// In place of the length of deltas.
const REGULAR: u32 = u32::MAX;

#[inline]
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (first, behind) = rest.split_first_chunk().expect("it was packed here");
    *rest = behind;
    *first
}
