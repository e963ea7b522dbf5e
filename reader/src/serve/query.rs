//! What a request asks for, out of the text behind `?`.

use std::collections::BTreeMap;

use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::ids::OrgId;
use skein_shared::window::{Resolution, TimestampMs};

use super::refusal::Refusal;
use crate::page_token::{PageToken, Paged};

/// Pages are not smaller: a page costs more requests to the bucket than it is worth.
const LEAST_PAGE_BYTES: usize = 1024;

/// What a request gives; what it leaves out is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Query {
    pub(super) org: Option<OrgId>,
    pub(super) metric: Option<String>,
    pub(super) from: Option<TimestampMs>,
    pub(super) to: Option<TimestampMs>,
    pub(super) resolution: Option<Resolution>,
    pub(super) page: Option<PageToken>,
    pub(super) page_bytes: Option<usize>,
    pub(super) demand: Demand,
}

/// What to do where points may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Demand {
    /// Give the others, and say so.
    #[default]
    Tell,
    /// Give none.
    Refuse,
}

const ORG: &str = "org";
const METRIC: &str = "metric";
const FROM: &str = "from";
const TO: &str = "to";
const RESOLUTION: &str = "resolution";
const PAGE: &str = "page";
const PAGE_BYTES: &str = "page_bytes";
const REQUIRE_COMPLETE: &str = "require_complete";

/// The parameters that a path takes.
fn parameters(paged: Paged) -> &'static [&'static str] {
    match paged {
        Paged::Points => &[
            ORG,
            METRIC,
            FROM,
            TO,
            RESOLUTION,
            PAGE,
            PAGE_BYTES,
            REQUIRE_COMPLETE,
        ],
        Paged::Series => &[ORG, PAGE, PAGE_BYTES],
    }
}

impl Query {
    /// Reads the text; nothing in it may be unknown, doubled or odd.
    pub(super) fn parse(text: &str, paged: Paged) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for (name, value) in pairs(text, paged)? {
            query.set(name, &value)?;
        }
        if let Some(page) = &query.page
            && page.paged != paged
        {
            let error = "it is a page of another kind of answer";
            let remedy = "give it to the path that gave it";
            return Err(Refusal::of(PAGE, "(token)", (error, remedy)));
        }
        Ok(query)
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), Refusal> {
        let refuse = |error: String, remedy: &str| Refusal::of(name, value, (error, remedy));
        match name {
            ORG => {
                let org = value.parse().map(OrgId);
                let error = || "an org is a number from 0 to 2^64 - 1".to_owned();
                self.org = Some(org.map_err(|_| refuse(error(), "give its number"))?);
            }
            METRIC => self.metric = Some(value.to_owned()),
            FROM | TO => {
                let time = parse_timestamp(value);
                let remedy = "give RFC 3339 or epoch milliseconds";
                let time = time.map_err(|error| refuse(error, remedy))?;
                *if name == FROM {
                    &mut self.from
                } else {
                    &mut self.to
                } = Some(time);
            }
            RESOLUTION => {
                let resolution = value.parse();
                let resolution =
                    resolution.map_err(|error| refuse(error, "give raw, 5m, 1h or 1d"))?;
                self.resolution = Some(resolution);
            }
            PAGE => self.page = Some(PageToken::from_text(value)?),
            PAGE_BYTES => {
                let bytes = value
                    .parse()
                    .ok()
                    .filter(|bytes| *bytes >= LEAST_PAGE_BYTES);
                let error = format!("a page has {LEAST_PAGE_BYTES} bytes or more");
                let remedy = "give a number of bytes, or leave it out";
                self.page_bytes = Some(bytes.ok_or_else(|| refuse(error, remedy))?);
            }
            _ => {
                self.demand = match value {
                    "true" => Demand::Refuse,
                    "false" => Demand::Tell,
                    other => {
                        let error = format!("`{other}` is neither true nor false");
                        return Err(refuse(error, "give true, or leave it out"));
                    }
                };
            }
        }
        Ok(())
    }
}

/// Names and values, without their escapes.
fn pairs(text: &str, paged: Paged) -> Result<BTreeMap<&'static str, String>, Refusal> {
    let known = parameters(paged);
    let mut pairs = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = known.iter().find(|known| **known == name) else {
            let remedy = format!("leave it out; there are {}", known.join(", "));
            let refusal = Refusal::new(
                hyper::StatusCode::BAD_REQUEST,
                format!("the parameter `{name}` is unknown"),
                remedy,
            );
            return Err(refusal);
        };
        let text = unescaped(value);
        let error = "it has an escape that is none, or is not UTF-8";
        let remedy = "write every byte that is special in a URL as %XX";
        let text = text.ok_or_else(|| Refusal::of(name, value, (error, remedy)))?;
        if pairs.insert(*name, text).is_some() {
            let remedy = "give it once";
            return Err(Refusal::of(name, value, ("it is given twice", remedy)));
        }
    }
    Ok(pairs)
}

/// A value as it was before it was put into a URL; `None` if it cannot have been.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = str::from_utf8(&digits).ok()?;
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                u8::from_str_radix(is_hex.then_some(digits)?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_read_with_its_escapes() {
        let text = "org=7&metric=cpu%7Bhost%3D%22a+b%22%7D&from=-5&to=2026-01-01T00:00:00Z\
                    &resolution=1h&page_bytes=4096&require_complete=true";
        let query = Query::parse(text, Paged::Points).unwrap();
        assert_eq!(query.org, Some(OrgId(7)));
        assert_eq!(query.metric.as_deref(), Some("cpu{host=\"a b\"}"));
        assert_eq!(query.from, Some(TimestampMs(-5)));
        assert_eq!(query.to, Some(TimestampMs(1_767_225_600_000)));
        assert_eq!(query.resolution, Some(Resolution::OneHour));
        assert_eq!(query.page_bytes, Some(4096));
        assert_eq!(query.demand, Demand::Refuse);
        assert_eq!(Query::parse("", Paged::Points).unwrap(), Query::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value_and_what_to_do() {
        for (text, words) in [
            ("org=x", ["org", "x", "number"]),
            ("org=1&org=2", ["org", "2", "once"]),
            ("organisation=1", ["organisation", "unknown", "resolution"]),
            ("from=yesterday", ["from", "yesterday", "RFC 3339"]),
            ("resolution=5M", ["resolution", "5M", "raw, 5m, 1h or 1d"]),
            ("page=abc!", ["page", "base64", "next_page"]),
            ("page_bytes=12", ["page_bytes", "12", "1024"]),
            ("require_complete=yes", ["require_complete", "yes", "true"]),
            ("metric=%zz", ["metric", "%zz", "%XX"]),
        ] {
            let refusal = Query::parse(text, Paged::Points).unwrap_err();
            let told = serde_json::to_string(&refusal).unwrap();
            for word in words {
                assert!(told.contains(word), "{text}: `{word}` is missing: {told}");
            }
        }
        assert!(Query::parse("from=5", Paged::Series).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = Query::parse(&text, Paged::Points);
            let _ = Query::parse(&format!("metric={text}"), Paged::Points);
            let _ = Query::parse(&format!("page={text}"), Paged::Series);
        }
    }
}
