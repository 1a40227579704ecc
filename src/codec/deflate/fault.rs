//! Why a zlib stream cannot be inflated, and where.
//!
//! libdeflate says of a stream only that it is bad or that the room is too small. Whoever looks for a damaged object wants
//! to know whether it is cut off, and at which byte it stops making sense; so a stream that failed is followed once more,
//! symbol by symbol and without making its bytes (RFC 1950 and 1951). Nothing that is read well comes here.

use super::super::error::CodecError;
use super::WHAT;

/// Longest code of the format.
const LONGEST: usize = 15;
/// In which order a block lists the lengths of the code that its other lengths are written in.
const LENGTH_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Symbols for literals and lengths, and for distances, that a code may have.
const SYMBOLS: usize = 288;
const DISTANCES: usize = 32;
/// Bytes of a stream's header.
const HEADER: usize = 2;
/// Bits of the Adler-32 checksum after the last block.
const CHECKSUM: u64 = 32;

/// Why following a stream stopped.
enum Stop {
    /// The bytes end.
    Ends,
    /// They cannot be what a compressor wrote.
    Bad(&'static str),
    /// This many bytes are more than allowed.
    Full(u64),
}

/// The error of a stream that could not be inflated to at most `bound` bytes.
pub(super) fn explain(stored: &[u8], bound: u64) -> CodecError {
    let mut bits = Bits { bytes: stored, at: 0 };
    let stop = match follow(&mut bits, bound) {
        Err(stop) => stop,
        // All is there and has a meaning: then it is not what was compressed.
        Ok(()) => Stop::Bad("its checksum is another one than that of what it holds"),
    };
    let at = (bits.at / 8).min(stored.len() as u64);
    match stop {
        Stop::Ends => CodecError::Truncated { what: WHAT, at: stored.len() as u64, need: 1 },
        Stop::Bad(reason) => CodecError::Invalid { what: WHAT, at, reason },
        Stop::Full(bytes) => CodecError::TooLarge { at, bytes, limit: bound },
    }
}

/// Follows a stream from its header to its checksum.
fn follow(bits: &mut Bits<'_>, bound: u64) -> Result<(), Stop> {
    header(bits)?;
    blocks(bits, bound)?;
    bits.align();
    bits.skip(CHECKSUM)
}

fn header(bits: &mut Bits<'_>) -> Result<(), Stop> {
    let Some(&[method, flags]) = bits.bytes.first_chunk::<HEADER>() else { return Err(Stop::Ends) };
    if method & 0x0f != super::METHOD || method >> 4 > 7 || !u16::from_be_bytes([method, flags]).is_multiple_of(31) {
        return Err(Stop::Bad("no header of a zlib stream"));
    }
    if flags & 0x20 != 0 {
        return Err(Stop::Bad("it asks for a dictionary"));
    }
    bits.skip(8 * HEADER as u64)
}

fn blocks(bits: &mut Bits<'_>, bound: u64) -> Result<(), Stop> {
    let mut made = 0;
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored_block(bits, &mut made, bound)?,
            1 => {
                let lengths = std::array::from_fn::<u8, SYMBOLS, _>(|symbol| match symbol {
                    0..144 => 8,
                    144..256 => 9,
                    256..280 => 7,
                    _ => 8,
                });
                compressed_block(bits, &Code::new(&lengths)?, &Code::new(&[5; DISTANCES])?, &mut made, bound)?;
            }
            2 => {
                let (symbols, distances) = codes(bits)?;
                compressed_block(bits, &symbols, &distances, &mut made, bound)?;
            }
            _ => return Err(Stop::Bad("a block of no known kind")),
        }
        if last {
            return Ok(());
        }
    }
}

fn stored_block(bits: &mut Bits<'_>, made: &mut u64, bound: u64) -> Result<(), Stop> {
    bits.align();
    let (length, inverse) = (bits.take(16)?, bits.take(16)?);
    if length != !inverse & 0xffff {
        return Err(Stop::Bad("a stored block whose lengths do not agree"));
    }
    bits.skip(8 * u64::from(length))?;
    grow(made, length, bound)
}

fn compressed_block(
    bits: &mut Bits<'_>,
    symbols: &Code,
    distances: &Code,
    made: &mut u64,
    bound: u64,
) -> Result<(), Stop> {
    loop {
        let length = match symbols.read(bits)? {
            0..256 => 1,
            256 => return Ok(()),
            symbol => {
                let length = match u32::from(symbol) - 257 {
                    number @ 0..28 => 3 + spread(bits, number, 4)?,
                    // The last one has no extra bits; libdeflate takes the two that the format does not use for it.
                    _ => 258,
                };
                // Here too two are not used, and taken for the last.
                let number = u32::from(distances.read(bits)?).min(29);
                if u64::from(1 + spread(bits, number, 2)?) > *made {
                    return Err(Stop::Bad("a match from before the first byte"));
                }
                length
            }
        };
        grow(made, length, bound)?;
    }
}

/// The value of symbol `number` where `steps` symbols share one number of extra bits, which grows by one from the third
/// group of them on.
fn spread(bits: &mut Bits<'_>, number: u32, steps: u32) -> Result<u32, Stop> {
    if number < steps {
        return Ok(number);
    }
    let extra = number / steps - 1;
    Ok(((steps + number % steps) << extra) + bits.take(extra)?)
}

fn grow(made: &mut u64, by: u32, bound: u64) -> Result<(), Stop> {
    *made += u64::from(by);
    if *made > bound { Err(Stop::Full(*made)) } else { Ok(()) }
}

/// The two codes of a block that brings its own.
fn codes(bits: &mut Bits<'_>) -> Result<(Code, Code), Stop> {
    let (symbols, distances) = (257 + bits.take(5)? as usize, 1 + bits.take(5)? as usize);
    let listed = 4 + bits.take(4)? as usize;
    let mut lengths = [0u8; LENGTH_ORDER.len()];
    for &place in LENGTH_ORDER.iter().take(listed) {
        let length = bits.take(3)? as u8;
        if let Some(place) = lengths.get_mut(place) {
            *place = length;
        }
    }
    let code = Code::new(&lengths)?;
    let mut lengths = Vec::with_capacity(SYMBOLS + DISTANCES);
    while lengths.len() < symbols + distances {
        let (length, times) = match code.read(bits)? {
            length @ 0..16 => (length as u8, 1),
            16 => match lengths.last() {
                Some(&last) => (last, 3 + bits.take(2)?),
                None => return Err(Stop::Bad("a repetition of nothing")),
            },
            17 => (0, 3 + bits.take(3)?),
            _ => (0, 11 + bits.take(7)?),
        };
        lengths.extend(std::iter::repeat_n(length, times as usize));
    }
    if lengths.len() > symbols + distances {
        return Err(Stop::Bad("more code lengths than announced"));
    }
    let (symbols, distances) = lengths.split_at(symbols);
    Ok((Code::new(symbols)?, Code::new(distances)?))
}

/// A code by the lengths of its words: words of one length are consecutive numbers, in the order of their symbols.
struct Code {
    /// Words of each length.
    words: [u16; LONGEST + 1],
    /// Symbols by length, then by number.
    symbols: Vec<u16>,
}

impl Code {
    /// The two words of one bit.
    const BOTH: [u16; LONGEST + 1] = {
        let mut words = [0; LONGEST + 1];
        words[1] = 2;
        words
    };

    fn new(lengths: &[u8]) -> Result<Code, Stop> {
        let mut words = [0u16; LONGEST + 1];
        let mut symbols = Vec::with_capacity(lengths.len());
        // How many words of the length at hand are left.
        let mut left = 1i32;
        for (length, words) in (0u8..).zip(&mut words).skip(1) {
            let of_this = (0u16..).zip(lengths).filter(|(_, of)| **of == length).map(|(symbol, _)| symbol);
            let before = symbols.len();
            symbols.extend(of_this);
            *words = (symbols.len() - before) as u16;
            left = left * 2 - i32::from(*words);
            if left < 0 {
                return Err(Stop::Bad("a code with more words than there can be"));
            }
        }
        match (left, symbols.as_slice()) {
            (0, _) => {}
            // A code of no word or one may leave the others unused: libdeflate takes those for the same.
            (_, []) => (words, symbols) = (Self::BOTH, vec![0, 0]),
            (_, &[only]) if words[1] == 1 => (words, symbols) = (Self::BOTH, vec![only, only]),
            _ => return Err(Stop::Bad("a code with words that mean nothing")),
        }
        Ok(Code { words, symbols })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<u16, Stop> {
        // The word so far, less the first word of its length; and the symbols of shorter words.
        let (mut word, mut shorter) = (0usize, 0usize);
        for &words in self.words.iter().skip(1) {
            word = word << 1 | bits.take(1)? as usize;
            if word < usize::from(words) {
                return self.symbols.get(shorter + word).copied().ok_or(Stop::Bad("a word of no code"));
            }
            word -= usize::from(words);
            shorter += usize::from(words);
        }
        Err(Stop::Bad("a word of no code"))
    }
}

/// The bits of a stream, from the lowest of each byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: u64,
}

impl Bits<'_> {
    /// The next `count` bits, at most 16, the first one lowest.
    fn take(&mut self, count: u32) -> Result<u32, Stop> {
        let first = (self.at / 8) as usize;
        let end = self.at + u64::from(count);
        if end > 8 * self.bytes.len() as u64 {
            return Err(Stop::Ends);
        }
        let word = self.bytes.iter().skip(first).take(3).rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
        let bits = word >> (self.at % 8) & ((1 << count) - 1);
        self.at = end;
        Ok(bits)
    }

    fn skip(&mut self, count: u64) -> Result<(), Stop> {
        if self.at + count > 8 * self.bytes.len() as u64 {
            return Err(Stop::Ends);
        }
        self.at += count;
        Ok(())
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Room, inflate_into};
    use super::*;
    use proptest::prelude::*;

    /// Bytes in which a compressor finds matches, literals and nothing at all by turns.
    fn plain() -> impl Strategy<Value = Vec<u8>> {
        let run = prop_oneof![
            (any::<u8>(), 1usize..600).prop_map(|(byte, times)| vec![byte; times]),
            prop::collection::vec(any::<u8>(), 1..200),
            prop::collection::vec(0u8..4, 1..400),
        ];
        prop::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn a_whole_stream_is_followed_to_its_end(plain in plain(), level in 0u8..10) {
            let stored = super::super::encode(&plain, level);
            let mut bits = Bits { bytes: &stored, at: 0 };
            prop_assert!(follow(&mut bits, plain.len() as u64).is_ok());
            prop_assert_eq!(bits.at, 8 * stored.len() as u64);
            if !plain.is_empty() {
                let error = explain(&stored, plain.len() as u64 - 1);
                prop_assert!(matches!(error, CodecError::TooLarge { .. }), "{error}");
            }
        }

        #[test]
        fn every_cut_is_told_as_one(plain in plain(), level in 0u8..10, end in any::<prop::sample::Index>()) {
            let stored = super::super::encode(&plain, level);
            let end = end.index(stored.len());
            let error = explain(&stored[..end], plain.len() as u64);
            prop_assert_eq!(error, CodecError::Truncated { what: WHAT, at: end as u64, need: 1 });
        }

        /// What is followed to its end is what libdeflate inflates; so no damage is taken for another.
        #[test]
        fn faults_are_those_of_libdeflate(
            plain in plain(),
            level in 0u8..10,
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0u32..8), 1..4),
        ) {
            let mut stored = super::super::encode(&plain, level);
            for (at, bit) in changes {
                let at = at.index(stored.len());
                stored[at] ^= 1 << bit;
            }
            let bound = 3 * plain.len() as u64 + 300;
            let mut bits = Bits { bytes: &stored, at: 0 };
            let begun = header(&mut bits);
            let followed = blocks(&mut bits, bound);
            let mut room = vec![0; bound as usize];
            match inflate_into(&stored, &mut room) {
                Ok(_) => prop_assert!(begun.is_ok() && followed.is_ok()),
                Err(Room::TooSmall) => prop_assert!(followed.is_err()),
                // The blocks apart: damaged ones may end so late that the checksum is cut off.
                Err(Room::NoMatter) => {
                    let inner = libdeflater::Decompressor::new().deflate_decompress(&stored[HEADER..], &mut room);
                    prop_assert!(begun.is_err() || followed.is_ok() == inner.is_ok());
                }
            }
        }
    }

    #[test]
    fn faults_have_names_and_places() {
        let whole = super::super::encode(b"some plain bytes, some plain bytes", 6);
        let mut checksum = whole.clone();
        *checksum.last_mut().unwrap() ^= 1;
        let of = |bytes: &[u8]| match explain(bytes, 1000) {
            CodecError::Invalid { at, reason, .. } => (at, reason),
            other => panic!("{other}"),
        };
        assert_eq!(of(&checksum), (whole.len() as u64, "its checksum is another one than that of what it holds"));
        assert_eq!(of(&[0x78, 0x9d, 0, 0]), (0, "no header of a zlib stream"));
        assert_eq!(of(&[0x78, 0x20, 0, 0]), (0, "it asks for a dictionary"));
        assert_eq!(of(&[0x78, 0x9c, 7, 0]), (2, "a block of no known kind"));
        assert_eq!(of(&[0x78, 0x9c, 1, 3, 0, 3, 0]), (7, "a stored block whose lengths do not agree"));
        // A fixed code: length 3, distance 1, before any byte.
        assert_eq!(of(&[0x78, 0x9c, 0b0000_0011, 0b0000_0010, 0, 0]), (3, "a match from before the first byte"));
    }
}
