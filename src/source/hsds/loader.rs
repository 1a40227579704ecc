//! The objects of a file: read each once, many at a time, from the root group along links and references.
//!
//! What the parsers say is this: whole JSON is a [`Document`]; an empty or torn one may be whole in a moment, since HSDS
//! rewrites files of a directory tree in place. A document that stays broken is a fact about the store like an absent
//! one, and is handed on as such. A request that fails is not: a file is never shown in part because of a fault that
//! another mount would not see.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryFutureExt;
use futures::stream::{FuturesUnordered, StreamExt};

use super::document::{Document, DocumentError};
use super::hierarchy;
use super::hierarchy::Context;
use super::id::Id;
use super::{HsdsSource, domain::Domain, external, freshness, h5image, is_nothing, key};
use crate::model::limits;
use crate::model::location::{ETag, Key};
use crate::model::name::Name;
use crate::source::{Contents, Fingerprint, SourceError};
use crate::store::{Meta, StoreError};

/// What one try to read a document gave.
#[derive(Debug)]
pub(super) enum Read {
    /// A document.
    Whole { document: Document, meta: Meta },
    /// No object.
    Absent,
    /// An object that is no document, after all patience. No `meta` where it was larger than a document may be.
    Broken { meta: Meta, reason: String },
}

/// The objects of a file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Key and JSON of each.
    pub objects: HashMap<Id, (Key, Document)>,
    /// Linked or mentioned, but absent or broken, and why.
    pub missing: HashMap<Id, String>,
    /// What was read, with its identity then.
    pub fingerprint: BTreeMap<Key, Option<ETag>>,
    /// When the youngest of it was written.
    pub modified: Option<SystemTime>,
    bytes: u64,
}

/// Identity of an object: its tag, or what stands for one in a store without.
pub(super) fn identity(meta: &Meta) -> ETag {
    meta.etag.clone().unwrap_or_else(|| {
        let age = meta.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ETag::new(format!("{}-{}", age.as_nanos(), meta.size))
    })
}

impl HsdsSource {
    /// Everything that describes a file.
    pub(super) async fn open_file(&self, path: &str) -> Result<Contents, SourceError> {
        let (domain, root, loaded) = self.load_file(path).await?;
        let context = Context {
            bucket: self.store.bucket().clone(),
            shuffle_only: self.settings.shuffle_only,
            resolve_external: self.resolver(path),
        };
        let Loaded { objects, missing, fingerprint, modified, .. } = loaded;
        let assembled =
            tokio::task::spawn_blocking(move || hierarchy::assemble(&root, objects, missing, &context)).await;
        let refused = |reason: String| SourceError::Invalid { key: root.metadata_key(), reason };
        let assembled = assembled
            .map_err(|stopped| refused(format!("the assembler stopped: {stopped}")))?
            .map_err(|error| refused(error.to_string()))?;
        let mut facts = domain.facts();
        facts.extend(assembled.facts);
        Ok(Contents {
            body: h5image::body(&assembled.hierarchy),
            hierarchy: assembled.hierarchy,
            chunks: Arc::new(assembled.chunks),
            fingerprint: Fingerprint { objects: fingerprint },
            problems: assembled.problems,
            facts,
            modified,
        })
    }

    /// What gives the names of external links of the file at `path`.
    fn resolver(&self, path: &str) -> Box<dyn Fn(&Name) -> Name + Send + Sync> {
        // Of a source that is one file, only that file is inside.
        let base = if self.only.is_some() { self.path_in_store(path) } else { self.base.clone() };
        let path = self.path_in_store(path);
        Box::new(move |name| match external::resolve(&base, &path, name.as_bytes()) {
            Some(relative) => Name::new(relative),
            None => name.clone(),
        })
    }

    /// The objects of a file, and the domain that names it.
    pub(super) async fn load_file(&self, path: &str) -> Result<(Domain, Id, Loaded), SourceError> {
        let full = self.path_in_store(path);
        let domain_key = key::domain(&full);
        let not_found = || SourceError::NotFound { path: path.to_owned() };
        let (document, meta) = match self.read_document(&domain_key).await {
            Ok(Read::Whole { document, meta }) => (document, meta),
            Ok(Read::Absent) => return Err(not_found()),
            Ok(Read::Broken { reason, .. }) => return Err(SourceError::Invalid { key: domain_key, reason }),
            Err(error) if is_nothing(&error) => return Err(not_found()),
            Err(error) => return Err(error.into()),
        };
        let domain = Domain::of(&document);
        let text = domain.root.as_deref().ok_or_else(not_found)?;
        let root = Id::parse(text).ok_or_else(|| SourceError::Invalid {
            key: domain_key.clone(),
            reason: format!("its root `{text}` is no id of a group"),
        })?;
        let mut loaded = Loaded { modified: Some(meta.modified), ..Loaded::default() };
        loaded.fingerprint.insert(domain_key, Some(identity(&meta)));
        // Before any chunk is read: a chunk written later changes the statistics later.
        let statistics = async {
            match key::info(&root) {
                Some(key) => freshness::now(&self.store, &key).await.map(|tag| Some((key, tag))),
                None => Ok(None),
            }
        };
        let (_, statistics) =
            futures::future::try_join(self.load(root, &mut loaded), statistics.map_err(SourceError::from)).await?;
        loaded.fingerprint.extend(statistics);
        if let Some(reason) = loaded.missing.get(&root) {
            return Err(SourceError::Invalid { key: root.metadata_key(), reason: format!("the root group {reason}") });
        }
        Ok((domain, root, loaded))
    }

    /// Reads every object that is reached from `root`. Those that were absent are asked for once more where something
    /// was written a moment ago: HSDS may store a link before what it leads to.
    async fn load(&self, root: Id, loaded: &mut Loaded) -> Result<(), SourceError> {
        let mut seen = HashSet::from([root]);
        self.walk(vec![root], &mut seen, loaded).await?;
        let young = loaded.modified.is_some_and(|modified| is_young(modified, self.settings.young));
        if !loaded.missing.is_empty() && young {
            tokio::time::sleep(self.settings.patience.iter().max().copied().unwrap_or_default()).await;
            let again: Vec<Id> = std::mem::take(&mut loaded.missing).into_keys().collect();
            self.walk(again, &mut seen, loaded).await?;
        }
        Ok(())
    }

    async fn walk(&self, start: Vec<Id>, seen: &mut HashSet<Id>, loaded: &mut Loaded) -> Result<(), SourceError> {
        let mut waiting = std::collections::VecDeque::from(start);
        let mut asked = FuturesUnordered::new();
        loop {
            while asked.len() < self.settings.in_flight.max(1)
                && let Some(id) = waiting.pop_front()
            {
                asked.push(async move {
                    let key = id.metadata_key();
                    let read = self.read_document(&key).await;
                    (id, key, read)
                });
            }
            let Some((id, key, read)) = asked.next().await else { return Ok(()) };
            match read? {
                Read::Absent => {
                    loaded.fingerprint.insert(key, None);
                    loaded.missing.insert(id, "is not in the store".to_owned());
                }
                Read::Broken { meta, reason } => {
                    loaded.fingerprint.insert(key, Some(identity(&meta)));
                    loaded.missing.insert(id, format!("cannot be read: {reason}"));
                }
                Read::Whole { document, meta } => {
                    loaded.bytes = loaded.bytes.saturating_add(meta.size);
                    if loaded.bytes > self.settings.file_bytes {
                        let limit = self.settings.file_bytes;
                        let what = format!("{} bytes of JSON in one file", loaded.bytes);
                        return Err(SourceError::Limit { key, what, limit });
                    }
                    for next in hierarchy::children(&document).into_iter().chain(hierarchy::mentioned(&document)) {
                        if seen.insert(next) {
                            waiting.push_back(next);
                        }
                    }
                    if seen.len() > limits::OBJECTS {
                        let what = format!("{} objects in one file", seen.len());
                        return Err(SourceError::Limit { key, what, limit: limits::OBJECTS as u64 });
                    }
                    loaded.modified = loaded.modified.max(Some(meta.modified));
                    loaded.fingerprint.insert(key.clone(), Some(identity(&meta)));
                    loaded.objects.insert(id, (key, document));
                }
            }
        }
    }

    /// A document, waiting for a writer to finish it where the store writes in place.
    pub(super) async fn read_document(&self, key: &Key) -> Result<Read, StoreError> {
        let live = !self.store.capabilities().atomic_put;
        let mut patience = self.settings.patience.iter();
        let mut before: Option<ETag> = None;
        loop {
            let (meta, reason) = match self.store.get_if(key, None, limits::DOCUMENT_BYTES).await {
                Ok(object) => match parse(object.bytes).await {
                    Ok(document) => return Ok(Read::Whole { document, meta: object.meta }),
                    Err(DocumentError::Torn(reason)) => (object.meta, format!("the JSON is not whole: {reason}")),
                    Err(error) => return Ok(Read::Broken { meta: object.meta, reason: error.to_string() }),
                },
                Err(error) if error.is_not_found() => return Ok(Read::Absent),
                Err(StoreError::TooLarge { size, limit, .. }) => {
                    let reason = format!("{size} bytes of JSON are past the limit of {limit}");
                    // Its identity is part of what was seen, or it would look like an object that has come since.
                    return match self.store.head(key).await {
                        Ok(meta) => Ok(Read::Broken { meta, reason }),
                        Err(error) if error.is_not_found() => Ok(Read::Absent),
                        Err(error) => Err(error),
                    };
                }
                // Rewritten again and again: the store has waited for a while already.
                Err(error @ StoreError::Busy { .. }) => match patience.next() {
                    Some(pause) => {
                        tokio::time::sleep(*pause).await;
                        continue;
                    }
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            };
            let tag = identity(&meta);
            let changing = before.as_ref().is_some_and(|before| *before != tag);
            let wait = live && (changing || is_young(meta.modified, self.settings.young));
            let Some(pause) = patience.next().filter(|_| wait) else {
                return Ok(Read::Broken { meta, reason });
            };
            tracing::debug!(%key, reason, ?pause, "perhaps being written: reading it again");
            before = Some(tag);
            tokio::time::sleep(*pause).await;
        }
    }
}

/// Documents up to this many bytes are parsed where they are; at 100 MB/s that is a third of a millisecond.
const INLINE: usize = 32 << 10;

async fn parse(bytes: bytes::Bytes) -> Result<Document, DocumentError> {
    if bytes.len() <= INLINE {
        return Document::parse(&bytes);
    }
    match tokio::task::spawn_blocking(move || Document::parse(&bytes)).await {
        Ok(parsed) => parsed,
        // The parser gave up in a way it never should; the document is refused like any other bad one.
        Err(_) => Err(DocumentError::NoObject),
    }
}

/// Whether something written then may still be followed by more. Clocks of file servers differ, so the near future
/// counts as now.
fn is_young(modified: SystemTime, young: Duration) -> bool {
    let now = SystemTime::now();
    now.duration_since(modified).or_else(|_| modified.duration_since(now)).unwrap_or(Duration::MAX) < young
}
