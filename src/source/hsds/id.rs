//! Object ids: how HSDS names the objects of a file (both schema versions).
//!
//! An id is a kind letter and 32 hexadecimal digits. The second schema groups them 8-8-4-6-6 and puts all objects of a
//! file under the first half; the first is a standard UUID, 8-4-4-4-12, with nothing in common between objects.

use std::fmt;

use super::key;
use crate::model::location::Key;

/// What kind of object an id names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum IdKind {
    /// `g-`
    Group,
    /// `d-`
    Dataset,
    /// `t-`
    Datatype,
}

/// How keys are made of ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SchemaVersion {
    /// Keys at the bucket's root, hashed.
    V1,
    /// Keys below `db/`.
    V2,
}

/// The id of a group, a dataset or a committed datatype.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    kind: IdKind,
    version: SchemaVersion,
    hex: u128,
}

impl IdKind {
    /// The letter an id of this kind begins with.
    pub fn letter(self) -> char {
        match self {
            IdKind::Group => 'g',
            IdKind::Dataset => 'd',
            IdKind::Datatype => 't',
        }
    }

    fn of_letter(letter: u8) -> Option<Self> {
        match letter {
            b'g' => Some(IdKind::Group),
            b'd' => Some(IdKind::Dataset),
            b't' => Some(IdKind::Datatype),
            _ => None,
        }
    }
}

impl Id {
    /// An id as text: `d-…`, or in its long form `datasets/d-…`. Trailing NULs and blanks are padding.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\0', ' ']);
        let (folder, short) = text.rsplit_once('/').unwrap_or(("", text));
        let kind = IdKind::of_letter(*short.as_bytes().first()?)?;
        let long = match kind {
            IdKind::Group => "groups",
            IdKind::Dataset => "datasets",
            IdKind::Datatype => "datatypes",
        };
        if !(folder.is_empty() || folder == long) {
            return None;
        }
        Self::of_digits(kind, short.get(1..)?.strip_prefix('-')?)
    }

    /// An id whose kind is known and may be left away, as in region references.
    pub fn parse_bare(kind: IdKind, text: &str) -> Option<Self> {
        Self::parse(text).filter(|id| id.kind == kind).or_else(|| Self::of_digits(kind, text))
    }

    fn of_digits(kind: IdKind, digits: &str) -> Option<Self> {
        let fields: Vec<&str> = digits.split('-').collect();
        let lengths: Vec<usize> = fields.iter().map(|field| field.len()).collect();
        let version = match lengths.as_slice() {
            [8, 8, 4, 6, 6] => SchemaVersion::V2,
            [8, 4, 4, 4, 12] => SchemaVersion::V1,
            _ => return None,
        };
        // Keys are made of the text, so an upper-case digit would be another key.
        let mut hex = 0u128;
        for byte in fields.concat().bytes() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            hex = hex << 4 | u128::from(digit);
        }
        Some(Id { kind, version, hex })
    }

    /// Its kind.
    pub fn kind(&self) -> IdKind {
        self.kind
    }

    /// The schema it belongs to.
    pub fn version(&self) -> SchemaVersion {
        self.version
    }

    /// True for the root group of a file. Only the second schema can tell: there, the second half of a root's digits is
    /// the first with 8 added to each, modulo 16.
    pub fn is_root(&self) -> bool {
        self.kind == IdKind::Group && self.version == SchemaVersion::V2 && *self == self.root_of_v2()
    }

    /// The root group of the file this object belongs to; `None` in the first schema, whose ids do not tell.
    pub fn root(&self) -> Option<Id> {
        (self.version == SchemaVersion::V2).then(|| self.root_of_v2())
    }

    fn root_of_v2(&self) -> Id {
        let half = self.hex >> 64;
        // Adding 8 modulo 16 turns the highest bit of a digit.
        Id { kind: IdKind::Group, version: SchemaVersion::V2, hex: half << 64 | (half ^ 0x8888_8888_8888_8888) }
    }

    /// The object of the same file whose folder among its kind has this name; `None` in the first schema.
    pub fn beside(&self, kind: IdKind, folder: &str) -> Option<Id> {
        let digits = self.digits();
        let half = digits.get(..17).filter(|_| self.version == SchemaVersion::V2)?;
        Self::of_digits(kind, &format!("{half}-{folder}")).filter(|id| id.version == SchemaVersion::V2)
    }

    /// Key of the JSON that describes the object.
    pub fn metadata_key(&self) -> Key {
        key::metadata(self)
    }

    /// The digits in their groups, without the kind.
    pub fn digits(&self) -> String {
        let hex = format!("{:032x}", self.hex);
        let cuts: [usize; 4] = match self.version {
            SchemaVersion::V1 => [8, 12, 16, 20],
            SchemaVersion::V2 => [8, 16, 20, 26],
        };
        let mut digits = String::with_capacity(36);
        for (at, digit) in hex.chars().enumerate() {
            if cuts.contains(&at) {
                digits.push('-');
            }
            digits.push(digit);
        }
        digits
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.letter(), self.digits())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemas_and_all_forms_are_read() {
        let id = Id::parse("d-6470adce-88afc031-eb26-114229-6c90dd").unwrap();
        assert_eq!((id.kind(), id.version()), (IdKind::Dataset, SchemaVersion::V2));
        assert_eq!(id.to_string(), "d-6470adce-88afc031-eb26-114229-6c90dd");
        assert_eq!(Id::parse("datasets/d-6470adce-88afc031-eb26-114229-6c90dd\0"), Some(id));
        assert_eq!(Id::parse_bare(IdKind::Dataset, "6470adce-88afc031-eb26-114229-6c90dd"), Some(id));
        assert_eq!(Id::parse("groups/d-6470adce-88afc031-eb26-114229-6c90dd"), None);
        let old = Id::parse("g-c815c3d8-e525-11f1-878b-02fc00000001").unwrap();
        assert_eq!(old.version(), SchemaVersion::V1);
        assert_eq!(old.to_string(), "g-c815c3d8-e525-11f1-878b-02fc00000001");
        for wrong in
            ["", "d", "d-", "x-6470adce-88afc031-eb26-114229-6c90dd", "d-6470ADCE-88afc031-eb26-114229-6c90dd", "é-"]
        {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_root_is_known_from_any_id() {
        let root = Id::parse("g-6470adce-88afc031-ecf8-254600-2748b9").unwrap();
        assert!(root.is_root());
        let dataset = Id::parse("d-6470adce-88afc031-eb26-114229-6c90dd").unwrap();
        assert!(!dataset.is_root());
        assert_eq!(dataset.root(), Some(root));
    }
}
