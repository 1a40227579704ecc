//! LZO (HDF5 filter 305, PyTables' own): runs of bytes, and copies of what came before, as LZO1X has them.
//!
//! What an instruction below 16 means depends on how many literal bytes the one before ended with; the others end with as
//! many as their lowest two bits, or those of the first of their last two bytes, say. The last instruction says that it is;
//! behind it some versions of PyTables put the Adler-32 of the plain bytes, and some of them their length too, each a u32 in the
//! writer's order.

use super::error::{CodecError, room};

const WHAT: &str = "LZO chunk";
/// Bytes of each number behind the last instruction.
const NUMBER: usize = 4;
/// A first byte above this stands for so many literal bytes more.
const LITERALS_FIRST: u8 = 17;
/// Bytes that a byte of LZO makes at most.
const BEST_RATIO: u64 = 255;
/// Bytes that are taken at once: small chunks may claim much.
const FIRST: u64 = 1 << 20;
/// Literal bytes of the instruction before, which are no part of a copy: so many, or more.
const RUN: usize = 4;
/// Instructions that reach far, and how far they reach at least; to reach just that far is the end.
const FAR: usize = 16 << 10;

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    let (plain, trailer) = unpacked(stored, bound)?;
    let numbers = [adler32(&plain), u32::try_from(plain.len()).unwrap_or(u32::MAX)];
    let holds = |number: fn(u32) -> [u8; NUMBER]| {
        // The checksum alone, or the length too.
        [NUMBER, 2 * NUMBER].contains(&trailer.len()) && numbers.map(number).concat().starts_with(trailer)
    };
    if trailer.is_empty() || holds(u32::to_le_bytes) || holds(u32::to_be_bytes) {
        return Ok(plain);
    }
    let at = (stored.len() - trailer.len()) as u64;
    Err(CodecError::Invalid { what: WHAT, at, reason: "another checksum or length than it says" })
}

/// What instructions make, and what stands behind the last one.
fn unpacked(packed: &[u8], bound: u64) -> Result<(Vec<u8>, &[u8]), CodecError> {
    let mut plain = room(bound.min(FIRST).min((packed.len() as u64).saturating_mul(BEST_RATIO)))?;
    let mut input = Input { packed, at: 0 };
    // How many literal bytes came last: 0 to 3 behind a copy, or a run.
    let mut literals = 0;
    if let Some(&first) = packed.first()
        && first > LITERALS_FIRST
    {
        input.at = 1;
        literals = usize::from(first - LITERALS_FIRST);
        input.literal(literals, &mut plain, bound)?;
    }
    loop {
        let instruction = usize::from(input.byte()?);
        let (back, length, ends) = match instruction {
            0..16 if literals == 0 => {
                literals = 3 + input.length(instruction, 15)?;
                input.literal(literals, &mut plain, bound)?;
                continue;
            }
            0..16 => {
                let back = (usize::from(input.byte()?) << 2 | instruction >> 2) + 1;
                // Behind a run nothing near is copied: that would have been part of it.
                if literals < RUN { (back, 2, instruction) } else { (back + (2 << 10), 3, instruction) }
            }
            16..32 => {
                let length = 2 + input.length(instruction & 7, 7)?;
                let word = input.word()?;
                match FAR + ((instruction & 8) << 11 | word >> 2) {
                    FAR => return Ok((plain, packed.get(input.at..).unwrap_or_default())),
                    back => (back, length, word),
                }
            }
            32..64 => {
                let length = 2 + input.length(instruction & 31, 31)?;
                let word = input.word()?;
                ((word >> 2) + 1, length, word)
            }
            _ => {
                let length = if instruction < 128 { 3 + (instruction >> 5 & 1) } else { 5 + (instruction >> 5 & 3) };
                ((usize::from(input.byte()?) << 3 | instruction >> 2 & 7) + 1, length, instruction)
            }
        };
        let start =
            plain.len().checked_sub(back).ok_or_else(|| input.invalid("a copy of what came before the first byte"))?;
        input.fits(length, &plain, bound)?;
        // A copy may overlap what it makes.
        for from in start..start + length {
            plain.push(plain.get(from).copied().unwrap_or_default());
        }
        literals = ends & 3;
        input.literal(literals, &mut plain, bound)?;
    }
}

/// Instructions, and what belongs to them.
struct Input<'a> {
    packed: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = self.packed.get(self.at).copied().ok_or_else(|| self.truncated(1))?;
        self.at += 1;
        Ok(byte)
    }

    fn word(&mut self) -> Result<usize, CodecError> {
        Ok(usize::from(self.byte()?) | usize::from(self.byte()?) << 8)
    }

    /// A length whose bits in the instruction are `short`: none of them stand for `most`, and what follows.
    fn length(&mut self, short: usize, most: usize) -> Result<usize, CodecError> {
        if short > 0 {
            return Ok(short);
        }
        let mut length = most;
        loop {
            match self.byte()? {
                0 => length += 255,
                last => return Ok(length + usize::from(last)),
            }
        }
    }

    /// Takes literal bytes over.
    fn literal(&mut self, length: usize, plain: &mut Vec<u8>, bound: u64) -> Result<(), CodecError> {
        self.fits(length, plain, bound)?;
        let literal = self.packed.get(self.at..).and_then(|rest| rest.get(..length));
        plain.extend_from_slice(literal.ok_or_else(|| self.truncated(length))?);
        self.at += length;
        Ok(())
    }

    fn fits(&self, length: usize, plain: &[u8], bound: u64) -> Result<(), CodecError> {
        let bytes = plain.len() as u64 + length as u64;
        if bytes > bound { Err(CodecError::TooLarge { at: self.at as u64, bytes, limit: bound }) } else { Ok(()) }
    }

    fn truncated(&self, length: usize) -> CodecError {
        let at = self.packed.len() as u64;
        CodecError::Truncated { what: WHAT, at, need: (self.at as u64 + length as u64).saturating_sub(at) }
    }

    fn invalid(&self, reason: &'static str) -> CodecError {
        CodecError::Invalid { what: WHAT, at: self.at as u64, reason }
    }
}

/// Adler-32, as RFC 1950 has it.
fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    /// Bytes after which neither sum has passed 32 bits.
    const SAFE: usize = 5552;
    let (mut low, mut high) = (1, 0);
    for part in bytes.chunks(SAFE) {
        for &byte in part {
            low += u32::from(byte);
            high += low;
        }
        low %= MODULUS;
        high %= MODULUS;
    }
    high << 16 | low
}

#[cfg(test)]
mod tests;
