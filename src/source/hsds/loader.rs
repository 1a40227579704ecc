//! The objects of a file: read each once, many at a time, from the root group along links and references.
//!
//! A level of links is one round trip, and what an answer names is asked for as soon as it is there. Beside the root group
//! go out the scan statistics and, where the store is a service, one page of the file's dataset folders: both name
//! datasets that links or chunk tables lead to only later. These are read ahead while nothing better is to be asked; what
//! nothing leads to in the end is no part of the file. (No chunk is listed: a folder stands for all of a dataset's.)

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, TryFutureExt};

use super::asides::{Pages, Summed, Told};
use super::chunks::HsdsChunks;
use super::document::Document;
use super::documents::{Read, identity};
use super::hierarchy;
use super::hierarchy::Context;
use super::id::{Id, IdKind};
use super::index::{self, Index};
use super::statistics::Statistics;
use super::{HsdsSource, domain::Domain, external, h5image, is_nothing, key};
use crate::model::limits;
use crate::model::location::Key;
use crate::model::name::Name;
use crate::source::{Contents, Fingerprint, SourceError};
use crate::store::{Meta, Object, StoreError, Urgency, Waiting, Wanted};

/// Largest summary that is read. It only serves to save requests; 64 MiB are some 60,000 objects.
const SUMMARY_BYTES: u64 = 64 << 20;
/// How long objects wait for a summary and its listing. Where these take as long as some hundred requests do, they save
/// nothing.
const SUMMARY_PATIENCE: Duration = Duration::from_secs(2);

/// Objects of a file from which on an index beside it is looked for: four times as many as are read at once.
const MANY: u64 = 256;

/// The objects of a file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Key and JSON of each.
    pub objects: HashMap<Id, (Key, Document)>,
    /// Linked or mentioned, but absent or broken, and why.
    pub missing: HashMap<Id, String>,
    /// What was read.
    pub fingerprint: Fingerprint,
    /// When the youngest of it was written.
    pub modified: Option<SystemTime>,
    /// When each dataset was written.
    pub written: HashMap<Id, SystemTime>,
    /// Bytes of all documents.
    pub bytes: u64,
    /// When the statistics were written that the fingerprint goes by.
    pub counted: Option<SystemTime>,
    /// It was kept, and not read anew.
    pub held: bool,
}

impl HsdsSource {
    /// Everything that describes a file.
    pub(super) async fn open_file(&self, path: &str) -> Result<Contents, SourceError> {
        let (domain, root, mut loaded) = self.load_file(path).await?;
        let kept = self.keeps(&loaded).then(|| key::domain(&self.path_in_store(path)));
        let context = Context {
            bucket: self.store.bucket().clone(),
            shuffle_only: self.settings.shuffle_only,
            resolve_external: self.resolver(path),
        };
        let (objects, missing) = (std::mem::take(&mut loaded.objects), std::mem::take(&mut loaded.missing));
        let made = tokio::task::spawn_blocking(move || {
            let whole = Loaded { objects, missing, ..loaded };
            let index = kept.as_ref().and_then(|_| index::encode(&root, &whole).ok());
            let Loaded { objects, missing, fingerprint, modified, written, .. } = whole;
            let assembled = hierarchy::assemble(&root, objects, missing, &context);
            (assembled, fingerprint, modified, written, kept.zip(index))
        });
        let refused = |reason: String| SourceError::Invalid { key: root.metadata_key(), reason };
        let (assembled, fingerprint, modified, written, index) =
            made.await.map_err(|stopped| refused(format!("the assembler stopped: {stopped}")))?;
        if let Some((domain, index)) = index {
            self.keep(domain, index);
        }
        let assembled = assembled.map_err(|error| refused(error.to_string()))?;
        let mut facts = domain.facts();
        facts.extend(assembled.facts);
        let chunks = HsdsChunks { written, ..assembled.chunks };
        Ok(Contents {
            body: h5image::body(&assembled.hierarchy),
            hierarchy: assembled.hierarchy,
            chunks: Arc::new(chunks),
            fingerprint,
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

    /// The domain at `path`, and what it is in the store.
    async fn domain(&self, path: &str, waiting: &Waiting) -> Result<(Key, Domain, Meta), SourceError> {
        let key = key::domain(&self.path_in_store(path));
        if let Some((domain, meta)) = self.recent.take(&key) {
            return Ok((key, domain, meta));
        }
        let not_found = || SourceError::NotFound { path: path.to_owned() };
        match self.read_document(&key, waiting).await {
            Ok(Read::Whole { document, meta }) => Ok((key, Domain::of(&document), meta)),
            Ok(Read::Absent) => Err(not_found()),
            Ok(Read::Broken { reason, .. }) => Err(SourceError::Invalid { key, reason }),
            Err(error) if is_nothing(&error) => Err(not_found()),
            Err(error) => Err(error.into()),
        }
    }

    /// The objects of a file, and the domain that names it. What was kept of them is not read again where it still holds.
    pub(super) async fn load_file(&self, path: &str) -> Result<(Domain, Id, Loaded), SourceError> {
        let waiting = self.waiting();
        let key = key::domain(&self.path_in_store(path));
        let held = tokio::time::timeout(SUMMARY_PATIENCE, self.held(&key));
        let (domain, held) = tokio::join!(self.domain(path, &waiting), held);
        let held = held.unwrap_or_default();
        self.load_of(path, domain?, Before::May(held.map(Box::new)), &waiting).await
    }

    /// The same, of which nothing is taken from what was kept.
    pub(super) async fn load_anew(&self, path: &str) -> Result<(Domain, Id, Loaded), SourceError> {
        let waiting = self.waiting();
        let domain = self.domain(path, &waiting).await?;
        self.load_of(path, domain, Before::MayNot, &waiting).await
    }

    async fn load_of(
        &self,
        path: &str,
        (domain_key, domain, meta): (Key, Domain, Meta),
        before: Before,
        waiting: &Waiting,
    ) -> Result<(Domain, Id, Loaded), SourceError> {
        let text = domain.root.as_deref().ok_or_else(|| SourceError::NotFound { path: path.to_owned() })?;
        let root = Id::parse(text).ok_or_else(|| SourceError::Invalid {
            key: domain_key.clone(),
            reason: format!("its root `{text}` is no id of a group"),
        })?;
        let mut loaded = Loaded { modified: Some(meta.modified), ..Loaded::default() };
        loaded.fingerprint.objects.insert(domain_key, Some(identity(&meta)));
        let anew = matches!(before, Before::MayNot);
        if let Before::May(Some(held)) = before
            && held.root == root
            && held.agrees(&loaded.fingerprint)
        {
            let Index { loaded, .. } = *held;
            return Ok((domain, root, loaded));
        }
        self.load(root, anew, waiting, &mut loaded).await?;
        if let Some(reason) = loaded.missing.get(&root) {
            return Err(SourceError::Invalid { key: root.metadata_key(), reason: format!("the root group {reason}") });
        }
        Ok((domain, root, loaded))
    }

    /// Reads every object that is reached from `root`. Those that were absent are asked for once more where something
    /// was written a moment ago: HSDS may store a link before what it leads to.
    async fn load(&self, root: Id, anew: bool, waiting: &Waiting, loaded: &mut Loaded) -> Result<(), SourceError> {
        {
            let mut reading = Reading::new(self, waiting, loaded);
            reading.anew = anew;
            // Before any chunk is read: a chunk written later changes the statistics later.
            reading.asides.push(self.statistics(root).map_ok(Aside::Statistics).boxed());
            if let Some(folder) = key::datasets(&root).filter(|_| self.reads_ahead()) {
                reading.asides.push(self.datasets(root, folder).map(|found| Ok(Aside::Datasets(found))).boxed());
            }
            if let Some(key) = key::summary(&root).filter(|_| self.reads_ahead()) {
                // Asked for before it is known that there is one: a request where there is none, instead of a round trip.
                let kept = async move { self.store.get_if(&key, None, SUMMARY_BYTES).await };
                reading.asides.push(kept.map(|kept| Ok(Aside::Kept(kept.ok()))).boxed());
                reading.asides.push(tokio::time::sleep(SUMMARY_PATIENCE).map(|()| Ok(Aside::Late)).boxed());
            }
            reading.reach(root);
            reading.ask();
            // All others perhaps come at once.
            reading.held = self.reads_ahead() && key::summary(&root).is_some();
            reading.finish().await?;
        }
        let young = loaded.modified.is_some_and(|modified| self.settings.patience.is_young(modified));
        if !loaded.missing.is_empty() && young && waiting.pause_for_more().await {
            let again: Vec<Id> = std::mem::take(&mut loaded.missing).into_keys().collect();
            let known = loaded.objects.keys().copied().collect();
            let mut reading = Reading::new(self, waiting, loaded);
            reading.reached = known;
            again.into_iter().for_each(|id| reading.reach(id));
            reading.finish().await?;
        }
        Ok(())
    }

    /// Whether asking for what may not be needed costs less than waiting.
    fn reads_ahead(&self) -> bool {
        let capabilities = self.store.capabilities();
        capabilities.listing && !capabilities.directories
    }
}

/// Answers to what was asked beside the objects.
#[derive(Debug)]
enum Aside {
    Statistics(Option<Told>),
    Datasets(Vec<Id>),
    Kept(Option<Object>),
    /// The summary has taken longer than it may save.
    Late,
    Summary(Option<Summed>),
    /// The index beside the file, as it was read.
    Beside(Option<Bytes>),
    /// The same, decoded.
    Index(Option<Box<Index>>),
}

/// What was kept of a file before it is read.
#[derive(Debug)]
enum Before {
    /// It may be taken where it holds, the domain too.
    May(Option<Box<Index>>),
    /// It is to be read anew.
    MayNot,
}

type Answer = (Id, Key, Result<Read, StoreError>);

/// Objects being read.
struct Reading<'a> {
    source: &'a HsdsSource,
    waiting: &'a Waiting,
    loaded: &'a mut Loaded,
    /// Objects that something leads to.
    reached: HashSet<Id>,
    /// Those of them that are still to come. An object that was asked for when a summary came has two answers, and is
    /// what the first one says.
    open: HashSet<Id>,
    /// Those still to be asked for.
    wanted: VecDeque<Id>,
    /// Objects that something may lead to.
    likely: VecDeque<Id>,
    /// Likely ones that were asked for, or came of themselves; those asked for may turn out to be wanted.
    ahead: HashMap<Id, Option<Arc<Wanted>>>,
    /// How many of them are under way with nothing leading to them yet. They are in nobody's way.
    guesses: usize,
    /// Their answers, where nothing led to them yet.
    early: HashMap<Id, (Key, Result<Read, StoreError>)>,
    /// Bytes of these.
    early_bytes: u64,
    /// Those of them that something leads to by now.
    led: Vec<Id>,
    /// Nothing is asked for until it is known whether there is a summary to believe.
    held: bool,
    /// Nothing is taken from an index.
    anew: bool,
    /// Requests for an index that are under way: one at most.
    beside: usize,
    /// The index is there and being decoded.
    decoding: bool,
    /// The summary as it was read, or that there is none; `None` while nothing is known.
    kept: Option<Option<Object>>,
    /// What its listing would take, or that it would take too long; `None` while nothing is known.
    listing: Option<Option<Pages>>,
    asked: FuturesUnordered<BoxFuture<'a, Answer>>,
    asides: FuturesUnordered<BoxFuture<'a, Result<Aside, StoreError>>>,
}

impl<'a> Reading<'a> {
    fn new(source: &'a HsdsSource, waiting: &'a Waiting, loaded: &'a mut Loaded) -> Self {
        Reading {
            source,
            waiting,
            loaded,
            reached: HashSet::new(),
            open: HashSet::new(),
            wanted: VecDeque::new(),
            likely: VecDeque::new(),
            ahead: HashMap::new(),
            guesses: 0,
            early: HashMap::new(),
            early_bytes: 0,
            led: Vec::new(),
            held: false,
            anew: false,
            beside: 0,
            decoding: false,
            kept: None,
            listing: None,
            asked: FuturesUnordered::new(),
            asides: FuturesUnordered::new(),
        }
    }

    /// Something leads to `id`.
    fn reach(&mut self, id: Id) {
        if !self.reached.insert(id) {
            return;
        }
        self.open.insert(id);
        if self.early.contains_key(&id) {
            self.led.push(id);
            return;
        }
        match self.ahead.get(&id) {
            None => self.wanted.push_back(id),
            Some(Some(wanted)) => {
                wanted.tell();
                self.guesses = self.guesses.saturating_sub(1);
            }
            Some(None) => {}
        }
    }

    /// Reads until everything that was reached is there.
    async fn finish(&mut self) -> Result<(), SourceError> {
        let mut told = self.asides.is_empty();
        while !self.open.is_empty() || !told {
            self.ask();
            tokio::select! {
                Some((id, key, read)) = self.asked.next() => {
                    if !self.reached.contains(&id) {
                        self.guesses = self.guesses.saturating_sub(1);
                        if let Ok(Read::Whole { meta, .. }) = &read {
                            self.early_bytes = self.early_bytes.saturating_add(meta.size);
                        }
                        self.early.insert(id, (key, read));
                        continue;
                    }
                    if self.open.contains(&id) {
                        self.take(id, key, read?)?;
                        self.take_early()?;
                    }
                }
                Some(aside) = self.asides.next() => match aside? {
                    Aside::Statistics(found) => {
                        told = true;
                        self.note(found);
                    }
                    Aside::Datasets(found) => self.likely.extend(found),
                    Aside::Late => self.held = false,
                    Aside::Beside(found) => {
                        self.beside = 0;
                        if let Some(bytes) = found {
                            // What it holds need not be asked for, and to decode it takes less time than that would.
                            self.decoding = true;
                            let index = self.source.decoded(bytes);
                            self.asides.push(index.map(|found| Ok(Aside::Index(found.map(Box::new)))).boxed());
                        }
                    }
                    Aside::Index(found) => {
                        self.decoding = false;
                        if self.adopt(found) {
                            return Ok(());
                        }
                    }
                    Aside::Kept(found) => {
                        self.kept = Some(found);
                        self.consider();
                    }
                    Aside::Summary(found) => {
                        self.held = false;
                        self.believe(found);
                        self.take_early()?;
                    }
                },
                else => break,
            }
        }
        Ok(())
    }

    /// Sends requests as far as there may be more: first for what is wanted.
    fn ask(&mut self) {
        if self.held || self.decoding {
            return;
        }
        // The index is among as many as there may be, and not behind them.
        let most = self.source.settings.in_flight.saturating_sub(self.beside).max(1);
        while self.asked.len() < most.saturating_add(self.guesses) {
            let (id, likely) = match self.wanted.pop_front() {
                Some(id) => (id, None),
                None if self.asked.len() >= most => return,
                None => match self.likely.pop_front() {
                    Some(id) if self.reached.contains(&id) || self.early_bytes > self.source.settings.file_bytes => {
                        continue;
                    }
                    Some(id) if self.ahead.contains_key(&id) => continue,
                    Some(id) => {
                        let wanted = Arc::<Wanted>::default();
                        self.ahead.insert(id, Some(Arc::clone(&wanted)));
                        self.guesses += 1;
                        (id, Some(wanted))
                    }
                    None => return,
                },
            };
            let (source, waiting) = (self.source, self.waiting);
            let read = async move {
                let key = id.metadata_key();
                let store = match &likely {
                    Some(wanted) => source.store.ahead_until(wanted),
                    None => source.store.at(Urgency::Demand),
                };
                let read = source.read_document_at(store, &key, waiting).await;
                (id, key, read)
            };
            self.asked.push(read.boxed());
        }
    }

    fn note(&mut self, found: Option<Told>) {
        let Some(Told { key, root, tag, written, statistics }) = found else {
            self.listing = Some(None);
            self.consider();
            return;
        };
        let counted = tag.is_some();
        self.loaded.counted = written;
        self.loaded.fingerprint.tells_of_chunks = counted;
        self.loaded.fingerprint.objects.insert(key, tag);
        // Where nobody counted, a page of the listing may be enough all the same.
        if statistics.as_ref().map_or(!counted, Statistics::fit_a_page) && self.source.reads_ahead() {
            self.loaded.fingerprint.page = key::below(&root);
        }
        // Whether the summary is good is for the listing to say, as long as that takes less than the objects would.
        let pages = statistics.as_ref().and_then(|statistics| Some((statistics.pages()?, statistics.began?)));
        let below = key::below(&root).filter(|below| self.source.may_fit(below));
        self.listing = Some(below.zip(pages).map(|(below, (pages, began))| Pages { root, below, pages, began }));
        self.consider();
        let Some(statistics) = statistics else { return };
        if counted && !self.anew && statistics.objects >= MANY && self.source.reads_ahead() {
            // The objects are asked for meanwhile: most files have none.
            self.beside = 1;
            let index = self.source.beside(root);
            self.asides.push(index.map(|found| Ok(Aside::Beside(found))).boxed());
        }
        if self.source.reads_ahead() {
            self.likely.extend(statistics.datasets);
        }
    }

    /// Takes an index for all of the file, if it was read from the domain, the statistics and the objects that were read by
    /// now.
    fn adopt(&mut self, found: Option<Box<Index>>) -> bool {
        let Some(index) = found else { return false };
        if !self.reached.contains(&index.root) || !index.agrees(&self.loaded.fingerprint) {
            return false;
        }
        *self.loaded = Loaded { counted: self.loaded.counted, held: false, ..index.loaded };
        true
    }

    /// Looks at the summary once it is known whether there is one and what vouching for it takes; goes on without it
    /// where there is none.
    fn consider(&mut self) {
        match (&mut self.kept, &mut self.listing) {
            (Some(kept), Some(listing)) => match (kept.take(), listing.take()) {
                (Some(kept), Some(pages)) if self.held => {
                    let summary = self.source.summary(kept, pages);
                    self.asides.push(summary.map(|found| Ok(Aside::Summary(found))).boxed());
                }
                _ => self.held = false,
            },
            (Some(None), _) | (_, Some(None)) => self.held = false,
            _ => {}
        }
    }

    /// Takes a summary for answers that came early, if the listing that vouches for it names objects as they name
    /// themselves: the root group was read on its own.
    fn believe(&mut self, found: Option<Summed>) {
        let Some(Summed { root, objects }) = found else { return };
        let key = root.metadata_key();
        let tag = self.loaded.fingerprint.objects.get(&key).cloned().flatten();
        if tag.is_none() || tag != objects.get(&root).map(|(_, _, meta)| identity(meta)) {
            return;
        }
        for (id, (key, document, meta)) in objects {
            let news = !self.ahead.contains_key(&id);
            // What is under way may yet be told of as wanted.
            self.ahead.entry(id).or_insert(None);
            if news && id != root {
                if self.reached.contains(&id) {
                    self.led.push(id);
                }
                self.early.insert(id, (key, Ok(Read::Whole { document, meta })));
            }
        }
        self.wanted.retain(|id| !self.ahead.contains_key(id));
    }

    /// Takes what came before something led to it, and what that leads to, and so on.
    fn take_early(&mut self) -> Result<(), SourceError> {
        while let Some(id) = self.led.pop() {
            if let Some((key, read)) = self.early.remove(&id) {
                self.take(id, key, read?)?;
            }
        }
        Ok(())
    }

    /// Takes the answer for an object that something leads to.
    fn take(&mut self, id: Id, key: Key, read: Read) -> Result<(), SourceError> {
        if !self.open.remove(&id) {
            return Ok(());
        }
        let loaded = &mut *self.loaded;
        let objects = &mut loaded.fingerprint.objects;
        match read {
            Read::Absent => {
                objects.insert(key, None);
                loaded.missing.insert(id, "is not in the store".to_owned());
            }
            Read::Broken { meta, reason } => {
                objects.insert(key, Some(identity(&meta)));
                loaded.missing.insert(id, format!("cannot be read: {reason}"));
            }
            Read::Whole { document, meta } => {
                loaded.bytes = loaded.bytes.saturating_add(meta.size);
                let limit = self.source.settings.file_bytes;
                if loaded.bytes > limit {
                    let what = format!("{} bytes of JSON in one file", loaded.bytes);
                    return Err(SourceError::Limit { key, what, limit });
                }
                loaded.modified = loaded.modified.max(Some(meta.modified));
                if id.kind() == IdKind::Dataset {
                    loaded.written.insert(id, meta.modified);
                }
                objects.insert(key.clone(), Some(identity(&meta)));
                for next in hierarchy::children(&document).into_iter().chain(hierarchy::mentioned(&document)) {
                    self.reach(next);
                }
                if self.reached.len() > limits::OBJECTS {
                    let what = format!("{} objects in one file", self.reached.len());
                    return Err(SourceError::Limit { key, what, limit: limits::OBJECTS as u64 });
                }
                self.loaded.objects.insert(id, (key, document));
            }
        }
        Ok(())
    }
}
