//! Objects that are shown as they are, whatever they hold.
//!
//! What a program reads here and there is asked for byte for byte. As soon as it walks, blocks are fetched ahead of it and
//! answer its reads.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};

use super::reader::Grid;
use super::spent::Spent;
use super::{FetchError, Fetcher, next_version, overlap, slice};
use crate::cache::{self, Ahead, Missing, PieceId, PiecePart};
use crate::model::chunk::ChunkId;
use crate::model::hierarchy::ObjectId;
use crate::model::location::{ETag, Location};
use crate::store::{Meta, StoreError, Stores, Urgency};

/// Bytes of a block: what the kernel asks for at a time, so that a block answers a read as it is.
pub(super) const BLOCK: u64 = 1 << 20;

/// What a plain object was when a listing or a look-up told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its identity, where the store gave one.
    pub etag: Option<ETag>,
    /// Its bytes.
    pub size: u64,
    /// When it was last written, where the store said so.
    pub modified: Option<SystemTime>,
}

impl Expected {
    /// Whether an answer is of that object: by its tag, and where either was told without one, by time and length.
    fn is(&self, meta: &Meta) -> bool {
        // Listings tell times more exactly than the header of an answer does.
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        match (&self.etag, &meta.etag) {
            (Some(one), Some(other)) => one.names_same(other),
            _ => self.size == meta.size && self.modified.is_none_or(|then| seconds(then) == seconds(meta.modified)),
        }
    }
}

/// One version of an object that is shown as it is.
pub struct PlainObject {
    version: u64,
    stores: Arc<Stores>,
    location: Location,
    expected: Expected,
    pub(super) spent: Spent,
}

impl PlainObject {
    /// The object at `location`, as it was expected. Each call makes a version of its own: nothing is shared with another.
    pub fn new(stores: Arc<Stores>, location: Location, expected: Expected) -> Arc<PlainObject> {
        Arc::new(PlainObject { version: next_version(), stores, location, expected, spent: Spent::default() })
    }

    /// The same object for new readers: nothing is known yet of its bytes.
    pub fn renewed(&self) -> Arc<PlainObject> {
        PlainObject::new(Arc::clone(&self.stores), self.location.clone(), self.expected.clone())
    }

    /// Its bytes.
    pub fn len(&self) -> u64 {
        self.expected.size
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.expected.size == 0
    }

    fn block(&self, number: u64) -> (PieceId, Range<u64>) {
        let start = number.saturating_mul(BLOCK);
        let chunk = ChunkId { dataset: ObjectId(0), number: 0 };
        let piece = PieceId { version: self.version, chunk, part: PiecePart::Block(number) };
        (piece, start..start.saturating_add(BLOCK).min(self.expected.size))
    }

    /// Bytes of it, exactly `want`.
    async fn get(&self, want: Range<u64>, urgency: Urgency) -> Result<Bytes, FetchError> {
        let store = self.stores.get(&self.location.bucket).await?;
        let condition = self.expected.etag.as_ref().filter(|etag| etag.is_strong());
        match store.at(urgency).get_range(&self.location.key, want, condition).await {
            Ok(object) if self.expected.is(&object.meta) => Ok(object.bytes),
            Ok(_) | Err(StoreError::Changed { .. } | StoreError::NotFound { .. } | StoreError::Range { .. }) => {
                Err(FetchError::Stale { location: self.location.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for PlainObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainObject").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Bytes of a plain object, exactly `want`.
    ///
    /// # Errors
    /// [`FetchError::Stale`] where it is not the one expected any more; [`FetchError::Store`].
    pub async fn object(self: &Arc<Self>, object: &Arc<PlainObject>, want: Range<u64>) -> Result<Bytes, FetchError> {
        if want.start >= want.end {
            return Ok(Bytes::new());
        }
        let numbers = want.start / BLOCK..=(want.end - 1) / BLOCK;
        let blocks: Vec<_> = numbers.map(|number| (number, object.block(number))).collect();
        let whole = blocks.len() == 1 && blocks.iter().all(|(_, (_, range))| *range == want);
        if !whole && !blocks.iter().all(|(_, (piece, _))| self.cache.here(*piece)) {
            let _room = self.cache.reserve(want.end - want.start).await;
            let bytes = object.get(want.clone(), Urgency::Demand).await?;
            for (number, (_, range)) in blocks {
                let given = overlap(&want, &range);
                self.hands(&object.spent, (Grid::Object, number), given, range.end - range.start);
            }
            return Ok(bytes);
        }
        let mut out = BytesMut::new();
        for (number, (piece, range)) in blocks {
            let load = || {
                let (fetcher, object, range) = (Arc::clone(self), Arc::clone(object), range.clone());
                let load = async move {
                    let reserved = fetcher.cache.reserve(range.end - range.start).await;
                    let bytes = object.get(range, Urgency::Demand).await.map_err(Missing::Failed)?;
                    Ok(cache::reserved(bytes, reserved))
                };
                Box::pin(load) as futures::future::BoxFuture<'static, _>
            };
            let bytes = match self.cache.get_or_load(piece, load).await {
                Ok(bytes) => bytes,
                Err(Missing::Failed(error)) => return Err(error),
                Err(Missing::Absent) => return Err(FetchError::Stale { location: object.location.clone() }),
            };
            let given = overlap(&want, &range);
            self.cache.handed(piece, given);
            self.hands(&object.spent, (Grid::Object, number), given, range.end - range.start);
            let inside = want.start.max(range.start) - range.start..want.end.min(range.end) - range.start;
            let part = slice(&bytes, &inside).ok_or_else(|| FetchError::Stale { location: object.location.clone() })?;
            if part.len() as u64 == want.end - want.start {
                return Ok(part);
            }
            out.extend_from_slice(&part);
        }
        Ok(out.freeze())
    }

    /// Begins to load block `number` of a plain object, which nobody waits for yet.
    pub(super) fn object_ahead(self: &Arc<Self>, object: &Arc<PlainObject>, number: u64) -> Ahead<FetchError> {
        let (piece, range) = object.block(number);
        if range.is_empty() {
            return Ahead::Needless;
        }
        let object = Arc::clone(object);
        self.cache.load_ahead(piece, range.end - range.start, move |reserved| {
            Box::pin(async move {
                let bytes = object.get(range, Urgency::Ahead).await.map_err(Missing::Failed)?;
                Ok(cache::reserved(bytes, reserved))
            })
        })
    }
}
