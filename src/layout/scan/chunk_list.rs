//! The chunks of one dataset that were written, by ascending number: where each lies.
//!
//! A file has millions of them, and the list is held as long as the file is open. So they are packed, some hundred in a block: of
//! each block four columns, and of a column no more than its numbers differ in. Chunks in a row, of one size, behind one
//! another, take next to nothing; filtered ones strewn over a file some 8 bytes each.

use std::collections::BTreeSet;

/// Chunks of a block. A column of that many starts to be good where so many are alike, and what is unlike spoils no more than so many.
const BLOCK: usize = 256;

/// A chunk that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkAt {
    /// Its number in C order of the grid.
    pub number: u64,
    /// First byte.
    pub position: u64,
    /// Bytes.
    pub len: u32,
    /// Bit *n*: filter *n* was passed over.
    pub mask: u32,
}

/// Chunks by ascending number, each number once.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ChunkList {
    blocks: Vec<Block>,
    len: usize,
}

/// A list to which chunks are added behind the last.
#[derive(Debug, Default)]
pub struct Packing {
    list: ChunkList,
    /// Those of the block that is not full yet.
    open: Vec<ChunkAt>,
}

#[derive(Clone, PartialEq, Debug)]
struct Block {
    len: usize,
    numbers: Column,
    positions: Column,
    lens: Column,
    masks: Column,
}

/// Numbers of one kind, of the chunks of a block.
#[derive(Clone, PartialEq, Debug)]
enum Column {
    /// Each as far behind the one before, over the end of all numbers where need be.
    Even { first: u64, step: u64 },
    /// Each at most 2^16 above the least.
    Narrow(u64, Box<[u16]>),
    /// At most 2^32.
    Near(u64, Box<[u32]>),
    /// Any.
    Far(Box<[u64]>),
}

impl Column {
    /// The column of some numbers, at least one.
    fn of(numbers: impl Iterator<Item = u64> + Clone) -> Column {
        let mut rest = numbers.clone();
        let first = rest.next().unwrap_or_default();
        let (mut least, mut most, mut last, mut even) = (first, first, first, true);
        let step = rest.clone().next().map_or(0, |second| second.wrapping_sub(first));
        for number in rest {
            even &= number.wrapping_sub(last) == step;
            (least, most, last) = (least.min(number), most.max(number), number);
        }
        let above = numbers.clone().map(|number| number - least);
        match most - least {
            _ if even => Column::Even { first, step },
            spread if spread <= u16::MAX.into() => Column::Narrow(least, above.map(|above| above as u16).collect()),
            spread if spread <= u32::MAX.into() => Column::Near(least, above.map(|above| above as u32).collect()),
            _ => Column::Far(numbers.collect()),
        }
    }

    /// Number `at`, which there is.
    fn get(&self, at: usize) -> u64 {
        match self {
            Column::Even { first, step } => first.wrapping_add(step.wrapping_mul(at as u64)),
            Column::Narrow(least, above) => least + above.get(at).copied().map_or(0, u64::from),
            Column::Near(least, above) => least + above.get(at).copied().map_or(0, u64::from),
            Column::Far(numbers) => numbers.get(at).copied().unwrap_or_default(),
        }
    }

    /// Bytes of memory beside its own.
    fn weight(&self) -> usize {
        match self {
            Column::Even { .. } => 0,
            Column::Narrow(_, above) => size_of_val(&above[..]),
            Column::Near(_, above) => size_of_val(&above[..]),
            Column::Far(numbers) => size_of_val(&numbers[..]),
        }
    }
}

impl Block {
    fn of(chunks: &[ChunkAt]) -> Block {
        Block {
            len: chunks.len(),
            numbers: Column::of(chunks.iter().map(|chunk| chunk.number)),
            positions: Column::of(chunks.iter().map(|chunk| chunk.position)),
            lens: Column::of(chunks.iter().map(|chunk| chunk.len.into())),
            masks: Column::of(chunks.iter().map(|chunk| chunk.mask.into())),
        }
    }

    fn get(&self, at: usize) -> ChunkAt {
        ChunkAt {
            number: self.numbers.get(at),
            position: self.positions.get(at),
            // What they were made of.
            len: self.lens.get(at) as u32,
            mask: self.masks.get(at) as u32,
        }
    }

    /// Where chunk `number` stands in it.
    fn find(&self, number: u64) -> Option<usize> {
        let (mut from, mut to) = (0, self.len);
        while from < to {
            let middle = from.midpoint(to);
            match self.numbers.get(middle).cmp(&number) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }
}

impl ChunkList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Chunk `number`; `None` where it was never written.
    pub fn find(&self, number: u64) -> Option<ChunkAt> {
        let behind = self.blocks.partition_point(|block| block.numbers.get(0) <= number);
        let block = self.blocks.get(behind.checked_sub(1)?)?;
        block.find(number).map(|at| block.get(at))
    }

    /// The one with the highest number.
    pub fn last(&self) -> Option<ChunkAt> {
        self.blocks.last().map(|block| block.get(block.len.saturating_sub(1)))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = ChunkAt> + '_ {
        self.blocks.iter().flat_map(|block| (0..block.len).map(|at| block.get(at)))
    }

    /// The filter masks that there are, each once.
    pub fn masks(&self) -> BTreeSet<u32> {
        let mut masks = BTreeSet::new();
        for block in &self.blocks {
            let alike = matches!(block.masks, Column::Even { step: 0, .. });
            masks.extend((0..if alike { 1 } else { block.len }).map(|at| block.masks.get(at) as u32));
        }
        masks
    }

    /// Bytes of memory that it takes.
    pub fn weight(&self) -> u64 {
        let own = self.blocks.capacity() * size_of::<Block>();
        let columns = |block: &Block| {
            [&block.numbers, &block.positions, &block.lens, &block.masks].map(Column::weight).iter().sum::<usize>()
        };
        (own + self.blocks.iter().map(columns).sum::<usize>()) as u64
    }
}

impl Packing {
    /// The chunk that was added last.
    pub fn last(&self) -> Option<ChunkAt> {
        self.open.last().copied().or_else(|| self.list.last())
    }

    /// Adds one whose number is higher than all before.
    pub fn push(&mut self, chunk: ChunkAt) {
        debug_assert!(self.last().is_none_or(|last| last.number < chunk.number));
        self.open.push(chunk);
        if self.open.len() == BLOCK {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.list.len += self.open.len();
            self.list.blocks.push(Block::of(&self.open));
            self.open.clear();
        }
    }

    /// All that were added.
    pub fn done(mut self) -> ChunkList {
        self.close();
        self.list.blocks.shrink_to_fit();
        self.list
    }
}

impl FromIterator<ChunkAt> for ChunkList {
    /// Of chunks by ascending number.
    fn from_iter<T: IntoIterator<Item = ChunkAt>>(chunks: T) -> Self {
        let mut packing = Packing::default();
        chunks.into_iter().for_each(|chunk| packing.push(chunk));
        packing.done()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_that_are_alike_take_next_to_nothing() {
        let at = |number: u64, position| ChunkAt { number, position, len: 8, mask: 0 };
        let million = 0..1_000_000u64;
        let weight = |list: ChunkList| list.weight() / list.len() as u64;
        assert_eq!(weight(million.clone().map(|number| at(number, 4096 + number * 8)).collect()), 0);
        // With nodes of a tree between them, and strewn over terabytes.
        assert!(weight(million.clone().map(|number| at(number, number * 8 + number / 64 * 2096)).collect()) <= 3);
        let strewn = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        assert!(weight(million.map(|number| at(number * 2, strewn(number))).collect()) <= 9);
    }

    #[test]
    fn masks_are_told_once() {
        let at = |number| ChunkAt { number, position: 0, len: 1, mask: u32::from(number % 300 == 299) };
        let list: ChunkList = (0..1000).map(at).collect();
        assert_eq!(list.masks().into_iter().collect::<Vec<_>>(), [0, 1]);
        assert!(ChunkList::default().masks().is_empty());
    }

    proptest! {
        #[test]
        fn chunks_come_back_and_are_found(
            steps in proptest::collection::vec((1..4u64, any::<u64>(), 0..3u8, any::<u32>(), any::<bool>()), 0..1500),
        ) {
            let mut number = 0;
            let chunks: Vec<ChunkAt> = steps.into_iter().map(|(step, position, width, len, even)| {
                number += if even { 1 } else { step };
                let position = position >> [0, 34, 50][usize::from(width)];
                ChunkAt { number, position, len: if even { 7 } else { len }, mask: len & 1 }
            }).collect();
            let list: ChunkList = chunks.iter().copied().collect();
            prop_assert_eq!(list.len(), chunks.len());
            prop_assert_eq!(list.last(), chunks.last().copied());
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), chunks.clone());
            for number in 0..number + 2 {
                prop_assert_eq!(list.find(number), chunks.iter().find(|chunk| chunk.number == number).copied());
            }
        }
    }
}
