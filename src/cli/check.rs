//! `h5mount check`: reads and decodes everything, and names what cannot be.

mod hdf5;

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use clap::Args;
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use serde::Serialize;

use super::inspect::{Found as Entry, Opened, bar, bytes, counted, plain, print, print_json, run};
use super::paths::Paths;
use super::stored::{self, Stored, datasets};
use super::{Exit, Failed, LogOptions, SourceArgs};
use crate::fetch::{FetchError, FileChunks, Found, Plain};
use crate::layout::{self, Image, PresentOptions};
use crate::model::chunk::{ChunkId, ChunkSource};
use crate::model::hierarchy::{Hierarchy, ObjectId, ObjectKind};
use crate::source::{Body, Contents, EntryKind, SourceError};
use crate::store::StoreError;

/// Flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct Check {
    /// What to check: a file, a folder or a whole store.
    #[command(flatten)]
    pub source: SourceArgs,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

const NOTES: &str = "\
Examples:
  h5mount check /data/hsds/bucket/home/ann
      all files of a folder and below
  h5mount check --json s3://lab/home/ann/run7.h5
      one file, for a script

Every object that describes a file is read, and every chunk that the store keeps, or that lies in another file, is read \
and decoded. Exits 1 if there was a fault. Other objects of the store (plain files) are not read. Notes are no faults: \
objects that no dataset reads are left over from deleted or shrunk data.

Of an HDF5 file every structure is read, checksums are compared, whatever lies on the same bytes is a fault, and bytes that no \
structure names are summed up in a note.

JSON: {source, files, objects, chunks, bytes (plain), faults, notes, hdf5}. A fault has file, path (in the file), key (of the \
store's object), chunk (number in the dataset's grid, for chunks), cause, reason. Causes: forbidden (the store \
refuses it), unreachable (no answer, or none that can be used: try again), unreadable (it is not there, or the disk \
fails), undecodable, changed, chunk_table, initializer, elements (variable-length data or references that mean \
nothing), too_large, description (JSON that means nothing), layout (no place in the presented file); of HDF5 files \
damaged (where it ends and should end, or the structure and the byte), checksum, overlap, unclosed, whose faults also have \
structure, byte (in the file) and remedy. hdf5: file, structures, metadata_bytes, element_bytes, heap_bytes, unnamed_bytes, \
unnamed_stretches, overlaps.";

/// Chunks read at the same time, and told of in their order, so that two runs can be compared: enough to keep all decoders busy while others wait for the disk.
const AT_ONCE: usize = 32;
/// Chunks of one dataset that are asked for one by one, where no listing tells which there are.
const ASKED_FOR: u64 = 1_000_000;
/// Bytes of a chunk read at a time where it is not compressed and larger: a linked dataset may be one chunk of any size.
const PART: u64 = 64 << 20;

/// Something that cannot be read as what it should be.
#[derive(Debug, Default, Serialize)]
struct Fault {
    file: String,
    path: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<u64>,
    cause: &'static str,
    reason: String,
    /// Of HDF5 files: the structure, the byte of the file, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    structure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

/// All that is told at the end.
#[derive(Debug, Default, Serialize)]
struct Report {
    source: String,
    files: u64,
    objects: u64,
    chunks: u64,
    bytes: u64,
    faults: Vec<Fault>,
    notes: Vec<String>,
    /// HDF5 files, balanced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hdf5: Vec<hdf5::Account>,
}

impl Check {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        run(log, async {
            let opened = Opened::open(&self.source).await?;
            let mut checker = Checker {
                opened: &opened,
                report: Report { source: opened.place.to_string(), ..Report::default() },
                bar: bar(0, "{bar:30} {pos}/{len} chunks  {elapsed}  {wide_msg}"),
                lines: !self.json,
            };
            let files: Vec<Entry> = opened
                .everything()
                .await?
                .into_iter()
                .filter(|found| matches!(found.kind(), EntryKind::File | EntryKind::Unclear))
                .collect();
            for found in files {
                checker.file(&found.path).await?;
            }
            checker.bar.finish_and_clear();
            let report = checker.report;
            let exit = if report.faults.is_empty() { Exit::Done } else { Exit::Faults };
            if self.json {
                print_json(&report)?;
                return Ok(exit);
            }
            let mut out = String::new();
            for note in &report.notes {
                out += &format!("note: {}\n", plain(note));
            }
            // One object at fault may be hundreds of chunks.
            let mut by_key: BTreeMap<(&str, &str), u64> = BTreeMap::new();
            for fault in report.faults.iter().filter(|fault| fault.key != fault.file) {
                *by_key.entry((&fault.key, fault.cause)).or_default() += 1;
            }
            for ((key, cause), count) in by_key.into_iter().filter(|(_, count)| *count > 1) {
                out += &format!("{count} faults in one object, {cause}: {}\n", plain(key));
            }
            out += &format!(
                "{}, {}, {} ({} plain) read: {}\n",
                counted(report.files, "file", "files"),
                counted(report.objects, "object", "objects"),
                counted(report.chunks, "chunk", "chunks"),
                bytes(report.bytes),
                match report.faults.len() {
                    0 => "no fault".to_owned(),
                    count => counted(count as u64, "fault", "faults"),
                }
            );
            print(&out)?;
            Ok(exit)
        })
    }
}

struct Checker<'a> {
    opened: &'a Opened,
    report: Report,
    bar: ProgressBar,
    /// Faults are printed when they are found.
    lines: bool,
}

/// What a chunk of an open file is checked with.
struct OpenFile {
    path: String,
    contents: Contents,
    chunks: Arc<FileChunks>,
    /// `None` where the file is shown as it is, or cannot be laid out.
    image: Option<Image>,
    paths: Arc<Paths>,
    /// Datasets whose chunks are not read.
    packed: HashSet<ObjectId>,
}

impl Checker<'_> {
    fn fault(&mut self, fault: Fault) -> Result<(), Failed> {
        let mut printed = Ok(());
        if self.lines {
            let chunk = fault.chunk.map_or_else(String::new, |number| format!(" chunk {number}"));
            let place = format!("{}:{}{chunk}", fault.file, fault.path);
            // A reason that names the key already need not do so twice.
            let key = if fault.reason.contains(&fault.key) { String::new() } else { format!("{}: ", fault.key) };
            let remedy = fault.remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
            let line = format!("{}: {}: {}{}{remedy}\n", plain(&place), fault.cause, plain(&key), plain(&fault.reason));
            printed = self.bar.suspend(|| print(&line));
        }
        self.report.faults.push(fault);
        printed
    }

    async fn file(&mut self, path: &str) -> Result<(), Failed> {
        self.report.files += 1;
        self.bar.set_message(plain(path));
        let contents = match self.opened.contents(path).await {
            Ok(contents) => contents,
            Err(error) => return self.fault(unreadable_file(path, &error)),
        };
        let (mut packed, mut shown) = (HashSet::new(), true);
        let contents = match contents.chunks.container().cloned() {
            None => contents,
            Some(container) => match self.look_into(path, &contents, container).await? {
                None => return Ok(()),
                Some(looked) => {
                    (packed, shown) = (looked.packed, looked.laid_out);
                    // What is wrong with it was told, with the place in the file.
                    Contents { problems: Vec::new(), ..looked.contents }
                }
            },
        };
        self.report.objects += contents.hierarchy.objects.len() as u64;
        for problem in &contents.problems {
            self.fault(Fault {
                file: path.to_owned(),
                path: problem.path.clone(),
                key: problem.key.clone(),
                cause: "description",
                reason: problem.reason.clone(),
                ..Fault::default()
            })?;
        }
        let image = match contents.body {
            Body::Bytes { .. } | Body::Object { .. } => None,
            Body::Hierarchy if shown => self.layout(path, &contents.hierarchy)?,
            Body::Hierarchy => None,
        };
        let paths = Arc::new(Paths::of_hierarchy(&contents.hierarchy));
        let chunks = self.opened.chunks(path, &contents, &paths);
        let file = OpenFile { path: path.to_owned(), contents, chunks, image, paths, packed };
        self.chunks(&file).await
    }

    fn layout(&mut self, path: &str, hierarchy: &Hierarchy) -> Result<Option<Image>, Failed> {
        let fault = |place: &str, reason: String| Fault {
            file: path.to_owned(),
            path: place.to_owned(),
            key: path.to_owned(),
            cause: "layout",
            reason,
            ..Fault::default()
        };
        match layout::plan(hierarchy, &PresentOptions::default()) {
            Ok(image) => {
                for omission in image.problems() {
                    self.fault(fault(&omission.path, omission.reason.clone()))?;
                }
                Ok(Some(image))
            }
            Err(error) => self.fault(fault("/", error.to_string())).map(|()| None),
        }
    }

    async fn chunks(&mut self, file: &OpenFile) -> Result<(), Failed> {
        let opened = self.opened;
        let store = opened.house.stores.home().clone();
        let listed = stored::objects(&store, &file.contents);
        let by_listing = listed.is_some();
        if !store.capabilities().listing {
            let note =
                "this kind of store cannot be listed: each chunk is asked for, and what no dataset reads is not seen";
            self.report.notes.push(format!("{}: {note}", file.path));
        }
        if let Some(objects) = listed {
            // Chunks are read as the listing tells of them: a file may have more than are to be kept in memory.
            let bar = self.bar.clone();
            let checked = objects
                .map(|object| {
                    let read = match &object {
                        Ok((Stored::Chunk(id), _)) if is_listed(file, id.dataset) => Some(*id),
                        _ => None,
                    };
                    bar.inc_length(read.is_some().into());
                    async move {
                        match read {
                            Some(id) => (object, Some((id, check(opened, file, id).await))),
                            None => (object, None),
                        }
                    }
                })
                .buffered(AT_ONCE);
            let mut checked = pin!(checked);
            while let Some((object, result)) = checked.next().await {
                match (object, result) {
                    (_, Some((id, result))) => self.checked(file, id, result).await?,
                    (Ok((Stored::Stray(key), _)), None) => {
                        self.report.notes.push(format!("{}: no dataset of {} reads it", key, file.path));
                    }
                    (Ok(_), None) => {}
                    (Err(error), None) => {
                        let (cause, reason) = (of_store(&error), error.to_string());
                        let (path, key) = ("/".to_owned(), file.path.clone());
                        let file = file.path.clone();
                        return self.fault(Fault { file, path, key, cause, reason, ..Fault::default() });
                    }
                }
            }
        }
        let unpacked = datasets(&file.contents.hierarchy).filter(|id| !file.packed.contains(id));
        for id in unpacked.filter(|id| !by_listing || !is_listed(file, *id)) {
            let count = self.asked_for(file, id);
            self.bar.inc_length(count);
            let mut checked = stream::iter((0..count).filter(|&number| !is_nowhere(file, id, number)))
                .map(|number| {
                    let id = ChunkId { dataset: id, number };
                    async move { (id, check(opened, file, id).await) }
                })
                .buffered(AT_ONCE);
            while let Some((id, result)) = checked.next().await {
                self.checked(file, id, result).await?;
            }
        }
        Ok(())
    }

    /// Counts a chunk that was read, or its fault.
    async fn checked(
        &mut self,
        file: &OpenFile,
        id: ChunkId,
        result: Result<Option<u64>, ChunkFault>,
    ) -> Result<(), Failed> {
        self.bar.inc(1);
        match result {
            Ok(None) => Ok(()),
            Ok(Some(bytes)) => {
                self.report.chunks += 1;
                self.report.bytes = self.report.bytes.saturating_add(bytes);
                Ok(())
            }
            Err((cause, error_key, reason)) => {
                let key = match error_key {
                    Some(key) => key,
                    None => key(self.opened, file, id).await,
                };
                self.fault(Fault {
                    file: file.path.clone(),
                    path: file.paths.of(id.dataset),
                    key,
                    chunk: Some(id.number),
                    cause,
                    reason,
                    byte: hdf5::byte_of(&file.contents, id),
                    ..Fault::default()
                })
            }
        }
    }

    /// How many chunks of a dataset are asked for one by one.
    fn asked_for(&mut self, file: &OpenFile, id: ObjectId) -> u64 {
        let total = file.contents.chunks.recipe(id).map_or(0, |recipe| recipe.grid.total());
        if total > ASKED_FOR {
            let path = file.paths.of(id);
            self.report.notes.push(format!("{}:{path}: only the first {ASKED_FOR} of {total} chunks read", file.path));
        }
        total.min(ASKED_FOR)
    }
}

/// Whether a listing of the file tells which chunks of a dataset there are. Where an initializer speaks for what is not
/// stored, a chunk that is not listed has a value too.
fn is_listed(file: &OpenFile, id: ObjectId) -> bool {
    let map = &file.contents.chunks;
    map.recipe(id).is_some_and(|recipe| {
        recipe.grid.total() > 0 && matches!(map.locate(id, &recipe.grid.coordinates(0)), ChunkSource::Object(_))
    })
}

/// Whether it is known that nothing was ever written of a chunk of an HDF5 file.
fn is_nowhere(file: &OpenFile, dataset: ObjectId, number: u64) -> bool {
    let map = &file.contents.chunks;
    map.container().is_some()
        && map
            .recipe(dataset)
            .is_some_and(|recipe| map.locate(dataset, &recipe.grid.coordinates(number)) == ChunkSource::Fill)
}

/// A fault of a chunk: its cause, the key where the error tells it, and the reason.
type ChunkFault = (&'static str, Option<String>, String);

/// Reads a chunk; its plain bytes, or `None` where there is none.
async fn check(opened: &Opened, file: &OpenFile, id: ChunkId) -> Result<Option<u64>, ChunkFault> {
    let map = &file.contents.chunks;
    let fetcher = &opened.house.fetcher;
    let recipe = map.recipe(id.dataset);
    let large = recipe.filter(|recipe| recipe.decode.steps.is_empty()).and_then(|recipe| recipe.raw_len);
    if let Some(len) = large.filter(|&len| len > PART) {
        let mut at = 0;
        while at < len {
            let end = len.min(at.saturating_add(PART));
            match fetcher.chunk(&file.chunks, id, Some(at..end)).await.map_err(cause)? {
                Plain::Bytes(_) => at = end,
                Plain::Absent => return Ok(None),
            }
        }
        return Ok(Some(len));
    }
    let plain = match fetcher.chunk(&file.chunks, id, None).await.map_err(cause)? {
        Plain::Bytes(bytes) => bytes,
        Plain::Absent => return Ok(None),
    };
    let length = plain.len() as u64;
    if needs_placement(&file.contents.hierarchy, id.dataset) {
        let elements = fetcher.elements(&file.chunks, id, plain).await.map_err(cause)?;
        let elements = elements.map_err(|bad| ("elements", None, bad.to_string()))?;
        if let Some(image) = file.image.as_ref().filter(|image| image.needs_window(id.dataset)) {
            image.place(id, &elements).map_err(|error| ("layout", None, error.to_string()))?;
        }
    }
    Ok(Some(length))
}

fn needs_placement(hierarchy: &Hierarchy, id: ObjectId) -> bool {
    match hierarchy.get(id).map(|object| &object.kind) {
        Some(ObjectKind::Dataset(dataset)) => {
            hierarchy.datatype(&dataset.datatype).is_some_and(|datatype| datatype.needs_placement())
        }
        _ => false,
    }
}

fn cause(error: FetchError) -> ChunkFault {
    let reason = error.to_string();
    match error {
        FetchError::Undecodable { location, .. } => ("undecodable", Some(location.key.to_string()), reason),
        FetchError::Stale { location } | FetchError::Younger { location } => {
            ("changed", Some(location.key.to_string()), reason)
        }
        FetchError::Store(error) => {
            let key = match &error {
                StoreError::NotFound { location } | StoreError::Forbidden { location, .. } => {
                    Some(location.key.to_string())
                }
                _ => None,
            };
            (of_store(&error), key, reason)
        }
        FetchError::Gone { location } | FetchError::NotFollowed { location, .. } => {
            ("unreadable", Some(location.key.to_string()), reason)
        }
        FetchError::Outside { .. } => ("unreadable", None, reason),
        FetchError::Table { .. } => ("chunk_table", None, reason),
        FetchError::Initializer { .. } => ("initializer", None, reason),
        FetchError::TooLarge { .. } => ("too_large", None, reason),
    }
}

/// What a store's refusal is called: whether to ask for rights, to try again, or to mend the store.
fn of_store(error: &StoreError) -> &'static str {
    match error {
        StoreError::Forbidden { .. } => "forbidden",
        error if error.is_transient() => "unreachable",
        _ => "unreadable",
    }
}

/// The key of the object that holds a chunk; the file's path where not even that is known.
async fn key(opened: &Opened, file: &OpenFile, id: ChunkId) -> String {
    match opened.house.fetcher.whereabouts(&file.chunks, id).await {
        Ok(Found::Object(location) | Found::Range(location, _) | Found::Computed(location, _)) => {
            location.key.to_string()
        }
        Ok(Found::Nowhere) | Err(_) => file.path.clone(),
    }
}

fn unreadable_file(path: &str, error: &SourceError) -> Fault {
    let (cause, key) = match error {
        SourceError::Invalid { key, .. } => ("description", key.to_string()),
        SourceError::Limit { key, .. } => ("too_large", key.to_string()),
        SourceError::NotFound { .. } => ("unreadable", path.to_owned()),
        SourceError::Store(error) => (of_store(error), path.to_owned()),
    };
    let path = path.to_owned();
    Fault { file: path, path: "/".to_owned(), key, cause, reason: error.to_string(), ..Fault::default() }
}
