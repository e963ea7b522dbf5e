//! How an answer is written: a JSON document, JSON lines, or an Arrow stream.

use hyper::StatusCode;
use serde::Serialize;

use super::refusal::Refusal;
use crate::page_token::PageToken;
use crate::paged_scan::PageForm;

/// The kinds of body that there are, by what `Accept` calls them.
const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";
const ARROW: &str = "application/vnd.apache.arrow.stream";

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON document.
    Document,
    /// One JSON document a line, the last of which is about the page.
    Lines,
    /// An Arrow IPC stream; what is about the page stands in headers alone.
    Arrow,
}

/// A body, and what is said about the page in headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) next_page: Option<String>,
    pub(super) fleet: u64,
    pub(super) damages: usize,
}

/// What is said about a page beside its rows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PageNotes {
    /// The fleet that the scan goes by.
    pub(super) fleet: u64,
    /// Rows or names.
    pub(super) rows: usize,
    /// Damages of state for which rows may be missing.
    pub(super) damages: Vec<String>,
    /// What the next page is asked for by; `null` after the last.
    pub(super) next_page: Option<String>,
}

#[derive(Serialize)]
struct LastLine<'a> {
    page: &'a PageNotes,
}

impl Form {
    /// The first kind that `Accept` names and that there is; a document where anything will do.
    pub(super) fn accepted(accept: Option<&str>) -> Result<Self, Refusal> {
        let Some(accept) = accept else {
            return Ok(Self::Document);
        };
        let kinds = accept.split(',').map(|kind| {
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().to_ascii_lowercase()
        });
        let mut forms = kinds.filter_map(|kind| match kind.as_str() {
            JSON | "application/*" | "*/*" => Some(Self::Document),
            JSON_LINES => Some(Self::Lines),
            ARROW => Some(Self::Arrow),
            _ => None,
        });
        forms.next().ok_or_else(|| {
            let remedy = format!("give one of {JSON}, {JSON_LINES} and {ARROW}");
            let refusal = Refusal::of("Accept", accept, ("there is no such form", remedy));
            refusal.with_status(StatusCode::NOT_ACCEPTABLE)
        })
    }

    /// How rows are written for it.
    pub(super) fn rows(self) -> PageForm {
        match self {
            Self::Document | Self::Lines => PageForm::JsonLines,
            Self::Arrow => PageForm::Arrow,
        }
    }

    /// The name that metrics use.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Document => "json",
            Self::Lines => "lines",
            Self::Arrow => "arrow",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Document => JSON,
            Self::Lines => JSON_LINES,
            Self::Arrow => ARROW,
        }
    }
}

impl PageNotes {
    pub(super) fn next(mut self, token: Option<PageToken>) -> Self {
        self.next_page = token.map(|token| token.to_text());
        self
    }
}

impl Reply {
    /// `rows` are written as [`Form::rows`] says.
    pub(super) fn new(form: Form, rows: Vec<u8>, notes: PageNotes) -> Result<Self, Refusal> {
        let body = match form {
            Form::Arrow => Ok(rows),
            Form::Lines => with_last_line(rows, &notes),
            Form::Document => document(&rows, &notes),
        };
        let body = body.map_err(|error| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Refusal::new(status, error.to_string(), "see the server's log")
        })?;
        Ok(Self {
            content_type: form.content_type(),
            body,
            fleet: notes.fleet,
            damages: notes.damages.len(),
            next_page: notes.next_page,
        })
    }
}

fn with_last_line(mut rows: Vec<u8>, notes: &PageNotes) -> serde_json::Result<Vec<u8>> {
    serde_json::to_writer(&mut rows, &LastLine { page: notes })?;
    rows.push(b'\n');
    Ok(rows)
}

/// Every line is a document already, and stands in this one as it is.
fn document(rows: &[u8], notes: &PageNotes) -> serde_json::Result<Vec<u8>> {
    let mut document = serde_json::to_vec(notes)?;
    document.pop();
    document.extend_from_slice(b",\"series\":[");
    let lines = rows.strip_suffix(b"\n").unwrap_or(rows);
    let joined = lines.iter().map(|byte| match byte {
        b'\n' => b',',
        other => *other,
    });
    document.extend(joined);
    document.extend_from_slice(b"]}");
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_known_is_taken() {
        let accepted = |accept| Form::accepted(accept).ok();
        assert_eq!(accepted(None), Some(Form::Document));
        assert_eq!(accepted(Some("*/*")), Some(Form::Document));
        let arrow = Some("text/html, Application/vnd.apache.arrow.stream;q=0.9, */*");
        assert_eq!(accepted(arrow), Some(Form::Arrow));
        assert_eq!(accepted(Some("application/x-ndjson")), Some(Form::Lines));
        assert_eq!(accepted(Some("text/html")), None);
    }

    #[test]
    fn a_document_and_lines_say_the_same() {
        let notes = PageNotes {
            fleet: 3,
            rows: 2,
            damages: Vec::new(),
            next_page: None,
        };
        let rows = b"{\"a\":1}\n{\"a\":2}\n".to_vec();
        let document = Reply::new(Form::Document, rows.clone(), notes.clone()).unwrap();
        let expected =
            r#"{"fleet":3,"rows":2,"damages":[],"next_page":null,"series":[{"a":1},{"a":2}]}"#;
        assert_eq!(str::from_utf8(&document.body), Ok(expected));
        let lines = Reply::new(Form::Lines, rows, notes).unwrap();
        let expected = "{\"a\":1}\n{\"a\":2}\n\
                        {\"page\":{\"fleet\":3,\"rows\":2,\"damages\":[],\"next_page\":null}}\n";
        assert_eq!(str::from_utf8(&lines.body), Ok(expected));
    }
}
