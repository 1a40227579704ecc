//! Whether the objects a version was read from are still the same, in as few requests as can be.
//!
//! * On a directory tree each is looked at, the domain first: where that is gone, so is the file. A look is a `stat`.
//! * Where one page of a listing holds the file's keys, that page and a look at the domain say it exactly. What differs
//!   by the page is looked at before that is believed: some services spell entity tags otherwise in a listing. Whether a
//!   page is enough, the statistics say; of a file without them it is tried once.
//! * Else, where there are scan statistics, the domain and these: HSDS rewrites them after it changed anything.
//! * Else each object is looked at, many at a time.
//!
//! A link that leads to a new object is a changed group, so objects that the version does not know need not be looked
//! for. Writing a chunk changes none of the objects but the statistics, so their identity is part of the fingerprint
//! too, though nothing of them is shown.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::documents::identity;
use super::{HsdsSource, is_refused};
use crate::model::location::{ETag, Key};
use crate::source::{Fingerprint, Freshness, SourceError};
use crate::store::{Denial, Meta, Store, StoreError};

/// Objects by key, each with the identity it had.
type Objects<'a> = Vec<(&'a Key, &'a Option<ETag>)>;

impl HsdsSource {
    /// What became of `fingerprint`.
    pub(super) async fn compare(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError> {
        let of = |end: &str| -> (Objects<'_>, Objects<'_>) {
            fingerprint.objects.iter().partition(|(key, _)| key.as_str().ends_with(end))
        };
        let (domains, objects) = of("/.domain.json");
        if self.store.capabilities().directories {
            return Ok(match self.domains(&domains).await? {
                Freshness::Unchanged => self.looked_at(&objects).await?,
                other => other,
            });
        }
        let (domain, rest) = tokio::join!(self.domains(&domains), self.compare_below(fingerprint));
        Ok(match domain? {
            Freshness::Unchanged => rest?,
            other => other,
        })
    }

    /// What became of all but the domain, where nothing is near.
    pub(super) async fn compare_below(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError> {
        let of = |end: &str| -> (Objects<'_>, Objects<'_>) {
            fingerprint.objects.iter().partition(|(key, _)| key.as_str().ends_with(end))
        };
        let (_, objects) = of("/.domain.json");
        let rest = async {
            if let Some(below) = fingerprint.page.as_ref().filter(|below| self.may_fit(below))
                && let Some(found) = self.by_page(below, &objects).await?
            {
                return Ok(found);
            }
            let (statistics, _) = of("/.info.json");
            let told = fingerprint.tells_of_chunks;
            self.looked_at(if told { &statistics } else { &objects }).await
        };
        rest.await
    }

    async fn domains(&self, domains: &Objects<'_>) -> Result<Freshness, SourceError> {
        for (key, was) in domains {
            // Whoever opens a file looked its name up before.
            match was.as_ref().and_then(|was| self.recent.is_still(key, was)) {
                Some(true) => continue,
                Some(false) => return Ok(Freshness::Changed),
                None => {}
            }
            match (now(&self.store, key).await?, was) {
                (None, Some(_)) => return Ok(Freshness::Gone),
                (now, was) if now != **was => return Ok(Freshness::Changed),
                _ => {}
            }
        }
        Ok(Freshness::Unchanged)
    }

    /// Looks at each object. Ends at the first difference.
    async fn looked_at(&self, objects: &Objects<'_>) -> Result<Freshness, SourceError> {
        let objects: Vec<(Key, Option<ETag>)> = objects.iter().map(|&(key, was)| (key.clone(), was.clone())).collect();
        let mut checks = stream::iter(objects)
            .map(|(key, was)| async move {
                match now(&self.store, &key).await {
                    // Perhaps no more than absent: reading the file anew finds out, or says what is refused.
                    Err(error) if is_refused(&error) => Ok(false),
                    now => Ok::<_, SourceError>(now? == was),
                }
            })
            .buffer_unordered(self.settings.in_flight.max(1));
        while let Some(same) = checks.next().await {
            if !same? {
                return Ok(Freshness::Changed);
            }
        }
        Ok(Freshness::Unchanged)
    }

    /// Whether a page of a listing may tell of these keys.
    pub(super) fn may_fit(&self, below: &Key) -> bool {
        !self.tags_differ.load(Ordering::Relaxed) && !self.crowded().contains(below)
    }

    /// What a page of a listing says of the objects; `None` where it cannot say it: there is more than a page by now, it
    /// may not be listed, or its tags are not those of the objects.
    async fn by_page(&self, below: &Key, objects: &Objects<'_>) -> Result<Option<Freshness>, SourceError> {
        let Some(listed) = self.pages(below, 1).await? else { return Ok(None) };
        let (inside, outside): (Objects<'_>, Objects<'_>) =
            objects.iter().partition(|(key, _)| key.as_str().starts_with(below.as_str()));
        for (key, was) in inside {
            if listed.get(key).map(identity) == *was {
                continue;
            }
            if now(&self.store, key).await? != *was {
                return Ok(Some(Freshness::Changed));
            }
            self.tags_differ.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        self.looked_at(&outside).await.map(Some)
    }

    /// All keys that begin so, if so many pages of a listing hold them: `None` where there are more, or they may not be
    /// listed.
    pub(super) async fn pages(&self, below: &Key, pages: usize) -> Result<Option<HashMap<Key, Meta>>, StoreError> {
        let most = pages.saturating_mul(PAGE);
        let listed = self.store.list_below(below.as_str()).take(most.saturating_add(1)).try_collect::<Vec<_>>().await;
        match listed {
            Ok(listed) if listed.len() <= most => Ok(Some(listed.into_iter().collect())),
            Ok(_) | Err(StoreError::Forbidden { denial: Denial::Rights, .. } | StoreError::Unsupported { .. }) => {
                self.crowded().insert(below.clone());
                Ok(None)
            }
            // A token that has expired, a clock that is wrong: that passes, and is remembered of no file.
            Err(StoreError::Forbidden { .. }) => Ok(None),
            Err(error) if error.is_not_found() => Ok(Some(HashMap::new())),
            Err(error) => Err(error),
        }
    }

    /// Files that turned out to have more keys than a page.
    fn crowded(&self) -> MutexGuard<'_, HashSet<Key>> {
        // Nothing that panics runs under the lock.
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys of a page of a listing: what every service gives at least.
pub(super) const PAGE: usize = 1000;

/// The identity of an object now; `None` where it is absent.
pub(super) async fn now(store: &Store, key: &Key) -> Result<Option<ETag>, StoreError> {
    match store.head(key).await {
        Ok(meta) => Ok(Some(identity(&meta))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
