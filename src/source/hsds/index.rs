//! The index of a file: all documents that describe it in one object, with the identities they were read with.
//!
//! It is kept where the next mount finds it: on local disk, beside the file in its store, or in a folder of indexes. Like
//! any consolidated metadata it is a cache that can be checked: it is believed only where what it was read from is still
//! there unchanged ([`super::held`]). The form is described in `docs/cache.md`: a header, then a zlib stream of lines of JSON.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::Document;
use super::id::Id;
use super::loader::Loaded;
use crate::model::limits;
use crate::model::location::{ETag, Key};
use crate::source::Fingerprint;

/// Begins every index. The digit is the version: another one is of another program, and is not read.
const MAGIC: &[u8; 8] = b"h5index1";
/// Magic, CRC32C of all that follows it, bytes of the lines.
const HEADER: usize = 20;
/// Where what is checked begins.
const CHECKED: usize = 12;
/// Bytes of lines for each byte of documents that are taken at most: keys and tags come with them, and an empty group has more
/// of these than it has of its own.
const LINES: u64 = 4;

/// A file as it was read.
#[derive(Debug)]
pub struct Index {
    /// Its root group.
    pub root: Id,
    /// All that was read.
    pub loaded: Loaded,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct First {
    root: String,
    modified: Option<(u64, u32)>,
    tells_of_chunks: bool,
    page: Option<String>,
    bytes: u64,
    identities: usize,
    documents: usize,
    missing: usize,
}

/// A line before each document.
#[derive(Serialize, Deserialize)]
struct Before {
    id: String,
    written: Option<(u64, u32)>,
}

fn pair(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

fn time((seconds, nanos): (u64, u32)) -> Option<SystemTime> {
    let nanos = Some(nanos).filter(|&nanos| nanos < 1_000_000_000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// The index of a file that was read whole.
///
/// # Errors
/// None of the system's: all is in memory.
pub fn encode(root: &Id, loaded: &Loaded) -> std::io::Result<Vec<u8>> {
    // The fastest level: names and types repeat so often that the others gain little.
    let mut out = Counted { inner: ZlibEncoder::new(vec![0; HEADER], Compression::fast()), bytes: 0 };
    line(
        &mut out,
        &First {
            root: root.to_string(),
            modified: loaded.modified.map(pair),
            tells_of_chunks: loaded.fingerprint.tells_of_chunks,
            page: loaded.fingerprint.page.as_ref().map(Key::to_string),
            bytes: loaded.bytes,
            identities: loaded.fingerprint.objects.len(),
            documents: loaded.objects.len(),
            missing: loaded.missing.len(),
        },
    )?;
    for (key, tag) in &loaded.fingerprint.objects {
        line(&mut out, &(key.as_str(), tag.as_ref().map(ETag::as_str)))?;
    }
    // In an order of their own, so that one file has one index.
    let mut documents: Vec<_> = loaded.objects.iter().collect();
    documents.sort_unstable_by_key(|(id, _)| **id);
    for (id, (_, document)) in documents {
        line(&mut out, &Before { id: id.to_string(), written: loaded.written.get(id).copied().map(pair) })?;
        line(&mut out, document.as_map())?;
    }
    let mut missing: Vec<_> = loaded.missing.iter().collect();
    missing.sort_unstable();
    for (id, reason) in missing {
        line(&mut out, &(id.to_string(), reason))?;
    }
    let lines = out.bytes;
    let mut bytes = out.inner.finish()?;
    bytes[..8].copy_from_slice(MAGIC);
    bytes[CHECKED..HEADER].copy_from_slice(&lines.to_le_bytes());
    let sum = crc_fast::crc32_iscsi(&bytes[CHECKED..]);
    bytes[8..CHECKED].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// What is written, counted.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    // JSON as it is written here has no line feed of its own.
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// What an index begins with: what it was read from, and how much follows.
struct Begun<'a> {
    first: First,
    root: Id,
    fingerprint: Fingerprint,
    rest: Lines<BufReader<std::io::Take<ZlibDecoder<&'a [u8]>>>>,
}

fn begin(bytes: &[u8], most: u64) -> Option<Begun<'_>> {
    let number = |at: std::ops::Range<usize>| -> Option<u64> {
        Some(bytes.get(at)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    let sum = number(8..CHECKED)?;
    if bytes.get(..8)? != MAGIC || u64::from(crc_fast::crc32_iscsi(bytes.get(CHECKED..)?)) != sum {
        return None;
    }
    let all = number(CHECKED..HEADER)?;
    if all > most.saturating_mul(LINES).saturating_add(1 << 20) {
        return None;
    }
    let mut rest = Lines { inner: BufReader::new(ZlibDecoder::new(bytes.get(HEADER..)?).take(all)), line: Vec::new() };
    let first: First = rest.next()?;
    let counts = [first.identities, first.documents, first.missing];
    // The fingerprint has two more than there are objects.
    if first.bytes > most || counts.iter().any(|&count| count > limits::OBJECTS + 2) {
        return None;
    }
    let root = Id::parse(&first.root)?;
    let page = first.page.as_ref().map(Key::new);
    let mut fingerprint = Fingerprint { objects: BTreeMap::new(), tells_of_chunks: first.tells_of_chunks, page };
    for _ in 0..first.identities {
        let (key, tag): (String, Option<String>) = rest.next()?;
        fingerprint.objects.insert(Key::new(key), tag.map(ETag::new));
    }
    Some(Begun { first, root, fingerprint, rest })
}

/// What the index in `bytes` was read from, without its documents; `None` where it is none.
pub fn fingerprint(bytes: &[u8], most: u64) -> Option<Fingerprint> {
    begin(bytes, most).map(|begun| begun.fingerprint)
}

/// The index in `bytes`, with documents of at most `most` bytes; `None` where it is none, or not whole.
pub fn decode(bytes: &[u8], most: u64) -> Option<Index> {
    let Begun { first, root, fingerprint, rest: mut lines } = begin(bytes, most)?;
    let (mut objects, mut written) = (HashMap::new(), HashMap::new());
    for _ in 0..first.documents {
        let before: Before = lines.next()?;
        let id = Id::parse(&before.id)?;
        if let Some(when) = before.written {
            written.insert(id, time(when)?);
        }
        let document: Map<String, Value> = lines.next()?;
        objects.insert(id, (id.metadata_key(), Document::from(document)));
    }
    let mut missing = HashMap::new();
    for _ in 0..first.missing {
        let (id, reason): (String, String) = lines.next()?;
        missing.insert(Id::parse(&id)?, reason);
    }
    let modified = match first.modified {
        Some(when) => Some(time(when)?),
        None => None,
    };
    let whole = objects.contains_key(&root) && lines.is_at_end();
    let loaded =
        Loaded { objects, missing, fingerprint, modified, written, bytes: first.bytes, counted: None, held: true };
    whole.then_some(Index { root, loaded })
}

/// Lines, one after the other.
struct Lines<R> {
    inner: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        self.line.clear();
        self.inner.read_until(b'\n', &mut self.line).ok()?;
        serde_json::from_slice(&self.line).ok()
    }

    fn is_at_end(&mut self) -> bool {
        self.inner.fill_buf().is_ok_and(<[u8]>::is_empty)
    }
}

impl Index {
    /// Whether it was read from what `seen` was read from, as far as `seen` goes.
    pub fn agrees(&self, seen: &Fingerprint) -> bool {
        let own = &self.loaded.fingerprint.objects;
        seen.objects.iter().all(|(key, tag)| own.get(key) == Some(tag))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: &str = "g-6470adce-88afc031-ecf8-254600-2748b9";
    const DATASET: &str = "d-6470adce-88afc031-eb26-114229-6c90dd";

    fn loaded(json: &str) -> Loaded {
        let (root, dataset) = (Id::parse(ROOT).unwrap(), Id::parse(DATASET).unwrap());
        let when = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        let document = |json: &str| Document::parse(json.as_bytes()).unwrap();
        let objects = [(root, "{\"links\": {}}"), (dataset, json)];
        let objects = objects.map(|(id, json)| (id, (id.metadata_key(), document(json))));
        let tags = [("x/.domain.json", Some("\"1\"")), ("db/a", None), ("db/\n", Some("t"))];
        let tags = tags.map(|(key, tag)| (Key::new(key), tag.map(ETag::new)));
        Loaded {
            objects: objects.into_iter().collect(),
            missing: [(Id::parse(&DATASET.replace("dd", "de")).unwrap(), "is\ngone".to_owned())].into(),
            fingerprint: Fingerprint { objects: tags.into(), tells_of_chunks: true, page: Some(Key::new("db/x/")) },
            modified: Some(when),
            written: [(dataset, when)].into(),
            bytes: 70,
            counted: None,
            held: false,
        }
    }

    fn comes_back(json: &str) {
        let before = loaded(json);
        let bytes = encode(&Id::parse(ROOT).unwrap(), &before).unwrap();
        let Index { root, loaded: after } = decode(&bytes, 1 << 20).unwrap();
        assert_eq!((root.to_string().as_str(), after.held), (ROOT, true));
        assert_eq!((after.objects, after.missing), (before.objects, before.missing));
        assert_eq!(fingerprint(&bytes, 1 << 20).as_ref(), Some(&before.fingerprint));
        assert_eq!((after.fingerprint, after.modified), (before.fingerprint, before.modified));
        assert_eq!((after.written, after.bytes), (before.written, before.bytes));
    }

    #[test]
    fn a_file_comes_back_as_it_was_read() {
        comes_back(r#"{"x": [NaN, -Infinity, 1e-320, 0.1, -0.0, 18446744073709551615, -9223372036854775808]}"#);
        comes_back("{\"n\u{e4}me\\udcff\\ud800\": {\"b\": \"line\\nfeed \u{10FE00}\", \"a\": null}}");
        comes_back(&format!("{{\"deep\": {}1{}}}", "[".repeat(120), "]".repeat(120)));
    }

    #[test]
    fn one_that_is_damaged_of_another_version_or_too_large_is_none() {
        let bytes = encode(&Id::parse(ROOT).unwrap(), &loaded("{}")).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(decode(&flipped, 1 << 20).is_none(), "{at}");
            assert!(decode(&bytes[..at], 1 << 20).is_none(), "{at}");
        }
        assert!(decode(&bytes, 69).is_none());
        assert!(decode(&[&bytes[..], b"x"].concat(), 1 << 20).is_none());
    }

    #[test]
    fn it_agrees_with_what_was_read_from_the_same_objects() {
        let bytes = encode(&Id::parse(ROOT).unwrap(), &loaded("{}")).unwrap();
        let index = decode(&bytes, 1 << 20).unwrap();
        let seen = |key: &str, tag: Option<&str>| Fingerprint {
            objects: [(Key::new(key), tag.map(ETag::new))].into(),
            ..Fingerprint::default()
        };
        assert!(index.agrees(&seen("x/.domain.json", Some("\"1\""))) && index.agrees(&seen("db/a", None)));
        assert!(!index.agrees(&seen("x/.domain.json", Some("\"2\""))) && !index.agrees(&seen("db/b", None)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(lines: Vec<u8>, all in 0u64..10_000) {
            let _ = decode(&lines, 1 << 20);
            // Behind a right checksum.
            let mut stream = ZlibEncoder::new(vec![0; HEADER], Compression::fast());
            stream.write_all(&lines).unwrap();
            let mut bytes = stream.finish().unwrap();
            bytes[..8].copy_from_slice(MAGIC);
            bytes[CHECKED..HEADER].copy_from_slice(&all.to_le_bytes());
            let sum = crc_fast::crc32_iscsi(&bytes[CHECKED..]);
            bytes[8..CHECKED].copy_from_slice(&sum.to_le_bytes());
            prop_assert!(decode(&bytes, 1 << 20).is_none());
        }
    }
}
