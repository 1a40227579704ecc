//! The memory that loading a chunk takes, and chunks for which there is too little.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{Fetcher, FileChunks};
use crate::cache::CacheSettings;
use crate::model::chunk::ChunkId;
use crate::model::pipeline::{Decode, Framing};

/// Taken for a chunk whose elements vary in length, until it is there: most are far smaller.
const UNKNOWN: u64 = 1 << 20;
/// What the HTTP library has read of a body and not handed over yet, at most.
const CONNECTION: u64 = 400 << 10;
/// Datasets that are remembered as told of. Whoever has more of them is told of some again.
const TOLD: usize = 1000;

/// Datasets of which was told that their chunks do not fit, by file and path: a file that is opened again is none the
/// wiser for being told again.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<(String, String)>>);

impl Told {
    /// Tells the log, once for each dataset, that loading chunk `id` takes `room` bytes and there are `limit`.
    pub(super) fn tell(&self, file: &FileChunks, id: ChunkId, room: u64, limit: u64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD {
            told.clear();
        }
        let path = file.path(id.dataset);
        if told.insert((file.about.file.clone(), path.clone())) {
            tracing::warn!(file = %file.about.file, "{path}: {}", advice(room, limit));
        }
    }

    /// How many were told of.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What is said of chunks that do not fit.
fn advice(room: u64, limit: u64) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    format!(
        "loading one of its chunks takes {} MiB (as stored and as decoded), and --memory-limit leaves {} MiB: they are loaded \
         one at a time, past the limit and with nothing read ahead; give --memory-limit {}M or more, or store smaller chunks",
        mib(room),
        limit >> 20,
        mib(CacheSettings::memory_for(room)),
    )
}

impl Fetcher {
    /// Bytes that loading a chunk takes: what is stored, what becomes of it where that is something else, and what is held of
    /// it on the way.
    pub(super) fn room(&self, file: &FileChunks, id: ChunkId, framing: Option<&Framing>) -> u64 {
        let recipe = file.map.recipe(id.dataset);
        let plain = recipe.and_then(|recipe| recipe.raw_len).unwrap_or(UNKNOWN);
        // Of a recipe that is not known, as much as of one that takes most.
        let copies = recipe.map_or(2, |recipe| copies(&recipe.decode.steps));
        let framed = framing.map_or(0, |framing| framing.room);
        plain
            .saturating_mul(1 + if self.kept.is_there() { copies } else { copies.min(1) })
            .saturating_add(framed)
            .saturating_add(plain.min(CONNECTION))
    }
}

/// How many times the steps make other bytes of a chunk. Beside the last ones, those they were made of are held, and where
/// they are kept on disk, the stored ones.
fn copies(steps: &[Decode]) -> u64 {
    let of = |step: &Decode| match step {
        Decode::Fletcher32 | Decode::TrimFletcher32 => 0,
        Decode::Unshuffle { element } => u64::from(*element > 1),
        Decode::BloscOrDeflate { unshuffle } => 1 + u64::from(unshuffle.is_some_and(|element| element > 1)),
        // All others decompress, or put bits in order.
        _ => 1,
    };
    steps.iter().map(of).sum::<u64>().min(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::FetchSettings;
    use crate::fetch::tests::{recipe, world_with};

    #[tokio::test]
    async fn chunks_that_do_not_fit_are_read_and_told_of_once_for_each_dataset() {
        for (limit, told) in [(4000, 0), (1500, 1)] {
            let mut settings = FetchSettings::default();
            settings.cache.bytes = limit;
            // Stored, plain, and what the HTTP library may hold: three times 1000 bytes.
            let world = world_with(recipe(3000, 1000, 1, &[Decode::Lz4]), [], settings, |store| store);
            for number in 0..3 {
                world.put(&format!("1/c{number}"), lz4(&[number; 1000]));
                assert_eq!(world.bytes(number.into(), None).await, vec![number; 1000]);
            }
            assert_eq!(world.fetcher.large.count(), told);
            assert!(world.fetcher.cache.budget().peak() < 5000);
        }
    }

    /// As HDF5's filter writes it: the whole length, that of a block, and one block that is stored as it is.
    fn lz4(plain: &[u8]) -> Vec<u8> {
        let length = plain.len() as u64;
        let head = [&length.to_be_bytes()[..], &(length as u32).to_be_bytes(), &(length as u32).to_be_bytes()];
        [&head.concat(), plain].concat()
    }

    #[test]
    fn every_step_that_makes_other_bytes_is_a_copy() {
        let unshuffle = Decode::Unshuffle { element: 4 };
        assert_eq!(copies(&[]), 0);
        assert_eq!(copies(&[Decode::Fletcher32]), 0);
        assert_eq!(copies(&[Decode::Fletcher32, Decode::Deflate]), 1);
        assert_eq!(copies(&[Decode::Deflate, Decode::Unshuffle { element: 1 }]), 1);
        assert_eq!(copies(&[Decode::Deflate, unshuffle]), 2);
        assert_eq!(copies(&[Decode::BloscOrDeflate { unshuffle: Some(8) }]), 2);
    }

    #[test]
    fn the_advice_gives_a_limit_that_is_enough() {
        let said = advice(192 << 20, 48 << 20);
        assert!(said.contains("takes 192 MiB") && said.contains("leaves 48 MiB"), "{said}");
        assert!(said.contains("--memory-limit 256M"), "{said}");
        assert_eq!(CacheSettings::of_memory(256 << 20), 192 << 20);
    }
}
