//! A file's objects: groups, datasets, committed datatypes, and the links and attributes that hang on them.

use bytes::Bytes;

use super::dataspace::Dataspace;
use super::datatype::Datatype;
use super::elements::Elements;
use super::name::Name;
use super::pipeline::{Filter, StoredForm};

/// An object of one hierarchy: its position in [`Hierarchy::objects`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ObjectId(pub u32);

/// All objects of one file. Object 0 is the root group; the others stand in the order in which a walk from the root,
/// depth first by link order, meets them, and last those that no link reaches.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Hierarchy {
    /// The objects.
    pub objects: Vec<Object>,
    /// What stands before everything else in the file and is no part of it: the header of a MATLAB file, or text. HDF5
    /// looks for a file's beginning at 0, 512, 1024, 2048 … and nowhere else.
    pub user_block: Bytes,
    /// Bytes that all values of variable length of one chunk take at most, those inside each other counted each, where
    /// whoever reads them keeps to a limit; `None` for that of HSDS, which has one for each value.
    pub chunk_values: Option<u64>,
}

impl Hierarchy {
    /// The root group.
    pub const ROOT: ObjectId = ObjectId(0);

    /// An object; `None` for an id of another hierarchy.
    pub fn get(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(id.0 as usize)
    }

    /// The datatype that `usage` means, looked up where it is a committed one.
    pub fn datatype<'a>(&'a self, usage: &'a TypeUse) -> Option<&'a Datatype> {
        match usage {
            TypeUse::Own(datatype) => Some(datatype),
            TypeUse::Committed(id) => match &self.get(*id)?.kind {
                ObjectKind::Datatype(datatype) => Some(datatype),
                _ => None,
            },
        }
    }
}

/// One object.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// What kind it is, and what only that kind has.
    pub kind: ObjectKind,
    /// Its attributes, in the order in which they are to be listed.
    pub attributes: Vec<Attribute>,
    /// Whether the order of attributes is the order of their creation, and to be kept as such.
    pub attributes_tracked: bool,
    /// When it was last changed, in seconds since the epoch, where known.
    pub modified: Option<u32>,
    /// What else an HDF5 file says of it.
    pub details: Details,
}

/// What an HDF5 file says of an object that changes no value of it. Stores have no words for it; of a file that is laid
/// out anew it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Details {
    /// The links of a group are indexed by the order of creation.
    pub links_indexed: bool,
    /// Its attributes are indexed by the order of creation.
    pub attributes_indexed: bool,
    /// When room for elements is made and filled, of a dataset.
    pub storing: Option<Storing>,
    /// A comment.
    pub comment: Option<Name>,
    /// How many links and uses the file counts, where it counts any: those of committed datatypes too.
    pub references: Option<u32>,
}

/// When room for the elements of a dataset is made, and when it is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Storing {
    /// When room is made.
    pub allocation: Allocation,
    /// When fill values are written.
    pub fill_time: FillTime,
    /// What was never written may be anything: there is explicitly no fill value.
    pub fill_undefined: bool,
}

/// When room for elements is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocation {
    /// With the dataset: required for the implicit chunk index.
    Early,
    /// With the first write: the default of contiguous data.
    Late,
    /// With each chunk's first write: the default of chunked data.
    Incremental,
}

/// When fill values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FillTime {
    /// When room is made.
    Allocation,
    /// Never.
    Never,
    /// When room is made, where somebody set a value: the library's default.
    IfSet,
}

/// The three kinds of objects.
#[derive(Clone, PartialEq, Debug)]
pub enum ObjectKind {
    /// A group.
    Group(Group),
    /// A dataset.
    Dataset(Dataset),
    /// A committed datatype.
    Datatype(Datatype),
}

/// A group: links by name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Group {
    /// The links, in the order in which they are to be listed.
    pub links: Vec<Link>,
    /// Whether that order is the order of creation, and to be kept as such.
    pub tracked: bool,
}

/// A link of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// Unique in its group; without `/`.
    pub name: Name,
    /// Where it leads.
    pub target: LinkTarget,
}

/// Where a link leads.
#[derive(Clone, PartialEq, Debug)]
pub enum LinkTarget {
    /// To an object of this file.
    Hard(ObjectId),
    /// To a path, looked up when followed.
    Soft(Name),
    /// To a path in another file.
    External {
        /// The file.
        file: Name,
        /// The path in it.
        path: Name,
    },
    /// To what a program knows that defined this class of links.
    User {
        /// Its class, 65 and up.
        class: u8,
        /// What the program put there.
        value: Bytes,
    },
}

/// A datatype as a dataset or attribute uses it.
#[derive(Clone, PartialEq, Debug)]
pub enum TypeUse {
    /// Its own.
    Own(Datatype),
    /// A committed one, shared with others.
    Committed(ObjectId),
}

/// A named value on an object.
#[derive(Clone, PartialEq, Debug)]
pub struct Attribute {
    /// Unique on its object.
    pub name: Name,
    /// Type of its elements.
    pub datatype: TypeUse,
    /// Shape.
    pub dataspace: Dataspace,
    /// Its elements, all of them.
    pub value: Elements,
}

/// An array of elements kept in chunks, or in one piece.
#[derive(Clone, PartialEq, Debug)]
pub struct Dataset {
    /// Type of its elements.
    pub datatype: TypeUse,
    /// Shape.
    pub dataspace: Dataspace,
    /// What an element is that was never written: one element, or `None` for zero bytes.
    pub fill: Option<Elements>,
    /// Pieces.
    pub layout: DataLayout,
    /// Filters as the store lists them, in the order in which a writer applies them.
    pub filters: Vec<Filter>,
    /// What stored chunks really are.
    pub stored: StoredForm,
}

/// Pieces in which a dataset is kept.
#[derive(Clone, PartialEq, Debug)]
pub enum DataLayout {
    /// None: its few elements, all of them, stand with what describes it.
    Compact(Elements),
    /// One piece; also a scalar, and a dataset without any element.
    Contiguous,
    /// Chunks of this shape, in elements; one extent a dimension, none of them 0.
    Chunked(Vec<u64>),
    /// None here: elements are those of other datasets, of this file or others. Which ones, HDF5 says in bytes that mean
    /// the same in every file (specification III.F); a reader's library follows them.
    Virtual(Bytes),
    /// None here: elements lie in raw files, one part behind the other. A reader's library follows them.
    External(Vec<RawPart>),
}

/// A part of a raw file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawPart {
    /// Name of the file.
    pub file: Name,
    /// First byte in it.
    pub offset: u64,
    /// Bytes of it; `u64::MAX` for all that is there.
    pub size: u64,
}
