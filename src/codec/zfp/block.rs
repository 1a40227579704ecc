//! A block: its bits, plane by plane, and what they stand for.

use std::num::Wrapping;

use super::SIDE;
use super::order;
use super::stream::Stream;
use super::word::Word;

/// Numbers of a block of four axes.
const MOST: usize = SIDE * SIDE * SIDE * SIDE;
/// Bits of a plane that are taken together.
const TOGETHER: usize = 56;

/// What the numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Int32,
    Int64,
    Float32,
    Float64,
}

impl Kind {
    /// Bytes of a number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Kind::Int32 | Kind::Float32 => 4,
            Kind::Int64 | Kind::Float64 => 8,
        }
    }
}

/// How blocks are coded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Coding {
    pub(super) kind: Kind,
    /// Axes: 1 to 4.
    pub(super) axes: usize,
    /// Bits of a block, at least and at most.
    pub(super) least: u32,
    pub(super) most: u32,
    /// Planes of bits that are kept at most.
    pub(super) planes: u32,
    /// The power of two of the lowest plane of floats that is kept.
    pub(super) lowest: i32,
    /// Nothing was dropped.
    pub(super) reversible: bool,
}

/// The numbers of a block, as bits.
#[derive(Debug)]
pub(super) struct Block([u64; MOST]);

impl Default for Block {
    fn default() -> Self {
        Block([0; MOST])
    }
}

impl Block {
    /// Four numbers along the first axis, by their place along the others.
    pub(super) fn row(&self, number: usize) -> &[u64] {
        self.0.get(number * SIDE..(number + 1) * SIDE).unwrap_or_default()
    }
}

impl Coding {
    /// The next block.
    pub(super) fn read(&self, bits: &mut Stream<'_>, block: &mut Block) {
        match self.kind {
            Kind::Int32 => self.integers::<Wrapping<i32>>(bits, block),
            Kind::Int64 => self.integers::<Wrapping<i64>>(bits, block),
            Kind::Float32 => self.floats::<Wrapping<i32>>(bits, block),
            Kind::Float64 => self.floats::<Wrapping<i64>>(bits, block),
        }
    }

    /// Bits of a block of nothing but zeros. Writers of reversible floats leave it at one, whatever they were asked for.
    pub(super) fn fewest(&self) -> u32 {
        let floats = matches!(self.kind, Kind::Float32 | Kind::Float64);
        if self.reversible && floats { 1 } else { self.least.max(1) }
    }

    /// Numbers of a block.
    fn count(&self) -> usize {
        SIDE.pow(self.axes as u32)
    }

    fn integers<W: Word>(&self, bits: &mut Stream<'_>, block: &mut Block) {
        let mut words = [W::default(); MOST];
        self.words(bits, 0, self.planes, &mut words);
        put(&words, block, W::bits);
    }

    fn floats<W: Word>(&self, bits: &mut Stream<'_>, block: &mut Block) {
        if !bits.flag() {
            bits.skip(self.fewest() - 1);
            block.0.fill(0);
            return;
        }
        let mut words = [W::default(); MOST];
        if self.reversible && bits.flag() {
            self.words(bits, 2, self.planes, &mut words);
            put(&words, block, W::reinterpreted);
            return;
        }
        let bias = (1 << (W::EXPONENT - 1)) - 1;
        let exponent = bits.take(W::EXPONENT) as i32 - bias;
        // Planes from the highest bit of any number down to the lowest that was kept, and what the transform adds.
        let kept = (exponent - self.lowest).saturating_add(2 * self.axes as i32 + 2).max(0) as u32;
        let before = 1 + u32::from(self.reversible) + W::EXPONENT;
        self.words(bits, before, self.planes.min(kept), &mut words);
        if self.reversible && exponent == -bias {
            block.0.fill(0);
        } else {
            put(&words, block, |word| word.times(exponent - (W::WIDTH as i32 - 2)));
        }
    }

    /// The integers of a block, of which `before` bits were taken.
    fn words<W: Word>(&self, bits: &mut Stream<'_>, before: u32, kept: u32, words: &mut [W; MOST]) {
        let begun = bits.position();
        // A writer whose limit is less than what stands in front of the integers has, by a number that wraps, none.
        let most = self.most.wrapping_sub(before);
        let mut coefficients = [0; MOST];
        let coefficients = coefficients.get_mut(..self.count()).unwrap_or_default();
        if self.reversible {
            let kept = bits.take(W::PRECISION) as u32 + 1;
            planes(bits, most.wrapping_sub(W::PRECISION), (W::WIDTH, kept), coefficients);
        } else {
            planes(bits, most, (W::WIDTH, kept), coefficients);
        }
        let taken = (bits.position() - begun) as u32;
        bits.skip(self.least.saturating_sub(before).saturating_sub(taken));
        for (&place, &coefficient) in order::of(self.axes).iter().zip(&*coefficients) {
            if let Some(word) = words.get_mut(usize::from(place)) {
                *word = W::from_negabinary(coefficient);
            }
        }
        let words = words.get_mut(..self.count()).unwrap_or_default();
        if self.reversible { along_axes(words, unpredicted) } else { along_axes(words, correlated) }
    }
}

fn put<W: Word>(words: &[W; MOST], block: &mut Block, number: impl Fn(W) -> u64) {
    block.0.iter_mut().zip(words).for_each(|(out, &word)| *out = number(word));
}

/// Bits of all coefficients, the highest first: of each plane those of coefficients that have shown a bit so far, then
/// whether any other has one, and which. `most` bits are taken at most.
fn planes(bits: &mut Stream<'_>, most: u32, (width, kept): (u32, u32), coefficients: &mut [u64]) {
    let (mut left, mut shown, count) = (most, 0, coefficients.len());
    let mut set = |at: usize, plane: u32| {
        if let Some(coefficient) = coefficients.get_mut(at) {
            *coefficient |= 1 << plane;
        }
    };
    for plane in (width.saturating_sub(kept)..width).rev() {
        if left == 0 {
            return;
        }
        let listed = shown.min(left as usize);
        left -= listed as u32;
        for first in (0..listed).step_by(TOGETHER) {
            let mut ones = bits.take((listed - first).min(TOGETHER) as u32);
            while ones != 0 {
                set(first + ones.trailing_zeros() as usize, plane);
                ones &= ones - 1;
            }
        }
        while left > 0 && shown < count {
            left -= 1;
            if !bits.flag() {
                break;
            }
            // The last of all is told by no bit of its own.
            let (zeros, taken) = bits.zeros(left.min((count - 1 - shown) as u32));
            left -= taken;
            shown += zeros as usize;
            set(shown, plane);
            shown += 1;
        }
    }
}

/// Undoes what was done to each four words along each axis, the last axis first.
fn along_axes<W: Word>(words: &mut [W], undo: impl Fn([W; SIDE]) -> [W; SIDE]) {
    let mut step = words.len() / SIDE;
    while step > 0 {
        for four in words.chunks_exact_mut(step * SIDE) {
            for at in 0..step {
                let places = [at, at + step, at + 2 * step, at + 3 * step];
                let undone = undo(places.map(|place| four.get(place).copied().unwrap_or_default()));
                for (place, word) in places.into_iter().zip(undone) {
                    if let Some(out) = four.get_mut(place) {
                        *out = word;
                    }
                }
            }
        }
        step /= SIDE;
    }
}

/// Undoes the transform that drops a bit here and there.
fn correlated<W: Word>([mut x, mut y, mut z, mut w]: [W; SIDE]) -> [W; SIDE] {
    y = y + (w >> 1);
    w = w - (y >> 1);
    y = y + w;
    w = w - (y - w);
    z = z + x;
    x = x - (z - x);
    y = y + z;
    z = z - (y - z);
    w = w + x;
    x = x - (w - x);
    [x, y, z, w]
}

/// Undoes the transform that drops nothing: each word less a cubic through those before.
fn unpredicted<W: Word>([x, mut y, mut z, mut w]: [W; SIDE]) -> [W; SIDE] {
    w = w + z;
    z = z + y;
    w = w + z;
    y = y + x;
    z = z + y;
    w = w + z;
    [x, y, z, w]
}
