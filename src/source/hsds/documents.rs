//! Documents as they are read from the store.
//!
//! Whole JSON is a [`Document`]; an empty or torn one may be whole in a moment, since HSDS rewrites files of a directory
//! tree in place, and since a service's answer may be damaged on its way. A document that stays broken is a fact about the store like an absent one, and is handed on as such. A
//! request that fails is not: a file is never shown in part because of a fault that another mount would not see.
//!
//! [`super::tree`] reads domains, [`super::loader`] all other documents. A domain that was just looked up is not read
//! again to open it: [`Recent`] keeps it for the moment in between.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::HsdsSource;
use super::document::{Document, DocumentError};
use super::domain::Domain;
use crate::model::limits;
use crate::model::location::{ETag, Key};
use crate::store::{Asked, Meta, StoreError, Urgency, Waiting};

/// What one try to read a document gave.
#[derive(Debug)]
pub(super) enum Read {
    /// A document.
    Whole { document: Document, meta: Meta },
    /// No object.
    Absent,
    /// An object that is no document, after all patience.
    Broken { meta: Meta, reason: String },
}

/// Identity of an object: its tag, or what stands for one in a store without.
pub(super) fn identity(meta: &Meta) -> ETag {
    meta.etag.clone().unwrap_or_else(|| {
        let age = meta.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ETag::new(format!("{}-{}", age.as_nanos(), meta.size))
    })
}

impl HsdsSource {
    /// The patience of one question to the store.
    pub(super) fn waiting(&self) -> Waiting {
        self.settings.patience.for_question(&self.store)
    }

    /// A document, waiting for a writer to finish it where the store writes in place. What one answer of a service made
    /// look broken is asked for again in any store.
    pub(super) async fn read_document(&self, key: &Key, waiting: &Waiting) -> Result<Read, StoreError> {
        self.read_document_at(self.store.at(Urgency::Demand), key, waiting).await
    }

    /// The same, from a store that is asked with an urgency.
    pub(super) async fn read_document_at(
        &self,
        store: Asked<'_>,
        key: &Key,
        waiting: &Waiting,
    ) -> Result<Read, StoreError> {
        let mut before: Option<ETag> = None;
        let mut again = 0;
        loop {
            let (meta, reason) = match store.get_if(key, None, limits::DOCUMENT_BYTES).await {
                Ok(object) => match parse(object.bytes).await {
                    Ok(document) => return Ok(Read::Whole { document, meta: object.meta }),
                    Err(error @ DocumentError::Torn(_)) => (object.meta, error.to_string()),
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
                Err(StoreError::Busy { .. }) if waiting.pause(again).await => {
                    again += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let tag = identity(&meta);
            let changing = before.as_ref().is_some_and(|before| *before != tag);
            let live = changing || self.settings.patience.is_young(meta.modified);
            // What was looked at again and waited for in vain, and is still the same, is not waited for again.
            let known = before.is_none() && self.recent.is_known_broken(key, &tag);
            if known || !(waiting.doubt(again).await || live && waiting.pause(again).await) {
                return Ok(Read::Broken { meta, reason });
            }
            tracing::debug!(%key, reason, "perhaps damaged, or being written: read again");
            before = Some(tag);
            again += 1;
        }
    }
}

/// Documents up to this many bytes are parsed where they are; at 100 MB/s that is a third of a millisecond.
const INLINE: usize = 32 << 10;

pub(super) async fn parse(bytes: bytes::Bytes) -> Result<Document, DocumentError> {
    if bytes.len() <= INLINE {
        return Document::parse(&bytes);
    }
    match tokio::task::spawn_blocking(move || Document::parse(&bytes)).await {
        Ok(parsed) => parsed,
        // The parser gave up in a way it never should; the document is refused like any other bad one.
        Err(_) => Err(DocumentError::NoObject),
    }
}

/// Domains that were looked up a moment ago.
#[derive(Debug, Default)]
pub(super) struct Recent {
    domains: Mutex<HashMap<Key, (Instant, Domain, Meta)>>,
    /// Domains that could not be read, and were told of: what they were then.
    broken: Mutex<HashMap<Key, ETag>>,
}

impl Recent {
    /// How long a domain is believed: a program opens a file right after it looked up its name, and a second is a busy
    /// machine's right after.
    const KEPT: Duration = Duration::from_secs(1);
    /// Domains kept at most; as many look-ups as many programs make within the second.
    const MOST: usize = 256;

    /// Notes a domain that was asked for at `asked`.
    pub(super) fn put(&self, key: Key, asked: Instant, domain: Domain, meta: Meta) {
        let mut domains = self.lock();
        if domains.len() >= Self::MOST {
            domains.retain(|_, (asked, ..)| asked.elapsed() < Self::KEPT);
        }
        if domains.len() < Self::MOST {
            domains.insert(key, (asked, domain, meta));
        }
    }

    /// The domain, if it was read just now. It serves once: whoever asks again wants to know what it is by then.
    pub(super) fn take(&self, key: &Key) -> Option<(Domain, Meta)> {
        let (asked, domain, meta) = self.lock().remove(key)?;
        (asked.elapsed() < Self::KEPT).then_some((domain, meta))
    }

    /// Notes a domain that cannot be read; whether that is news.
    pub(super) fn put_broken(&self, key: &Key, tag: ETag) -> bool {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.len() >= Self::MOST {
            broken.clear();
        }
        broken.insert(key.clone(), tag.clone()) != Some(tag)
    }

    /// Whether that domain could not be read when it was this very object.
    fn is_known_broken(&self, key: &Key, tag: &ETag) -> bool {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get(key) == Some(tag)
    }

    /// Whether the domain is as it `was`, if it was read just now. One that is serves once, here too; another one is
    /// kept for whoever reads the file anew.
    pub(super) fn is_still(&self, key: &Key, was: &ETag) -> Option<bool> {
        let mut domains = self.lock();
        let (asked, _, meta) = domains.get(key)?;
        let just_now = asked.elapsed() < Self::KEPT;
        let same = identity(meta) == *was;
        if same || !just_now {
            domains.remove(key);
        }
        just_now.then_some(same)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (Instant, Domain, Meta)>> {
        // Nothing that panics runs under the lock.
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
