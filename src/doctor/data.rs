//! What may be done with the data of a store, and how quickly: an object is read, under conditions and in part, and where
//! that was asked for written and removed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;

use super::Finding;
use super::place::Look;
use crate::config::Place;
use crate::model::location::{ETag, Key};
use crate::source::hsds::id::Id;
use crate::store::{Meta, Object, Put, Store, StoreError};

/// Heads whose median is the latency: few enough to take a second on a slow line.
const HEADS: usize = 5;
/// Answers slower than this are told of: every first look at a file takes a handful.
const SLOW: Duration = Duration::from_millis(300);
/// Keys among which the largest object is looked for: one page of most services.
const SAMPLED: usize = 1000;
/// Bytes read to tell the rate: a chunk as archives have them, read in a second at 8 MB/s.
const READ: u64 = 8 << 20;
/// The largest description of a file that is looked into for where its data lie; they have some hundred bytes.
const DESCRIPTION: u64 = 1 << 20;
/// What an object that is written and removed says.
const WORDS: &str = "h5mount doctor was here; this may be removed\n";
/// A tag that no object has.
const NOBODYS: &str = "\"00000000000000000000000000000000\"";

/// The object that makes SOURCE a file, or a folder with an owner.
pub(super) fn document(place: &Place) -> Key {
    Key::new(format!("{}/.domain.json", place.path).trim_start_matches('/'))
}

/// Looks at an object of SOURCE. `blind`: it could not be listed.
pub(super) async fn look(place: &Place, store: &Store, scratch: Option<Key>, blind: bool, look: &mut Look) {
    let Some((key, meta)) = sample(place, store).await else {
        let reason = if blind { "nothing to read is known" } else { "there is no object to read" };
        look.push(Finding::skip("read", reason));
        return write(store, scratch, look).await;
    };
    let begun = Instant::now();
    let part = store.get_range(&key, 0..meta.size.min(READ), meta.etag.as_ref()).await;
    let (read, ranges, took) = match part {
        // As a mount does where a server knows no ranges.
        Err(StoreError::Failed { .. }) => {
            let begun = Instant::now();
            (store.get(&key).await, false, begun.elapsed())
        }
        read => (read, true, begun.elapsed()),
    };
    match read {
        Ok(Object { bytes, .. }) => {
            look.push(Finding::ok("read", format!("permitted ({key})")));
            if !ranges {
                look.push(Finding::warn(
                    "ranges",
                    "the server sends whole objects only",
                    "data that lie in parts of other files cannot be read from it: use a server that knows ranges",
                ));
            }
            look.push(conditional_get(store, &key, &meta, ranges).await);
            write(store, scratch, look).await;
            latency(store, &key, look).await;
            let rate = bytes.len() as f64 / took.as_secs_f64().max(1e-6) / 1e6;
            let said = format!("{rate:.1} MB/s ({} bytes in {} ms)", bytes.len(), took.as_millis());
            look.push(Finding::ok("rate", said));
        }
        Err(error) => {
            look.refused("read", &error);
            write(store, scratch, look).await;
        }
    }
}

/// An object to read: the largest of a few of SOURCE and of the data it leads to, or else its description.
async fn sample(place: &Place, store: &Store) -> Option<(Key, Meta)> {
    let document = document(place);
    let mut prefixes = vec![match place.path.is_empty() {
        true => String::new(),
        false => format!("{}/", place.path),
    }];
    if !place.path.is_empty() {
        // Where SOURCE is a file, its own data; where it is a folder, those of any.
        prefixes.push(data(store, &document).await.unwrap_or_else(|| "db/".to_owned()));
    }
    let mut largest: Option<(Key, Meta)> = None;
    for prefix in prefixes {
        let mut listing = store.list_below(&prefix).take(SAMPLED);
        while let Some(Ok((key, meta))) = listing.next().await {
            if meta.size > largest.as_ref().map_or(0, |(_, largest)| largest.size) {
                largest = Some((key, meta));
            }
        }
    }
    let (key, meta) = match largest {
        Some(found) => found,
        None => {
            let itself = Key::new(&place.path);
            match store.head(&document).await {
                Ok(meta) => (document, meta),
                Err(_) if place.path.is_empty() => return None,
                Err(_) => (itself.clone(), store.head(&itself).await.ok()?),
            }
        }
    };
    // A listing's entity tag is not in every service the one that a GET gives.
    let meta = store.head(&key).await.unwrap_or(Meta { etag: None, ..meta });
    (meta.size > 0).then_some((key, meta))
}

/// What the keys of a file's data begin with, if its description says so.
async fn data(store: &Store, document: &Key) -> Option<String> {
    let described = store.get_if(document, None, DESCRIPTION).await.ok()?;
    let described: Value = serde_json::from_slice(&described.bytes).ok()?;
    let root = Id::parse(described.get("root")?.as_str()?)?.metadata_key();
    let (folder, _) = root.as_str().rsplit_once('/')?;
    Some(format!("{folder}/"))
}

async fn conditional_get(store: &Store, key: &Key, meta: &Meta, ranges: bool) -> Finding {
    const TOPIC: &str = "conditional GET";
    const REMEDY: &str =
        "what is rewritten while it is read may go unnoticed: read what nobody writes to (--immutable)";
    if meta.etag.is_none() {
        return Finding::warn(TOPIC, "objects have no entity tags", REMEDY);
    }
    let wrong = ETag::new(NOBODYS);
    let asked = match ranges {
        true => store.get_range(key, 0..1, Some(&wrong)).await,
        false => store.get_if(key, Some(&wrong), meta.size).await,
    };
    match asked {
        Err(StoreError::Changed { .. }) => {
            Finding::ok(TOPIC, "kept: by the service, or by comparing the entity tag of what it sends")
        }
        Ok(_) => Finding::warn(TOPIC, "another version than the one asked for was sent", REMEDY),
        Err(error) => Finding::warn(TOPIC, error.to_string(), REMEDY),
    }
}

/// Conditional puts, on an object of ours. Nothing of it stays.
async fn write(store: &Store, scratch: Option<Key>, look: &mut Look) {
    const TOPIC: &str = "conditional PUT";
    let Some(key) = scratch else {
        return look.push(Finding::skip(TOPIC, "not tried; --write writes a small object and removes it"));
    };
    if !store.capabilities().conditional_put {
        return look.push(Finding::warn(TOPIC, "this kind of store has none", "one writer at a time"));
    }
    let result = conditions(store, &key).await;
    let removed = store.delete(&key).await;
    look.push(match (result, removed) {
        (Ok(None), Ok(())) => Finding::ok(TOPIC, "kept (an object was written and removed)"),
        (Ok(Some(broken)), _) => Finding::warn(TOPIC, broken, "one writer at a time: nothing would tell two apart"),
        (Err(StoreError::Forbidden { reason, .. }), _) => {
            Finding::warn(TOPIC, format!("writing is not permitted: {reason}"), "nothing, where you only read")
        }
        (Err(error), _) => return look.refused(TOPIC, &error),
        (Ok(None), Err(error)) => {
            let remedy = format!("remove it: {}", store.location(&key));
            Finding::warn(TOPIC, format!("kept, and the object cannot be removed: {error}"), remedy)
        }
    });
}

/// The condition that was not kept, if any.
async fn conditions(store: &Store, key: &Key) -> Result<Option<&'static str>, StoreError> {
    let bytes = Bytes::from_static(WORDS.as_bytes());
    let first = store.put(key, bytes.clone(), Put::IfAbsent).await?;
    match store.put(key, bytes.clone(), Put::IfAbsent).await {
        Err(StoreError::Exists { .. }) => {}
        Ok(_) => return Ok(Some("an object that is there is overwritten in spite of If-None-Match")),
        Err(error) => return Err(error),
    }
    let Some(etag) = first.etag else { return Ok(Some("objects have no entity tags")) };
    store.put(key, bytes.clone(), Put::IfMatch(etag)).await?;
    let wrong = ETag::new(NOBODYS);
    match store.put(key, bytes, Put::IfMatch(wrong)).await {
        Err(StoreError::Changed { .. }) => Ok(None),
        Ok(_) => Ok(Some("an object is overwritten in spite of If-Match")),
        Err(error) => Err(error),
    }
}

/// How long one request takes, on a connection that is there already.
async fn latency(store: &Store, key: &Key, look: &mut Look) {
    const TOPIC: &str = "latency";
    let mut times = Vec::with_capacity(HEADS);
    // The first one may have to connect, and is not counted.
    for counted in [false].into_iter().chain([true; HEADS]) {
        let begun = Instant::now();
        if let Err(error) = store.head(key).await {
            return look.refused(TOPIC, &error);
        }
        if counted {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let median = times.get(HEADS / 2).copied().unwrap_or_default();
    let mut said = format!("{:.1} ms (median of {HEADS})", median.as_secs_f64() * 1e3);
    if store.whereabouts().is_some_and(|place| place.reconnects) {
        said += ", connecting included: the service ends each connection after one request";
    }
    look.push(match median > SLOW {
        true => Finding::warn(TOPIC, said, "mount near the data: in its region"),
        false => Finding::ok(TOPIC, said),
    });
}
