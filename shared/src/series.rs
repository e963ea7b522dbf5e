//! Series text `name{k="v",…}` and the id that is made from it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

use crate::ids::MetricId;

/// Key of the payload's metadata entry that holds the series text.
pub const SERIES_METADATA_KEY: &str = "skein.series";

/// A named series: a metric name and its tags.
///
/// Its text form is canonical: tags in byte order of their keys, values escaped as Prometheus does, no
/// braces where there are no tags. Reading a text is lenient about order and spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    name: String,
    tags: BTreeMap<String, String>,
}

impl Series {
    /// Checks name and tag keys. A tag with an empty value is the same as none.
    ///
    /// # Errors
    /// A message that names what is wrong: an empty name or key, one with a control character or one of
    /// `{`, `}`, `"`, `,`, `=`, `\`, one that begins or ends with a space, or a name of digits alone, which
    /// would read as an id.
    pub fn new(name: impl Into<String>, tags: BTreeMap<String, String>) -> Result<Self, String> {
        let name = name.into();
        check_word("series name", &name)?;
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "series name `{name}` reads as an id: it needs a letter"
            ));
        }
        for key in tags.keys() {
            check_word("tag key", key)?;
        }
        let mut tags = tags;
        tags.retain(|_, value| !value.is_empty());
        Ok(Self { name, tags })
    }

    /// The series that the metadata text `text` names, if it is the text of `metric`: the id of a named
    /// series is made from its text, so a text with another id describes and does not name.
    pub fn of_metric(metric: MetricId, text: &str) -> Option<Self> {
        let series: Self = text.parse().ok()?;
        (series.id() == metric).then_some(series)
    }

    /// The metric name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tags in byte order of their keys; no value is empty.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// xxh3-64 of the text.
    pub fn id(&self) -> MetricId {
        MetricId(xxh3_64(self.to_string().as_bytes()))
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (i, (key, value)) in self.tags.iter().enumerate() {
            f.write_str(if i == 0 { "{" } else { "," })?;
            write!(f, "{key}=\"{}\"", Escaped(value))?;
        }
        if self.tags.is_empty() {
            return Ok(());
        }
        f.write_str("}")
    }
}

impl FromStr for Series {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal =
            |reason: String| format!("`{text}` is not a series `name{{k=\"v\",…}}`: {reason}");
        let Some((name, rest)) = text.split_once('{') else {
            return Self::new(text.trim(), BTreeMap::new()).map_err(refusal);
        };
        let tags = parse_tags(rest).map_err(refusal)?;
        Self::new(name.trim(), tags).map_err(refusal)
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'\n' => "\\n",
                b'"' => "\\\"",
                _ => "\\\\",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

fn check_word(what: &str, word: &str) -> Result<(), String> {
    let illegal = |c: char| c.is_control() || "{}\",=\\".contains(c);
    if word.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if word.trim() != word || word.contains(illegal) {
        return Err(format!(
            "{what} `{word}` must have no control character, none of `{{}}\",=\\`, no space at an end"
        ));
    }
    Ok(())
}

/// Reads `k="v",…}` to the end of the text.
fn parse_tags(mut rest: &str) -> Result<BTreeMap<String, String>, String> {
    let mut tags = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            if !after.trim().is_empty() {
                return Err(format!("text after `}}`: `{after}`"));
            }
            return Ok(tags);
        }
        let (key, after) = rest.split_once('=').ok_or("a tag has no `=`")?;
        let quoted = after.trim_start().strip_prefix('"');
        let (value, after) = unescape(quoted.ok_or("a tag value is not in quotes")?)?;
        if tags.insert(key.trim().to_owned(), value).is_some() {
            return Err(format!("tag `{}` stands twice", key.trim()));
        }
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else if !rest.starts_with('}') {
            return Err("a tag is not followed by `,` or `}`".to_owned());
        }
    }
}

/// Reads up to the closing quote; gives the value and what follows it.
fn unescape(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                Some(c) => return Err(format!("unknown escape `\\{c}`")),
                None => return Err("a tag value ends in `\\`".to_owned()),
            }),
            c => value.push(c),
        }
    }
    Err("a tag value has no closing quote".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(name: &str, tags: &[(&str, &str)]) -> Series {
        let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Series::new(name, tags.collect()).unwrap()
    }

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        assert_eq!(text.parse::<Series>().unwrap().to_string(), canonical);
    }

    #[test]
    fn text_is_canonical_whatever_order_and_spaces_came_in() {
        check("up", "up");
        check(" up ", "up");
        check("up{}", "up");
        check("up{b=\"2\",a=\"1\"}", "up{a=\"1\",b=\"2\"}");
        check("up { b = \"2\" , a=\"1\", } ", "up{a=\"1\",b=\"2\"}");
        check("up{a=\"\"}", "up");
        check(
            "cpu.load/1m é{Z=\"1\",a=\"1\"}",
            "cpu.load/1m é{Z=\"1\",a=\"1\"}",
        );
        check(r#"x{p="C:\\ \"q\" \n,}{="}"#, r#"x{p="C:\\ \"q\" \n,}{="}"#);
    }

    #[test]
    fn the_id_is_that_of_the_canonical_text() {
        let one = series("up", &[("b", "2"), ("a", "1")]);
        assert_eq!(one.id().0, xxh3_64(b"up{a=\"1\",b=\"2\"}"));
        assert_eq!(
            Series::of_metric(one.id(), "up{b=\"2\",a=\"1\"}"),
            Some(one.clone())
        );
        assert_eq!(Series::of_metric(MetricId(7), "up"), None);
    }

    #[test]
    fn a_text_that_is_not_a_series_is_refused() {
        for text in [
            "",
            " ",
            "{}",
            "{a=\"1\"}",
            "123",
            "up}",
            "up{",
            "up{a}",
            "up{a=1}",
            "up{a=\"1}",
            "up{a=\"1\"",
            "up{=\"1\"}",
            "up{a=\"1\"}x",
            "up{a=\"1\",a=\"2\"}",
            "up{a=\"1\" b=\"2\"}",
            "up{a=\"\\x\"}",
            "up{a=\"\\",
            "u\np",
            "u,p",
            "u=p",
            "up{,}",
        ] {
            assert!(text.parse::<Series>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_series_reads_back(
            name in "[a-z][^\\p{C}{}\",=\\\\\\s]{0,12}",
            tags in proptest::collection::btree_map("[a-z_.é]{1,8}", "\\PC{0,8}|[\\\\\"\n{},=]{1,6}", 0..5),
        ) {
            let series = Series::new(name, tags).unwrap();
            let text = series.to_string();
            let read: Series = text.parse().unwrap();
            prop_assert_eq!(&read, &series);
            prop_assert_eq!(read.id(), series.id());
        }

        #[test]
        fn no_text_panics(text in "[a\"{}=,\\\\ \n1é]{0,24}") {
            if let Ok(series) = text.parse::<Series>() {
                prop_assert_eq!(series.to_string().parse::<Series>(), Ok(series));
            }
        }
    }
}
