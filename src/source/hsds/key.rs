//! Keys: where the store keeps the objects of a file (both schema versions).

use std::fmt::Write as _;

use md5::{Digest, Md5};

use super::id::{Id, IdKind, SchemaVersion};
use crate::model::location::Key;

/// Weights of the chunk index, dimension by dimension and from the start again after the tenth: they spread neighbours
/// over the partitions.
const PARTITION_PRIMES: [u128; 10] = [29, 31, 37, 41, 43, 47, 53, 59, 61, 67];

/// Key of the domain or folder object at `path` (without leading or trailing `/`; the root folder is empty).
pub fn domain(path: &str) -> Key {
    if path.is_empty() { Key::new(".domain.json") } else { Key::new(format!("{path}/.domain.json")) }
}

/// Key of the JSON of a group, dataset or committed datatype.
pub fn metadata(id: &Id) -> Key {
    let file = match id.kind() {
        IdKind::Group => ".group.json",
        IdKind::Dataset => ".dataset.json",
        IdKind::Datatype => ".datatype.json",
    };
    match id.version() {
        SchemaVersion::V1 => hashed(&id.to_string()),
        SchemaVersion::V2 if id.is_root() => Key::new(format!("{}{file}", file_prefix(&id.digits()))),
        SchemaVersion::V2 => Key::new(format!("{}{file}", object_prefix(id))),
    }
}

/// Key of the scan statistics of the file with this root; `None` in the first schema, which has none.
pub fn info(root: &Id) -> Option<Key> {
    (root.version() == SchemaVersion::V2).then(|| Key::new(format!("{}.info.json", file_prefix(&root.digits()))))
}

/// Key of the consolidated metadata of the file with this root; `None` in the first schema, which has none.
pub fn summary(root: &Id) -> Option<Key> {
    (root.version() == SchemaVersion::V2).then(|| Key::new(format!("{}.summary.json", file_prefix(&root.digits()))))
}

/// Key of the index of the file with this root: among its other objects, where HSDS passes it over as no key of its own, and
/// deletes it with them. `None` in the first schema, which has no such place.
pub fn index(root: &Id) -> Option<Key> {
    below(root).map(|below| Key::new(format!("{}{INDEX}", below.as_str())))
}

/// Last segment of the key of an index.
pub const INDEX: &str = ".h5mount-index";

/// What all keys of the objects and chunks of the file with this root begin with; `None` in the first schema, which
/// strews them over the bucket.
pub fn below(root: &Id) -> Option<Key> {
    (root.version() == SchemaVersion::V2).then(|| Key::new(file_prefix(&root.digits())))
}

/// Folder that holds a folder for each dataset of the file with this root; `None` in the first schema, which has none.
pub fn datasets(root: &Id) -> Option<String> {
    below(root).map(|below| format!("{}{}", below.as_str(), IdKind::Dataset.letter()))
}

/// Key of the chunk at `coordinates` of a dataset whose layout has `partitions` partitions (0 or 1: none).
pub fn chunk(dataset: &Id, coordinates: &[u64], partitions: u64) -> Key {
    let partition = (partitions > 1).then(|| partition(coordinates, partitions));
    let mut index = String::new();
    for (dimension, coordinate) in coordinates.iter().enumerate() {
        let separator = if dimension == 0 { "" } else { "_" };
        // Writing to a string cannot fail.
        let _ = write!(index, "{separator}{coordinate}");
    }
    if coordinates.is_empty() {
        index.push('0');
    }
    match (dataset.version(), partition) {
        (SchemaVersion::V1, None) => hashed(&format!("c-{}_{index}", dataset.digits())),
        (SchemaVersion::V1, Some(partition)) => hashed(&format!("c{partition}-{}_{index}", dataset.digits())),
        (SchemaVersion::V2, None) => Key::new(format!("{}{index}", object_prefix(dataset))),
        (SchemaVersion::V2, Some(partition)) => Key::new(format!("{}p{partition}/{index}", object_prefix(dataset))),
    }
}

fn partition(coordinates: &[u64], partitions: u64) -> u128 {
    // A rank is at most 32 and a weight below 128, so the sum stays far below 2^128.
    let sum: u128 = coordinates
        .iter()
        .zip(PARTITION_PRIMES.iter().cycle())
        .map(|(&coordinate, &prime)| u128::from(coordinate) * prime)
        .sum();
    sum % u128::from(partitions)
}

/// `db/R/` of a v2 id's digits, `R` being their first half.
fn file_prefix(digits: &str) -> String {
    format!("db/{}/", digits.get(..17).unwrap_or(digits))
}

/// `db/R/<kind>/O/` of a v2 id.
fn object_prefix(id: &Id) -> String {
    let digits = id.digits();
    format!("{}{}/{}/", file_prefix(&digits), id.kind().letter(), digits.get(18..).unwrap_or_default())
}

/// The first five digits of the MD5 of an id in front of it: spreads the keys of the first schema over a bucket.
fn hashed(id: &str) -> Key {
    let hash = Md5::digest(id.as_bytes());
    Key::new(format!("{:02x}{:02x}{:01x}-{id}", hash[0], hash[1], hash[2] >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_second_schema() {
        let root = Id::parse("g-6470adce-88afc031-ecf8-254600-2748b9").unwrap();
        let dataset = Id::parse("d-6470adce-88afc031-eb26-114229-6c90dd").unwrap();
        assert_eq!(metadata(&root).as_str(), "db/6470adce-88afc031/.group.json");
        assert_eq!(metadata(&dataset).as_str(), "db/6470adce-88afc031/d/eb26-114229-6c90dd/.dataset.json");
        assert_eq!(chunk(&dataset, &[3, 0], 0).as_str(), "db/6470adce-88afc031/d/eb26-114229-6c90dd/3_0");
        assert_eq!(chunk(&dataset, &[], 1).as_str(), "db/6470adce-88afc031/d/eb26-114229-6c90dd/0");
        // 3 * 29 + 2 * 31 = 149 = 37 * 4 + 1
        assert_eq!(chunk(&dataset, &[3, 2], 4).as_str(), "db/6470adce-88afc031/d/eb26-114229-6c90dd/p1/3_2");
        assert_eq!(summary(&root).unwrap().as_str(), "db/6470adce-88afc031/.summary.json");
        assert_eq!(domain("home/x.h5").as_str(), "home/x.h5/.domain.json");
    }

    #[test]
    fn keys_of_the_first_schema() {
        let root = Id::parse("g-c815c3d8-e525-11f1-878b-02fc00000001").unwrap();
        let dataset = Id::parse("d-c815c7f2-e525-11f1-878b-02fc00000001").unwrap();
        assert_eq!(metadata(&root).as_str(), "5c9c0-g-c815c3d8-e525-11f1-878b-02fc00000001");
        assert_eq!(metadata(&dataset).as_str(), "c1630-d-c815c7f2-e525-11f1-878b-02fc00000001");
        assert_eq!(chunk(&dataset, &[1, 2], 0).as_str(), "01f01-c-c815c7f2-e525-11f1-878b-02fc00000001_1_2");
        assert_eq!(info(&root), None);
    }

    #[test]
    fn no_index_overflows() {
        let dataset = Id::parse("d-6470adce-88afc031-eb26-114229-6c90dd").unwrap();
        assert!(chunk(&dataset, &[u64::MAX; 32], u64::MAX).as_str().contains("/p"));
    }
}
