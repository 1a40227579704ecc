//! One reader of a file, for whom chunks are fetched ahead.
//!
//! A reader belongs to an open handle. Each chunk that it touches goes to the [`Pattern`] of its dataset, and what that
//! wishes for is begun at once, as far as the budget has room. What is under way ends with the reader.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::load::Form;
use super::object::BLOCK;
use super::pattern::Pattern;
use super::spent::Spent;
use super::{FetchError, Fetcher, FileChunks, PlainObject};
use crate::cache::{Ahead, PiecePart, Waiting};
use crate::model::chunk::ChunkId;
use crate::model::hierarchy::ObjectId;
use crate::model::pipeline::Framing;
use crate::store::Urgency;

/// Bytes under way ahead of one stream: 64 requests of 1 MiB, which fill 25 Gbit/s at 20 ms, twice, so that new ones
/// leave before the last have arrived.
const AHEAD_BYTES: u64 = 128 << 20;
/// Chunks under way ahead of one stream: three times as many as a store is asked for at a time.
const AHEAD_CHUNKS: u64 = 192;
/// Grids that one reader is watched on; a program that walks over more of them begins anew.
const GRIDS: usize = 256;

/// A reader of one version of a file.
pub struct Reader {
    fetcher: Arc<Fetcher>,
    of: Of,
    runtime: Handle,
    state: Mutex<State>,
}

/// What is read.
#[derive(Debug)]
enum Of {
    File(Arc<FileChunks>),
    Object(Arc<PlainObject>),
}

impl Of {
    fn spent(&self) -> &Spent {
        match self {
            Of::File(file) => &file.spent,
            Of::Object(object) => &object.spent,
        }
    }
}

#[derive(Default)]
struct State {
    patterns: HashMap<Grid, Pattern>,
    running: Running,
    /// How many times what was handed over turned out to be forgotten, when this reader last touched anything.
    forgotten: u64,
}

/// What is under way, by what it is a part of.
type Running = HashMap<(Grid, u64), AbortHandle>;

/// What a reader walks on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Grid {
    /// The chunks of a dataset.
    Chunks(ObjectId),
    /// The blocks of a huge chunk.
    Blocks(ChunkId),
    /// The blocks of an object that is shown as it is.
    Object,
}

impl Reader {
    /// A reader of chunks who has touched nothing yet. Loads run in `runtime`.
    pub fn of_file(fetcher: Arc<Fetcher>, file: Arc<FileChunks>, runtime: Handle) -> Reader {
        Reader { fetcher, of: Of::File(file), runtime, state: Mutex::default() }
    }

    /// A reader of an object that is shown as it is.
    pub fn of_object(fetcher: Arc<Fetcher>, object: Arc<PlainObject>, runtime: Handle) -> Reader {
        Reader { fetcher, of: Of::Object(object), runtime, state: Mutex::default() }
    }

    /// The reader is about to read bytes `want` of its object; blocks that it will want next are begun.
    /// Never waits.
    pub fn touch_object(&self, want: Range<u64>) {
        let Of::Object(object) = &self.of else { return };
        let counts = [object.len().div_ceil(BLOCK)];
        let end = want.end.min(object.len());
        for number in want.start / BLOCK..end.div_ceil(BLOCK) {
            self.walk(Grid::Object, &counts, number, BLOCK, |number| self.fetcher.object_ahead(object, number));
        }
    }

    /// The reader is about to read bytes `want` of a chunk, in the form of `framing`; chunks that it will want next are
    /// begun. Never waits.
    pub fn touch(&self, id: ChunkId, want: Range<u64>, framing: Option<&Framing>) {
        let Of::File(file) = &self.of else { return };
        let Ok(recipe) = file.recipe(id) else { return };
        let block = self.fetcher.settings.block.max(1);
        if framing.is_none()
            && let Some(len) = self.fetcher.in_blocks(recipe)
        {
            let counts = [len.div_ceil(block)];
            for number in want.start / block..want.end.min(len).div_ceil(block) {
                self.walk(Grid::Blocks(id), &counts, number, block, |number| {
                    self.fetcher.block_ahead(file, id, len, number)
                });
            }
            return;
        }
        let room = self.fetcher.room(file, id, framing);
        self.walk(Grid::Chunks(id.dataset), recipe.grid.counts(), id.number, room, |number| {
            self.fetcher.ahead(file, ChunkId { number, ..id }, framing)
        });
    }

    fn walk(&self, grid: Grid, counts: &[u64], number: u64, bytes: u64, begin: impl Fn(u64) -> Ahead<FetchError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { patterns, running, forgotten } = &mut *state;
        let spent = self.of.spent();
        // What was needless while it was believed to be kept elsewhere is wanted now.
        let before = std::mem::replace(forgotten, spent.asked(grid, number));
        if before != *forgotten {
            for (grid, pattern) in patterns.iter_mut() {
                pattern.doubt(|number| running.contains_key(&(*grid, number)));
            }
        }
        if patterns.len() >= GRIDS && !patterns.contains_key(&grid) {
            patterns.clear();
        }
        let pattern = patterns.entry(grid).or_insert_with(|| Pattern::new(counts));
        let room = (AHEAD_BYTES / bytes.max(1)).clamp(2, AHEAD_CHUNKS);
        let wishes = pattern.touch(number, usize::try_from(room).unwrap_or(usize::MAX));
        for number in wishes.forget {
            if let Some(load) = running.remove(&(grid, number)) {
                load.abort();
            }
        }
        let mut full = false;
        for number in wishes.ask {
            let begun = match full {
                _ if spent.holds(grid, number) => Ahead::Needless,
                true => Ahead::NoRoom,
                false => begin(number),
            };
            match begun {
                Ahead::Needless => {}
                Ahead::NoRoom => {
                    full = true;
                    pattern.refused(number);
                }
                Ahead::Started(load) => self.run(running, (grid, number), load),
            }
        }
    }

    fn run(&self, running: &mut Running, of: (Grid, u64), load: Waiting<FetchError>) {
        if running.len() as u64 > 4 * AHEAD_CHUNKS {
            running.retain(|_, load| !load.is_finished());
        }
        // A failure is told to whoever reads the chunk, by a load of his own.
        let task = self.runtime.spawn(async move { drop(load.result().await) });
        running.insert(of, task.abort_handle());
    }

    /// Begins chunk `id`, which lies ahead of the reader in the file. False where there is no room for it. Never waits.
    pub fn begin(&self, id: ChunkId, framing: Option<&Framing>) -> bool {
        let Of::File(file) = &self.of else { return false };
        // Of a huge chunk no more is wanted than its next blocks, once it is read.
        let huge = |recipe| framing.is_none() && self.fetcher.in_blocks(recipe).is_some();
        if file.recipe(id).map_or(true, huge) {
            return true;
        }
        if self.of.spent().holds(Grid::Chunks(id.dataset), id.number) {
            return true;
        }
        match self.fetcher.ahead(file, id, framing) {
            Ahead::Needless => true,
            Ahead::NoRoom => false,
            Ahead::Started(load) => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                self.run(&mut state.running, (Grid::Chunks(id.dataset), id.number), load);
                true
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.running.drain().for_each(|(_, load)| load.abort());
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("of", &self.of).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Begins to load a chunk that nobody waits for yet.
    fn ahead(self: &Arc<Self>, file: &Arc<FileChunks>, id: ChunkId, framing: Option<&Framing>) -> Ahead<FetchError> {
        let part = if framing.is_some() { PiecePart::Stored } else { PiecePart::Plain };
        let form = Form { framing: framing.copied(), urgency: Urgency::Ahead };
        self.cache.load_ahead(file.piece(id, part), self.room(file, id, framing), |reserved| {
            self.loading_with(file, id, form, Some(reserved))
        })
    }
}

#[cfg(test)]
mod tests;
