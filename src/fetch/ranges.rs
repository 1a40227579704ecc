//! Ranges of objects that several chunks lie in: what is asked for in the same breath is coalesced.
//!
//! The first who wants a range of an object starts a task; whoever comes before that runs joins it. Nobody waits longer
//! than for the tasks that are ready to run, and a chunk by itself is a request by itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use tokio::sync::oneshot;

use super::coalesce::{Costs, Part, Wanted, coalesce};
use crate::model::location::{ETag, Key, Location};
use crate::store::{Meta, Object, Store, StoreError, Urgency};

/// How many times the task lets others run before it begins: those that were begun together have all been polled then.
const BREATHS: usize = 2;
/// Answers with fewer bytes tell of latency, longer ones of bandwidth.
const SHORT: u64 = 64 << 10;
/// The weight of what was measured before against one more answer.
const BEFORE: u64 = 7;

type Answer = oneshot::Sender<Result<Object, StoreError>>;
/// What is waited for, by object and the condition that it is bound to.
type Waiting = HashMap<(Location, Option<ETag>), Vec<(Wanted, Answer)>>;

/// Who waits for which ranges.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    waiting: Mutex<Waiting>,
    /// What was asked for and has not come yet.
    coming: Mutex<HashMap<Location, Vec<Range<u64>>>>,
    pace: Pace,
}

/// How fast answers come, in microseconds and bytes a second; 0 where it is not known.
#[derive(Debug, Default)]
struct Pace {
    micros: AtomicU64,
    bytes: AtomicU64,
}

impl Pace {
    fn costs(&self) -> Costs {
        match (self.micros.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed)) {
            (0, _) | (_, 0) => Costs::default(),
            (micros, bytes) => Costs::measured(micros, bytes),
        }
    }

    fn note(&self, micros: u64, bytes: u64) {
        let latency = self.micros.load(Ordering::Relaxed);
        let (place, seen) = if bytes < SHORT {
            (&self.micros, micros)
        } else {
            let flowed = micros.saturating_sub(latency).max(1);
            (&self.bytes, u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(flowed)).unwrap_or(u64::MAX))
        };
        let before = place.load(Ordering::Relaxed);
        // Two who note at once lose one of the two, which is nothing among many.
        place.store(
            if before == 0 { seen } else { (before / (BEFORE + 1)) * BEFORE + seen / (BEFORE + 1) },
            Ordering::Relaxed,
        );
    }
}

impl Ranges {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn coming(&self) -> MutexGuard<'_, HashMap<Location, Vec<Range<u64>>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes `range` of an object, exactly those.
    ///
    /// # Errors
    /// As [`Store::get_range`].
    pub async fn get(
        self: &Arc<Self>,
        store: &Arc<Store>,
        key: &Key,
        range: Range<u64>,
        condition: Option<ETag>,
        urgency: Urgency,
    ) -> Result<Object, StoreError> {
        let (answer, answered) = oneshot::channel();
        let location = store.location(key);
        let first = {
            let mut waiting = self.lock();
            let list = waiting.entry((location.clone(), condition.clone())).or_default();
            list.push((Wanted { range, urgency }, answer));
            list.len() == 1
        };
        if first {
            tokio::spawn(Arc::clone(self).begin(Arc::clone(store), location.clone(), condition));
        }
        let stopped = |_| StoreError::Failed { location, reason: "the request was given up".to_owned() };
        answered.await.map_err(stopped)?
    }

    async fn begin(self: Arc<Self>, store: Arc<Store>, location: Location, condition: Option<ETag>) {
        for _ in 0..BREATHS {
            tokio::task::yield_now().await;
        }
        let key = location.key.clone();
        let Some(waiting) = self.lock().remove(&(location.clone(), condition.clone())) else { return };
        let (wanted, answers): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let coming = self.coming().get(&location).cloned().unwrap_or_default();
        let parts = coalesce(&wanted, &coming, self.pace.costs());
        // Parts of one long range, which come one after the other, belong together; everything else goes its own way.
        let mut groups: Vec<Vec<Part>> = Vec::new();
        for part in parts {
            let shares =
                |group: &Vec<Part>| group.iter().flat_map(|part| &part.wanted).any(|at| part.wanted.contains(at));
            match groups.last_mut().filter(|group| shares(group)) {
                Some(group) => group.push(part),
                None => groups.push(vec![part]),
            }
        }
        let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
        for parts in groups {
            let take = |&index: &usize| Some((wanted.get(index)?.range.clone(), answers.get_mut(index)?.take()?));
            let members = parts.iter().flat_map(|part| &part.wanted).filter_map(take).collect();
            let (ranges, store) = (Arc::clone(&self), Arc::clone(&store));
            let (key, condition) = (key.clone(), condition.clone());
            tokio::spawn(async move { ranges.bring(&store, &key, condition.as_ref(), parts, members).await });
        }
    }

    /// Asks for parts that belong together, and hands them out; ends early where nobody waits any more.
    async fn bring(
        &self,
        store: &Store,
        key: &Key,
        condition: Option<&ETag>,
        parts: Vec<Part>,
        mut members: Vec<(Range<u64>, Answer)>,
    ) {
        let got = {
            let _coming = Coming::of(self, store.location(key), &parts);
            let get = async |part: &Part| {
                let begun = Instant::now();
                let got = store.at(part.urgency).get_range(key, part.range.clone(), condition).await;
                if got.is_ok() {
                    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.pace.note(micros, part.range.end - part.range.start);
                }
                got
            };
            let gets = join_all(parts.iter().map(get));
            let left = join_all(members.iter_mut().map(|(_, answer)| answer.closed()));
            tokio::select! {
                got = gets => got,
                _ = left => return,
            }
        };
        let whole = parts.first().zip(parts.last()).map(|(first, last)| first.range.start..last.range.end);
        let joined = joined(got, store, key);
        let alone = members.len() == 1;
        for (range, answer) in members {
            let given = match (&joined, &whole) {
                (Ok((bytes, meta)), Some(whole)) => part_of(bytes, whole, &range, alone).map_or_else(
                    || Err(StoreError::Range { location: store.location(key), start: range.start, end: range.end }),
                    |bytes| Ok(Object { bytes, meta: meta.clone() }),
                ),
                // One of them may lie past the end of the object; each is told of itself.
                (Err(StoreError::Range { .. }), _) if !alone => store.get_range(key, range, condition).await,
                (Err(error), _) => Err(error.clone()),
                (Ok(_), None) => continue,
            };
            // Who left needs no answer.
            let _ = answer.send(given);
        }
    }
}

/// Parts in their order as one. Without a condition they may be of different states of the object.
fn joined(parts: Vec<Result<Object, StoreError>>, store: &Store, key: &Key) -> Result<(Bytes, Meta), StoreError> {
    let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
    let Some(first) = parts.first() else {
        return Ok((Bytes::new(), Meta { size: 0, etag: None, modified: std::time::SystemTime::UNIX_EPOCH }));
    };
    let meta = first.meta.clone();
    if parts.len() == 1 {
        return Ok((first.bytes.clone(), meta));
    }
    if parts.iter().any(|part| part.meta != meta) {
        return Err(StoreError::Changed { location: store.location(key) });
    }
    let mut whole = BytesMut::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
    // Each goes as soon as it was copied: there is room for one of all the bytes, not for two.
    parts.into_iter().for_each(|part| whole.extend_from_slice(&part.bytes));
    Ok((whole.freeze(), meta))
}

/// The bytes of `range` out of those of `whole`. Copied, unless they are alone: a small chunk must not hold a large part.
fn part_of(bytes: &Bytes, whole: &Range<u64>, range: &Range<u64>, alone: bool) -> Option<Bytes> {
    let start = usize::try_from(range.start.checked_sub(whole.start)?).ok()?;
    let end = usize::try_from(range.end.checked_sub(whole.start)?).ok()?;
    let part = bytes.get(start..end)?;
    Some(if alone { bytes.slice_ref(part) } else { Bytes::copy_from_slice(part) })
}

/// Notes that requests are on their way, until they have come or were given up.
struct Coming<'r> {
    ranges: &'r Ranges,
    location: Location,
    parts: Vec<Range<u64>>,
}

impl<'r> Coming<'r> {
    fn of(ranges: &'r Ranges, location: Location, parts: &[Part]) -> Coming<'r> {
        let parts: Vec<_> = parts.iter().map(|part| part.range.clone()).collect();
        ranges.coming().entry(location.clone()).or_default().extend(parts.iter().cloned());
        Coming { ranges, location, parts }
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.ranges.coming();
        let Some(all) = coming.get_mut(&self.location) else { return };
        for part in &self.parts {
            if let Some(at) = all.iter().position(|range| range == part) {
                all.swap_remove(at);
            }
        }
        if all.is_empty() {
            coming.remove(&self.location);
        }
    }
}

#[cfg(test)]
mod tests;
