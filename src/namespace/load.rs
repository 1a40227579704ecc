//! Opening a file: the version that is current, loaded at most once at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use tokio::task::{JoinError, JoinHandle};

use super::error::{NamespaceError, shown};
use super::node::{File, FileKind, Node, NodeId, Record};
use super::version::{Content, Stat, Version};
use super::{Freshness, Namespace};
use crate::fetch::{About, Expected, Fetcher, FileChunks, PlainObject};
use crate::layout::{self, LAYOUT_VERSION};
use crate::model::datatype::Datatype;
use crate::model::hierarchy::{DataLayout, Hierarchy, Object, ObjectId, ObjectKind};
use crate::model::limits;
use crate::model::location::{ETag, Location};
use crate::model::paths::Paths;
use crate::model::problem::Problem;
use crate::source::{Body, Contents, Fingerprint, Freshness as Compared};
use crate::store::Stores;

impl Namespace {
    /// The current version of `file`. Many openers at once cause one load; an unchanged file is not loaded again while
    /// its version is in memory.
    pub async fn open(&self, file: &Arc<File>) -> Result<Arc<Version>, NamespaceError> {
        self.open_after(file, Duration::ZERO).await
    }

    /// As [`open`](Self::open), by somebody who has just looked the name up and was told a number: a version compared
    /// with the store for that is not renewed under him only because others read of it meanwhile.
    pub async fn open_found(&self, file: &Arc<File>) -> Result<Arc<Version>, NamespaceError> {
        self.open_after(file, LOOKED_UP).await
    }

    async fn open_after(&self, file: &Arc<File>, compared: Duration) -> Result<Arc<Version>, NamespaceError> {
        if let Some(version) = self.fresh(file) {
            return Ok(version);
        }
        let mut gate = file.gate.lock().await;
        if let Some(version) = self.fresh(file) {
            return Ok(version);
        }
        let before = file.record().clone();
        if let Some((when, failure)) = &before.failure
            && (Freshness::For(FAILURE_KEPT)).holds(*when)
        {
            return Err(failure.clone());
        }
        let result = match &file.kind {
            FileKind::Described => self.open_described(file, &mut gate, &before, compared).await,
            FileKind::Plain { .. } if before.stale.load(Ordering::Relaxed) => self.open_plain_anew(file).await,
            FileKind::Plain { .. } => Ok(self.open_plain(file, before.id)),
        };
        match result {
            Ok(version) => {
                if version.id != before.id {
                    self.versions.invalidate(&before.id);
                }
                self.versions.insert(version.id, version.clone());
                Ok(version)
            }
            Err(error) => {
                if error.is_not_found() {
                    self.table.remove(&file.path);
                }
                file.record().failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The version in memory, if it need not be compared with the store.
    fn fresh(&self, file: &File) -> Option<Arc<Version>> {
        let record = file.record();
        let version = record.version.upgrade().filter(|version| !version.is_stale())?;
        // A plain object was compared when its entry was looked up: another ETag is another node.
        let plain = matches!(file.kind, FileKind::Plain { .. });
        let fresh = plain || record.checked.is_some_and(|then| self.settings.freshness.holds(then));
        drop(record);
        if fresh {
            // A touch, so that the version counts as used lately.
            self.versions.get(&version.id);
        }
        fresh.then_some(version)
    }

    /// `compared`: a comparison no longer ago than this stands for its chunks too.
    async fn open_described(
        &self,
        file: &Arc<File>,
        gate: &mut Option<Loading>,
        before: &Record,
        compared: Duration,
    ) -> Result<Arc<Version>, NamespaceError> {
        // What somebody started and gave up is waited for; what ended unseen long ago is no answer any more.
        if gate.as_ref().is_some_and(|loading| !loading.is_of_use(self.settings.freshness)) {
            *gate = None;
        }
        let loading = gate.get_or_insert_with(|| self.start(file, before));
        let result = loading.result(&file.path).await;
        *gate = None;
        match result? {
            Found::Unchanged { version, asked } => {
                let told = before.fingerprint.as_ref().is_some_and(|fingerprint| fingerprint.tells_of_chunks);
                let recent = before.checked.is_some_and(|then| then.elapsed() < compared);
                let version = if version.was_read() && !told && !recent {
                    // Its chunks may be others by now, and what was read is in caches, the kernel's among them.
                    Arc::new(version.renewed(self.table.number()))
                } else {
                    version
                };
                let mut record = file.record();
                record.id = version.id;
                record.version = Arc::downgrade(&version);
                record.read = version.read.clone();
                record.stale = version.stale.clone();
                record.checked = Some(asked);
                Ok(version)
            }
            Found::Loaded { mut version, fingerprint, asked } => {
                version.id = self.number(before, &fingerprint);
                version.held = Some(Arc::new(self.fetcher.hold(version.weight)));
                let version = Arc::new(*version);
                let mut record = file.record();
                *record = Record {
                    id: version.id,
                    stat: Some(version.stat),
                    fingerprint: Some(fingerprint),
                    version: Arc::downgrade(&version),
                    checked: Some(asked),
                    read: version.read.clone(),
                    stale: version.stale.clone(),
                    failure: None,
                };
                Ok(version)
            }
        }
    }

    /// Starts to compare what is held of a file with the store, and to load it where it changed or nothing is held.
    fn start(&self, file: &File, before: &Record) -> Loading {
        let held = before.version.upgrade().filter(|version| !version.is_stale()).zip(before.fingerprint.clone());
        let (source, stores, path) = (self.source.clone(), self.stores.clone(), file.path.clone());
        let (options, strict, fetcher) = (self.settings.present, self.settings.strict, self.fetcher.clone());
        let begun = Instant::now();
        let work = async move {
            if let Some((version, fingerprint)) = held {
                let found = source.still_holds(&fingerprint).await;
                match found.map_err(|error| NamespaceError::source(&path, error))? {
                    Compared::Unchanged => return Ok(Found::Unchanged { version, asked: begun }),
                    Compared::Gone => return Err(NamespaceError::NotFound { path: shown(&path) }),
                    Compared::Changed => tracing::info!(file = %shown(&path), "changed in the store"),
                }
            }
            let asked = Instant::now();
            let contents = source.open(&path).await.map_err(|error| NamespaceError::source(&path, error))?;
            let fingerprint = contents.fingerprint.clone();
            let place = path.clone();
            // Planning takes time in proportion to the objects, so it runs aside.
            let built = tokio::task::spawn_blocking(move || build(path, contents, stores, &options, strict));
            let version = built.await.map_err(|error| broken_off(&place, &error))??;
            if strict {
                // Links are told of when they are read, unless what they lead to decides whether the file is shown.
                let problems = problems(&fetcher, &version).await;
                refuse(&version.path, &problems)?;
            }
            Ok(Found::Loaded { version: Box::new(version), fingerprint, asked })
        };
        Loading { begun, task: tokio::spawn(work) }
    }

    /// The number for a version read from `fingerprint`. The first version takes the number its file was given; a
    /// description that was dropped and loaded again unchanged keeps its number, so that the kernel keeps what it
    /// cached, unless data were read of it: which chunks those were is forgotten with the version, and bytes of a
    /// chunk replaced since would mix with cached ones.
    fn number(&self, before: &Record, fingerprint: &Fingerprint) -> NodeId {
        let keep = match &before.fingerprint {
            None => true,
            Some(earlier) => earlier == fingerprint && !before.read.load(Ordering::Relaxed),
        };
        if keep { before.id } else { self.table.number() }
    }

    /// What of the file is not shown as it is stored, and what is to be told of its links: the objects they lead to are
    /// looked at, once for a version.
    pub async fn problems(&self, version: &Version) -> Vec<Problem> {
        problems(&self.fetcher, version).await
    }

    /// A plain object that was found replaced: the store is asked again, whatever is believed of its folder.
    async fn open_plain_anew(&self, file: &Arc<File>) -> Result<Arc<Version>, NamespaceError> {
        match self.look_up_anew(&file.path).await? {
            Node::Folder(folder) => Err(NamespaceError::IsAFolder { path: shown(&folder.path) }),
            // Never the number of before: the kernel may hold pages of either state under it.
            Node::File(now) if now.kind == file.kind => Ok(self.open_plain(file, self.table.number())),
            Node::File(now) => Box::pin(self.open(&now)).await,
        }
    }

    fn open_plain(&self, file: &Arc<File>, id: NodeId) -> Arc<Version> {
        let FileKind::Plain { key, size, etag, modified } = &file.kind else {
            unreachable!("only called for plain objects")
        };
        let location = Location { bucket: self.stores.home().bucket().clone(), key: key.clone() };
        let stat = Stat { len: (*size).min(limits::FILE_BYTES), stored: *size, modified: *modified };
        let expected = Expected { etag: etag.clone(), size: *size, modified: *modified };
        let object = PlainObject::new(self.stores.clone(), location, expected);
        let mut version = Version::new(id, file.path.clone(), Content::Plain(object), stat);
        version.weight = VERSION_BYTES;
        let version = Arc::new(version);
        let mut record = file.record();
        record.id = id;
        record.stat = Some(stat);
        record.stale = version.stale.clone();
        record.version = Arc::downgrade(&version);
        record.checked = Some(Instant::now());
        record.failure = None;
        version
    }
}

/// A comparison or load that is under way, in a task of its own: what an opener gives up goes on, and the next one waits
/// for it instead of asking the store again. It ends with the file's node.
#[derive(Debug)]
pub(crate) struct Loading {
    begun: Instant,
    task: JoinHandle<Result<Found, NamespaceError>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Found {
    /// The version is still what the store holds.
    Unchanged { version: Arc<Version>, asked: Instant },
    /// Another one, without a number so far.
    Loaded { version: Box<Version>, fingerprint: Fingerprint, asked: Instant },
}

impl Loading {
    /// Whether to wait for it: it is under way, or ended so lately that its answer is believed.
    fn is_of_use(&self, freshness: Freshness) -> bool {
        !self.task.is_finished() || freshness.holds(self.begun)
    }

    /// What came of it. Whoever stops waiting takes nothing away from the next one.
    async fn result(&mut self, path: &str) -> Result<Found, NamespaceError> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => Err(broken_off(path, &error)),
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long a failed load is answered from memory: a program that opens a broken file often in a row (or a shell that
/// stats, then opens it) causes one load.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// How long after a look-up its open may come: the kernel sends one after the other, and a second is a busy machine's.
const LOOKED_UP: Duration = Duration::from_secs(1);
/// Problems of a file that the log tells at each load; a broken file may have thousands, and all are in its extended
/// attribute.
const PROBLEMS_LOGGED: usize = 20;
/// Bytes in memory of an object's plan and recipes, estimated.
const OBJECT_BYTES: u64 = 2048;
/// Bytes in memory of a version without any object.
const VERSION_BYTES: u64 = 16 << 10;

/// Lays a file out.
fn build(
    path: String,
    contents: Contents,
    stores: Arc<Stores>,
    options: &layout::PresentOptions,
    strict: bool,
) -> Result<Version, NamespaceError> {
    let Contents { hierarchy, chunks, body, mut problems, mut facts, modified, fingerprint } = contents;
    let paths = Arc::new(Paths::of_hierarchy(&hierarchy));
    let home = stores.home().bucket().clone();
    let chunks = FileChunks::new(chunks, stores, About { file: shown(&path), paths, modified, strict });
    facts.insert("version".to_owned(), digest(&fingerprint));
    let weight = VERSION_BYTES.saturating_add(weigh(&hierarchy)).saturating_add(chunks.map().weight());
    let elements = element_bytes(&hierarchy);
    let (content, len, metadata) = match body {
        Body::Hierarchy => {
            let image = layout::plan(&hierarchy, options)
                .map_err(|error| NamespaceError::Layout { path: shown(&path), reason: error.to_string() })?;
            // What has no place in the image is known by its path only; the file stands for the key.
            problems.extend(image.problems().iter().map(|omission| Problem {
                path: omission.path.clone(),
                key: path.clone(),
                reason: omission.reason.clone(),
            }));
            let (len, metadata) = (image.len(), image.metadata_len());
            facts.insert("layout_version".to_owned(), LAYOUT_VERSION.to_string());
            (Content::Image { image: Arc::new(image), chunks }, len, metadata)
        }
        Body::Object { key, size, etag } => {
            let location = Location { bucket: home, key };
            let object = PlainObject::new(chunks.stores().clone(), location, Expected { etag, size, modified });
            (Content::Plain(object), size, 0)
        }
        Body::Bytes { dataset, len } => {
            let (piece, fill) = pieces(&hierarchy, dataset).ok_or_else(|| NamespaceError::Layout {
                path: shown(&path),
                reason: "the dataset that holds the file's bytes is not one-dimensional bytes".to_owned(),
            })?;
            (Content::Bytes { dataset, piece, fill, chunks }, len, 0)
        }
    };
    if len > limits::FILE_BYTES {
        return Err(NamespaceError::Layout {
            path: shown(&path),
            reason: format!("it would take {len} bytes, past the limit of {}", limits::FILE_BYTES),
        });
    }
    // What the layout left out counts as well.
    if strict {
        refuse(&path, &problems)?;
    }
    // Nothing says what the store keeps: the size of all elements is the best guess. Not the file's size: programs look
    // for holes only in a file that takes less room than it is long.
    let stored = match &content {
        Content::Plain { .. } => len,
        _ => elements.saturating_add(metadata).min(len),
    };
    for problem in problems.iter().take(PROBLEMS_LOGGED) {
        tracing::warn!(file = %shown(&path), "{problem}");
    }
    if problems.len() > PROBLEMS_LOGGED {
        tracing::warn!(file = %shown(&path), "{} problems in all, of which {PROBLEMS_LOGGED} are told", problems.len());
    }
    // Which number it gets is known when it is put in place.
    let mut version = Version::new(NodeId(0), path, content, Stat { len, stored, modified });
    version.facts = facts;
    version.problems = problems;
    version.weight = weight;
    Ok(version)
}

/// A task that came to no end.
fn broken_off(path: &str, error: &JoinError) -> NamespaceError {
    match error.is_panic() {
        true => NamespaceError::Stopped { path: shown(path) },
        false => NamespaceError::Ended { path: shown(path) },
    }
}

async fn problems(fetcher: &Fetcher, version: &Version) -> Vec<Problem> {
    if let Some(chunks) = version.chunks() {
        fetcher.look_at_links(chunks).await;
    }
    version.problems()
}

/// An error where there is any problem.
fn refuse(path: &str, problems: &[Problem]) -> Result<(), NamespaceError> {
    match problems.first() {
        None => Ok(()),
        Some(first) => {
            Err(NamespaceError::Strict { path: shown(path), count: problems.len(), first: first.to_string() })
        }
    }
}

/// What tells this version from another: an MD5 over what describes it, in hexadecimal. It only has to differ.
fn digest(fingerprint: &Fingerprint) -> String {
    let mut hash = Md5::new();
    for (key, tag) in &fingerprint.objects {
        hash.update(key.as_str());
        hash.update(if tag.is_some() { "\0+" } else { "\0-" });
        hash.update(tag.as_ref().map_or("", ETag::as_str));
        hash.update("\0");
    }
    format!("{:032x}", u128::from_be_bytes(hash.finalize().into()))
}

/// Bytes in memory of what is kept of a hierarchy, estimated.
fn weigh(hierarchy: &Hierarchy) -> u64 {
    let attributes: u64 = hierarchy
        .objects
        .iter()
        .flat_map(|object| &object.attributes)
        .map(|attribute| attribute.value.bytes.len() as u64)
        .sum();
    (hierarchy.objects.len() as u64).saturating_mul(OBJECT_BYTES).saturating_add(attributes)
}

/// Bytes of all elements of all datasets, in the presented form, variable-length ones without what they lead to.
fn element_bytes(hierarchy: &Hierarchy) -> u64 {
    let bytes = |object: &Object| match &object.kind {
        ObjectKind::Dataset(dataset) => {
            let size = hierarchy.datatype(&dataset.datatype).map_or(0, Datatype::size);
            dataset.dataspace.elements().unwrap_or(u64::MAX).saturating_mul(size)
        }
        _ => 0,
    };
    hierarchy.objects.iter().fold(0, |sum: u64, object| sum.saturating_add(bytes(object)))
}

/// Bytes of a chunk and the fill byte of a dataset that holds a file.
fn pieces(hierarchy: &Hierarchy, dataset: ObjectId) -> Option<(u64, u8)> {
    let ObjectKind::Dataset(dataset) = &hierarchy.get(dataset)?.kind else { return None };
    let piece = match &dataset.layout {
        DataLayout::Chunked(extents) => match extents.as_slice() {
            [extent] => *extent,
            _ => return None,
        },
        DataLayout::Contiguous => u64::MAX,
        DataLayout::Virtual(_) | DataLayout::External(_) | DataLayout::Compact(_) => return None,
    };
    let fill = dataset.fill.as_ref().and_then(|fill| fill.bytes.first().copied()).unwrap_or(0);
    (piece > 0).then_some((piece, fill))
}
