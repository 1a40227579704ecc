//! The bytes of an object: as many as were promised, of one version, each part in time.
//!
//! What came before a connection broke is kept, and the rest is asked for with `If-Match`. What came whole but is not what
//! its MD5 tells of, where the service told one, is looked at once more: a proxy may cut a body and its length alike.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use md5::{Digest as _, Md5};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};
use tokio::time::Instant;

use super::answer::{Answer, Asked};
use super::attempts::{Failure, Then, told};
use super::wire::up_to;
use super::{Cloud, Service, meta};
use crate::model::location::{ETag, Key};
use crate::store::pace::{Awaited, Waits};
use crate::store::{Get, Object, StoreError};

/// Largest object whose MD5 is computed: documents, and small chunks, in a tenth of a millisecond, where the answer is
/// awaited. What is short of a larger one fails to decode, and an MD5 of each would cost more than all the rest of reading
/// it: 1.7 s of a core for a gigabyte.
const DIGESTED: usize = 64 << 10;

/// Bytes from which on an answer that came in one part is handed on as it is. A smaller one is copied: with it goes all that
/// the HTTP library read into at the time, up to 400 KiB.
const ALONE: usize = 256 << 10;

/// What the entity tags of a bucket turned out to be. They look alike where they are no digests: of objects that are
/// encrypted with a key of their own, or of services that make them up.
#[derive(Debug, Default)]
pub struct Digests {
    right: AtomicBool,
    wrong: AtomicBool,
}

impl Digests {
    /// Whether a tag that looks like a digest may be one.
    fn are_told(&self) -> bool {
        self.right.load(Ordering::Relaxed) || !self.wrong.load(Ordering::Relaxed)
    }
}

/// What earlier attempts of one request brought.
#[derive(Debug, Default)]
pub struct Held(Mutex<Option<Half>>);

/// The beginning of what is wanted, of a version that is known.
#[derive(Debug)]
struct Half {
    bytes: BytesMut,
    etag: ETag,
    /// First byte wanted, and one past the last.
    start: u64,
    end: u64,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Option<Half>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Cloud {
    /// One attempt at an object, or at the rest of it.
    pub(super) async fn get_once(
        &self,
        service: &Service,
        key: &Key,
        path: &Path,
        get: &Get,
        held: &Held,
        waits: Waits,
    ) -> Result<Object, Failure> {
        let location = || self.location(key);
        let half = held.lock().take();
        let (range, if_match) = match &half {
            Some(half) => (Some(half.start + half.bytes.len() as u64..half.end), Some(half.etag.clone())),
            None => (get.range.clone(), get.if_match.clone()),
        };
        let asked = if range.is_some() { Asked::Part } else { Asked::Get };
        let options = GetOptions {
            range: range.clone().map(GetRange::Bounded),
            // The rest of what began to come is of the version that is known.
            if_none_match: get.if_none_match.as_ref().filter(|_| half.is_none()).map(|tag| tag.as_str().to_owned()),
            if_match: if_match.as_ref().map(|tag| tag.as_str().to_owned()),
            ..GetOptions::default()
        };
        let request = up_to(get.at_most, service.objects.get_opts(path, options));
        let heard = self.hear(service, asked, key, waits, request).await;
        let (result, answer) = match heard {
            Ok(heard) => heard,
            Err(failure) if half.is_some() && matches!(failure.then, Then::Again(_)) => {
                *held.lock() = half;
                return Err(failure);
            }
            // The object was rewritten between its halves: of the new one, from the start.
            Err(Failure { error: StoreError::Changed { .. }, .. }) if half.is_some() && get.if_match.is_none() => {
                return Err(Failure::damaged(StoreError::Busy { location: location() }));
            }
            Err(Failure { error: StoreError::Range { .. }, .. }) if let Some(range) = &get.range => {
                return Err(StoreError::Range { location: location(), start: range.start, end: range.end }.into());
            }
            // Who does not know ranges has no rest to give, but the whole of it was what was wanted.
            Err(Failure { error: error @ StoreError::Failed { .. }, then: Then::Stop, .. })
                if half.is_some() && get.range.is_none() =>
            {
                return Err(Failure::damaged(error));
            }
            Err(failure) => return Err(failure),
        };
        let meta = meta(&result.meta);
        // A service that does not know If-Match sends what it has.
        if if_match.is_some() && if_match != meta.etag {
            return match half {
                Some(_) if get.if_match.is_none() => Err(Failure::damaged(StoreError::Busy { location: location() })),
                _ => Err(StoreError::Changed { location: location() }.into()),
            };
        }
        // Nor does every service know If-None-Match; its bytes need not be read.
        if get.if_none_match.is_some() && get.if_none_match == meta.etag && half.is_none() {
            return Err(StoreError::Changed { location: location() }.into());
        }
        let length = result.range.end - result.range.start;
        if let Some(range) = &range
            && result.range != *range
        {
            let wanted = get.range.clone().unwrap_or(range.clone());
            return Err(StoreError::Range { location: location(), start: wanted.start, end: wanted.end }.into());
        }
        if length > get.at_most {
            return Err(StoreError::TooLarge { location: location(), size: length, limit: get.at_most }.into());
        }
        let Ok(length) = usize::try_from(length) else {
            return Err(StoreError::TooLarge { location: location(), size: length, limit: usize::MAX as u64 }.into());
        };
        let (start, end) = match &half {
            Some(half) => (half.start, half.end),
            None => (result.range.start, result.range.end),
        };
        let before = half.map_or_else(BytesMut::new, |half| half.bytes);
        let kept = before.len();
        match self.read(result, before, length, waits, key).await {
            Ok(bytes) => {
                let object = Object { bytes, meta };
                if get.range.is_some() || self.is_told(service, key, path, &object, &answer, waits).await? {
                    return Ok(object);
                }
                let reason = "its bytes are not what its MD5 tells of, nor what is there at a second look".to_owned();
                Err(Failure::damaged(StoreError::Garbled { location: location(), reason }))
            }
            Err((mut failure, bytes)) => {
                let came = bytes.len().saturating_sub(kept);
                if matches!(failure.error, StoreError::Timeout { .. }) {
                    self.counters.abandoned_body(came);
                }
                if let Some(etag) = meta.etag.clone().filter(|_| !bytes.is_empty()) {
                    failure.gained = came > 0;
                    *held.lock() = Some(Half { bytes, etag, start, end });
                }
                Err(failure)
            }
        }
    }

    /// Whether a whole object is what the service tells of it: by its MD5, or, since what looks like one may be none, by
    /// a second look, which tells the object's length otherwise than by the length of the answer.
    async fn is_told(
        &self,
        service: &Service,
        key: &Key,
        path: &Path,
        object: &Object,
        answer: &Answer,
        waits: Waits,
    ) -> Result<bool, Failure> {
        let told = answer.digest().filter(|_| self.digests.are_told() && service.capabilities.ranges);
        let Some(told) = told.filter(|_| object.bytes.len() <= DIGESTED) else { return Ok(true) };
        if <[u8; 16]>::from(Md5::digest(&object.bytes)) == told {
            self.digests.right.store(true, Ordering::Relaxed);
            return Ok(true);
        }
        let length = object.bytes.len() as u64;
        let options = GetOptions {
            range: Some(GetRange::Bounded(0..length.max(1))),
            if_match: object.meta.etag.as_ref().map(|tag| tag.as_str().to_owned()),
            ..GetOptions::default()
        };
        self.counters.retried();
        let asked = self.hear(service, Asked::Part, key, waits, service.objects.get_opts(path, options)).await;
        let same = match asked {
            Ok((result, _)) if result.meta.size == length && result.range == (0..length) => {
                let again = self.read(result, BytesMut::new(), object.bytes.len(), waits, key).await;
                again.map_err(|(failure, _)| failure)? == object.bytes
            }
            // There is more than came.
            Ok(_) | Err(Failure { error: StoreError::Changed { .. }, .. }) => false,
            Err(Failure { error: StoreError::Range { .. }, .. }) => length == 0,
            Err(failure) => return Err(failure),
        };
        if same {
            self.digests.wrong.store(true, Ordering::Relaxed);
        } else {
            tracing::debug!(%key, length, "the answer was not all of the object");
        }
        Ok(same)
    }

    /// Reads `length` bytes behind `before`. A failure brings what there is.
    async fn read(
        &self,
        result: GetResult,
        before: BytesMut,
        length: usize,
        waits: Waits,
        key: &Key,
    ) -> Result<Bytes, (Failure, BytesMut)> {
        let wanted = before.len() + length;
        let (mut bytes, mut longest) = (before, Duration::ZERO);
        let mut parts = result.into_stream();
        let broken = |reason: String| Failure::damaged(StoreError::Garbled { location: self.location(key), reason });
        loop {
            let asked_at = Instant::now();
            let came = self.weather.wait(Awaited::Part, &waits, parts.next()).await;
            longest = longest.max(asked_at.elapsed());
            let part = match came {
                Ok(Some(Ok(part))) => part,
                Ok(Some(Err(error))) => return Err((broken(told(&error)), bytes)),
                Ok(None) if bytes.len() == wanted => {
                    self.weather.note(Awaited::Part, longest);
                    return Ok(bytes.freeze());
                }
                Ok(None) => {
                    let reason = format!("{} of {wanted} bytes came", bytes.len());
                    return Err((broken(reason), bytes));
                }
                Err(given_up) => {
                    let error = StoreError::Timeout { location: self.location(key), seconds: given_up.after.as_secs() };
                    let then = Then::Again(given_up.fault());
                    return Err((Failure { error, then, unsaid: false, gained: false }, bytes));
                }
            };
            if bytes.is_empty() && part.len() == wanted && wanted >= ALONE {
                // One part is all of it: no copy.
                self.weather.note(Awaited::Part, longest);
                return Ok(part);
            }
            if bytes.len() + part.len() > wanted {
                let reason = format!("more than the {wanted} bytes that were promised");
                return Err((broken(reason), BytesMut::new()));
            }
            bytes.reserve(wanted - bytes.len());
            bytes.extend_from_slice(&part);
        }
    }
}
