//! HDF5 files of a store, laid out anew: the objects that another source shows as they are, and whose name says that
//! they are HDF5.
//!
//! The metadata of such a file is read when it is opened ([`load`], by the plan of [`reading`]); what it says is
//! `layout::scan`'s business, and [`chunks`] keeps where elements lie. What was found is kept for the next mount as an [`index`],
//! by [`kept`]. Their bytes stay where they are. A file that is
//! no HDF5 file, is damaged as a whole, or holds something that only the file itself can say, is shown as it is, and a
//! fact says why.
//!
//! Below lies the store; beside, the source whose plain objects are looked at, which keeps names and folders to itself.

mod chunks;
pub mod index;
mod kept;
mod load;
mod reading;
pub mod survey;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use tokio::time::Instant;

use super::shelf::{Description, Shelves};
use super::{Contents, Entry, EntryKind, Fingerprint, Freshness, Source, SourceError, join};
use crate::model::location::{ETag, Key};
use crate::store::{Meta, Store, StoreError};

/// How HDF5 files that lie in a store are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hdf5Files {
    /// Laid out anew, but as they are where they are paged with all metadata in front, or hold what cannot be laid out.
    #[default]
    Auto,
    /// Laid out anew, without what cannot be.
    Relayout,
    /// As they are.
    Raw,
}

/// What names of HDF5 files end in: those of the library, of netCDF and of HDF-EOS, and of formats of single sciences
/// that are HDF5 underneath. Whether a file is one, its first bytes say; to look into every object of a folder would cost
/// a request each.
const SUFFIXES: [&str; 32] = [
    "h5", "hdf5", "hdf", "he5", "nc", "nc4", // general
    "mat", "jld2", // MATLAB from 7.3 on, Julia
    "nxs", "nexus", "nxspe", "h5oina", "emd", // neutrons, X-rays, electrons
    "cgns", "med", "silo", "exo", "h5m", // meshes and flows
    "h5ad", "h5mu", "loom", "cool", "mcool", "scool", "biom", // cells and genomes
    "fast5", "nwb", "snirf", "ims", // pores, neurons, microscopes
    "h5md", "sofa", "bag", // molecules, acoustics, sea floors
];
/// Files whose keys are remembered from a listing to the opening. Each takes some hundred bytes; a file that was
/// forgotten costs a few requests more.
const REMEMBERED: usize = 100_000;

/// How long a look-up tells what state an object is in: the open that follows it asks for nothing again. As for other files.
const LOOKED_UP: Duration = Duration::from_secs(1);

/// Memory that files take while they are read.
#[derive(Clone)]
pub struct Memory {
    /// Bytes of one file's metadata, with what lies between: of a file with more, nothing is shown.
    pub most: u64,
    /// Counts bytes as held, as long as what it gives lives.
    pub hold: Hold,
}

/// What counts bytes as held.
pub type Hold = Arc<dyn Fn(u64) -> Box<dyn Send> + Send + Sync>;

impl Default for Memory {
    /// Nobody counts, and 2 GiB are read of a file: the metadata of some million objects.
    fn default() -> Self {
        Memory { most: 2 << 30, hold: Arc::new(|_| Box::new(())) }
    }
}

/// Another source, whose HDF5 objects are shown laid out anew.
pub struct Hdf5Source {
    inner: Arc<dyn Source>,
    store: Arc<Store>,
    files: Hdf5Files,
    shelves: Shelves,
    memory: Memory,
    /// Objects behind paths, as they were seen last; `None` for files that the other source describes.
    seen: Mutex<HashMap<String, Option<Seen>>>,
}

/// An object that was seen.
#[derive(Clone, Debug)]
struct Seen {
    key: Key,
    size: u64,
    etag: Option<ETag>,
    modified: Option<SystemTime>,
    at: Instant,
}

impl Seen {
    /// What the look-up told, where that is true still and all there is to know.
    fn meta(&self) -> Option<Meta> {
        let fresh = self.at.elapsed() < LOOKED_UP;
        let modified = self.modified.filter(|_| fresh)?;
        Some(Meta { size: self.size, etag: self.etag.clone(), modified })
    }

    /// The same object, of whose state nothing is known.
    fn unknown(&self) -> Seen {
        Seen { modified: None, ..self.clone() }
    }

    /// The object that an entry of the other source is.
    fn of(entry: &Entry) -> Option<Seen> {
        let EntryKind::Plain { key, size, etag } = &entry.kind else { return None };
        Some(Seen { key: key.clone(), size: *size, etag: etag.clone(), modified: entry.modified, at: Instant::now() })
    }
}

impl Hdf5Source {
    /// The source `inner` of `store`, its HDF5 objects as `files` says.
    pub fn over(inner: Arc<dyn Source>, store: Arc<Store>, files: Hdf5Files) -> Hdf5Source {
        let (shelves, memory) = (Shelves::default(), Memory::default());
        Hdf5Source { inner, store, files, shelves, memory, seen: Mutex::default() }
    }

    /// This one, with indexes kept there, and reading counted as `memory` says.
    pub fn keeping(self, shelves: Shelves, memory: Memory) -> Hdf5Source {
        Hdf5Source { shelves, memory, ..self }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Option<Seen>>> {
        // One map, changed by single calls.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, path: &str, what: Option<Seen>) {
        let mut seen = self.seen();
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(path.to_owned(), what);
    }

    /// The entry as it is shown.
    fn shown(&self, path: &str, entry: Entry) -> Entry {
        match &entry.kind {
            EntryKind::Plain { key, .. } if self.files != Hdf5Files::Raw && is_hdf5(key) => {
                self.remember(path, Seen::of(&entry));
                Entry { kind: EntryKind::File, ..entry }
            }
            // So that opening it asks for nothing more.
            EntryKind::File if self.files != Hdf5Files::Raw && may_be_so(path) => {
                self.remember(path, None);
                entry
            }
            _ => entry,
        }
    }

    /// The object that is shown at `path`; `None` where what is there is none of these.
    async fn object(&self, path: &str) -> Result<Option<Seen>, SourceError> {
        if self.files == Hdf5Files::Raw || !may_be_so(path) {
            return Ok(None);
        }
        if let Some(seen) = self.seen().get(path) {
            return Ok(seen.clone());
        }
        let found = self.inner.find(path).await?.as_ref().and_then(Seen::of);
        Ok(found.filter(|seen| is_hdf5(&seen.key)))
    }
}

#[async_trait]
impl Source for Hdf5Source {
    fn list<'a>(&'a self, folder: &'a str) -> BoxStream<'a, Result<Entry, SourceError>> {
        let entries = self.inner.list(folder).filter(|entry| {
            let index = entry.as_ref().is_ok_and(|entry| self.files != Hdf5Files::Raw && kept::is_index(entry));
            std::future::ready(!index)
        });
        entries.map(move |entry| entry.map(|entry| self.shown(&join(folder, &entry.name), entry))).boxed()
    }

    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        Ok(self.inner.find(path).await?.map(|entry| self.shown(path, entry)))
    }

    async fn find_again(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        let seen = self.seen().get(path).cloned().flatten();
        if let Some(Seen { key, .. }) = seen {
            match self.store.head(&key).await {
                Ok(meta) => {
                    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                    let modified = Some(meta.modified);
                    self.remember(
                        path,
                        Some(Seen { key, size: meta.size, etag: meta.etag, modified, at: Instant::now() }),
                    );
                    return Ok(Some(Entry { name, kind: EntryKind::File, modified, owner: None }));
                }
                Err(error) if error.is_not_found() => drop(self.seen().remove(path)),
                Err(error) => return Err(error.into()),
            }
            return self.find(path).await;
        }
        Ok(self.inner.find_again(path).await?.map(|entry| self.shown(path, entry)))
    }

    async fn open(&self, path: &str) -> Result<Contents, SourceError> {
        let Some(seen) = self.object(path).await? else { return self.inner.open(path).await };
        match self.load(&seen).await {
            // Replaced while it was read: what is there now is read from its start.
            Err(SourceError::Store(StoreError::Changed { .. })) => self.load(&seen.unknown()).await,
            Err(SourceError::Store(error)) if error.is_not_found() => {
                // Perhaps something else has the name by now.
                self.seen().remove(path);
                match self.object(path).await? {
                    Some(seen) => self.load(&seen.unknown()).await,
                    None => self.inner.open(path).await,
                }
            }
            loaded => loaded,
        }
    }

    async fn describe(&self, path: &str) -> Result<Description, SourceError> {
        match self.object(path).await? {
            None => self.inner.describe(path).await,
            Some(seen) => self.described(&seen).await,
        }
    }

    async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError> {
        let mut objects = fingerprint.objects.iter();
        match (objects.next(), objects.next()) {
            // A file of another schema is read from documents, whose names end otherwise.
            (Some((key, tag)), None) if is_hdf5(key) => match self.store.head(key).await {
                Ok(meta) if tag.as_ref().is_some_and(|tag| tag.names_same(&identity(&meta))) => {
                    Ok(Freshness::Unchanged)
                }
                Ok(_) => Ok(Freshness::Changed),
                Err(error) if error.is_not_found() => Ok(Freshness::Gone),
                Err(error) => Err(error.into()),
            },
            _ => self.inner.still_holds(fingerprint).await,
        }
    }
}

/// Whether an object is named as HDF5 files are.
pub fn is_hdf5(key: &Key) -> bool {
    let name = key.as_str().rsplit('/').next().unwrap_or_default();
    let suffix = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}

/// Whether an object with the name of an HDF5 file may be shown at a path. One that lies beside a folder of its name has
/// another behind it.
fn may_be_so(path: &str) -> bool {
    is_hdf5(&Key::new(path.strip_suffix("%object").unwrap_or(path)))
}

/// What tells one state of an object from another: its tag, or where the store gives none, its size and time.
fn identity(meta: &Meta) -> ETag {
    meta.etag.clone().unwrap_or_else(|| {
        let written = meta.modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        ETag::new(format!("W/\"{}-{}\"", meta.size, written.as_millis()))
    })
}
