//! Fetching what a job will need before it begins.
//!
//! What is wanted is said in the name of an extended attribute, which programs and `h5mount warm` read: of a dataset, a
//! selection as in Python (`/dset[0:10, :, 3]`) or chunks by number (`/dset#0-99,120`).

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::{Content, Namespace, Version};
use crate::fetch::{FileChunks, Shown};
use crate::model::chunk::{ChunkId, ChunkRecipe};
use crate::model::hierarchy::ObjectId;
use crate::model::hyperslab::{self, Hyperslab};

/// Chunks of one wish; more are asked for by several.
pub const MOST: usize = 1 << 16;

/// Chunks that are pinned at a time: what comes waits for the disk, which has one writer.
const PINNED_AT_ONCE: usize = 8;

/// What is to be done with the chunks of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Fetch them, and keep them as far as there is room.
    Warm,
    /// Fetch them into the disk cache, and keep them there.
    Pin,
    /// Keep them in the disk cache no longer than others.
    Unpin,
    /// Tell which of them are here.
    Held,
}

/// What became of a wish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Chunks that were wanted.
    pub chunks: u64,
    /// Of them, those that were never written.
    pub absent: u64,
    /// Of them, those that could not be had.
    pub failed: u64,
    /// Of them, those that are not here, where that was asked.
    pub gone: u64,
    /// Of them, those that are in memory, and not in the disk cache beside it, where that was asked.
    pub unkept: u64,
    /// Plain bytes of those that were fetched; of those in the disk cache, what they take there.
    pub bytes: u64,
    /// Why the first failed that did, or why some are not here.
    pub reason: Option<String>,
}

/// The chunks of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridTold {
    /// Its extents, in elements.
    pub shape: Vec<u64>,
    /// Those of a chunk.
    pub chunk: Vec<u64>,
    /// Plain bytes of a chunk, where all have as many.
    pub chunk_bytes: Option<u64>,
}

impl Namespace {
    /// Paths of the datasets of `version` that have chunks.
    pub fn datasets(&self, version: &Version) -> Vec<String> {
        let Some(chunks) = version.chunks() else { return Vec::new() };
        let by_path = chunks.paths().by_path();
        by_path
            .iter()
            .filter(|(_, id)| chunks.map().recipe(**id).is_some())
            .map(|(path, _)| (*path).to_owned())
            .collect()
    }

    /// The chunk grid of the dataset at `path`; `None` where there is no such dataset with data.
    pub fn grid(&self, version: &Version, path: &str) -> Option<GridTold> {
        let (_, recipe) = dataset(version.chunks()?, path)?;
        let (shape, chunk) = (recipe.grid.dims().to_vec(), recipe.grid.chunk().to_vec());
        Some(GridTold { shape, chunk, chunk_bytes: recipe.raw_len })
    }

    /// Does with the chunks that `wish` names what `verb` says, many at a time.
    ///
    /// # Errors
    /// Text for whoever made the wish, where it means nothing.
    pub async fn wish(&self, version: &Arc<Version>, verb: Verb, wish: &str) -> Result<Warmed, String> {
        let chunks = version.chunks().ok_or("it is shown as it is: just read it")?;
        let (dataset, numbers) = wanted(chunks, wish)?;
        if matches!(version.content, Content::Image { .. }) {
            version.mark_read();
        }
        let at_once = self.settings.chunks_at_once;
        if verb == Verb::Pin {
            // What stays is what the store has now.
            let warmed = Box::pin(self.wish(version, Verb::Warm, wish)).await?;
            if warmed.failed > 0 {
                return Ok(warmed);
            }
        }
        if verb != Verb::Warm {
            return Ok(self.in_place(version, chunks, verb, dataset, numbers).await);
        }
        let framing = version.image().and_then(|image| image.framing(dataset));
        let fill = version.image().and_then(|image| image.fill_element(dataset));
        let load = |number| self.fetcher.warm(chunks, ChunkId { dataset, number }, Shown { framing, fill });
        let mut warmed = Warmed { chunks: numbers.len() as u64, ..Warmed::default() };
        let mut loads = stream::iter(numbers).map(load).buffer_unordered(at_once);
        while let Some(loaded) = loads.next().await {
            match loaded {
                Ok(Some(bytes)) => warmed.bytes = warmed.bytes.saturating_add(bytes),
                Ok(None) => warmed.absent += 1,
                Err(error) => {
                    warmed.failed += 1;
                    warmed.reason.get_or_insert_with(|| error.to_string());
                }
            }
        }
        // It was ordered: whoever did so may end the mount now.
        self.fetcher.settle().await;
        Ok(warmed)
    }

    /// What of chunks is here, or is to stay in the disk cache.
    async fn in_place(
        &self,
        version: &Version,
        chunks: &Arc<FileChunks>,
        verb: Verb,
        dataset: ObjectId,
        numbers: Vec<u64>,
    ) -> Warmed {
        let framing = version.image().and_then(|image| image.framing(dataset));
        let one = |number| async move {
            let id = ChunkId { dataset, number };
            match verb {
                Verb::Warm | Verb::Held => {
                    let here = self.fetcher.is_here(chunks, id, framing).await.map_err(|error| error.to_string())?;
                    let (gone, unkept) = match here.disk {
                        Some(false) => (!here.memory, here.memory),
                        Some(true) => (false, false),
                        None => (!here.memory, false),
                    };
                    Ok(Warmed { gone: u64::from(gone), unkept: u64::from(unkept), ..Warmed::default() })
                }
                Verb::Pin | Verb::Unpin => {
                    let pinned = match verb {
                        Verb::Pin => self.fetcher.pin(chunks, id).await?,
                        _ => self.fetcher.unpin(chunks, id).await?,
                    };
                    let absent = u64::from(pinned.records == 0);
                    Ok::<_, String>(Warmed { absent, bytes: pinned.bytes, ..Warmed::default() })
                }
            }
        };
        if verb == Verb::Held {
            self.fetcher.settle().await;
        }
        let mut told = Warmed { chunks: numbers.len() as u64, ..Warmed::default() };
        let mut done = stream::iter(numbers).map(one).buffer_unordered(PINNED_AT_ONCE);
        while let Some(one) = done.next().await {
            match one {
                Ok(one) => {
                    told.absent += one.absent;
                    told.gone += one.gone;
                    told.unkept += one.unkept;
                    told.bytes = told.bytes.saturating_add(one.bytes);
                }
                Err(reason) => {
                    told.failed += 1;
                    told.reason.get_or_insert(reason);
                }
            }
        }
        if told.gone > 0 || told.unkept > 0 {
            let (limit, lack) = self.fetcher.limits();
            let mib = limit >> 20;
            told.reason.get_or_insert(match lack {
                None => format!("--memory-limit leaves {mib} MiB for chunks; mount with more, or with --cache-dir"),
                Some(lack) if told.gone == 0 => format!("of the disk cache: {lack}"),
                Some(lack) => format!("--memory-limit leaves {mib} MiB for chunks; of the disk cache: {lack}"),
            });
        }
        told
    }
}

fn dataset<'a>(chunks: &'a FileChunks, path: &str) -> Option<(ObjectId, &'a ChunkRecipe)> {
    let path = format!("/{}", path.trim_matches('/'));
    let id = *chunks.paths().by_path().get(path.as_str())?;
    Some((id, chunks.map().recipe(id)?))
}

/// The dataset and the numbers of its chunks that a wish names.
fn wanted(chunks: &FileChunks, wish: &str) -> Result<(ObjectId, Vec<u64>), String> {
    let find = |path: &str| dataset(chunks, path).ok_or_else(|| format!("{path}: no dataset with data"));
    if let Some((path, list)) = wish.rsplit_once('#')
        && let Ok(numbers) = numbers(list)
    {
        let (id, recipe) = find(path)?;
        if let Some(number) = numbers.iter().find(|number| **number >= recipe.grid.total()) {
            return Err(format!("{path}: chunk {number} of {}", recipe.grid.total()));
        }
        return Ok((id, numbers.into_iter().collect()));
    }
    let (path, selection) = hyperslab::split(wish);
    let (id, recipe) = find(path)?;
    let slab = Hyperslab::parse(selection, recipe.grid.dims()).map_err(|error| format!("{selection}: {error}"))?;
    if slab.chunk_count(&recipe.grid).is_none_or(|count| count > MOST as u64) {
        return Err(format!("{wish}: more than {MOST} chunks at a time; name parts of it"));
    }
    let touched = slab.chunks(&recipe.grid);
    Ok((id, touched.filter_map(|touched| recipe.grid.number(&touched.coordinates)).collect()))
}

/// Numbers and ranges of numbers: `0-99,120`.
fn numbers(list: &str) -> Result<BTreeSet<u64>, String> {
    let mut numbers = BTreeSet::new();
    for term in list.split(',') {
        let (first, last) = term.split_once('-').unwrap_or((term, term));
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{term}: no number of a chunk"));
        let (first, last) = (number(first)?, number(last)?);
        if last < first || last - first >= MOST as u64 || numbers.len() >= MOST {
            return Err(format!("{term}: more than {MOST} chunks at a time, or none"));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read_and_bounded() {
        assert_eq!(numbers("3,0-2,3"), Ok(BTreeSet::from([0, 1, 2, 3])));
        for bad in ["", "1-", "2-1", "x", "0-99999999", "-1"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }
}
