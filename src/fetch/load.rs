//! One chunk's stored bytes, made plain.
//!
//! HSDS rewrites files of a directory tree in place, so a reader beside it may meet an empty, short or half new chunk.
//! Where the store does not promise whole objects and the object is young or still changing, what does not decode is
//! read again for about a second. What a service sent may have been damaged on its way, and is asked for again at once.
//! After that it is an error that names the object.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::kept::Wanted;
use super::pins::Identity;
use super::resolve::Found;
use super::{FetchError, Fetcher, FileChunks};
use crate::cache::{self, Missing, Reservation};
use crate::codec::{self, CodecError};
use crate::model::chunk::{ChunkId, ChunkRecipe};
use crate::model::limits;
use crate::model::location::{ETag, Location};
use crate::model::pipeline::Framing;
use crate::store::{Meta, Store, StoreError, Urgency};

/// Chunks up to this many bytes, stored and plain, are decoded where they are: handing them to another thread takes
/// longer than the work.
const INLINE: u64 = 32 << 10;

pub(super) type Loaded = cache::Loaded<FetchError>;

/// In which form a chunk is wanted, and for whom.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    /// As a reader has it who undoes the filters himself; plain where there is none.
    pub framing: Option<Framing>,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
}

/// One attempt at a chunk that did not give one.
enum Failure {
    /// The bytes are not those of a chunk, though perhaps in a moment.
    Torn { etag: Option<ETag>, modified: SystemTime, error: FetchError },
    /// Something else.
    Other(FetchError),
}

impl<E: Into<FetchError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Other(error.into())
    }
}

impl Fetcher {
    /// The load of chunk `id`, whole, that somebody waits for.
    pub(super) fn loading(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        framing: Option<&Framing>,
    ) -> BoxFuture<'static, Loaded> {
        self.loading_with(file, id, Form { framing: framing.copied(), urgency: Urgency::Demand }, None)
    }

    /// The load of chunk `id`, whole, for which room was made already, or is made once it is known where it lies.
    pub(super) fn loading_with(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        form: Form,
        reserved: Option<Reservation>,
    ) -> BoxFuture<'static, Loaded> {
        let (fetcher, file) = (Arc::clone(self), Arc::clone(file));
        Box::pin(async move {
            // Nobody holds room while waiting for what needs room itself: the table that says where the chunk lies.
            let reserved = reserved.filter(|_| !file.is_behind_table(id));
            let found = fetcher.resolve(&file, id).await.map_err(Missing::Failed)?;
            fetcher.load_found(&file, id, found, form, reserved).await
        })
    }

    /// Chunk `id`, whose stored bytes are at `found`; they are counted as long as anybody holds them.
    pub(super) async fn load_found(
        &self,
        file: &FileChunks,
        id: ChunkId,
        found: Found,
        form: Form,
        reserved: Option<Reservation>,
    ) -> Loaded {
        if matches!(found, Found::Nowhere) {
            return Err(Missing::Absent);
        }
        let room = self.room(file, id, form.framing.as_ref());
        if room > self.cache.budget().limit() {
            self.large.tell(file, id, room, self.cache.budget().limit());
        }
        let reserved = match reserved {
            Some(reserved) => reserved,
            None => self.cache.reserve(room).await,
        };
        // A range may be longer than what it is to become.
        let longer = match &found {
            Found::Range(_, range) => range.end.saturating_sub(range.start).saturating_sub(room),
            _ => 0,
        };
        let _more = (longer > 0).then(|| self.cache.hold_briefly(longer));
        self.load_here(file, id, found, form).await.map(|bytes| cache::reserved(bytes, reserved))
    }

    async fn load_here(&self, file: &FileChunks, id: ChunkId, found: Found, form: Form) -> Loaded {
        let recipe = file.recipe(id).map_err(Missing::Failed)?;
        let exception = file.map.exception(id.dataset, &recipe.grid.coordinates(id.number));
        let exception = exception.map(|decode| ChunkRecipe { decode, ..recipe.clone() });
        let recipe = exception.as_ref().unwrap_or(recipe);
        if let Some(size) = recipe.raw_len.filter(|&size| size > limits::DECODED_CHUNK_BYTES) {
            return Err(Missing::Failed(file.too_large(id, size)));
        }
        match &found {
            Found::Nowhere => Err(Missing::Absent),
            Found::Object(_) | Found::Range(..) => self.patiently(file, id, recipe, &found, form).await,
            Found::Computed(_, initializer) => match self.patiently(file, id, recipe, &found, form).await {
                Err(Missing::Absent) => {
                    let coordinates = recipe.grid.coordinates(id.number);
                    let fault = |reason: String| {
                        Missing::Failed(FetchError::Initializer { chunk: Box::new(file.name(id)), reason })
                    };
                    let bytes = file
                        .map
                        .compute(id.dataset, &coordinates, initializer)
                        .map_err(|bad| fault(bad.to_string()))?;
                    match recipe.raw_len {
                        Some(len) if len != bytes.len() as u64 => {
                            Err(fault(format!("made {} bytes instead of {len}", bytes.len())))
                        }
                        _ => match &form.framing {
                            Some(framing) => self.reframed(framing, bytes).await.map_err(fault),
                            None => Ok(bytes),
                        },
                    }
                }
                loaded => loaded,
            },
        }
    }

    async fn patiently(
        &self,
        file: &FileChunks,
        id: ChunkId,
        recipe: &ChunkRecipe,
        found: &Found,
        form: Form,
    ) -> Loaded {
        let (Found::Object(location) | Found::Range(location, _) | Found::Computed(location, _)) = found else {
            return Err(Missing::Absent);
        };
        let linked = matches!(found, Found::Range(..));
        let unlinked = |error: StoreError| match linked {
            true => file.unlinked(id.dataset, location, error),
            false => error.into(),
        };
        let store = file.stores.get(&location.bucket).await.map_err(|error| Missing::Failed(unlinked(error)))?;
        let patience = self.settings.patience.for_question(&store);
        let mut again = 0;
        let mut before: Option<Option<ETag>> = None;
        loop {
            let (etag, modified, error) = match self.attempt(file, id, (recipe, form), found, location, &store).await {
                Ok(bytes) => return Ok(bytes),
                Err(Failure::Torn { etag, modified, error }) => (etag, modified, error),
                Err(Failure::Other(FetchError::Store(error))) if linked => {
                    return Err(Missing::Failed(unlinked(error)));
                }
                Err(Failure::Other(FetchError::Store(error))) if error.is_not_found() => {
                    return Err(match file.pins.holds_chunk(id) {
                        // It was there when this version first read it.
                        true => Missing::Failed(FetchError::Stale { location: location.clone() }),
                        false => Missing::Absent,
                    });
                }
                Err(Failure::Other(error)) => return Err(Missing::Failed(error)),
            };
            let changing = before.as_ref().is_some_and(|before| *before != etag);
            let live = changing || self.settings.patience.is_young(modified);
            if !(patience.doubt(again).await || live && patience.pause(again).await) {
                return Err(Missing::Failed(error));
            }
            again += 1;
            tracing::debug!(%location, %error, again, "perhaps damaged, or being written: reading it again");
            before = Some(etag);
        }
    }

    async fn attempt(
        &self,
        file: &FileChunks,
        id: ChunkId,
        (recipe, form): (&ChunkRecipe, Form),
        found: &Found,
        location: &Location,
        store: &Arc<Store>,
    ) -> Result<Bytes, Failure> {
        let linked = matches!(found, Found::Range(..));
        let (range, condition) = match found {
            Found::Range(_, range) => {
                let size = range.end.saturating_sub(range.start);
                if size > limits::DECODED_CHUNK_BYTES {
                    return Err(Failure::Other(file.too_large(id, size)));
                }
                (Some(range.clone()), file.pins.condition(location)?)
            }
            _ => (None, None),
        };
        let (at_most, urgency) = (limits::DECODED_CHUNK_BYTES, form.urgency);
        let condition = condition.as_ref();
        let wanted = Wanted { location, range, at_most, condition, urgency, shared: true };
        let pinned = |meta: &Meta| !linked && file.pins.is_chunk(id, &Identity::of(meta));
        let mut stored = match self.kept.get(store, &wanted, pinned).await {
            Ok(stored) => stored,
            Err(StoreError::Changed { location }) if linked => return Err(file.pins.changed(&location).into()),
            Err(StoreError::Changed { location }) => return Err(FetchError::Stale { location }.into()),
            Err(error @ (StoreError::Busy { .. } | StoreError::Range { .. })) => {
                let seen = self.seen(store, location).await;
                if let Some(meta) = seen.as_ref().filter(|_| linked) {
                    file.pins.check_location(location, &Identity::of(meta))?;
                }
                let (etag, modified) = seen.map_or((None, SystemTime::UNIX_EPOCH), |meta| (meta.etag, meta.modified));
                return Err(Failure::Torn { etag, modified, error: error.into() });
            }
            Err(error) => return Err(error.into()),
        };
        let (identity, meta) = (Identity::of(&stored.object.meta), stored.object.meta.clone());
        if linked {
            file.pins.check_location(location, &identity)?;
            file.judge(id.dataset, location, &meta)?;
        } else {
            file.pins.check_chunk(id, &identity, location)?;
        }
        // Where nothing is kept of it, it goes as soon as it was inflated.
        let body = match self.kept.keeps(store) {
            true => stored.object.bytes.clone(),
            false => std::mem::take(&mut stored.object.bytes),
        };
        let made = match &form.framing {
            Some(framing) => self.framed(recipe, body, framing).await,
            None => self.decode(recipe, body).await,
        };
        match made {
            Ok(plain) => {
                match linked {
                    true => file.pins.pin_location(location, &identity)?,
                    false => file.pins.pin_chunk(id, &identity, location)?,
                }
                self.kept.keep(store, &wanted, &stored).await;
                Ok(plain)
            }
            Err(reason) => {
                self.kept.forget(store, &wanted, &stored).await;
                Err(Failure::Torn {
                    etag: meta.etag,
                    modified: meta.modified,
                    error: FetchError::Undecodable { location: location.clone(), reason },
                })
            }
        }
    }

    /// What the store says now of an object that is shorter than it should be, or was being written: whether to wait
    /// depends on when it was last written.
    pub(super) async fn seen(&self, store: &Store, location: &Location) -> Option<Meta> {
        store.head(&location.key).await.ok()
    }

    /// Stored bytes, plain. Never on a thread that serves requests, unless it is a trifle.
    pub(super) async fn decode(&self, recipe: &ChunkRecipe, stored: Bytes) -> Result<Bytes, String> {
        if stored.is_empty() {
            // Every chunk has bytes; HSDS truncates before it writes.
            return Err("the object is empty".to_owned());
        }
        let limit = limits::DECODED_CHUNK_BYTES;
        let raw_len = recipe.raw_len;
        let pipeline = &recipe.decode;
        if pipeline.steps.is_empty() {
            return codec::decode(pipeline, stored, raw_len, limit).map_err(|error| error.to_string());
        }
        let size = (stored.len() as u64).max(raw_len.unwrap_or(u64::MAX));
        let pipeline = pipeline.clone();
        self.on_decoder(size, move || codec::decode(&pipeline, stored, raw_len, limit)).await
    }

    /// `work` on a thread of its own, when one is free; work on few bytes (`size`) here.
    pub(super) async fn on_decoder(
        &self,
        size: u64,
        work: impl FnOnce() -> Result<Bytes, CodecError> + Send + 'static,
    ) -> Result<Bytes, String> {
        match self.aside(size, work).await {
            Ok(bytes) => bytes.map_err(|error| error.to_string()),
            Err(stopped) => Err(stopped),
        }
    }

    /// As [`on_decoder`](Self::on_decoder), for any work on bytes.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        size: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        if size <= INLINE {
            return Ok(work());
        }
        let permit = Arc::clone(&self.decoders).acquire_owned().await.map_err(|closed| closed.to_string())?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|stopped| format!("the decoder stopped: {stopped}"))
    }
}
