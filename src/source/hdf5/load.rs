//! Opening an HDF5 file: its metadata is read in few large ranges, round by round, until the scan wants nothing more.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::chunks::Hdf5Chunks;
use super::reading::{HEAD, plan};
use super::{Hdf5Files, identity};
use crate::format::{FormatError, Kind, superblock};
use crate::layout::scan::{Addresses, Fault, STRUCTURE as WHOLE, Scan, Scanned};
use crate::model::chunk::Container;
use crate::model::extents::Extents;
use crate::model::hierarchy::Hierarchy;
use crate::model::location::Key;
use crate::model::paths::Paths;
use crate::model::problem::{Problem, end_of_path};
use crate::source::{Body, Contents, Fingerprint, SourceError};
use crate::store::{Meta, Store, StoreError};

/// Bytes of one file's metadata, with what lies between: more is read of no file, and it is shown as it is.
const METADATA: u64 = 2 << 30;
/// Ranges that are asked for at the same time; the store's own limit is the same.
const TOGETHER: usize = 64;
/// Problems that are kept of one file; a damaged one may have millions.
const PROBLEMS: usize = 10_000;

/// What a file is read from, and what was read of it.
pub(super) struct Reading<'a> {
    pub(super) store: &'a Store,
    pub(super) key: &'a Key,
    pub(super) meta: Meta,
    pub(super) held: Extents,
}

/// The file at `key`, which had `size` bytes when it was seen.
pub(super) async fn load(store: &Store, key: &Key, size: u64, files: Hdf5Files) -> Result<Contents, SourceError> {
    let mut reading = begin(store, key, size).await?;
    // A signature behind the head would be that of a file in a file.
    match superblock::decode::find(&reading.held) {
        Ok(_) => {}
        Err(error) if matches!(error.kind, Kind::Signature | Kind::Needs(_)) => {
            return Ok(reading.untouched("it is no HDF5 file".to_owned()));
        }
        Err(error) => return Ok(reading.unread(&error)),
    }
    let scanned = match reading.scan().await? {
        Ok(scanned) => scanned,
        Err(error) => return Ok(reading.unread(&error)),
    };
    let unsupported = |fault: &&Fault| fault.error.kind == Kind::Unsupported;
    if files == Hdf5Files::Auto {
        if scanned.facts.page.is_some() && scanned.facts.headers_first {
            return Ok(reading.untouched("it is paged already, with its metadata in front".to_owned()));
        }
        if let Some(fault) = scanned.faults.iter().find(unsupported) {
            let path = Paths::of_hierarchy(&scanned.hierarchy).of(fault.object);
            return Ok(reading.untouched(format!("{}: {}", place(&path, &fault.what), why(&fault.error))));
        }
    }
    Ok(reading.laid_out(scanned))
}

/// The head of the file.
pub(super) async fn begin<'a>(store: &'a Store, key: &'a Key, size: u64) -> Result<Reading<'a>, SourceError> {
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
    let mut held = Extents::new(meta.size);
    if let Some(object) = object {
        held.put(0, object.bytes);
    }
    Ok(Reading { store, key, meta, held })
}

impl Reading<'_> {
    /// Reads until the scan wants nothing more.
    async fn scan(&mut self) -> Result<Result<Scanned, FormatError>, SourceError> {
        let mut scan = Scan::default();
        loop {
            let held = std::mem::take(&mut self.held);
            // Parsing takes time in proportion to the metadata, so it runs aside.
            let stepped = tokio::task::spawn_blocking(move || {
                let wanted = scan.step(&held);
                (scan, held, wanted)
            });
            let stepped = stepped.await.map_err(|stopped| SourceError::Invalid {
                key: self.key.clone(),
                reason: format!("reading it stopped: {stopped}"),
            })?;
            let wanted;
            (scan, self.held, wanted) = stepped;
            let wanted = match wanted {
                Ok(wanted) if wanted.is_empty() => return Ok(scan.finish()),
                Ok(wanted) => wanted,
                Err(error) => return Ok(Err(error)),
            };
            tracing::debug!(key = %self.key, objects = scan.objects(), wanted = wanted.len(), "reads on");
            self.bring(wanted).await?;
        }
    }

    /// Makes these ranges be at hand.
    pub(super) async fn bring(&mut self, wanted: Vec<Range<u64>>) -> Result<(), SourceError> {
        let ranges = plan(&self.held, &wanted);
        let more: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if self.held.held().saturating_add(more) > METADATA {
            return Err(SourceError::Limit {
                key: self.key.clone(),
                what: format!("{} bytes of metadata", self.held.held() + more),
                limit: METADATA,
            });
        }
        self.read(ranges).await?;
        for range in wanted {
            if !self.held.join(&range) {
                let reason = format!("bytes {} to {} are not in it", range.start, range.end);
                return Err(SourceError::Invalid { key: self.key.clone(), reason });
            }
        }
        Ok(())
    }

    async fn read(&mut self, ranges: Vec<Range<u64>>) -> Result<(), SourceError> {
        let (store, key, meta) = (self.store, self.key, &self.meta);
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

    /// The file as it is, because of `reason`.
    fn untouched(self, reason: String) -> Contents {
        tracing::debug!(key = %self.key, reason, "shown as it is");
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
    fn unread(self, error: &FormatError) -> Contents {
        let (reason, key) = (why(error), self.key.to_string());
        let mut contents = self.untouched(reason.clone());
        if is_damage(error) {
            contents.problems.push(Problem { path: "/".to_owned(), key, reason });
        }
        contents
    }

    pub(super) fn laid_out(self, scanned: Scanned) -> Contents {
        let Scanned { hierarchy, placements, addresses, faults, facts } = scanned;
        let paths = Paths::of_hierarchy(&hierarchy);
        let problems = faults.iter().take(PROBLEMS).map(|fault| Problem {
            path: place(&paths.of(fault.object), &fault.what),
            key: self.key.to_string(),
            reason: fault.error.to_string(),
        });
        let problems = problems.collect();
        let mut told = vec![
            ("schema", "hdf5".to_owned()),
            ("dialect", "hdf5".to_owned()),
            ("shown", "laid out anew".to_owned()),
            ("superblock", facts.superblock.to_string()),
            ("metadata_read", self.held.held().to_string()),
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
