//! A record: stored bytes of one place as a file of the disk cache, with what is needed to believe it.
//!
//! ```text
//!  0  8  magic, with the version of this format
//!  8  4  CRC32C of everything behind it
//! 12  4  bytes of the place
//! 16  4  bytes of the entity tag
//! 20  4  nanoseconds of the time of writing
//! 24  8  its seconds since 1970
//! 32  8  bytes of the whole object
//! 40  8  bytes of the body
//! 48     place, entity tag, body
//! ```
//!
//! Numbers are little-endian. A record is exactly as long as its header says. Whatever is not, or fails its checksum, or is of
//! another place, is no record: a disk that lies costs a request and never a byte.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::model::location::{ETag, Location};

/// Begins every record. The digit is the version: another one is a record of another program.
const MAGIC: &[u8; 8] = b"h5mkept1";
/// Bytes before the place.
pub const HEADER: usize = 48;
/// Where the checked part begins.
const CHECKED: usize = 12;

/// Services that buckets are asked for, by the scheme of the buckets' URLs.
pub type Origins = BTreeMap<&'static str, String>;

/// What a record is of: an object, part of one, or what was made of several.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place(String);

impl Place {
    /// An object, or the part of it that begins and ends there.
    pub fn object(location: &Location, range: Option<&std::ops::Range<u64>>) -> Place {
        // No URL of a bucket and no key that is read holds a line feed, so no two places have one text.
        let part = range.map_or(String::new(), |range| format!("\n{}-{}", range.start, range.end));
        Place(format!("object\n{}\n{}{part}", location.bucket.as_str(), location.key))
    }

    /// What was read of the file that `location` names.
    pub fn description(location: &Location) -> Place {
        Place(format!("description\n{}\n{}", location.bucket.as_str(), location.key))
    }

    /// The same as the service of its bucket has it.
    pub fn of(&self, origins: &Origins) -> Place {
        let scheme = self.0.split('\n').nth(1).and_then(|bucket| bucket.split_once("://")).map(|(scheme, _)| scheme);
        let origin = scheme.and_then(|scheme| origins.get(scheme)).map_or("", String::as_str);
        Place(format!("{}\n{origin}", self.0))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is kept of a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The object's strong entity tag; empty where what is kept says itself what it was made of.
    pub etag: ETag,
    /// When the object was last written.
    pub modified: SystemTime,
    /// Bytes of the whole object.
    pub size: u64,
    /// The bytes that are kept.
    pub body: Bytes,
}

/// Bytes of the record of `place` before its body.
pub fn head(place: &Place, record: &Record) -> Vec<u8> {
    let age = record.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (text, tag) = (place.0.as_bytes(), record.etag.as_str().as_bytes());
    let mut head = Vec::with_capacity(HEADER + text.len() + tag.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&[0; 4]);
    // Lengths of names; a place of 4 GiB is refused by whoever reads it, since the lengths do not add up.
    head.extend_from_slice(&(text.len() as u32).to_le_bytes());
    head.extend_from_slice(&(tag.len() as u32).to_le_bytes());
    head.extend_from_slice(&age.subsec_nanos().to_le_bytes());
    head.extend_from_slice(&age.as_secs().to_le_bytes());
    head.extend_from_slice(&record.size.to_le_bytes());
    head.extend_from_slice(&(record.body.len() as u64).to_le_bytes());
    head.extend_from_slice(text);
    head.extend_from_slice(tag);
    let mut sum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    sum.update(&head[CHECKED..]);
    sum.update(&record.body);
    // The algorithm's sums have 32 bits.
    head[8..CHECKED].copy_from_slice(&(sum.finalize() as u32).to_le_bytes());
    head
}

/// The record in `bytes`, if it is one, whole, and of `place`.
pub fn read(place: &Place, bytes: Bytes) -> Option<Record> {
    let sum = number(&bytes, 8..12)?;
    if bytes.get(..8)? != MAGIC || u64::from(crc_fast::crc32_iscsi(bytes.get(CHECKED..)?)) != sum {
        return None;
    }
    let (text, tag) = (number(&bytes, 12..16)?, number(&bytes, 16..20)?);
    let nanos = u32::try_from(number(&bytes, 20..24)?).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    let body = number(&bytes, 40..48)?;
    let before = (HEADER as u64).checked_add(text)?.checked_add(tag)?;
    if before.checked_add(body)? != bytes.len() as u64 {
        return None;
    }
    let (tag_at, body_at) = (HEADER + text as usize, before as usize);
    if bytes.get(HEADER..tag_at)? != place.0.as_bytes() {
        return None;
    }
    let etag = ETag::new(std::str::from_utf8(bytes.get(tag_at..body_at)?).ok()?);
    let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::new(number(&bytes, 24..32)?, nanos))?;
    Some(Record { etag, modified, size: number(&bytes, 32..40)?, body: bytes.slice(body_at..) })
}

/// A number of up to eight bytes.
fn number(bytes: &[u8], at: std::ops::Range<usize>) -> Option<u64> {
    Some(bytes.get(at)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::location::{Bucket, Key};

    fn place(key: &str) -> Place {
        Place::object(&Location { bucket: Bucket::new("s3://b"), key: Key::new(key) }, None)
    }

    fn record(body: &[u8]) -> Record {
        let modified = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 7);
        Record { etag: ETag::new("\"tag\""), modified, size: 1 << 40, body: Bytes::copy_from_slice(body) }
    }

    fn written(place: &Place, record: &Record) -> Vec<u8> {
        [head(place, record), record.body.to_vec()].concat()
    }

    #[test]
    fn a_record_is_of_one_place_and_version() {
        let bytes = written(&place("k"), &record(b"body"));
        assert_eq!(read(&place("k"), bytes.clone().into()), Some(record(b"body")));
        assert_eq!(read(&place("l"), bytes.clone().into()), None);
        let location = Location { bucket: Bucket::new("s3://b"), key: Key::new("k") };
        let others = [Place::object(&location, Some(&(0..4))), Place::description(&location)];
        assert!(others.iter().all(|other| read(other, bytes.clone().into()).is_none()));
        let mut later = bytes;
        later[7] += 1;
        assert_eq!(read(&place("k"), later.into()), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(key: String, body: Vec<u8>, tag: String, nanos in 0u32..1_000_000_000) {
            let record = Record {
                etag: ETag::new(&tag),
                modified: SystemTime::UNIX_EPOCH + Duration::new(5, nanos),
                ..record(&body)
            };
            prop_assert_eq!(read(&place(&key), written(&place(&key), &record).into()), Some(record));
        }

        #[test]
        fn any_flipped_bit_is_a_miss(body in proptest::collection::vec(any::<u8>(), 0..300), bit: prop::sample::Index) {
            let mut bytes = written(&place("key"), &record(&body));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&place("key"), bytes.into()), None);
        }

        #[test]
        fn any_other_length_is_a_miss(body in proptest::collection::vec(any::<u8>(), 0..300), at: prop::sample::Index, more in 1usize..50) {
            let bytes = written(&place("key"), &record(&body));
            let cut = bytes[..at.index(bytes.len())].to_vec();
            prop_assert_eq!(read(&place("key"), cut.into()), None);
            let longer = [&bytes[..], &vec![0; more]].concat();
            prop_assert_eq!(read(&place("key"), longer.into()), None);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&place("key"), bytes.clone().into());
            let mut sealed = [&MAGIC[..], &[0; 4], &bytes[..]].concat();
            let sum = crc_fast::crc32_iscsi(&sealed[CHECKED..]);
            sealed[8..CHECKED].copy_from_slice(&sum.to_le_bytes());
            let _ = read(&place("key"), sealed.into());
        }
    }
}
