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
/// Bytes of an object that is read whole, where no part can be.
const WHOLE: u64 = 4 * READ;
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
    let (read, known, took) = match part {
        // A mount reads whole objects where a server knows no ranges.
        Err(StoreError::Failed { .. }) if meta.size > WHOLE => {
            look.push(ranges(place, &key));
            return write(store, scratch, look).await;
        }
        Err(StoreError::Failed { .. }) => {
            let begun = Instant::now();
            (store.get(&key).await, false, begun.elapsed())
        }
        read => (read, true, begun.elapsed()),
    };
    match read {
        Ok(Object { bytes, .. }) => {
            look.push(Finding::ok("read", format!("permitted ({key})")));
            if !known {
                look.push(ranges(place, &key));
            }
            look.push(conditional_get(store, &key, &meta, known).await);
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

/// Of a server that sends whole objects where part of one is asked for. A file of HSDS is read from such, a few kinds of
/// data apart; of any other file nothing is.
fn ranges(place: &Place, key: &Key) -> Finding {
    const TOPIC: &str = "ranges";
    const SAID: &str = "the server, or a proxy in between, sends whole objects where part of one is asked for";
    const REMEDY: &str = "use a server that knows ranges (Range, 206), or have the proxy pass them on";
    match key.as_str() == place.path {
        true => Finding::fail(TOPIC, format!("{SAID}: {key} cannot be read so"), REMEDY),
        false => Finding::warn(
            TOPIC,
            format!("{SAID}: chunks that are read in parts, and data that lie in other files, cannot be read"),
            REMEDY,
        ),
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

/// Conditional puts, on an object of ours. Nothing of it stays, or that is told.
async fn write(store: &Store, scratch: Option<Key>, look: &mut Look) {
    const TOPIC: &str = "conditional PUT";
    let Some(key) = scratch else {
        return look.push(Finding::skip(TOPIC, "not tried; --write writes a small object and removes it"));
    };
    if !store.capabilities().conditional_put {
        return look.push(Finding::warn(TOPIC, "this kind of store has none", "one writer at a time"));
    }
    let mut written = false;
    let result = conditions(store, &key, &mut written).await;
    let removed = store.delete(&key).await;
    match result {
        Ok(None) if removed.is_ok() => look.push(Finding::ok(TOPIC, "kept (an object was written and removed)")),
        Ok(None) => look.push(Finding::ok(TOPIC, "kept")),
        Ok(Some(broken)) => {
            look.push(Finding::warn(TOPIC, broken, "one writer at a time: nothing would tell two apart"));
        }
        Err(StoreError::Forbidden { reason, .. }) => {
            let said = format!("writing is not permitted: {reason}");
            look.push(Finding::warn(TOPIC, said, "nothing, where you only read"));
        }
        Err(error) => look.refused(TOPIC, &error),
    }
    let Err(error) = removed else { return };
    // Where nothing may be written, nothing was; of a put whose answer was lost only the store knows.
    let there = match store.head(&key).await {
        Ok(_) => "stays",
        Err(StoreError::NotFound { .. }) => return,
        Err(StoreError::Forbidden { .. }) if !written => return,
        Err(_) => "perhaps stays",
    };
    let said = format!("{} {there}: it cannot be removed: {error}", store.location(&key));
    look.push(Finding::warn("left behind", said, format!("remove it: {}", store.location(&key))));
}

/// The condition that was not kept, if any. `written`: an object is there.
async fn conditions(store: &Store, key: &Key, written: &mut bool) -> Result<Option<&'static str>, StoreError> {
    let bytes = Bytes::from_static(WORDS.as_bytes());
    let first = store.put(key, bytes.clone(), Put::IfAbsent).await?;
    *written = true;
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

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::config;

    /// What is found of writing, at a web server that answers `PUT`, `DELETE` and `HEAD` with these statuses.
    async fn written(put: u16, delete: u16, head: u16) -> Vec<(&'static str, Verdict, String)> {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines: Vec<String> =
                    BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let status = match lines[0].split(' ').next().unwrap() {
                    // Only the first is granted: nothing keeps conditions here.
                    "PUT" => put,
                    "DELETE" => delete,
                    _ => head,
                };
                let code = if status == 404 { "NoSuchKey" } else { "AccessDenied" };
                let error = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
                let body = if status < 300 || lines[0].starts_with("HEAD") { "" } else { &error };
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\netag: \"e\"\r\nx-amz-request-id: 1\r\n\
                     last-modified: Sat, 03 Feb 2024 04:05:06 GMT\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
            }
        });
        let place = config::place("s3://bucket", None).unwrap();
        let options = config::AccessOptions { endpoint: Some(url), no_sign_request: Some(true), ..Default::default() };
        let access = options.resolve(place.kind(), Default::default()).unwrap();
        let settings = crate::store::StoreSettings { access, ..Default::default() };
        let store = Store::open_with(&place.bucket, settings).await.unwrap();
        let mut look = Look::default();
        write(&store, Some(Key::new("scratch")), &mut look).await;
        look.found().iter().map(|finding| (finding.topic, finding.verdict, finding.said.clone())).collect()
    }

    #[tokio::test]
    async fn an_object_that_is_left_behind_is_named() {
        for (put, delete, head, left) in [
            (200, 204, 404, false),
            // It may be written, and not removed; nor looked at.
            (200, 403, 200, true),
            (200, 403, 403, true),
            // Nothing may be done, so nothing was.
            (403, 403, 403, false),
            (403, 403, 404, false),
        ] {
            let found = written(put, delete, head).await;
            assert_eq!(found[0].0, "conditional PUT", "{found:?}");
            let told = found.iter().find(|(topic, ..)| *topic == "left behind");
            assert_eq!(told.is_some(), left, "{put} {delete} {head}: {found:?}");
            assert!(told.is_none_or(|(_, _, said)| said.contains("s3://bucket/scratch stays") || head == 403));
        }
    }

    #[test]
    fn a_server_without_ranges_fails_for_a_file_that_is_read_in_parts_only() {
        let place = |path: &str| config::place(&format!("https://host/{path}"), None).unwrap();
        assert_eq!(ranges(&place("a.h5"), &Key::new("a.h5")).verdict, Verdict::Fail);
        assert_eq!(ranges(&place("a.h5"), &Key::new("a.h5/.domain.json")).verdict, Verdict::Warn);
    }
}
