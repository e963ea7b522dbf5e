//! One page of an ordered listing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Bound;

/// What a listing asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct ListRequest {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    pub(super) start_after: Option<String>,
    pub(super) resume: Option<Resume>,
    pub(super) max_keys: usize,
}

/// Behind what the page before ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resume {
    Key(String),
    CommonPrefix(String),
}

/// One page: keys and common prefixes in order.
#[derive(Debug)]
pub(super) struct Page<'a, V> {
    pub(super) objects: Vec<(&'a str, &'a V)>,
    pub(super) common_prefixes: Vec<String>,
    /// Present when there is more.
    pub(super) next: Option<Resume>,
}

impl Resume {
    /// The continuation token: opaque to clients, safe in XML and URLs.
    pub(super) fn token(&self) -> String {
        let (kind, text) = match self {
            Self::Key(key) => ('k', key),
            Self::CommonPrefix(prefix) => ('p', prefix),
        };
        let mut token = String::from(kind);
        for byte in text.bytes() {
            write!(token, "{byte:02x}").expect("a string takes any text");
        }
        token
    }

    /// Reads a token back; `None` where it is not one of ours.
    pub(super) fn parse(token: &str) -> Option<Self> {
        let digits = token.get(1..)?;
        if digits.len() % 2 != 0 {
            return None;
        }
        let bytes: Option<Vec<u8>> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        let text = String::from_utf8(bytes?).ok()?;
        match token.get(..1)? {
            "k" => Some(Self::Key(text)),
            "p" => Some(Self::CommonPrefix(text)),
            _ => None,
        }
    }
}

/// Lists one page of `objects`.
pub(super) fn list<'a, V>(objects: &'a BTreeMap<String, V>, request: &ListRequest) -> Page<'a, V> {
    let mut page = Page {
        objects: Vec::new(),
        common_prefixes: Vec::new(),
        next: None,
    };
    let mut last = request.resume.clone();
    let mut from = first_bound(request);
    while let Some((key, value)) = objects
        .range::<str, _>((as_str(&from), Bound::Unbounded))
        .next()
    {
        let Some(rest) = key.strip_prefix(request.prefix.as_str()) else {
            break;
        };
        let common = common_prefix(request, rest);
        if let (Some(common), Some(Resume::CommonPrefix(listed))) = (&common, &last)
            && common == listed
        {
            from = Bound::Excluded(key.clone());
            continue;
        }
        if page.objects.len() + page.common_prefixes.len() >= request.max_keys {
            page.next = last.filter(|_| request.max_keys > 0);
            break;
        }
        if let Some(common) = common {
            // The largest character leads behind nearly all keys of the prefix in one step.
            from = Bound::Included(format!("{common}{}", char::MAX));
            page.common_prefixes.push(common.clone());
            last = Some(Resume::CommonPrefix(common));
        } else {
            from = Bound::Excluded(key.clone());
            page.objects.push((key, value));
            last = Some(Resume::Key(key.clone()));
        }
    }
    page
}

fn first_bound(request: &ListRequest) -> Bound<String> {
    let resumed = request.resume.as_ref().map(|resume| match resume {
        Resume::Key(key) => Bound::Excluded(key.clone()),
        Resume::CommonPrefix(prefix) => Bound::Included(format!("{prefix}{}", char::MAX)),
    });
    let asked = resumed.or_else(|| request.start_after.clone().map(Bound::Excluded));
    match asked {
        Some(Bound::Excluded(key)) if key >= request.prefix => Bound::Excluded(key),
        Some(Bound::Included(key)) if key >= request.prefix => Bound::Included(key),
        Some(_) | None => Bound::Included(request.prefix.clone()),
    }
}

fn common_prefix(request: &ListRequest, rest: &str) -> Option<String> {
    let delimiter = request
        .delimiter
        .as_deref()
        .filter(|text| !text.is_empty())?;
    let at = rest.find(delimiter)?;
    Some(format!("{}{}{delimiter}", request.prefix, &rest[..at]))
}

fn as_str(bound: &Bound<String>) -> Bound<&str> {
    bound.as_ref().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The plain meaning of a listing: everything at once, by filtering.
    fn model(keys: &BTreeSet<String>, request: &ListRequest) -> Vec<String> {
        let mut listed = BTreeSet::new();
        for key in keys {
            let after = request.start_after.as_ref().is_none_or(|start| key > start);
            if let Some(rest) = key.strip_prefix(request.prefix.as_str()).filter(|_| after) {
                listed.insert(common_prefix(request, rest).unwrap_or_else(|| key.clone()));
            }
        }
        listed.into_iter().collect()
    }

    fn all_pages(objects: &BTreeMap<String, usize>, mut request: ListRequest) -> Vec<String> {
        let mut listed = Vec::new();
        loop {
            let page = list(objects, &request);
            assert!(page.objects.len() + page.common_prefixes.len() <= request.max_keys);
            let mut entries: Vec<String> = page.common_prefixes;
            entries.extend(page.objects.iter().map(|(key, _)| (*key).to_owned()));
            entries.sort();
            listed.extend(entries);
            let Some(next) = page.next else {
                return listed;
            };
            request.resume = Resume::parse(&next.token());
            assert_eq!(request.resume, Some(next));
        }
    }

    proptest! {
        #[test]
        fn pages_joined_are_the_whole_listing(
            keys in proptest::collection::btree_set("[ab/\u{10ffff}]{1,6}", 0..40),
            prefix in "[ab/]{0,3}",
            delimiter in proptest::option::of("/"),
            start_after in proptest::option::of("[ab/]{0,4}"),
            max_keys in 1_usize..7,
        ) {
            let objects = keys.iter().map(|key| (key.clone(), key.len())).collect();
            let request = ListRequest { prefix, delimiter, start_after, resume: None, max_keys };
            prop_assert_eq!(all_pages(&objects, request.clone()), model(&keys, &request));
        }
    }

    #[test]
    fn a_foreign_token_is_refused() {
        for token in ["", "k1", "kzz", "x61", "kff", "é"] {
            assert_eq!(Resume::parse(token), None, "{token}");
        }
    }
}
