//! The decoder of `skein.v1.Payload`.

use std::borrow::Cow;

use crate::ids::{MetricId, OrgId, SeriesKey};
use crate::payload::limits::Limits;
use crate::payload::org_in_header;
use crate::payload::refusal::Refusal;
use crate::payload::wire::{self, Cursor, Value};
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
    payload: &'a [u8],
}

/// The event times of a payload's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Of the first point, as the payload has them.
    pub first: TimestampMs,
    /// The smallest.
    pub earliest: TimestampMs,
    /// The largest.
    pub latest: TimestampMs,
}

const CHECKED: &str = "parse has checked the whole payload";

#[derive(Debug, Clone)]
enum Times<'a> {
    /// Varints of zigzag deltas.
    Deltas(Cow<'a, [u8]>),
    Regular(Regular),
}

#[derive(Debug, Clone, Copy, Default)]
struct Regular {
    start_ms: i64,
    step_ms: u64,
    count: u32,
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
                payload,
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

impl<'a> PayloadPoints<'a> {
    /// Reads a payload that [`PayloadView::parse`] took before: nothing is checked again.
    ///
    /// # Panics
    /// If it is another one.
    pub fn of_checked(payload: &'a [u8]) -> Self {
        let mut fields = Fields::default();
        let mut cursor = Cursor::new(payload);
        while let Some((field, value)) = cursor.next_field().expect(CHECKED) {
            if (3..=5).contains(&field) {
                fields.put(field, value, 0).expect(CHECKED);
            }
        }
        Self {
            times: fields.times().expect(CHECKED),
            values: fields.values,
            payload,
        }
    }

    /// How many points.
    pub fn count(&self) -> usize {
        self.values.len() / 8
    }

    /// Key and value of each metadata entry, in the payload's order; of a key that comes twice the last
    /// counts.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut cursor = Cursor::new(self.payload);
        std::iter::from_fn(move || next_entry(&mut cursor))
    }

    /// Appends the points, in the payload's order, bit for bit.
    pub fn decode_into(&self, timestamps: &mut Vec<i64>, values: &mut Vec<f64>) {
        match &self.times {
            Times::Deltas(bytes) => decode_deltas(bytes, self.count(), timestamps),
            Times::Regular(regular) => timestamps.extend(
                // Parse has checked the last one, so no product and no sum wraps.
                (0..u64::from(regular.count)).map(|i| {
                    regular
                        .start_ms
                        .wrapping_add_unsigned(i.wrapping_mul(regular.step_ms))
                }),
            ),
        }
        let (chunks, _) = self.values.as_chunks::<8>();
        values.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
    }
}

/// What the payload's fields hold, before they are checked against one another.
#[derive(Default)]
struct Fields<'a> {
    org: Option<OrgId>,
    metric: Option<MetricId>,
    deltas: Option<Cow<'a, [u8]>>,
    regular: Option<Regular>,
    values: Cow<'a, [u8]>,
    metadata_entries: usize,
    metadata_bytes: usize,
}

impl<'a> Fields<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        let mut cursor = Cursor::new(payload);
        loop {
            let at = cursor.place();
            let Some((field, value)) = cursor.next_field()? else {
                return Ok(fields);
            };
            fields.put(field, value, at)?;
        }
    }

    fn times(&mut self) -> Result<Times<'a>, Refusal> {
        match (self.regular, self.deltas.take()) {
            (Some(_), Some(_)) => Err(Refusal::TimesTwice),
            (Some(regular), None) => Ok(Times::Regular(regular)),
            (None, deltas) => Ok(Times::Deltas(deltas.unwrap_or_default())),
        }
    }

    fn put(&mut self, field: u32, value: Value<'a>, at: usize) -> Result<(), Refusal> {
        match (field, value) {
            (1, Value::Varint(org)) => self.put_org(OrgId(org))?,
            (2, Value::Varint(metric)) => self.metric = Some(MetricId(metric)),
            (3, Value::Bytes(packed)) => join(self.deltas.get_or_insert_default(), packed),
            (3, Value::Varint(delta)) => put_varint(self.deltas.get_or_insert_default(), delta),
            (4, Value::Bytes(message)) => {
                let merged = self.regular.get_or_insert_default();
                merged.read(Cursor::nested(message, at))?;
            }
            (5, Value::Bytes(packed)) => join(&mut self.values, packed),
            (5, Value::Fixed64(bits)) => self.values.to_mut().extend_from_slice(bits),
            (6, Value::Bytes(bytes)) => {
                let (key, value) = entry(bytes, at)?;
                self.metadata_entries += 1;
                self.metadata_bytes += key.len() + value.len();
            }
            (1..=6, _) => {
                let reason = "a field whose wire type is not its own";
                return Err(Refusal::Malformed { at, reason });
            }
            _ => {}
        }
        Ok(())
    }

    /// Protobuf lets the last of two win, but routing has read the first.
    fn put_org(&mut self, org: OrgId) -> Result<(), Refusal> {
        match self.org {
            Some(first) if first != org => Err(Refusal::OrgMismatch { first, second: org }),
            Some(_) | None => {
                self.org = Some(org);
                Ok(())
            }
        }
    }
}

impl Times<'_> {
    fn count(&self) -> u64 {
        match self {
            // The last byte of each varint has its high bit clear.
            Self::Deltas(bytes) => bytes.iter().map(|byte| u64::from(*byte < 0x80)).sum(),
            Self::Regular(regular) => u64::from(regular.count),
        }
    }

    fn range(&self) -> Result<Option<TimeRange>, Refusal> {
        match self {
            Self::Deltas(bytes) => range_of_deltas(bytes),
            Self::Regular(regular) => regular.range(),
        }
    }
}

impl Regular {
    fn read(&mut self, mut cursor: Cursor<'_>) -> Result<(), Refusal> {
        while let Some((field, value)) = cursor.next_field()? {
            match (field, value) {
                (1, Value::Varint(start)) => self.start_ms = wire::signed(start),
                (2, Value::Varint(step)) => self.step_ms = step,
                (3, Value::Varint(count)) => {
                    self.count = u32::try_from(count)
                        .map_err(|_| cursor.fault("a count of more than 32 bits"))?;
                }
                (1..=3, _) => return Err(cursor.fault("a field whose wire type is not its own")),
                _ => {}
            }
        }
        Ok(())
    }

    fn range(self) -> Result<Option<TimeRange>, Refusal> {
        let Some(last_index) = u64::from(self.count).checked_sub(1) else {
            return Ok(None);
        };
        let last = last_index
            .checked_mul(self.step_ms)
            .and_then(|sum| self.start_ms.checked_add_unsigned(sum))
            .ok_or(Refusal::TimestampOverflow { index: last_index })?;
        Ok(Some(TimeRange {
            first: TimestampMs(self.start_ms),
            earliest: TimestampMs(self.start_ms),
            latest: TimestampMs(last),
        }))
    }
}

fn range_of_deltas(bytes: &[u8]) -> Result<Option<TimeRange>, Refusal> {
    let (mut rest, mut index, mut time) = (bytes, 0_u64, 0_i64);
    let (mut first, mut earliest, mut latest) = (0, i64::MAX, i64::MIN);
    while !rest.is_empty() {
        let Some((number, len)) = wire::varint(rest) else {
            return Err(Refusal::Malformed {
                at: bytes.len() - rest.len(),
                reason: "packed timestamps hold a varint that does not end or exceeds 64 bits",
            });
        };
        rest = &rest[len..];
        time = time
            .checked_add(wire::signed(number))
            .ok_or(Refusal::TimestampOverflow { index })?;
        if index == 0 {
            first = time;
        }
        index += 1;
        earliest = earliest.min(time);
        latest = latest.max(time);
    }
    let [first, earliest, latest] = [first, earliest, latest].map(TimestampMs);
    Ok((index > 0).then_some(TimeRange {
        first,
        earliest,
        latest,
    }))
}

fn decode_deltas(bytes: &[u8], count: usize, timestamps: &mut Vec<i64>) {
    let (mut rest, mut time) = (bytes, 0_i64);
    timestamps.extend((0..count).map(|_| {
        let (number, len) = wire::varint(rest).expect(CHECKED);
        rest = &rest[len..];
        time = time.wrapping_add(wire::signed(number));
        time
    }));
}

/// The next metadata entry of a payload that was checked.
fn next_entry<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a str, &'a str)> {
    loop {
        let field = cursor.next_field().expect(CHECKED)?;
        if let (6, Value::Bytes(bytes)) = field {
            return Some(entry(bytes, 0).expect(CHECKED));
        }
    }
}

/// Key and value of one metadata entry; an absent one is empty.
fn entry(bytes: &[u8], at: usize) -> Result<(&str, &str), Refusal> {
    let mut cursor = Cursor::nested(bytes, at);
    let (mut key, mut value) = ("", "");
    while let Some((field, content)) = cursor.next_field()? {
        let slot = match field {
            1 => &mut key,
            2 => &mut value,
            _ => continue,
        };
        let Value::Bytes(text) = content else {
            return Err(cursor.fault("a metadata key or value that is not a text"));
        };
        *slot = str::from_utf8(text)
            .map_err(|_| cursor.fault("a metadata key or value that is not UTF-8"))?;
    }
    Ok((key, value))
}

/// Appends a chunk of a packed list; one chunk, which every encoder writes, is borrowed.
fn join<'a>(list: &mut Cow<'a, [u8]>, chunk: &'a [u8]) {
    if list.is_empty() {
        *list = Cow::Borrowed(chunk);
    } else {
        list.to_mut().extend_from_slice(chunk);
    }
}

fn put_varint(list: &mut Cow<'_, [u8]>, mut number: u64) {
    let list = list.to_mut();
    while number >= 0x80 {
        list.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    list.push(number.to_le_bytes()[0]);
}
