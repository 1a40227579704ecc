//! What of a chunk is brought here before anybody reads it, what is here, in memory or in the disk cache, and what is to stay
//! in the disk cache.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::load::Form;
use super::resolve::Found;
use super::{FetchError, Fetcher, FileChunks, Plain, blocks};
use crate::cache::disk::{DiskCache, Pinned, Place};
use crate::cache::{Missing, PiecePart};
use crate::model::chunk::ChunkId;
use crate::model::pipeline::Framing;
use crate::store::Urgency;

/// How long the disk may take for what waits to be written before a chunk is pinned.
const PATIENCE: Duration = Duration::from_secs(60);

/// The form in which the readers of a dataset have its chunks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// That of readers who undo the filters themselves; plain where there is none.
    pub framing: Option<&'a Framing>,
    /// One element of a chunk that was never written, zeros where there is none.
    pub fill: Option<&'a [u8]>,
}

/// Where all of a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here {
    /// In memory, as readers have it.
    pub memory: bool,
    /// In the disk cache; `None` where there is none for it.
    pub disk: Option<bool>,
}

impl Fetcher {
    /// Brings a chunk here that a reader will want, into memory and into the disk cache where there is one for it, and tells
    /// how many bytes a reader has of it; `None` where nothing was ever written. It is on disk once [`Fetcher::settle`]
    /// has come back.
    ///
    /// # Errors
    /// As [`Fetcher::chunk`].
    pub async fn warm(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        shown: Shown<'_>,
    ) -> Result<Option<u64>, FetchError> {
        if !self.kept.is_there() {
            return self.load_shown(file, id, shown).await;
        }
        let found = self.resolve(file, id).await?;
        let disk = self.disk_of(file, &found).await?;
        let places = self.places(file, id, &found)?;
        let ordered = self.kept.order(places.iter().map(|(place, _)| place.clone()).collect());
        let bytes = self.load_shown(file, id, shown).await?;
        if let Some(disk) = disk.filter(|_| bytes.is_some()) {
            // Of what was in memory already, or came before the order, the disk cache may know nothing.
            for (place, range) in places {
                if !ordered.came(&place) && !disk.holds(&place) {
                    match self.bring(file, id, &found, range).await {
                        Ok(()) | Err(Missing::Absent) => {}
                        Err(Missing::Failed(error)) => return Err(error),
                    }
                }
            }
        }
        Ok(bytes)
    }

    /// Loads a chunk in the form in which it is shown.
    async fn load_shown(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        shown: Shown<'_>,
    ) -> Result<Option<u64>, FetchError> {
        if let Some(framing) = shown.framing {
            return Ok(Some(self.stored(file, id, framing, shown.fill).await?.len() as u64));
        }
        let Some(len) = self.in_blocks(file.recipe(id)?) else {
            return Ok(match self.chunk(file, id, None).await? {
                Plain::Bytes(bytes) => Some(bytes.len() as u64),
                Plain::Absent => None,
            });
        };
        // A few blocks at a time, as a read of that many bytes asks for them.
        let step = self.settings.block.max(1).saturating_mul(blocks::TOGETHER as u64);
        let mut start = 0;
        while start < len {
            let end = start.saturating_add(step).min(len);
            // It goes to nobody yet, unlike what is asked for as a part of the chunk.
            let plain = match self.blocks(file, id, len, Some(start..end)).await? {
                Some(plain) => plain,
                None => self.chunk(file, id, Some(start..end)).await?,
            };
            if plain == Plain::Absent {
                return Ok(None);
            }
            start = end;
        }
        Ok(Some(len))
    }

    /// Whether all of a chunk is in memory, in the form of `framing`, and in the disk cache.
    ///
    /// # Errors
    /// Where it cannot be told where the chunk lies.
    pub async fn is_here(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        framing: Option<&Framing>,
    ) -> Result<Here, FetchError> {
        let part = if framing.is_some() { PiecePart::Stored } else { PiecePart::Plain };
        let memory = match self.in_blocks(file.recipe(id)?).filter(|_| framing.is_none()) {
            Some(len) => (0..len.div_ceil(self.settings.block.max(1)))
                .all(|number| self.cache.here(file.piece(id, PiecePart::Block(number)))),
            None => self.cache.here(file.piece(id, part)),
        };
        if !self.kept.is_there() {
            return Ok(Here { memory, disk: None });
        }
        let found = self.resolve(file, id).await?;
        let Some(disk) = self.disk_of(file, &found).await? else { return Ok(Here { memory, disk: None }) };
        let places = self.places(file, id, &found)?;
        let all = !places.is_empty() && places.iter().all(|(place, _)| disk.holds(place));
        Ok(Here { memory, disk: Some(all) })
    }

    /// Bytes that loads and what is kept of them may take, and why something is not in the disk cache, where there is one.
    pub fn limits(&self) -> (u64, Option<String>) {
        (self.cache.budget().limit(), self.kept.any_disk().map(|disk| disk.lack()))
    }

    /// Waits until what was fetched is in the disk cache, if there is one.
    pub async fn settle(&self) {
        if let Some(disk) = self.kept.any_disk() {
            disk.settle(PATIENCE).await;
        }
    }

    /// Keeps what is stored of a chunk in the disk cache until it is let go, fetched for that where it is not there.
    ///
    /// # Errors
    /// In words: why the chunk cannot be had, or not be kept.
    pub async fn pin(self: &Arc<Self>, file: &Arc<FileChunks>, id: ChunkId) -> Result<Pinned, String> {
        let words = |error: FetchError| error.to_string();
        let found = self.resolve(file, id).await.map_err(words)?;
        if matches!(found, Found::Nowhere) {
            return Ok(Pinned::default());
        }
        let disk = self.disk_of(file, &found).await.map_err(words)?;
        let disk = disk.ok_or("nothing is kept: the mount has no --cache-dir, or the store lies on local disk")?;
        let places = self.places(file, id, &found).map_err(words)?;
        let missing: Vec<Range<u64>> =
            places.iter().filter(|(place, _)| !disk.holds(place)).map(|(_, range)| range.clone()).collect();
        let _ordered = self.kept.order(places.iter().map(|(place, _)| place.clone()).collect());
        for range in missing {
            match self.bring(file, id, &found, range).await {
                Ok(()) => {}
                // Never written: nothing is kept of it.
                Err(Missing::Absent) => return Ok(Pinned::default()),
                Err(Missing::Failed(error)) => return Err(error.to_string()),
            }
        }
        // Orders are followed one after the other: what was put is written before it is pinned.
        let pinned = disk.pin(places.into_iter().map(|(place, _)| place).collect(), true).await?;
        match pinned.absent {
            0 => Ok(pinned),
            _ => Err("the disk cache has not kept it: no room, or the store gives no entity tag".to_owned()),
        }
    }

    /// Lets go of what [`pin`](Self::pin) keeps of a chunk.
    ///
    /// # Errors
    /// In words.
    pub async fn unpin(self: &Arc<Self>, file: &Arc<FileChunks>, id: ChunkId) -> Result<Pinned, String> {
        let words = |error: FetchError| error.to_string();
        let found = self.resolve(file, id).await.map_err(words)?;
        let Some(disk) = self.disk_of(file, &found).await.map_err(words)? else { return Ok(Pinned::default()) };
        let places = self.places(file, id, &found).map_err(words)?;
        disk.pin(places.into_iter().map(|(place, _)| place).collect(), false).await
    }

    /// The disk cache, where it keeps what is found there.
    async fn disk_of(&self, file: &FileChunks, found: &Found) -> Result<Option<Arc<DiskCache>>, FetchError> {
        let (Found::Object(location) | Found::Range(location, _) | Found::Computed(location, _)) = found else {
            return Ok(None);
        };
        let store = file.stores.get(&location.bucket).await?;
        Ok(self.kept.disk_of(&store))
    }

    /// The places of the disk cache that hold a chunk, each with the bytes of the chunk that are there.
    fn places(&self, file: &FileChunks, id: ChunkId, found: &Found) -> Result<Vec<(Place, Range<u64>)>, FetchError> {
        let blocks = match found {
            Found::Computed(..) => None,
            _ => self.in_blocks(file.recipe(id)?),
        };
        let block = self.settings.block.max(1);
        let split = |len: u64| {
            (0..len)
                .step_by(usize::try_from(block).unwrap_or(usize::MAX))
                .map(move |start| start..len.min(start + block))
        };
        Ok(match (found, blocks) {
            (Found::Nowhere, _) => Vec::new(),
            (Found::Object(location), Some(len)) => {
                split(len).map(|range| (Place::object(location, Some(&range)), range)).collect()
            }
            (Found::Range(location, stored), Some(len)) => {
                let at = |range: &Range<u64>| stored.start + range.start..stored.start + range.end;
                split(len).map(|range| (Place::object(location, Some(&at(&range))), range)).collect()
            }
            (Found::Object(location) | Found::Computed(location, _), _) => {
                vec![(Place::object(location, None), 0..u64::MAX)]
            }
            (Found::Range(location, stored), None) => vec![(Place::object(location, Some(stored)), 0..u64::MAX)],
        })
    }

    /// Fetches what of a chunk the disk cache lacks, past what is in memory, and hands it to the disk cache.
    async fn bring(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        found: &Found,
        range: Range<u64>,
    ) -> Result<(), Missing<FetchError>> {
        if range.end == u64::MAX {
            let form = Form { framing: None, urgency: Urgency::Demand };
            self.load_found(file, id, found.clone(), form, None).await.map(drop)
        } else {
            self.loading_block(file, id, found.clone(), range, None).await.map(drop)
        }
    }
}
