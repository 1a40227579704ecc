//! The way back: bytes of an HDF5 file to a hierarchy, and where each chunk lies.
//!
//! A [`Scan`] does no I/O. Each [`step`](Scan::step) reads what is at hand and says which ranges of the file it wants
//! next; whoever has the file brings them, as many at a time and as far ahead as he likes, and asks again. What is not
//! at hand of one object keeps none of the others from being read, and of a tree a whole level is asked for at once, so
//! that the number of rounds is that of structures that lead to one another.
//!
//! Nothing is believed. What contradicts itself is a [`Fault`] of one object, link or attribute, with the structure and
//! the byte; the others are read. What is sound and cannot be shown laid out anew is a fault of kind
//! [`Unsupported`](Kind::Unsupported): whoever asked may rather show the file as it is.

mod asides;
mod assemble;
mod chunk_list;
mod dataset;
mod group;
mod judge;
pub mod ledger;
mod object;
mod placement;
#[cfg(test)]
mod tests;
mod types;
mod values;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use ::bytes::Bytes as Plain;

pub use chunk_list::{ChunkAt, ChunkList, Packing};
pub use placement::{Place, Placement};

use crate::format::bytes::{Bytes, Ranks, Space};
use crate::format::cache_image::{self, CacheImage};
use crate::format::cursor::Cursor;
use crate::format::message::file_space_info;
use crate::format::register::{Aside, Register};
use crate::format::shared_table::{self, SharedTable};
use crate::format::superblock::decode::StoredSuperblock;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS, object_header, superblock};
use crate::model::chunk::BadChunk;
use crate::model::elements::Elements;
use crate::model::hierarchy::{Hierarchy, ObjectId};
use crate::model::limits;
use object::{Context, Draft, Reader};
use values::Values;

/// Bytes that all values of a file may take beside twice the file itself: what a small file may say many times over.
const VALUES: u64 = 64 << 20;
/// Message of the superblock's extension: a driver of several files.
const DRIVER_INFO: u8 = 0x14;
/// Another message of it: how large nodes of the old trees are.
const TREE_RANKS: u8 = 0x13;
/// Bit of the status of a superblock of version 3: a writer has it open, or ended without closing it.
const OPEN_FOR_WRITING: u32 = 1;
/// What errors call that are about the file as a whole.
pub const STRUCTURE: &str = "file";
const SUPERBLOCK: &str = "superblock";
/// How space is handed out where a file does not say.
const USUAL_STRATEGY: &str = "FSM_AGGR";

/// A file, read.
#[derive(Debug)]
pub struct Scanned {
    /// Its objects.
    pub hierarchy: Hierarchy,
    /// Where elements lie, by object number; `None` for what is no dataset.
    pub placements: Vec<Option<Placement>>,
    /// Its objects by the addresses of their headers.
    pub addresses: Addresses,
    /// What cannot be shown.
    pub faults: Vec<Fault>,
    /// Facts of the file as a whole.
    pub facts: FileFacts,
}

/// Something that cannot be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The object, or the nearest one above it that is shown.
    pub object: ObjectId,
    /// What of it: `/link`, `@attribute`, or nothing.
    pub what: String,
    /// Why.
    pub error: FormatError,
    /// False where it is shown all the same, with null in the place of a reference.
    pub left_out: bool,
}

/// Facts of a file as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileFacts {
    /// Version of the superblock.
    pub superblock: u8,
    /// Bytes before the superblock.
    pub user_block: u64,
    /// Bytes of a page, where space is handed out in pages.
    pub page: Option<u64>,
    /// How space is handed out, as `h5repack -S` calls it; files that do not say so have `FSM_AGGR`.
    pub strategy: &'static str,
    /// All object headers lie before all elements.
    pub headers_first: bool,
}

/// Objects by address, with what is needed to read addresses in elements.
#[derive(Clone, PartialEq, Debug)]
pub struct Addresses {
    objects: HashMap<u64, ObjectId>,
    base: u64,
    sizes: crate::format::bytes::Sizes,
    /// Heaps that the image of a metadata cache has.
    heaps: Option<CacheImage>,
}

impl Addresses {
    /// The object with its header at an address.
    pub fn object(&self, address: u64) -> Option<ObjectId> {
        self.objects.get(&address).copied()
    }

    /// Those of a file without objects.
    pub fn none() -> Addresses {
        Addresses { objects: HashMap::new(), base: 0, sizes: crate::format::bytes::Sizes::EIGHT, heaps: None }
    }

    /// Those of objects whose headers lie at `by_number`, in a file whose addresses count from byte `base`. `None` where two have
    /// one address, or no file has fields so wide.
    pub fn of(by_number: Vec<u64>, base: u64, sizes: crate::format::bytes::Sizes) -> Option<Addresses> {
        let wide = |width: u8| matches!(width, 2 | 4 | 8 | 16 | 32);
        let count = by_number.len();
        let objects: HashMap<u64, ObjectId> =
            by_number.into_iter().zip(0..).map(|(address, number)| (address, ObjectId(number))).collect();
        let whole = objects.len() == count && wide(sizes.offsets) && wide(sizes.lengths);
        whole.then_some(Addresses { objects, base, sizes, heaps: None })
    }

    /// The address of each object, by its number.
    pub fn by_number(&self) -> Vec<u64> {
        let mut addresses: Vec<(ObjectId, u64)> = self.objects.iter().map(|(&address, &id)| (id, address)).collect();
        addresses.sort_unstable();
        addresses.into_iter().map(|(_, address)| address).collect()
    }

    /// Widths of the file's fields.
    pub fn sizes(&self) -> crate::format::bytes::Sizes {
        self.sizes
    }

    /// Bytes of memory that they take: a key, a number, and what a map keeps of each.
    pub fn weight(&self) -> u64 {
        let heaps = self.heaps.as_ref().map_or(0, CacheImage::weight);
        (self.objects.capacity() as u64).saturating_mul(size_of::<(u64, ObjectId)>() as u64 + 1).saturating_add(heaps)
    }

    /// Whether elements lie in heaps that are not where their addresses say.
    pub fn has_heaps(&self) -> bool {
        self.heaps.is_some()
    }

    /// Elements of a chunk of `placement`, whose plain bytes these are. What they lead to is looked for in `file`; an
    /// error of kind [`Needs`](Kind::Needs) comes with every range of it that is not at hand.
    pub fn elements(
        &self,
        placement: &Placement,
        plain: &Plain,
        file: &dyn Bytes,
    ) -> Result<Elements, (BadChunk, Vec<Range<u64>>)> {
        let space = Space::new(file, self.base, self.sizes).imaged(self.heaps.as_ref());
        let mut budget = values_of(file.len());
        let count = placement.grid.chunk_elements().unwrap_or(u64::MAX);
        let mut object = |address| self.objects.get(&address).copied();
        let data = Cursor::new("chunk", plain, 0, self.sizes);
        let values = Values::new(&space, &mut object, &mut budget);
        values.elements(&placement.stored, &placement.datatype, data, count).map_err(|error| {
            let missing = match error.kind {
                Kind::Needs(_) => space.take_missing(),
                _ => Vec::new(),
            };
            (BadChunk { at: error.at, reason: format!("{}: {}", error.structure, error.reason) }, missing)
        })
    }
}

/// A scan under way.
#[derive(Debug)]
pub struct Scan {
    /// Bytes that all values of the file may take.
    most: u64,
    start: Option<Start>,
    /// Addresses of headers still to be read.
    pending: Vec<u64>,
    /// Of all that were ever pending.
    seen: HashSet<u64>,
    drafts: HashMap<u64, Result<Draft, FormatError>>,
    /// Numbers given so far whose objects are pending or read.
    mentioned: usize,
    /// Where structures lie, if that is wanted.
    register: Option<Register>,
    /// What only writers read and is still to be read here.
    asides: Vec<(Aside, u64)>,
}

/// What a file begins with.
#[derive(Debug)]
struct Start {
    superblock: StoredSuperblock,
    /// What is known of it but for its objects.
    hierarchy: Hierarchy,
    page: Option<u64>,
    strategy: &'static str,
    /// Structures that stand elsewhere than at their addresses.
    image: Option<CacheImage>,
    context: Context,
}

impl Default for Scan {
    fn default() -> Self {
        Scan::within(u64::MAX)
    }
}

impl Scan {
    /// One that notes where structures lie, and leaves out no dataset because nothing here undoes its filters.
    pub fn noting() -> Scan {
        Scan { register: Some(Register::default()), ..Scan::default() }
    }

    /// What was noted.
    pub fn take_register(&mut self) -> Option<Register> {
        self.register.take()
    }

    /// One whose values take at most `most` bytes of memory.
    pub fn within(most: u64) -> Scan {
        Scan {
            most,
            start: None,
            pending: Vec::new(),
            seen: HashSet::new(),
            drafts: HashMap::new(),
            mentioned: 0,
            register: None,
            asides: Vec::new(),
        }
    }

    /// Reads on with what is at hand of the file. Gives the ranges that are wanted now; none when all is read.
    ///
    /// # Errors
    /// Where the file as a whole cannot be read, or only as it is.
    pub fn step(&mut self, bytes: &dyn Bytes) -> Result<Vec<Range<u64>>, FormatError> {
        if self.start.is_none() {
            match begin(bytes, self.register.as_ref()) {
                Ok(mut start) => {
                    start.context.budget = start.context.budget.min(self.most);
                    self.pend(start.superblock.root);
                    self.start = Some(start);
                }
                Err(error) => return error.needs().map(|range| vec![range.clone()]).ok_or(error),
            }
        }
        let Some(Start { superblock, context, image, .. }) = &mut self.start else { return Ok(Vec::new()) };
        let space = Space::new(bytes, superblock.base, superblock.sizes);
        let space = space.noting(context.ranks, self.register.as_ref()).imaged(image.as_ref());
        let mut wanting = Vec::new();
        loop {
            while let Some(address) = self.pending.pop() {
                let budget = context.budget;
                space.belongs_to(address);
                match (Reader { space: &space, context }).object(address) {
                    Err(error) if error.needs().is_some() => {
                        context.budget = budget;
                        wanting.push(address);
                    }
                    Ok(draft) => {
                        for target in assemble::targets(&draft) {
                            context.number(target);
                            if self.seen.insert(target) {
                                self.pending.push(target);
                            }
                        }
                        self.drafts.insert(address, Ok(draft));
                    }
                    failed @ Err(_) => drop(self.drafts.insert(address, failed)),
                }
                if self.seen.len() > limits::OBJECTS {
                    return Err(fault(Kind::Limit, format!("more than {} objects", limits::OBJECTS)));
                }
            }
            // Objects that only references name.
            if context.numbers.len() > self.mentioned {
                self.mentioned = context.numbers.len();
                for &address in context.numbers.keys() {
                    if self.seen.insert(address) {
                        self.pending.push(address);
                    }
                }
            }
            if self.pending.is_empty() {
                break;
            }
        }
        self.pending = wanting;
        let missing = space.take_missing();
        if self.pending.is_empty() { Ok(Vec::new()) } else { Ok(missing) }
    }

    /// Objects that were read.
    pub fn objects(&self) -> usize {
        self.drafts.len()
    }

    /// What was read, when a step wanted nothing more.
    ///
    /// # Errors
    /// Where the root group cannot be read.
    pub fn finish(self) -> Result<Scanned, FormatError> {
        let Some(start) = self.start else { return Err(fault(Kind::Value, "nothing was read of it".to_owned())) };
        let facts = FileFacts {
            superblock: start.superblock.version,
            user_block: start.superblock.base,
            page: start.page,
            strategy: start.strategy,
            headers_first: false,
        };
        let Start { superblock, hierarchy, context, image, .. } = start;
        let mut scanned =
            assemble::assemble(superblock.root, self.drafts, context, hierarchy, facts, superblock.sizes)?;
        scanned.addresses.heaps = image.and_then(|image| image.collections());
        Ok(scanned)
    }

    fn pend(&mut self, address: u64) {
        if self.seen.insert(address) {
            self.pending.push(address);
        }
    }
}

/// Bytes that values of a file of `len` bytes may take: those of its attributes, and those of any of its chunks.
fn values_of(len: u64) -> u64 {
    VALUES.saturating_add(len.saturating_mul(2))
}

fn fault(kind: Kind, reason: String) -> FormatError {
    FormatError { kind, structure: STRUCTURE, at: 0, reason }
}

/// Superblock and extension, and whether the file can be laid out anew at all.
fn begin(bytes: &dyn Bytes, register: Option<&Register>) -> Result<Start, FormatError> {
    let superblock = superblock::decode::decode(bytes)?;
    if let Some(register) = register {
        register.note(SUPERBLOCK, superblock.position, superblock.len, superblock.len);
    }
    let unsupported = |reason: &str| Err(fault(Kind::Unsupported, reason.to_owned()));
    if superblock.version >= 3 && superblock.status & OPEN_FOR_WRITING != 0 {
        return unsupported("it is open for writing, or was not closed");
    }
    // Its superblock tells where all of them end, so this comes first.
    if superblock.driver_info != UNDEFINED_ADDRESS {
        return unsupported("it is one of several files that make one");
    }
    let end = superblock.end_of_file.saturating_add(superblock.base);
    let cut = (superblock.end_of_file != UNDEFINED_ADDRESS && end > bytes.len()).then(|| FormatError {
        kind: Kind::Truncated,
        structure: STRUCTURE,
        at: bytes.len(),
        reason: format!("it is cut off: it ends at byte {} and should end at byte {end}", bytes.len()),
    });
    // No more than what was searched for the superblock.
    let user_block = bytes.get(0..superblock.base);
    let user_block =
        user_block.map_err(|missing| fault(Kind::Needs(missing), "bytes of the user block are wanted".to_owned()))?;
    let space = Space::new(bytes, superblock.base, superblock.sizes).noting(superblock.ranks, register);
    let mut start = Start {
        context: Context {
            shared: SharedTable::default(),
            numbers: HashMap::new(),
            types: HashMap::new(),
            budget: values_of(bytes.len()),
            ranks: superblock.ranks,
            all: register.is_some(),
            reads: 0,
            judged: RefCell::default(),
        },
        page: None,
        strategy: USUAL_STRATEGY,
        image: None,
        hierarchy: Hierarchy {
            user_block: Plain::copy_from_slice(user_block),
            chunk_values: Some(values_of(bytes.len())),
            ..Hierarchy::default()
        },
        superblock,
    };
    if start.superblock.extension != UNDEFINED_ADDRESS {
        let extension = match object_header::decode::decode(&space, start.superblock.extension) {
            // Where the end is missing, that is what is wrong.
            Err(error) if error.needs().is_none() => return Err(cut.unwrap_or(error)),
            extension => extension?,
        };
        if extension.find(DRIVER_INFO).is_some() {
            return unsupported("it is one of several files that make one");
        }
        if let Some(message) = extension.find(cache_image::KIND) {
            match CacheImage::decode(&space, &mut { message.body }) {
                Err(error) if error.needs().is_none() => return Err(cut.unwrap_or(error)),
                image => start.image = Some(image?),
            }
        }
        let space = Space::new(bytes, start.superblock.base, start.superblock.sizes).imaged(start.image.as_ref());
        let space = space.noting(start.superblock.ranks, register);
        if let Some(message) = extension.find(shared_table::KIND) {
            start.context.shared = SharedTable::decode(&space, &mut { message.body })?;
        }
        if let Some(message) = extension.find(TREE_RANKS) {
            let mut body = message.body;
            body.version(0..=0)?;
            let (chunk, group, leaf) = (body.u16()?, body.u16()?, body.u16()?);
            start.context.ranks = Ranks { leaf, group, chunk };
        }
        if let Some(message) = extension.find(file_space_info::KIND) {
            let info = file_space_info::decode(&mut { message.body })?;
            start.page = info.page_size.filter(|_| info.paged);
            start.strategy = info.strategy;
            info.managers.iter().for_each(|&manager| space.aside(Aside::FreeSpace(manager)));
        }
    }
    cut.map_or(Ok(start), Err)
}
