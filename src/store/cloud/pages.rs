//! Listings of a bucket: one level page by page, or everything below a prefix with the next page on its way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::list::PaginatedListOptions;
use tokio::task::JoinHandle;

use super::answer::Asked;
use super::attempts::Failure;
use super::listing::{Page, speakable};
use super::{Cloud, Service};
use crate::model::location::Key;
use crate::store::pace::Waits;
use crate::store::permits::{Permit, Permits, Stands};
use crate::store::{Batch, Listing, StoreError, Urgency};

/// Keys in a page; S3 gives no more, and the others are not asked for more.
const KEYS: usize = 1000;
/// Pages one after another that hold nothing, before a listing is given up. Services send such where much was deleted, of
/// some thousand keys each; a listing that goes round in circles never ends.
const EMPTY: u32 = 1000;
/// Listings whose odd keys are remembered as told.
const TOLD: usize = 10_000;

impl Cloud {
    /// One page of one level.
    pub(super) async fn level(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        permit: Permit,
    ) -> Result<Listing, StoreError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let key = Key::new(&prefix);
        let (empty, token) = after.map_or((0, None), marked);
        // Two at least: a folder may begin with an object of its own name, which is not shown.
        let options = PaginatedListOptions {
            delimiter: Some("/".into()),
            max_keys: Some(page.clamp(2, KEYS)),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let found = self.page(&key, options, permit).await?;
        let empty = self.count_empty(&key, &found, empty)?;
        if found.objects.is_empty() && found.folders.is_empty() && found.next.is_none() && after.is_none() {
            // A bucket may be empty and yet be there.
            if !folder.is_empty() {
                return Err(StoreError::NotFound { location: self.location(&Key::new(folder)) });
            }
        }
        let mut listing = Listing::default();
        let (mut through, mut odd) = (None::<&str>, Odd::default());
        for name in found.folders.iter().chain(found.objects.iter().map(|(key, _)| key)) {
            through = through.max(name.strip_prefix(&prefix));
        }
        let through = through.map(str::to_owned).filter(|_| found.next.is_some());
        for folder in found.folders {
            let name = folder.strip_prefix(&prefix).and_then(|name| name.strip_suffix('/'));
            match name.filter(|_| speakable(folder.trim_end_matches('/'))) {
                Some(name) if !name.is_empty() => listing.folders.push(name.to_owned()),
                _ => odd.note(&folder),
            }
        }
        for (key, meta) in found.objects {
            match key.strip_prefix(&prefix) {
                Some("") => {}
                Some(name) if speakable(&key) => listing.objects.push((name.to_owned(), meta)),
                _ => odd.note(&key),
            }
        }
        self.tell_odd(folder.to_owned(), &odd);
        listing.folders.sort_unstable();
        listing.objects.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        listing.next = found.next.map(|token| mark(empty, &token));
        listing.through = through;
        Ok(listing)
    }

    /// Everything below a prefix. The page after the one that is being used is already asked for, when it is its turn.
    pub(super) fn below(
        self: Arc<Self>,
        prefix: &str,
        permits: Arc<Permits>,
    ) -> BoxStream<'static, Result<Batch, StoreError>> {
        let (prefix, odd) = (Key::new(prefix), Odd::default());
        let below = Below { cloud: self, prefix, permits, next: Next::Begin, empty: 0, odd };
        stream::try_unfold(below, |mut below| async move { Ok(below.batch().await?.map(|batch| (batch, below))) })
            .boxed()
    }

    /// How many pages that hold nothing came one after another, `before` this one and with it.
    fn count_empty(&self, prefix: &Key, page: &Page, before: u32) -> Result<u32, StoreError> {
        let empty = if page.objects.is_empty() && page.folders.is_empty() { before + 1 } else { 0 };
        if page.next.is_some() && empty >= EMPTY {
            let reason = format!("{EMPTY} pages of keys, one after another, hold none: it has no end");
            return Err(StoreError::Garbled { location: self.location(prefix), reason });
        }
        Ok(empty)
    }

    /// One page, asked for until it comes. `prefix` is a beginning of keys, not a key.
    async fn page(&self, prefix: &Key, options: PaginatedListOptions, permit: Permit) -> Result<Page, StoreError> {
        let ask = |service: Arc<Service>, waits| {
            let options = options.clone();
            async move { self.page_once(&service, prefix, options, waits).await }.boxed()
        };
        let asked = self.ask(prefix, Some(permit), ask).await;
        self.note_listing(asked)
    }

    async fn page_once(
        &self,
        service: &Service,
        prefix: &Key,
        options: PaginatedListOptions,
        waits: Waits,
    ) -> Result<Page, Failure> {
        let Some(pages) = &service.pages else {
            return Err(Failure::last(StoreError::Unsupported {
                what: self.location(prefix).to_string(),
                reason: "this kind of store cannot be listed: name a file by its path".to_owned(),
            }));
        };
        let token = options.page_token.clone();
        let request = pages.list_paginated(Some(prefix.as_str()).filter(|prefix| !prefix.is_empty()), options);
        let (_, answer) = self.hear(service, Asked::List, prefix, waits, request).await?;
        self.proven.store(true, Ordering::Relaxed);
        let garbled = |reason: String| StoreError::Garbled { location: self.location(prefix), reason };
        let page = answer.page.unwrap_or_else(|| Err("no list of keys".to_owned()));
        let page = page.map_err(|reason| Failure::damaged(garbled(reason)))?;
        let all = page.folders.iter().chain(page.objects.iter().map(|(key, _)| key));
        if let Some(other) = all.into_iter().find(|key| !key.starts_with(prefix.as_str())) {
            return Err(Failure::last(garbled(format!("lists {other:?}, which was not asked for"))));
        }
        if page.next.is_some() && page.next == token {
            return Err(Failure::last(garbled("the next page is this one again".to_owned())));
        }
        Ok(page)
    }

    /// Says once for each listing that it leaves out keys.
    fn tell_odd(&self, listing: String, odd: &Odd) {
        let Some(first) = &odd.first else { return };
        let mut told = self.odd.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if told.len() < TOLD && !told.contains(&listing) {
            tracing::warn!(
                bucket = self.bucket.as_str(),
                %listing,
                left_out = odd.number,
                %first,
                "keys with an empty segment, `.`, `..` or control characters are left out of the listing"
            );
            told.insert(listing);
        }
    }
}

/// Everything below a prefix, page by page.
struct Below {
    cloud: Arc<Cloud>,
    prefix: Key,
    permits: Arc<Permits>,
    next: Next,
    /// Pages that held nothing, one after another.
    empty: u32,
    odd: Odd,
}

enum Next {
    Begin,
    Asked(JoinHandle<Result<Page, StoreError>>),
    End,
}

impl Below {
    /// The next page; `None` after the last.
    async fn batch(&mut self) -> Result<Option<Batch>, StoreError> {
        if matches!(self.next, Next::Begin) {
            self.ask(None);
        }
        let Next::Asked(task) = &mut self.next else { return Ok(None) };
        let asked = task.await;
        self.next = Next::End;
        let page = asked.unwrap_or_else(|stopped| {
            Err(StoreError::Failed { location: self.cloud.location(&self.prefix), reason: stopped.to_string() })
        })?;
        self.empty = self.cloud.count_empty(&self.prefix, &page, self.empty)?;
        if let Some(token) = page.next {
            self.ask(Some(token));
        }
        let mut batch = Batch::new();
        for (key, meta) in page.objects {
            if speakable(&key) {
                batch.push((Key::new(key), meta));
            } else if !key.strip_suffix('/').is_some_and(speakable) {
                self.odd.note(&key);
            }
        }
        Ok(Some(batch))
    }

    fn ask(&mut self, token: Option<String>) {
        let (cloud, prefix, permits) = (Arc::clone(&self.cloud), self.prefix.clone(), Arc::clone(&self.permits));
        self.next = Next::Asked(tokio::spawn(async move {
            let late = |Stands(waited): Stands| {
                let location = cloud.location(&prefix);
                StoreError::Timeout { location, seconds: waited.as_secs() }
            };
            // Each page is needed before the next, so somebody waits for every one of them. The place is given back when
            // the page is there, whether or not anybody has come for it.
            let permit = permits.turn(Urgency::Demand).await.map_err(late)?;
            let options =
                PaginatedListOptions { max_keys: Some(KEYS), page_token: token, ..PaginatedListOptions::default() };
            cloud.page(&prefix, options, permit).await
        }));
    }
}

impl Drop for Below {
    /// Nobody waits for it any more.
    fn drop(&mut self) {
        if let Next::Asked(task) = &self.next {
            task.abort();
        }
        self.cloud.tell_odd(format!("{}*", self.prefix), &self.odd);
    }
}

/// Keys that cannot be shown.
#[derive(Debug, Default)]
struct Odd {
    number: usize,
    /// The first, its control characters escaped.
    first: Option<String>,
}

impl Odd {
    fn note(&mut self, key: &str) {
        self.number += 1;
        self.first.get_or_insert_with(|| key.escape_debug().to_string());
    }
}

/// Where a listing goes on, and how many empty pages came before: nobody else has a memory of that.
fn mark(empty: u32, token: &str) -> String {
    format!("{empty}/{token}")
}

/// What [`mark`] made, taken apart.
fn marked(next: &str) -> (u32, Option<String>) {
    let parts = next.split_once('/').and_then(|(empty, token)| Some((empty.parse().ok()?, token)));
    let (empty, token) = parts.unwrap_or((0, next));
    (empty, Some(token.to_owned()))
}
