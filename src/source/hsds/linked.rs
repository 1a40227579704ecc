//! Linked datasets: chunks that stay in an HDF5 file, and what says where in it.

use std::collections::HashMap;

use serde_json::Value;

use super::document::unsigned;
use super::fault::Fault;
use super::id::{Id, IdKind};
use super::stream::stored_size;
use crate::model::chunk::{BadChunk, Rows};
use crate::model::datatype::{ByteOrder, Compound, Datatype, Integer};
use crate::model::location::{Bucket, Key, Location, percent_decoded};

/// Where a linked dataset's bytes lie.
#[derive(Clone, PartialEq, Debug)]
pub enum Linked {
    /// One piece of a file.
    Contiguous {
        /// The file.
        file: Location,
        /// First byte.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// Chunks listed in the dataset's own JSON.
    Listed {
        /// The file.
        file: Location,
        /// Offset and size by coordinates; absent is never written.
        chunks: HashMap<Box<[u64]>, (u64, u64)>,
    },
    /// Chunks listed in another dataset, the chunk table.
    Table {
        /// The table.
        table: Id,
        /// The file, unless the table's rows name one each.
        file: Option<Location>,
    },
}

/// The location a `file_uri` names, seen from a file of `home`.
///
/// `s3://bucket/key` is taken as it is, and the path of a web file percent-decoded. Without a scheme, or with `file://` on POSIX, the first segment is a bucket of the
/// same store: on POSIX a sibling of the bucket's directory, and never anything outside of that. Seen from a cloud,
/// `file://` is a path of this machine. Whether a link may lead there is decided where stores are opened: the dataset is
/// there either way, and reading it tells what to do.
pub fn file_location(uri: &str, home: &Bucket) -> Result<Location, Fault> {
    let fault = |reason: &str| Fault::malformed("file_uri", format!("{uri:?} {reason}"));
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let (home_scheme, _) = home.as_str().split_once("://").unwrap_or(("file", ""));
    let rest = rest.trim_start_matches('/');
    let (bucket, key) = rest.split_once('/').ok_or_else(|| fault("names no object in a bucket"))?;
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    if bucket.is_empty() || !key.split('/').all(plain) || !plain(bucket) {
        return Err(fault("is no path below a bucket"));
    }
    let bucket = match (scheme, home_scheme) {
        ("https" | "http", _) => {
            return web_file(scheme, bucket, key).ok_or_else(|| fault("names no file of a server"));
        }
        ("", "http" | "https") => return Err(fault("names a bucket, and a web server has none")),
        // Containers of one account lie side by side like directories.
        ("" | "file", "file") | ("", "az") => {
            let (parent, _) = home.as_str().rsplit_once('/').ok_or_else(|| fault("has no bucket beside it"))?;
            Bucket::new(format!("{parent}/{bucket}"))
        }
        // A path of this machine: the bucket is the directory, so that as little as possible is to be allowed.
        ("file", _) => {
            let (directory, name) = rest.rsplit_once('/').unwrap_or((bucket, key));
            return Ok(Location { bucket: Bucket::new(format!("file:///{directory}")), key: Key::new(name) });
        }
        ("", scheme) | (scheme @ ("s3" | "gs"), _) => Bucket::new(format!("{scheme}://{bucket}")),
        _ => return Err(fault("is of a scheme that a store like this may not name")),
    };
    Ok(Location { bucket, key: Key::new(key) })
}

/// The file at `path` of a web server. Its first folder counts to the bucket: an account's container at Azure.
fn web_file(scheme: &str, host: &str, path: &str) -> Option<Location> {
    if path.contains(['?', '#']) || host.contains(['@', '?', '#']) {
        return None;
    }
    let plain = |segment: &String| !matches!(segment.as_str(), "" | "." | "..") && !segment.contains(['/', '\0']);
    let decoded = path.split('/').map(|segment| percent_decoded(segment).filter(plain));
    let decoded = decoded.collect::<Option<Vec<String>>>()?;
    let server = format!("{scheme}://{host}");
    let (bucket, key) = match decoded.as_slice() {
        [file] => (server, file.clone()),
        [folder, rest @ ..] => (format!("{server}/{folder}"), rest.join("/")),
        [] => return None,
    };
    Some(Location { bucket: Bucket::new(bucket), key: Key::new(key) })
}

/// Class of a layout whose chunks are listed in another dataset.
const BY_TABLE: &str = "H5D_CHUNKED_REF_INDIRECT";

/// The chunk table of a layout; `None` where it is of a class that has none, or names none.
pub fn table(layout: &Value) -> Option<Id> {
    let class = layout.get("class").and_then(Value::as_str);
    (class == Some(BY_TABLE)).then(|| chunk_table(layout).ok()).flatten()
}

fn chunk_table(layout: &Value) -> Result<Id, Fault> {
    let table = layout.get("chunk_table").and_then(Value::as_str).ok_or(Fault::Missing("chunk_table"))?;
    Id::parse_bare(IdKind::Dataset, table)
        .ok_or_else(|| Fault::malformed("chunk_table", format!("{table:?} is no id of a dataset")))
}

/// What `creationProperties.layout` of one of the three reference classes says; `None` for any other class.
pub fn linked(layout: &Value, rank: usize, home: &Bucket) -> Result<Option<Linked>, Fault> {
    let class = layout.get("class").and_then(Value::as_str);
    let file = || match layout.get("file_uri").and_then(Value::as_str) {
        Some(uri) if !uri.is_empty() => file_location(uri, home).map(Some),
        _ => Ok(None),
    };
    let number = |key: &'static str| layout.get(key).and_then(unsigned).ok_or(Fault::Missing(key));
    match class {
        Some("H5D_CONTIGUOUS_REF") => {
            let file = file()?.ok_or(Fault::Missing("file_uri"))?;
            Ok(Some(Linked::Contiguous { file, offset: number("offset")?, size: number("size")? }))
        }
        Some("H5D_CHUNKED_REF") => {
            let file = file()?.ok_or(Fault::Missing("file_uri"))?;
            let listed = layout.get("chunks").and_then(Value::as_object).ok_or(Fault::Missing("chunks"))?;
            let mut chunks = HashMap::with_capacity(listed.len());
            for (index, place) in listed {
                chunks.insert(coordinates(index, rank)?, extent(place)?);
            }
            Ok(Some(Linked::Listed { file, chunks }))
        }
        Some(BY_TABLE) => Ok(Some(Linked::Table { table: chunk_table(layout)?, file: file()? })),
        _ => Ok(None),
    }
}

fn coordinates(index: &str, rank: usize) -> Result<Box<[u64]>, Fault> {
    let parsed: Option<Vec<u64>> = index.split('_').map(|number| number.parse().ok()).collect();
    // A scalar's chunk is `0`.
    match parsed {
        Some(list) if list.len() == rank => Ok(list.into()),
        Some(list) if rank == 0 && list == [0] => Ok(Box::new([])),
        _ => Err(Fault::malformed("chunks", format!("{index:?} is no index of a chunk"))),
    }
}

fn extent(place: &Value) -> Result<(u64, u64), Fault> {
    let numbers = match place.as_array().map(Vec::as_slice) {
        Some([offset, size]) => unsigned(offset).zip(unsigned(size)),
        _ => None,
    };
    let (offset, size) = numbers.ok_or_else(|| Fault::malformed("chunks", "a place is no offset and size"))?;
    offset.checked_add(size).map(|_| (offset, size)).ok_or_else(|| Fault::malformed("chunks", "a place passes 2^64"))
}

/// How the rows of a chunk table are read.
#[derive(Clone, PartialEq, Debug)]
pub struct TableRow {
    fields: Vec<Field>,
    /// Bytes of a row; `None` where rows differ.
    size: Option<u64>,
}

/// One field of a row.
#[derive(Clone, PartialEq, Debug)]
struct Field {
    means: Option<Means>,
    /// Bytes; `None` where a count stands in front.
    size: Option<u64>,
    number: Option<Integer>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Means {
    Offset,
    Size,
    File,
}

/// What a row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// First byte of the chunk.
    pub offset: u64,
    /// Its bytes; 0: never written.
    pub size: u64,
    /// Its file, where the row names one.
    pub file_uri: Option<String>,
}

impl TableRow {
    /// How to read rows of this type.
    pub fn of(datatype: &Datatype) -> Result<Self, Fault> {
        let fault = |reason: &str| Fault::malformed("chunk table", reason);
        let Datatype::Compound(Compound { members, .. }) = datatype else {
            return Err(fault("its type is no compound"));
        };
        let mut fields = Vec::with_capacity(members.len());
        for member in members {
            let means = match member.name.as_bytes() {
                b"offset" => Some(Means::Offset),
                b"size" => Some(Means::Size),
                b"file_uri" => Some(Means::File),
                _ => None,
            };
            let number = match (&member.datatype, means) {
                (Datatype::Integer(integer), _) => Some(*integer),
                (_, Some(Means::Offset | Means::Size)) => return Err(fault("offset and size are no integers")),
                (Datatype::String(_) | Datatype::VariableString(_), Some(Means::File)) => None,
                (_, Some(Means::File)) => return Err(fault("file_uri is no string")),
                (Datatype::VariableString(_) | Datatype::Sequence(_), None) => None,
                (other, None) if stored_size(other).is_some() => None,
                _ => return Err(fault("a field of it cannot be read")),
            };
            fields.push(Field { means, size: stored_size(&member.datatype), number });
        }
        let has = |wanted| fields.iter().filter(|field| field.means == Some(wanted)).count() == 1;
        if !has(Means::Offset) || !has(Means::Size) {
            return Err(fault("it has no field offset or size"));
        }
        let size = fields.iter().try_fold(0u64, |size, field| size.checked_add(field.size?));
        Ok(TableRow { fields, size })
    }

    /// Where the rows of a chunk begin, unless that is a multiplication.
    pub fn rows(&self, plain: &[u8]) -> Rows {
        if self.size.is_some() {
            return Rows::Unknown;
        }
        let (mut begins, mut at, mut row) = (Vec::new(), 0, 0);
        // A field takes at least its count of four bytes, so the list is bounded by the chunk.
        while at < plain.len() as u64 {
            if row % Rows::STRIDE == 0 {
                begins.push(at);
            }
            let Ok(next) = self.skip(plain, at) else { break };
            (at, row) = (next, row + 1);
        }
        Rows::At(begins)
    }

    /// Row `row` of a chunk's plain bytes.
    pub fn read(&self, plain: &[u8], rows: &Rows, row: u64) -> Result<Row, BadChunk> {
        let mut at = match (self.size, rows) {
            (Some(size), _) => row.saturating_mul(size),
            // Rows of different lengths: walk over those before, from the nearest one whose place is known.
            (None, Rows::At(begins)) => {
                let nearest = usize::try_from(row / Rows::STRIDE).ok().and_then(|at| begins.get(at));
                let past = || BadChunk { at: 0, reason: "a row of the chunk table passes its end".into() };
                let begin = *nearest.ok_or_else(past)?;
                (0..row % Rows::STRIDE).try_fold(begin, |at, _| self.skip(plain, at))?
            }
            (None, Rows::Unknown) => (0..row).try_fold(0, |at, _| self.skip(plain, at))?,
        };
        let mut read = Row { offset: 0, size: 0, file_uri: None };
        for field in &self.fields {
            let (begin, end) = field.span(plain, at)?;
            let bytes = slice(plain, begin, end)?;
            match field.means {
                Some(Means::Offset) => read.offset = field.unsigned(bytes, begin)?,
                Some(Means::Size) => read.size = field.unsigned(bytes, begin)?,
                Some(Means::File) => {
                    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
                    let text = std::str::from_utf8(text)
                        .map_err(|_| BadChunk { at: begin, reason: "file_uri is no UTF-8".into() })?;
                    read.file_uri = Some(text.trim_end().to_owned()).filter(|text| !text.is_empty());
                }
                None => {}
            }
            at = end;
        }
        Ok(read)
    }

    fn skip(&self, plain: &[u8], at: u64) -> Result<u64, BadChunk> {
        self.fields.iter().try_fold(at, |at, field| Ok(field.span(plain, at)?.1))
    }
}

impl Field {
    /// First and one past the last byte of the field's content.
    fn span(&self, plain: &[u8], at: u64) -> Result<(u64, u64), BadChunk> {
        let past = || BadChunk { at, reason: "a row of the chunk table passes its end".into() };
        let (begin, size) = match self.size {
            Some(size) => (at, size),
            None => {
                let begin = at.checked_add(4).ok_or_else(past)?;
                let count =
                    slice(plain, at, begin)?.iter().rev().fold(0u64, |count, &byte| count << 8 | u64::from(byte));
                (begin, count)
            }
        };
        let end = begin.checked_add(size).filter(|&end| end <= plain.len() as u64).ok_or_else(past)?;
        Ok((begin, end))
    }

    fn unsigned(&self, bytes: &[u8], at: u64) -> Result<u64, BadChunk> {
        let negative = || BadChunk { at, reason: "a row of the chunk table holds a negative number".into() };
        let number = self.number.ok_or_else(negative)?;
        let fold = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        let value = match number.order {
            ByteOrder::Little => bytes.iter().rev().fold(0, fold),
            ByteOrder::Big => bytes.iter().fold(0, fold),
        };
        let top = 1u64.checked_shl(number.size.saturating_mul(8).saturating_sub(1)).unwrap_or(0);
        if number.signed && value & top != 0 { Err(negative()) } else { Ok(value) }
    }
}

fn slice(plain: &[u8], begin: u64, end: u64) -> Result<&[u8], BadChunk> {
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(begin, end)| plain.get(begin..end))
        .ok_or_else(|| BadChunk { at: begin, reason: "a row of the chunk table passes its end".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_without_a_scheme_names_a_bucket_beside_the_store() {
        let at = |home: &str| file_location("box/a/b.h5", &Bucket::new(home)).map(|at| at.to_string());
        assert_eq!(at("s3://home").unwrap(), "s3://box/a/b.h5");
        assert_eq!(at("az://account/home").unwrap(), "az://account/box/a/b.h5");
        assert_eq!(at("file:///data/home").unwrap(), "file:///data/box/a/b.h5");
        assert!(at("https://host").is_err());
    }

    #[test]
    fn a_link_to_elsewhere_is_a_place_whoever_may_go_there() {
        let at = |uri: &str| {
            let at = file_location(uri, &Bucket::new("s3://home")).unwrap();
            (at.bucket.as_str().to_owned(), at.key.as_str().to_owned())
        };
        let is = |bucket: &str, key: &str| (bucket.to_owned(), key.to_owned());
        assert_eq!(at("file:///data/box/a.h5"), is("file:///data/box", "a.h5"));
        assert_eq!(at("file:///data/a.h5"), is("file:///data", "a.h5"));
        assert_eq!(at("http://host:80/box/a/b.h5"), is("http://host:80/box", "a/b.h5"));
        assert_eq!(at("gs://box/a/b.h5"), is("gs://box", "a/b.h5"));
        for hostile in ["file:///data/../etc/shadow", "file:///etc", "file:////", "ftp://box/a"] {
            assert!(file_location(hostile, &Bucket::new("s3://home")).is_err(), "{hostile}");
        }
    }

    #[test]
    fn a_link_to_a_web_file_is_a_url() {
        let at = |uri: &str| {
            let at = file_location(uri, &Bucket::new("s3://home")).ok()?;
            Some((at.bucket.as_str().to_owned(), at.key.as_str().to_owned()))
        };
        let place = |bucket: &str, key: &str| Some((bucket.to_owned(), key.to_owned()));
        assert_eq!(at("https://host/x.h5"), place("https://host", "x.h5"));
        assert_eq!(at("https://host/box/a/x.h5"), place("https://host/box", "a/x.h5"));
        assert_eq!(at("http://host:80/a%20b/%C3%BC%3f.h5"), place("http://host:80/a b", "ü?.h5"));
        for uri in [
            "https://host/",
            "https://host/a/",
            "https://host/a%2Fb",
            "https://host/%2e%2E/x",
            "https://host/%zz",
            "https://host/%",
            "https://host/%ff",
            "https://host/x?sig=1",
            "https://me@host/x",
            "https://host/a/%00",
        ] {
            assert_eq!(at(uri), None, "{uri}");
        }
    }
}
