//! bzip2 (HDF5 filter 307): one stream of blocks, each sorted by what follows its bytes, and packed by a Huffman code.
//!
//! A stream is `BZh` and a digit, which says how many hundred thousand bytes a block has at most, the blocks, and a
//! checksum of their checksums. Bits stand highest first.

mod code;

use super::bits::Bits;
use super::error::{CodecError, room};
use code::Code;

const WHAT: &str = "bzip2 chunk";
/// What a block, and the end of a stream, begin with.
const BLOCK: u64 = 0x3141_5926_5359;
const END: u64 = 0x1772_4538_5090;
/// Bytes of a block for each step of the digit.
const STEP: usize = 100_000;
/// Symbols that one choice of a code lasts for, and choices that a block of 900,000 bytes has, with some to spare.
const RUN: usize = 50;
const MOST_CHOICES: usize = 18_002;
/// Codes of a block.
const MOST_CODES: u64 = 6;
/// Equal bytes after which a count stands.
const REPEATED: u32 = 4;
/// Bytes that are taken at once: small streams may claim much.
const FIRST: u64 = 1 << 20;

/// Plain bytes; more than `bound` are an error. What follows the end of the stream is ignored.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    let mut bits = Bits::new(WHAT, stored);
    let level = match (bits.take(24)?, bits.take(8)?) {
        (0x42_5a68, digit @ 0x31..=0x39) => (digit - 0x30) as usize,
        _ => return Err(invalid(&bits, "it does not begin as bzip2 does")),
    };
    let mut plain = room(bound.min(FIRST))?;
    let mut all = 0u32;
    loop {
        match bits.take(48)? {
            BLOCK => {
                let expected = bits.take(32)? as u32;
                let start = plain.len();
                block(&mut bits, level * STEP, &mut plain, bound)?;
                let found = checksum(plain.get(start..).unwrap_or_default());
                if found != expected {
                    return Err(invalid(&bits, "a block has another checksum than it says"));
                }
                all = all.rotate_left(1) ^ found;
            }
            END if bits.take(32)? as u32 == all => return Ok(plain),
            END => return Err(invalid(&bits, "it has another checksum than it says")),
            _ => return Err(invalid(&bits, "neither a block nor the end")),
        }
    }
}

/// One block of at most `most` bytes, before runs are drawn out; its plain bytes go behind those of `plain`.
fn block(bits: &mut Bits<'_>, most: usize, plain: &mut Vec<u8>, bound: u64) -> Result<(), CodecError> {
    if bits.flag()? {
        return Err(invalid(bits, "a block whose bytes were strewn about, as writers have not done since 1999"));
    }
    let first = bits.take(24)? as usize;
    let sorted = sorted(bits, most)?;
    if first >= sorted.len() {
        return Err(invalid(bits, "a block that begins outside itself"));
    }
    // Where the sorted bytes of each value begin.
    let mut starts = [0u32; 256];
    for &byte in &sorted {
        starts[usize::from(byte)] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        (*start, sum) = (sum, sum + *start);
    }
    // Each with the place of the one that follows it.
    let mut follows = vec![0u32; sorted.len()];
    for (place, &byte) in (0u32..).zip(&sorted) {
        let start = &mut starts[usize::from(byte)];
        if let Some(next) = follows.get_mut(*start as usize) {
            *next = place;
        }
        *start += 1;
    }
    let (mut at, mut last, mut run) = (follows.get(first).copied().unwrap_or(0), None, 0);
    for _ in 0..sorted.len() {
        let byte = sorted.get(at as usize).copied().unwrap_or(0);
        at = follows.get(at as usize).copied().unwrap_or(0);
        let times = if run == REPEATED { usize::from(byte) } else { 1 };
        let drawn = match last {
            Some(last) if run == REPEATED => last,
            _ => byte,
        };
        run = match last {
            _ if run == REPEATED => 0,
            Some(last) if last == byte => run + 1,
            _ => 1,
        };
        last = (run > 0).then_some(drawn);
        let bytes = plain.len() as u64 + times as u64;
        if bytes > bound {
            return Err(CodecError::TooLarge { at: bits.position(), bytes, limit: bound });
        }
        plain.resize(plain.len() + times, drawn);
    }
    Ok(())
}

/// The bytes of a block as they were sorted.
fn sorted(bits: &mut Bits<'_>, most: usize) -> Result<Vec<u8>, CodecError> {
    let mut recent = values(bits)?;
    let codes = bits.take(3)?;
    let choices = bits.take(15)? as usize;
    if !(2..=MOST_CODES).contains(&codes) || choices == 0 {
        return Err(invalid(bits, "a block without codes"));
    }
    let mut order: Vec<u8> = (0..codes as u8).collect();
    let mut chosen = Vec::with_capacity(choices.min(MOST_CHOICES));
    for _ in 0..choices {
        let mut back = 0;
        while bits.flag()? {
            back += 1;
            if back >= order.len() {
                return Err(invalid(bits, "a code that there is not"));
            }
        }
        if let Some(order) = order.get_mut(..=back) {
            order.rotate_right(1);
        }
        // What is chosen past the longest block is never used.
        if chosen.len() < MOST_CHOICES {
            chosen.push(order.first().copied().unwrap_or_default());
        }
    }
    // Two symbols count repetitions, one ends the block, and the most recent byte is told by a repetition.
    let end = recent.len() as u16 + 1;
    let codes = (0..codes).map(|_| Code::read(bits, usize::from(end) + 1)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = Vec::new();
    let (mut repeat, mut weight) = (0usize, 1usize);
    for choice in chosen {
        let code = codes.get(usize::from(choice)).ok_or_else(|| invalid(bits, "a code that there is not"))?;
        for _ in 0..RUN {
            let symbol = code.symbol(bits)?;
            if symbol <= 1 {
                repeat += weight << symbol;
                weight <<= 1;
                if repeat > most {
                    return Err(invalid(bits, "a block of more bytes than it may have"));
                }
                continue;
            }
            if sorted.len() + repeat + usize::from(symbol != end) > most {
                return Err(invalid(bits, "a block of more bytes than it may have"));
            }
            sorted.resize(sorted.len() + repeat, recent.first().copied().unwrap_or_default());
            (repeat, weight) = (0, 1);
            if symbol == end {
                return Ok(sorted);
            }
            let moved =
                recent.get_mut(..usize::from(symbol)).ok_or_else(|| invalid(bits, "a byte that there is not"))?;
            moved.rotate_right(1);
            sorted.extend(moved.first());
        }
    }
    Err(invalid(bits, "a block without an end"))
}

/// The values that a block's bytes have, lowest first.
fn values(bits: &mut Bits<'_>) -> Result<Vec<u8>, CodecError> {
    let (rows, mut values) = (bits.take(16)?, Vec::new());
    for row in (0..16u8).filter(|row| rows & 0x8000 >> row != 0) {
        let columns = bits.take(16)?;
        values.extend((0..16u8).filter(|column| columns & 0x8000 >> column != 0).map(|column| row * 16 + column));
    }
    if values.is_empty() { Err(invalid(bits, "a block without bytes")) } else { Ok(values) }
}

/// CRC-32 as bzip2 has it: highest bit first.
fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(u32::MAX, |sum, &byte| sum << 8 ^ TABLE[(sum >> 24) as usize ^ usize::from(byte)])
}

const fn table() -> [u32; 256] {
    let (mut table, mut index) = ([0; 256], 0);
    while index < 256 {
        let (mut value, mut bit) = ((index as u32) << 24, 0);
        while bit < 8 {
            value = if value & 1 << 31 != 0 { value << 1 ^ 0x04c1_1db7 } else { value << 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

fn invalid(bits: &Bits<'_>, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at: bits.position(), reason }
}

#[cfg(test)]
mod tests;
