//! Consolidated metadata (`.summary.json`): what HSDS 1.0 writes after a scan, all objects of a file in one.
//!
//! It is a cache and may be outdated, and it leaves things away: of an object it keeps `type`, `shape`, `attributes`,
//! `links` and `creationProperties`, word for word, and nothing else (another writer may keep more). An object's own document has its ids and two times
//! beside these, and may have more: the top-level `layout` of servers before 1.0, which decides where chunks are. So
//! each entry is believed only if the object has exactly as many bytes as the entry and what is always left away take:
//! [`Entry::is_all_of`].

use std::ops::Range;

use super::document::{Document, DocumentError};
use super::id::Id;

/// One object of a summary.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Its id.
    pub id: Id,
    /// Its document, less what every summary leaves away.
    pub document: Document,
    /// Bytes its members take in the object's own document.
    bytes: u64,
    /// Bytes of the id as text.
    id_bytes: u64,
}

/// Members of an object's document that its entry may leave away: ids, and times.
const IDS: [&str; 2] = ["id", "root"];
const TIMES: [&str; 2] = ["created", "lastModified"];
/// Characters of a time: whole seconds, up to a double's shortest text. In between there is no room for a `layout` that
/// says anything (25 characters).
const TIME: Range<u64> = 10..19;

impl Entry {
    /// Whether an object of `size` bytes holds nothing that the entry does not, but for ids and times.
    pub fn is_all_of(&self, size: u64) -> bool {
        let absent = |name: &&&str| !self.document.as_map().contains_key(**name);
        // Each with its quotes, `: ` and `, `.
        let member = |name: &str, value: u64| name.len() as u64 + 2 + 2 + 2 + value;
        let ids: u64 = IDS.iter().filter(absent).map(|name| member(name, self.id_bytes + 2)).sum();
        let times = |time: u64| TIMES.iter().filter(absent).map(|name| member(name, time)).sum::<u64>();
        let least = self.bytes + ids;
        (least + times(TIME.start)..=least + times(TIME.end - 1)).contains(&size)
    }
}

/// The entries of a summary.
///
/// # Errors
/// As of any document; [`DocumentError::NoObject`] where an entry is none, or has no id for a name.
pub fn entries(bytes: &[u8]) -> Result<Vec<Entry>, DocumentError> {
    // Parsed as a whole first: from here on it is known to be JSON.
    let whole = Document::parse(bytes)?;
    let spans = members(bytes, 0).ok_or(DocumentError::NoObject)?;
    let mut entries = Vec::with_capacity(spans.len());
    for (name, value) in spans {
        let name = std::str::from_utf8(&bytes[name]).map_err(|_| DocumentError::NoObject)?;
        let id = Id::parse(name).ok_or(DocumentError::NoObject)?;
        let Some(serde_json::Value::Object(members_of)) = whole.get(name) else { return Err(DocumentError::NoObject) };
        let mut members_of = members_of.clone();
        // The elements of small datasets: they are no part of the document.
        members_of.shift_remove("value");
        let inner = members(bytes, value.start).ok_or(DocumentError::NoObject)?;
        // Braces; then members with `: ` inside and `, ` between them.
        let kept = inner.iter().filter(|(name, _)| &bytes[name.clone()] != b"value");
        let lengths = kept.map(|(name, value)| (name.len() + 2 + ": ".len() + value.len()) as u64);
        let (count, sum) = lengths.fold((0u64, 0u64), |(count, sum), length| (count + 1, sum + length));
        let bytes = "{}".len() as u64 + sum + ", ".len() as u64 * count.saturating_sub(1);
        entries.push(Entry { id, document: Document::from(members_of), bytes, id_bytes: name.len() as u64 });
    }
    Ok(entries)
}

/// Where the names (without quotes) and values of the object at `at` stand; `None` where there is none.
fn members(bytes: &[u8], at: usize) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let mut found = Vec::new();
    let mut at = blanks(bytes, at);
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    at = blanks(bytes, at + 1);
    while bytes.get(at) == Some(&b'"') {
        let end = value(bytes, at)?;
        let name = at + 1..end - 1;
        at = blanks(bytes, end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        let start = blanks(bytes, at + 1);
        let end = value(bytes, start)?;
        found.push((name, start..end));
        at = blanks(bytes, end);
        if bytes.get(at) == Some(&b',') {
            at = blanks(bytes, at + 1);
        }
    }
    (bytes.get(at) == Some(&b'}')).then_some(found)
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Where the value that starts at `at` ends.
fn value(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = at;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += 1;
                while *bytes.get(at)? != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            // The last character of a number or word.
            _ if depth == 0 && matches!(bytes.get(at + 1)?, b',' | b'}' | b']' | b' ' | b'\n') => return Some(at + 1),
            _ => {
                at += 1;
                continue;
            }
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "d-6470adce-88afc031-eb26-114229-6c90dd";

    fn one(members: &str) -> Entry {
        entries(format!(r#"{{"{ID}": {members}}}"#).as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn an_entry_is_all_of_an_object_that_adds_ids_and_times_only() {
        let members = r#""type": {"a\"}": [1, NaN]}, "shape": {}, "attributes": {"ü": "}{"}"#;
        for entry in [one(&format!("{{{members}}}")), one(&format!(r#"{{{members}, "value": [[1], "]"]}}"#))] {
            assert_eq!(entry.document.as_map().len(), 3);
            let object = |more: &str, time: &str| {
                format!(
                    r#"{{"id": "{ID}", "root": "{ID}", "created": {time}, "lastModified": {time}, {members}{more}}}"#
                )
            };
            for time in ["1795208566", "1795208566.5", "1795208566.0348253"] {
                assert!(entry.is_all_of(object("", time).len() as u64), "{time}");
                assert!(!entry.is_all_of(object(r#", "layout": {"dims": [1]}"#, time).len() as u64), "{time}");
            }
            assert!(!entry.is_all_of(0) && !entry.is_all_of(u64::MAX));
        }
    }

    #[test]
    fn what_is_no_summary_is_an_error() {
        for bad in ["", "[]", "{", r#"{"x": {}}"#, &format!(r#"{{"{ID}": 5}}"#)] {
            assert!(entries(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(entries(b"{}").unwrap(), []);
        assert_eq!(one("{}").document.as_map().len(), 0);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in r#"[\{\}\[\]",:\\ a1]{0,40}"#) {
            let _ = (entries(&bytes), entries(text.as_bytes()), members(&bytes, 0), members(text.as_bytes(), 0));
        }
    }
}
