//! A Huffman code of a block.

use super::super::bits::Bits;
use super::super::error::CodecError;
use super::invalid;

/// Longest word of a code.
const LONGEST: u32 = 20;

/// Words by their length.
#[derive(Debug)]
pub(super) struct Code {
    /// Of each length, from 1: how many words there are.
    counts: [u32; LONGEST as usize],
    /// Symbols, by the length of their words and then by number.
    symbols: Vec<u16>,
}

impl Code {
    /// A code of `symbols` symbols, told by the difference of each word's length from the one before.
    pub(super) fn read(bits: &mut Bits<'_>, symbols: usize) -> Result<Code, CodecError> {
        let mut length = bits.take(5)? as u32;
        let mut lengths = Vec::with_capacity(symbols);
        for _ in 0..symbols {
            loop {
                if length == 0 || length > LONGEST {
                    return Err(invalid(bits, "a word of an impossible length"));
                }
                if !bits.flag()? {
                    break;
                }
                length = if bits.flag()? { length - 1 } else { length + 1 };
            }
            lengths.push(length);
        }
        let mut counts = [0; LONGEST as usize];
        for &length in &lengths {
            if let Some(count) = counts.get_mut(length as usize - 1) {
                *count += 1;
            }
        }
        let mut symbols: Vec<u16> = (0..symbols as u16).collect();
        symbols.sort_by_key(|&symbol| lengths.get(usize::from(symbol)));
        Ok(Code { counts, symbols })
    }

    /// The next symbol.
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u16, CodecError> {
        // The word so far, less the first word of its length; symbols of shorter words.
        let (mut word, mut shorter) = (0u32, 0u32);
        for count in self.counts {
            word = word << 1 | bits.take(1)? as u32;
            if word < count {
                let symbol = self.symbols.get((shorter + word) as usize);
                return symbol.copied().ok_or_else(|| invalid(bits, "a word that there is not"));
            }
            word -= count;
            shorter += count;
        }
        Err(invalid(bits, "a word that there is not"))
    }
}
