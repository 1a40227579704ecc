//! A whole look at an HDF5 file: every structure is read and its place noted, those included that only writers read. For
//! `check` and `advise`, which ask how a file is made, not how it is shown.

use std::ops::Range;

use super::Memory;
use super::index::Found;
use super::load::{Object, Reading, begin, place};
use crate::format::register::{Register, Structure};
use crate::format::superblock::decode::StoredSuperblock;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS, superblock};
use crate::layout::scan::ledger::{self, Held, Ledger};
use crate::layout::scan::{FileFacts, Scan, Scanned};
use crate::model::chunk::Container;
use crate::model::hierarchy::{Hierarchy, ObjectId, ObjectKind};
use crate::model::location::Key;
use crate::model::paths::Paths;
use crate::source::{Contents, SourceError};
use crate::store::{Store, StoreError};

/// Bytes without a name that are read to find heaps of elements among them. Beyond, they are told of as one.
const SEARCHED: u64 = 256 << 20;
/// Findings that are kept of one file; a damaged one may have millions.
const FINDINGS: usize = 10_000;
/// Bit of a superblock's status: a writer has it open, or ended without closing it.
const OPEN_FOR_WRITING: u32 = 1;
/// What a heap collection begins with, and bytes up to its length in any file.
const COLLECTION: &[u8] = b"GCOL";
const COLLECTION_START: u64 = 16;

/// What was found.
#[derive(Debug)]
pub struct Survey {
    /// The file as an object.
    pub container: Container,
    /// Its objects and chunks; `None` where it cannot be read as a whole.
    pub contents: Option<Contents>,
    /// Facts of it, with its contents.
    pub facts: Option<FileFacts>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Datasets whose chunks went through a filter that is not undone here, with its name.
    pub packed: Vec<(ObjectId, String)>,
    /// Bytes of each structure, in order.
    pub structures: Vec<Range<u64>>,
    /// The account of its bytes.
    pub ledger: Ledger,
    /// Bytes of heaps that no attribute names: elements of variable length lie there.
    pub heaps: u64,
    /// The account may lack structures: there were too many, or some object could not be read.
    pub partial: bool,
}

/// Something that is wrong, or that nothing here understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The object, link or attribute.
    pub path: String,
    /// The structure as the specification names it.
    pub structure: &'static str,
    /// The byte of the file.
    pub at: u64,
    /// What it is.
    pub cause: Cause,
    /// What is wrong.
    pub reason: String,
}

/// Kinds of findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// No file of HDF5.
    Foreign,
    /// It ends before its superblock says.
    Cut,
    /// A structure goes on past the end of the file, or of what holds it.
    Truncated,
    /// It was not closed.
    Unclosed,
    /// A checksum is another.
    Checksum,
    /// A structure contradicts itself or another one.
    Structure,
    /// Two things lie on the same bytes.
    Overlap,
    /// A reference that leads to no object: no harm to anything else.
    Dangling,
    /// It is well formed, and nothing here reads it.
    Unsupported,
}

impl Cause {
    fn of(error: &FormatError) -> Cause {
        match error.kind {
            Kind::Truncated => Cause::Truncated,
            Kind::Checksum => Cause::Checksum,
            Kind::Unsupported => Cause::Unsupported,
            _ => Cause::Structure,
        }
    }
}

/// Looks at the object `key` of `store`, which had `size` bytes when it was seen.
///
/// # Errors
/// Where the store fails, or the metadata pass a limit.
pub async fn survey(store: &Store, key: &Key, size: u64) -> Result<Survey, SourceError> {
    match Surveying::new(store, key, size).await?.run().await {
        // Replaced meanwhile: what is there now is looked at.
        Err(SourceError::Store(StoreError::Changed { .. })) => Surveying::new(store, key, size).await?.run().await,
        surveyed => surveyed,
    }
}

struct Surveying<'a> {
    reading: Reading<'a>,
    survey: Survey,
}

impl<'a> Surveying<'a> {
    async fn new(store: &'a Store, key: &'a Key, size: u64) -> Result<Self, SourceError> {
        let reading = begin(store, key, size, Memory::default()).await?;
        let survey = Survey {
            container: reading.object.container(),
            contents: None,
            facts: None,
            findings: Vec::new(),
            packed: Vec::new(),
            structures: Vec::new(),
            ledger: Ledger::default(),
            heaps: 0,
            partial: false,
        };
        Ok(Surveying { reading, survey })
    }

    fn found(&mut self, path: String, cause: Cause, error: FormatError) {
        let FormatError { structure, at, reason, .. } = error;
        if self.survey.findings.len() >= FINDINGS {
            self.survey.partial = true;
            return;
        }
        self.survey.findings.push(Finding { path, structure, at, cause, reason });
    }

    async fn run(mut self) -> Result<Survey, SourceError> {
        let superblock = match superblock::decode::decode(&self.reading.held) {
            Ok(superblock) => superblock,
            Err(error) => {
                // A signature behind the head would be that of a file in a file.
                let foreign = matches!(error.kind, Kind::Signature | Kind::Needs(_));
                let cause = if foreign { Cause::Foreign } else { Cause::of(&error) };
                self.found("/".to_owned(), cause, error);
                return Ok(self.survey);
            }
        };
        if !self.is_whole(&superblock) {
            return Ok(self.survey);
        }
        let mut scan = Scan::noting();
        let mut faults = Vec::new();
        loop {
            let held = std::mem::take(&mut self.reading.held);
            // Parsing takes time in proportion to the metadata, so it runs aside.
            let stepped = tokio::task::spawn_blocking(move || {
                let wanted = match scan.step(&held) {
                    Ok(wanted) if wanted.is_empty() => Ok(scan.step_aside(&held, &mut faults)),
                    wanted => wanted,
                };
                (scan, held, faults, wanted)
            });
            let stepped = stepped.await.map_err(|stopped| SourceError::Invalid {
                key: self.reading.object.key.clone(),
                reason: format!("reading it stopped: {stopped}"),
            })?;
            let wanted;
            (scan, self.reading.held, faults, wanted) = stepped;
            match wanted {
                Ok(wanted) if wanted.is_empty() => break,
                Ok(wanted) => self.reading.bring(wanted).await?,
                Err(error) => {
                    let cause = Cause::of(&error);
                    self.found("/".to_owned(), cause, error);
                    return Ok(self.survey);
                }
            }
        }
        let register = scan.take_register().unwrap_or_default();
        match scan.finish() {
            Ok(scanned) => self.account(scanned, register, faults, &superblock).await?,
            Err(error) => {
                let cause = Cause::of(&error);
                self.found("/".to_owned(), cause, error);
            }
        }
        Ok(self.survey)
    }

    /// Whether the file is there to its end and was closed.
    fn is_whole(&mut self, superblock: &StoredSuperblock) -> bool {
        let (size, at) = (self.reading.held.len(), superblock.position);
        let end = superblock.end_of_file.saturating_add(superblock.base);
        let fault = |reason: String| FormatError { kind: Kind::Value, structure: "superblock", at, reason };
        if superblock.end_of_file != UNDEFINED_ADDRESS && end > size {
            let reason = format!("it is cut off: it ends at byte {size} and should end at byte {end}");
            self.found("/".to_owned(), Cause::Cut, fault(reason));
            return false;
        }
        if superblock.version >= 3 && superblock.status & OPEN_FOR_WRITING != 0 {
            let reason = "a writer has it open, or ended without closing it".to_owned();
            self.found("/".to_owned(), Cause::Unclosed, fault(reason));
            return false;
        }
        true
    }

    async fn account(
        &mut self,
        scanned: Scanned,
        register: Register,
        asides: Vec<(u64, FormatError)>,
        superblock: &StoredSuperblock,
    ) -> Result<(), SourceError> {
        let paths = Paths::of_hierarchy(&scanned.hierarchy);
        let of = |object: Option<ObjectId>| object.map_or_else(|| "/".to_owned(), |id| paths.of(id));
        for fault in &scanned.faults {
            let path = place(&paths.of(fault.object), &fault.what);
            let cause = if fault.left_out { Cause::of(&fault.error) } else { Cause::Dangling };
            self.found(path, cause, fault.error.clone());
            // Links and attributes that cannot be read may lead to more. A reference to nothing leads nowhere.
            self.survey.partial |= fault.left_out;
        }
        for (owner, error) in asides {
            self.found(of(scanned.addresses.object(owner)), Cause::of(&error), error);
        }
        self.survey.partial |= register.is_full();
        let structures = register.structures();
        let end = match superblock.end_of_file {
            UNDEFINED_ADDRESS => self.reading.held.len(),
            end => end.saturating_add(superblock.base),
        };
        // What stands before the superblock is the user's.
        let file = superblock.position..end;
        let mut ledger = ledger::balance(&structures, &scanned.placements, &scanned.addresses, file);
        for (one, other) in std::mem::take(&mut ledger.overlaps) {
            let path = |held: &Held| of(held.object);
            let (name, Range { start, end }) = (one.name, one.range.clone());
            let reason = format!("lies on bytes {start} to {end}, which are {name} of {}", path(&one));
            let error = FormatError { kind: Kind::Value, structure: other.name, at: other.range.start, reason };
            self.found(path(&other), Cause::Overlap, error);
        }
        for (id, placement) in (0..).map(ObjectId).zip(&scanned.placements) {
            if let Some(filter) = placement.as_ref().and_then(|placement| placement.not_undone()) {
                self.survey.packed.push((id, filter));
            }
        }
        if has_heaps(&scanned.hierarchy) && ledger.unnamed_bytes() <= SEARCHED {
            self.search(&mut ledger, superblock).await?;
        }
        self.survey.structures = structures.iter().map(Structure::range).collect();
        self.survey.ledger = ledger;
        self.survey.facts = Some(scanned.facts);
        let object = Object { meta: self.reading.object.meta.clone(), ..self.reading.object };
        self.survey.contents = Some(object.laid_out(Found::of(scanned, self.reading.held.held())));
        Ok(())
    }

    /// Takes heap collections out of what has no name: elements name them, and those are not read here.
    async fn search(&mut self, ledger: &mut Ledger, superblock: &StoredSuperblock) -> Result<(), SourceError> {
        self.reading.bring(ledger.unnamed.clone()).await?;
        let width = superblock.sizes.length();
        let mut left = Vec::new();
        for range in std::mem::take(&mut ledger.unnamed) {
            let mut at = range.start;
            while let Some(len) = self.collection(at, width).filter(|&len| len <= range.end - at) {
                self.survey.heaps += len;
                at += len;
            }
            if at < range.end {
                left.push(at..range.end);
            }
        }
        ledger.unnamed = left;
        Ok(())
    }

    /// Bytes of the collection that begins at `at`, where one does.
    fn collection(&self, at: u64, width: usize) -> Option<u64> {
        let start = self.reading.held.get(&(at..at.checked_add(COLLECTION_START)?))?;
        let rest = start.strip_prefix(COLLECTION)?;
        // Version and padding, then the length.
        let len = rest.get(4..4 + width.min(8))?;
        let len = len.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        (len >= COLLECTION_START).then_some(len)
    }
}

/// Whether elements of some dataset lie in heaps.
fn has_heaps(hierarchy: &Hierarchy) -> bool {
    hierarchy.objects.iter().any(|object| match &object.kind {
        ObjectKind::Dataset(dataset) => {
            hierarchy.datatype(&dataset.datatype).is_some_and(|datatype| datatype.needs_placement())
        }
        _ => false,
    })
}
