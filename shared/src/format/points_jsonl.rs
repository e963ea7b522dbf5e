//! Points as JSON lines: what `produce --jsonl` takes.
//!
//! One object a line with the columns of [`points_csv`](super::points_csv): `org`, `metric`, `timestamp`, `value`,
//! and any other member is a tag. Numbers may stand bare or as texts; what JSON has no number for (NaN, infinity)
//! is a text. A tag is a text, and absent where it is empty or null. Bare numbers are read from their own digits,
//! so that they give the same bits as in CSV.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use crate::format::points_csv::{
    BadRow, PointRow, parse_metric, parse_number, parse_timestamp, parse_value,
};
use crate::ids::OrgId;

/// Longest line: beyond the largest series text, and far beyond any point.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Reads points one after the other. A bad line does not end it; a failure of the input does, and is no line's
/// fault: it is the outer error.
#[derive(Debug)]
pub struct JsonLinesReader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    failed: bool,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    Text(String),
    /// As it stands there.
    Number(String),
    Null,
}

/// The members of one object, taken out one by one.
type Members = BTreeMap<String, Member>;

impl<R: BufRead> JsonLinesReader<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
            failed: false,
        }
    }

    /// Reads the next line that is not blank; `None` at the end.
    fn read_line(&mut self) -> io::Result<Option<Result<(), String>>> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut bounded = self.input.by_ref().take(MAX_LINE_BYTES + 1);
            if bounded.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.line.len() as u64 > MAX_LINE_BYTES && !self.line.ends_with(b"\n") {
                self.input.skip_until(b'\n')?;
                let reason = format!("the line is longer than {MAX_LINE_BYTES} bytes");
                return Ok(Some(Err(reason)));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(Ok(())));
            }
        }
    }

    fn row(&self) -> Result<PointRow, String> {
        let text = str::from_utf8(&self.line).map_err(|_| "the line is not UTF-8".to_owned())?;
        let mut members = parse_object(text)?;
        let org = text_of(&mut members, "org")?;
        let org =
            parse_number(&org).ok_or(format!("org `{org}` is not a number from 0 to 2^64 - 1"))?;
        let metric = text_of(&mut members, "metric")?;
        let timestamp = parse_timestamp(&text_of(&mut members, "timestamp")?)?;
        let value = parse_value(&text_of(&mut members, "value")?)?;
        Ok(PointRow {
            line: self.number,
            org: OrgId(org),
            metric: parse_metric(&metric, tags(members)?)?,
            timestamp,
            value,
        })
    }
}

impl<R: BufRead> Iterator for JsonLinesReader<R> {
    type Item = io::Result<Result<PointRow, BadRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = match self.read_line() {
            Ok(None) => return None,
            Ok(Some(Ok(()))) => self.row(),
            Ok(Some(Err(reason))) => Err(reason),
            Err(error) => {
                self.failed = true;
                return Some(Err(error));
            }
        };
        let line = self.number;
        Some(Ok(row.map_err(|reason| BadRow { line, reason })))
    }
}

/// Takes out a column, text or number.
fn text_of(members: &mut Members, name: &str) -> Result<String, String> {
    match members.remove(name) {
        Some(Member::Text(text) | Member::Number(text)) => Ok(text),
        Some(Member::Null) => Err(format!("`{name}` is null")),
        None => Err(format!("`{name}` is missing")),
    }
}

fn tags(members: Members) -> Result<BTreeMap<String, String>, String> {
    let mut tags = BTreeMap::new();
    for (key, member) in members {
        match member {
            Member::Text(text) if text.is_empty() => {}
            Member::Text(text) => drop(tags.insert(key, text)),
            Member::Null => {}
            Member::Number(number) => {
                return Err(format!("tag `{key}` is the number {number}: quote it"));
            }
        }
    }
    Ok(tags)
}

/// Reads an object of texts, numbers and nulls.
fn parse_object(text: &str) -> Result<Members, String> {
    let mut rest = expect(text, '{')?;
    let mut members = Members::new();
    if let Some(after) = rest.trim_start().strip_prefix('}') {
        return at_end(after).map(|()| members);
    }
    loop {
        let (name, after) = parse_text(rest)?;
        let (member, after) = parse_member(expect(after, ':')?)?;
        if members.insert(name.clone(), member).is_some() {
            return Err(format!("`{name}` comes twice"));
        }
        let after = after.trim_start();
        if let Some(after) = after.strip_prefix('}') {
            return at_end(after).map(|()| members);
        }
        rest = expect(after, ',')?;
    }
}

fn parse_member(text: &str) -> Result<(Member, &str), String> {
    let text = text.trim_start();
    if text.starts_with('"') {
        return parse_text(text).map(|(text, rest)| (Member::Text(text), rest));
    }
    let end = text.find([',', '}', ' ', '\t', '\r', '\n']);
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    if word == "null" {
        return Ok((Member::Null, rest));
    }
    if !is_number(word) {
        return Err(format!("`{word}` is neither a text nor a number"));
    }
    Ok((Member::Number(word.to_owned()), rest))
}

/// Whether a word is a number as JSON writes them. Its value is read from its text elsewhere.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let word = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = word.split_once(['e', 'E']).unwrap_or((word, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_whole = digits(whole) && (whole == "0" || !whole.starts_with('0'));
    is_whole && digits(fraction) && digits(exponent)
}

/// Reads a quoted text, and gives what lies behind it.
fn parse_text(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start();
    let inner = text
        .strip_prefix('"')
        .ok_or_else(|| expected("a quoted name", text))?;
    let mut escaped = false;
    let end = inner.find(|c| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    });
    let end = end.ok_or_else(|| "a text does not end".to_owned())?;
    let (quoted, rest) = text.split_at(end + 2);
    let read = serde_json::from_str(quoted).map_err(|error| format!("text {quoted}: {error}"))?;
    Ok((read, rest))
}

fn expect(text: &str, wanted: char) -> Result<&str, String> {
    let text = text.trim_start();
    text.strip_prefix(wanted)
        .ok_or_else(|| expected(&format!("`{wanted}`"), text))
}

fn at_end(text: &str) -> Result<(), String> {
    let text = text.trim();
    text.is_empty()
        .then_some(())
        .ok_or_else(|| expected("the line's end", text))
}

fn expected(what: &str, found: &str) -> String {
    let found: String = found.trim_end().chars().take(20).collect();
    format!("the line is not one JSON object: expected {what}, found `{found}`")
}

#[cfg(test)]
mod tests;
