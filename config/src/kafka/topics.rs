//! Which topics and patterns can be subscribed to.
//!
//! Patterns are matched twice: here with Rust's regular expressions, and by librdkafka with POSIX extended ones. It
//! refuses a whole subscription for one pattern that it does not understand, or for one entry that stands there twice.
//! So only what both read alike is let through.

use std::collections::BTreeSet;

use regex::Regex;
use skein_shared::ids::TopicName;

use crate::bound::Bounds;

/// Names each of `topics` that a consumer would refuse, or read otherwise than meant.
pub(super) fn check(topics: &[String], bounds: &mut Bounds<'_>) {
    let mut seen = BTreeSet::new();
    for topic in topics {
        if let Err(reason) = check_one(topic) {
            bounds.refuse("topics", topic, reason);
        } else if !seen.insert(topic) {
            bounds.refuse("topics", topic, "each topic or pattern once");
        }
    }
}

fn check_one(topic: &str) -> Result<(), String> {
    if !topic.starts_with('^') {
        return TopicName::new(topic).map(drop);
    }
    Regex::new(topic).map_err(|error| error.to_string())?;
    let mut rest = topic;
    while !rest.is_empty() {
        rest = after_token(rest).map_err(|foreign| {
            format!(
                "a POSIX extended regular expression, which is what Kafka's client reads: it has no {foreign}; \
                 `[0-9]` and `[A-Za-z0-9_]` are plain forms of `\\d` and `\\w`"
            )
        })?;
    }
    Ok(())
}

/// What follows the first token of `text`, unless the two kinds of expressions differ in it.
fn after_token(text: &str) -> Result<&str, &'static str> {
    if let Some(set) = text.strip_prefix('[') {
        return after_set(set);
    }
    let mut chars = text.chars();
    let first = chars.next();
    let rest = chars.as_str();
    match first {
        Some('(') if rest.starts_with('?') => Err("`(?`"),
        Some('*' | '+' | '?' | '}') if rest.starts_with('?') => {
            Err("`?` behind another quantifier")
        }
        Some('^' | '$') if rest.starts_with(['*', '+', '?', '{']) => {
            Err("quantifier behind `^` or `$`")
        }
        Some('\\') => after_escape(rest),
        Some(_) | None => Ok(rest),
    }
}

/// A backslash makes punctuation plain in both; before anything else it is a class or an anchor of one of them.
fn after_escape(text: &str) -> Result<&str, &'static str> {
    let is_plain = |c: char| c.is_ascii_punctuation() && !['<', '>', '\'', '`'].contains(&c);
    text.strip_prefix(is_plain)
        .ok_or("backslash before a letter, a digit or one of <>'`")
}

/// What follows a set, of which the opening bracket is gone.
fn after_set(text: &str) -> Result<&str, &'static str> {
    let text = text.strip_prefix('^').unwrap_or(text);
    // There it stands for itself.
    let mut rest = text.strip_prefix(']').unwrap_or(text);
    loop {
        if let Some(class) = rest.strip_prefix("[:") {
            rest = class.split_once(":]").map_or("", |(_, behind)| behind);
            continue;
        }
        if ["&&", "--", "~~"].iter().any(|both| rest.starts_with(both)) {
            return Err("`&&`, `--` or `~~` within `[ ]`");
        }
        let mut chars = rest.chars();
        let first = chars.next();
        rest = chars.as_str();
        match first {
            Some(']') | None => return Ok(rest),
            Some('[') => return Err("`[` within `[ ]`"),
            Some('\\') => return Err("backslash within `[ ]`"),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    use super::*;

    fn faults(topics: &[&str]) -> Vec<String> {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let mut breaches = Vec::new();
        check(&topics, &mut Bounds::of("kafka", &mut breaches));
        breaches.into_iter().map(|breach| breach.allowed).collect()
    }

    #[test]
    fn what_passes_can_be_subscribed_to_all_at_once() {
        let topics = [
            "plain.topic-1_x",
            "^",
            r"^a\.b",
            r"^a\-b\$",
            "^[]x^]{2,3}$",
            "^[^[:alpha:]_-]+(a|b)?c*d{2}",
            "^.*[a-c.+?*]$",
        ];
        assert_eq!(faults(&topics), Vec::<String>::new());
        let consumer: BaseConsumer = ClientConfig::new()
            .set("group.id", "g")
            .create()
            .expect("nobody is asked");
        consumer.subscribe(&topics).expect("the client reads all");
    }

    #[test]
    fn a_topic_that_is_named_twice_is_refused() {
        assert_eq!(faults(&["a", "^b", "a", "^b", "c"]).len(), 2);
    }

    #[test]
    fn what_only_rusts_expressions_have_is_refused_by_name() {
        for (pattern, named) in [
            (r"^(?i)a", "`(?`"),
            (r"^(?:a)", "`(?`"),
            (r"^a\d", "backslash"),
            (r"^\w+$", "backslash"),
            (r"^a\s", "backslash"),
            (r"^a\b", "backslash"),
            (r"^\pL", "backslash"),
            (r"^[\d]", "within `[ ]`"),
            (r"^[\]]", "within `[ ]`"),
            ("^[a[b]]", "within `[ ]`"),
            ("^[a-z&&[^b]]", "within `[ ]`"),
            ("^a*?", "behind another quantifier"),
            ("^a+?", "behind another quantifier"),
            ("^a??", "behind another quantifier"),
            ("^a{2}?", "behind another quantifier"),
            ("^*a", "behind `^`"),
        ] {
            Regex::new(pattern).expect("Rust reads it");
            let faults = faults(&[pattern]);
            assert!(
                faults.len() == 1 && faults[0].contains(named),
                "{pattern}: {faults:?}"
            );
        }
    }
}
