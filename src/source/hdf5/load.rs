//! Opening an HDF5 file: its metadata is read in few large ranges, round by round, until the scan wants nothing more.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::chunks::Hdf5Chunks;
use super::index::Found;
use super::reading::{HEAD, plan};
use super::{Hdf5Files, Hdf5Source, Memory, Seen, identity};
use crate::format::{FormatError, Kind, superblock};
use crate::layout::scan::{Addresses, STRUCTURE as WHOLE, Scan, Scanned};
use crate::model::chunk::Container;
use crate::model::extents::Extents;
use crate::model::hierarchy::Hierarchy;
use crate::model::location::Key;
use crate::model::paths::Paths;
use crate::model::problem::{Problem, end_of_path};
use crate::source::{Body, Contents, Fingerprint, SourceError};
use crate::store::{Meta, Store, StoreError};

/// Ranges that are asked for at the same time; the store's own limit is the same.
const TOGETHER: usize = 64;

/// A file in one state.
pub(super) struct Object<'a> {
    pub(super) store: &'a Store,
    pub(super) key: &'a Key,
    pub(super) meta: Meta,
}

/// What was read of a file so far.
pub(super) struct Reading<'a> {
    pub(super) object: Object<'a>,
    pub(super) held: Extents,
    /// Requests that this took.
    asked: usize,
    /// How much may be held, and who counts it.
    memory: Memory,
    /// Counts it.
    counted: Vec<Box<dyn Send>>,
}

/// Why a file is shown as it is.
pub(super) struct Unread {
    pub(super) reason: String,
    /// Its bytes are at fault, and not what is read of them here.
    damaged: bool,
}

impl Unread {
    fn of(error: &FormatError) -> Unread {
        Unread { reason: why(error), damaged: is_damage(error) }
    }
}

impl Hdf5Source {
    /// The file that was seen: as it was kept, or read anew.
    pub(super) async fn load(&self, seen: &Seen) -> Result<Contents, SourceError> {
        if let Some((meta, found)) = self.held(seen).await? {
            return Ok(Object { store: &self.store, key: &seen.key, meta }.shown(found, self.files));
        }
        let (mut reading, beside) = self.begin(seen).await?;
        if let Some((meta, found)) = self.agreeing(beside, &reading.object.meta).await {
            return Ok(Object { meta, ..reading.object }.shown(found, self.files));
        }
        let large = reading.object.meta.size > HEAD;
        match reading.read_all().await? {
            Ok(found) => {
                let found = if large { self.keep(&reading.object, found).await? } else { found };
                Ok(reading.object.shown(found, self.files))
            }
            Err(unread) => Ok(reading.object.unread(unread)),
        }
    }

    /// The file that was seen, read anew whatever is kept of it; the reason where it is shown as it is for what it is.
    pub(super) async fn scan(&self, seen: &Seen) -> Result<(Meta, Result<Found, Unread>), SourceError> {
        // Without a look for what lies beside it.
        let head = Seen { size: seen.size.min(HEAD), ..seen.clone() };
        let (mut reading, _) = self.begin(&head).await?;
        let found = reading.read_all().await?;
        Ok((reading.object.meta.clone(), found))
    }

    /// The head of a file, and where that is not all of it the index that lies beside it.
    async fn begin<'a>(&'a self, seen: &'a Seen) -> Result<(Reading<'a>, Option<Bytes>), SourceError> {
        let large = seen.size > HEAD;
        let beside = async {
            match large {
                true => self.beside(&seen.key).await,
                false => None,
            }
        };
        let (reading, beside) = tokio::join!(begin(&self.store, &seen.key, seen.size, self.memory.clone()), beside);
        let mut reading = reading?;
        // A look beside the file.
        reading.asked += usize::from(large);
        Ok((reading, beside))
    }
}

/// The head of the file at `key`, which had `size` bytes when it was seen.
pub(super) async fn begin<'a>(
    store: &'a Store,
    key: &'a Key,
    size: u64,
    memory: Memory,
) -> Result<Reading<'a>, SourceError> {
    let first = match size {
        0 => Err(StoreError::Range { location: store.location(key), start: 0, end: 0 }),
        size => store.get_range(key, 0..size.min(HEAD), None).await,
    };
    let object = match first {
        Ok(object) => Some(object),
        // It is shorter than it was.
        Err(StoreError::Range { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let meta = match &object {
        Some(object) => object.meta.clone(),
        None => store.head(key).await?,
    };
    let object = match object {
        None if meta.size > 0 => {
            let tag = meta.etag.as_ref().filter(|tag| tag.is_strong());
            Some(store.get_range(key, 0..meta.size.min(HEAD), tag).await?)
        }
        object => object,
    };
    let held = Extents::new(meta.size);
    let object_bytes = object.map(|object| object.bytes);
    let object = Object { store, key, meta };
    let mut reading = Reading { object, held, asked: 1, memory, counted: Vec::new() };
    if let Some(bytes) = object_bytes {
        reading.count(bytes.len() as u64);
        reading.held.put(0, bytes);
    }
    Ok(reading)
}

impl Reading<'_> {
    fn count(&mut self, bytes: u64) {
        self.counted.push((self.memory.hold)(bytes));
    }

    /// All that describes the file; the reason where it is shown as it is because of what it is.
    async fn read_all(&mut self) -> Result<Result<Found, Unread>, SourceError> {
        // A signature behind the head would be that of a file in a file.
        match superblock::decode::find(&self.held) {
            Ok(_) => {}
            Err(error) if matches!(error.kind, Kind::Signature | Kind::Needs(_)) => {
                return Ok(Err(Unread { reason: "it is no HDF5 file".to_owned(), damaged: false }));
            }
            Err(error) => return Ok(Err(Unread::of(&error))),
        }
        let scanned = self.scan().await?;
        let read = self.held.held();
        Ok(match scanned {
            Ok(scanned) => Ok(Found::of(scanned, read)),
            Err(error) => Err(Unread::of(&error)),
        })
    }

    /// Reads until the scan wants nothing more.
    async fn scan(&mut self) -> Result<Result<Scanned, FormatError>, SourceError> {
        let mut scan = Scan::within(self.memory.most);
        loop {
            let held = std::mem::take(&mut self.held);
            // Parsing takes time in proportion to the metadata, so it runs aside.
            let stepped = tokio::task::spawn_blocking(move || {
                let wanted = scan.step(&held);
                (scan, held, wanted)
            });
            let wanted;
            (scan, self.held, wanted) = stepped.await.map_err(|stopped| self.object.stopped(&stopped))?;
            let wanted = match wanted {
                Ok(wanted) if wanted.is_empty() => return Ok(scan.finish()),
                Ok(wanted) => wanted,
                Err(error) => return Ok(Err(error)),
            };
            let (key, objects) = (self.object.key, scan.objects());
            tracing::debug!(%key, objects, wanted = wanted.len(), "reads on");
            self.bring(wanted).await?;
        }
    }

    /// Makes these ranges be at hand.
    pub(super) async fn bring(&mut self, wanted: Vec<Range<u64>>) -> Result<(), SourceError> {
        let ranges = plan(&self.held, &wanted, self.asked);
        let more: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if self.held.held().saturating_add(more) > self.memory.most {
            return Err(SourceError::Limit {
                key: self.object.key.clone(),
                what: format!("{} bytes of metadata", self.held.held() + more),
                limit: self.memory.most,
            });
        }
        tracing::debug!(key = %self.object.key, ranges = ranges.len(), more, "reads");
        self.count(more);
        self.asked += ranges.len();
        self.read(ranges).await?;
        for range in wanted {
            if !self.held.join(&range) {
                let reason = format!("bytes {} to {} are not in it", range.start, range.end);
                return Err(SourceError::Invalid { key: self.object.key.clone(), reason });
            }
        }
        Ok(())
    }

    async fn read(&mut self, ranges: Vec<Range<u64>>) -> Result<(), SourceError> {
        let Object { store, key, meta } = &self.object;
        let condition = meta.etag.as_ref().filter(|tag| tag.is_strong());
        let mut parts = stream::iter(ranges)
            .map(|range| async move {
                let object = store.get_range(key, range.clone(), condition).await?;
                match identity(&object.meta).names_same(&identity(meta)) {
                    true => Ok((range.start, object.bytes)),
                    false => Err(StoreError::Changed { location: store.location(key) }),
                }
            })
            .buffer_unordered(TOGETHER);
        let mut read = Vec::new();
        while let Some(part) = parts.try_next().await? {
            read.push(part);
        }
        drop(parts);
        for (start, bytes) in read {
            self.held.put(start, bytes);
        }
        Ok(())
    }
}

impl Object<'_> {
    /// Work aside that came to no end.
    pub(super) fn stopped(&self, stopped: &tokio::task::JoinError) -> SourceError {
        SourceError::Invalid { key: self.key.clone(), reason: format!("reading it stopped: {stopped}") }
    }

    fn fingerprint(&self) -> Fingerprint {
        let objects = BTreeMap::from([(self.key.clone(), Some(identity(&self.meta)))]);
        Fingerprint { objects, tells_of_chunks: true, page: None }
    }

    pub(super) fn container(&self) -> Container {
        Container {
            location: self.store.location(self.key),
            size: self.meta.size,
            etag: self.meta.etag.clone(),
            modified: self.meta.modified,
        }
    }

    /// The file as `files` says.
    fn shown(self, found: Found, files: Hdf5Files) -> Contents {
        match as_it_is(&found).filter(|_| files == Hdf5Files::Auto) {
            Some(reason) => self.untouched(reason),
            None => self.laid_out(found),
        }
    }

    /// The file as it is, because of `reason`.
    fn untouched(self, reason: String) -> Contents {
        tracing::info!(key = %self.key, reason, "shown as it is");
        let facts =
            [("schema", "hdf5".to_owned()), ("dialect", "hdf5".to_owned()), ("shown", format!("as it is: {reason}"))];
        Contents {
            hierarchy: Hierarchy::default(),
            chunks: Arc::new(Hdf5Chunks::new(self.container(), Vec::new(), Addresses::none())),
            body: Body::Object { key: self.key.clone(), size: self.meta.size, etag: self.meta.etag.clone() },
            fingerprint: self.fingerprint(),
            problems: Vec::new(),
            facts: facts.map(|(name, fact)| (name.to_owned(), fact)).into(),
            modified: Some(self.meta.modified),
        }
    }

    /// The file as it is, because of what is wrong with it as a whole; damage is a problem, too.
    fn unread(self, Unread { reason, damaged }: Unread) -> Contents {
        let key = self.key.to_string();
        let mut contents = self.untouched(reason.clone());
        if damaged {
            contents.problems.push(Problem { path: "/".to_owned(), key, reason });
        }
        contents
    }

    pub(super) fn laid_out(self, found: Found) -> Contents {
        let Found { hierarchy, placements, addresses, faults, facts, read } = found;
        let paths = Paths::of_hierarchy(&hierarchy);
        let problems = faults.into_iter().map(|told| Problem {
            path: place(&paths.of(told.object), &told.what),
            key: self.key.to_string(),
            reason: told.reason,
        });
        let problems = problems.collect();
        let mut told = vec![
            ("schema", "hdf5".to_owned()),
            ("dialect", "hdf5".to_owned()),
            ("shown", "laid out anew".to_owned()),
            ("superblock", facts.superblock.to_string()),
            ("metadata_read", read.to_string()),
        ];
        if facts.user_block > 0 {
            told.push(("user_block", facts.user_block.to_string()));
        }
        Contents {
            chunks: Arc::new(Hdf5Chunks::new(self.container(), placements, addresses)),
            hierarchy,
            body: Body::Hierarchy,
            fingerprint: self.fingerprint(),
            problems,
            facts: told.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect(),
            modified: Some(self.meta.modified),
        }
    }
}

/// Why a file is better shown as it is.
pub(super) fn as_it_is(found: &Found) -> Option<String> {
    if found.facts.page.is_some() && found.facts.headers_first {
        return Some("it is paged already, with its metadata in front".to_owned());
    }
    let (told, what) = found.unsupported()?;
    let path = Paths::of_hierarchy(&found.hierarchy).of(told.object);
    Some(format!("{}: {what}", place(&path, &told.what)))
}

/// A path with what follows it.
pub(super) fn place(path: &str, what: &str) -> String {
    let path = if what.starts_with('/') { path.trim_end_matches('/') } else { path };
    end_of_path(format!("{path}{what}"))
}

/// Whether the bytes of a file are at fault, and not what is read of them here.
fn is_damage(error: &FormatError) -> bool {
    match error.kind {
        Kind::Truncated | Kind::Signature | Kind::Checksum | Kind::Value | Kind::Cycle => true,
        Kind::Unsupported | Kind::Version | Kind::Limit | Kind::Needs(_) | Kind::Unencodable => false,
    }
}

/// Why a file is shown as it is: what is said of the whole by itself, what is damaged with the structure and the byte.
fn why(error: &FormatError) -> String {
    match error.kind {
        Kind::Unsupported => error.reason.clone(),
        Kind::Truncated if error.structure == WHOLE => error.reason.clone(),
        _ => error.to_string(),
    }
}
