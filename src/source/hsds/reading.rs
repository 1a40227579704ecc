//! The objects of a file on their way: what leads to what, what is asked for next, and what of it may come from a summary or an
//! index beside it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, TryFutureExt};

use super::asides::{Pages, Summed, Told};
use super::documents::{Read, identity};
use super::id::{Id, IdKind};
use super::index::Index;
use super::loader::Loaded;
use super::statistics::Statistics;
use super::{HsdsSource, hierarchy, key};
use crate::model::limits;
use crate::model::location::Key;
use crate::source::SourceError;
use crate::store::{Object, StoreError, Urgency, Waiting, Wanted};

/// Largest summary that is read. It only serves to save requests; 64 MiB are some 60,000 objects.
const SUMMARY_BYTES: u64 = 64 << 20;
/// How long objects wait for a summary and its listing. Where these take as long as some hundred requests do, they save
/// nothing.
pub(super) const SUMMARY_PATIENCE: Duration = Duration::from_secs(2);

/// Objects of a file from which on an index beside it is looked for: four times as many as are read at once.
const MANY: u64 = 256;

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

type Answer = (Id, Key, Result<Read, StoreError>);

/// Objects being read.
pub(super) struct Reading<'a> {
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

    /// Reads what is reached from `root`; nothing is taken from an index where that is to happen `anew`.
    pub(super) fn begin(
        source: &'a HsdsSource,
        waiting: &'a Waiting,
        loaded: &'a mut Loaded,
        root: Id,
        anew: bool,
    ) -> Self {
        let mut reading = Reading { anew, ..Reading::new(source, waiting, loaded) };
        // Before any chunk is read: a chunk written later changes the statistics later.
        reading.asides.push(source.statistics(root).map_ok(Aside::Statistics).boxed());
        if let Some(folder) = key::datasets(&root).filter(|_| source.reads_ahead()) {
            reading.asides.push(source.datasets(root, folder).map(|found| Ok(Aside::Datasets(found))).boxed());
        }
        if let Some(key) = key::summary(&root).filter(|_| source.reads_ahead()) {
            // Asked for before it is known that there is one: a request where there is none, instead of a round trip.
            let kept = async move { source.store.get_if(&key, None, SUMMARY_BYTES).await };
            reading.asides.push(kept.map(|kept| Ok(Aside::Kept(kept.ok()))).boxed());
            reading.asides.push(tokio::time::sleep(SUMMARY_PATIENCE).map(|()| Ok(Aside::Late)).boxed());
        }
        reading.reach(root);
        reading.ask();
        // All others perhaps come at once.
        reading.held = source.reads_ahead() && key::summary(&root).is_some();
        reading
    }

    /// Reads `ids` once more, and what is reached from them alone; `known` is there already.
    pub(super) fn again(
        source: &'a HsdsSource,
        waiting: &'a Waiting,
        loaded: &'a mut Loaded,
        known: HashSet<Id>,
        ids: Vec<Id>,
    ) -> Self {
        let mut reading = Reading { reached: known, ..Reading::new(source, waiting, loaded) };
        ids.into_iter().for_each(|id| reading.reach(id));
        reading
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
    pub(super) async fn finish(mut self) -> Result<(), SourceError> {
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
