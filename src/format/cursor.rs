//! A place in the bytes of one structure, moved on by reading fields: the counterpart of [`Fields`](super::fields::Fields).

use super::bytes::Sizes;
use super::checksum::lookup3;
use super::fields::CHECKSUM_LEN;
use super::{FormatError, Kind, UNDEFINED_ADDRESS};

/// Bytes of a structure, and how many were read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    structure: &'static str,
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin in the file.
    origin: u64,
    sizes: Sizes,
}

impl<'a> Cursor<'a> {
    /// A cursor at the first of `bytes`, which begin at byte `origin` of the file.
    pub fn new(structure: &'static str, bytes: &'a [u8], origin: u64, sizes: Sizes) -> Self {
        Cursor { structure, bytes, at: 0, origin, sizes }
    }

    /// Widths of fields.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Where it is in the file.
    pub fn position(&self) -> u64 {
        self.origin.saturating_add(self.at as u64)
    }

    /// Bytes read so far.
    pub fn read(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes left.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The same bytes from here on as another structure.
    pub fn named(mut self, structure: &'static str) -> Self {
        self.structure = structure;
        self
    }

    /// An error about the field here.
    pub fn fault(&self, kind: Kind, reason: impl Into<String>) -> FormatError {
        FormatError { kind, structure: self.structure, at: self.position(), reason: reason.into() }
    }

    /// An error about the value of a field just read.
    pub fn bad(&self, reason: impl Into<String>) -> FormatError {
        self.fault(Kind::Value, reason)
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(len);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(self.fault(Kind::Truncated, format!("{len} bytes wanted, {} left", self.left())));
        };
        self.at += len;
        Ok(taken)
    }

    /// The next `len` bytes as a cursor of their own.
    #[inline]
    pub fn part(&mut self, len: usize) -> Result<Cursor<'a>, FormatError> {
        let origin = self.position();
        let bytes = self.take(len)?;
        Ok(Cursor { structure: self.structure, bytes, at: 0, origin, sizes: self.sizes })
    }

    /// Passes over bytes.
    pub fn skip(&mut self, len: usize) -> Result<(), FormatError> {
        self.take(len).map(|_| ())
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.uint(1)? as u8)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(self.uint(2)? as u16)
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(self.uint(4)? as u32)
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        self.uint(8)
    }

    /// A number of `width` bytes; what does not fit into 64 bits is refused.
    #[inline]
    pub fn uint(&mut self, width: usize) -> Result<u64, FormatError> {
        // Indexes are millions of numbers with others behind them.
        if let Some(ones) = all_ones(width)
            && let Some(eight) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk)
        {
            self.at += width;
            return Ok(u64::from_le_bytes(*eight) & ones);
        }
        let start = *self;
        let bytes = self.take(width)?;
        let (low, high) = bytes.split_at(width.min(8));
        if high.iter().any(|&byte| byte != 0) {
            return Err(start.fault(Kind::Limit, format!("a number of {width} bytes passes 64 bits")));
        }
        Ok(low.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// A length.
    pub fn length(&mut self) -> Result<u64, FormatError> {
        self.uint(self.sizes.length())
    }

    /// A length whose being all ones means "none" or "without limit", given as `u64::MAX`.
    pub fn length_or_none(&mut self) -> Result<u64, FormatError> {
        self.all_ones_or(self.sizes.length())
    }

    /// An address, [`UNDEFINED_ADDRESS`] where it leads nowhere.
    #[inline]
    pub fn address(&mut self) -> Result<u64, FormatError> {
        self.all_ones_or(self.sizes.offset())
    }

    #[inline]
    fn all_ones_or(&mut self, width: usize) -> Result<u64, FormatError> {
        if let Some(ones) = all_ones(width) {
            let number = self.uint(width)?;
            return Ok(if number == ones { UNDEFINED_ADDRESS } else { number });
        }
        let mut ahead = *self;
        if ahead.take(width)?.iter().all(|&byte| byte == 0xff) {
            *self = ahead;
            return Ok(UNDEFINED_ADDRESS);
        }
        self.uint(width)
    }

    /// The bytes up to the next NUL, which is passed over.
    pub fn text(&mut self) -> Result<&'a [u8], FormatError> {
        let Some(len) = self.rest().iter().position(|&byte| byte == 0) else {
            return Err(self.fault(Kind::Truncated, "a name without its end"));
        };
        let text = self.take(len)?;
        self.skip(1)?;
        Ok(text)
    }

    /// As [`text`](Self::text), in a field whose length is a multiple of 8.
    pub fn padded_text(&mut self) -> Result<&'a [u8], FormatError> {
        let from = self.at;
        let text = self.text()?;
        let read = self.at - from;
        self.skip(read.next_multiple_of(8) - read)?;
        Ok(text)
    }

    /// Compares a signature.
    pub fn signature(&mut self, signature: &[u8]) -> Result<(), FormatError> {
        let start = *self;
        let found = self.take(signature.len())?;
        if found != signature {
            let reason = format!(
                "begins with {:?}, not {:?}",
                found.escape_ascii().to_string(),
                signature.escape_ascii().to_string()
            );
            return Err(start.fault(Kind::Signature, reason));
        }
        Ok(())
    }

    /// Reads a version that must be one of `known`.
    pub fn version(&mut self, known: impl std::ops::RangeBounds<u8>) -> Result<u8, FormatError> {
        let start = *self;
        let version = self.u8()?;
        if known.contains(&version) {
            Ok(version)
        } else {
            Err(start.fault(Kind::Version, format!("version {version}")))
        }
    }

    /// Reads a checksum of everything before it.
    pub fn checksum(&mut self) -> Result<(), FormatError> {
        let start = *self;
        let sum = lookup3(self.bytes.get(..self.at).unwrap_or_default());
        let stored = self.u32()?;
        if stored != sum {
            return Err(start.fault(Kind::Checksum, format!("checksum {stored:08x}, its bytes give {sum:08x}")));
        }
        Ok(())
    }

    /// Compares the checksum in the last four bytes, and takes these off.
    pub fn checked(mut self) -> Result<Self, FormatError> {
        let Some(body) = self.bytes.len().checked_sub(CHECKSUM_LEN) else {
            return Err(self.fault(Kind::Truncated, "no room for a checksum"));
        };
        let mut end = Cursor { at: body, ..self };
        end.checksum()?;
        self.bytes = self.bytes.get(..body).unwrap_or_default();
        Ok(self)
    }
}

/// The highest number of `width` bytes; `None` where it passes 64 bits.
#[inline]
fn all_ones(width: usize) -> Option<u64> {
    match width {
        0 => Some(0),
        1..=8 => Some(u64::MAX >> (64 - 8 * width)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wider_than_64_bits_are_refused_unless_they_are_undefined() {
        let wide = Sizes { offsets: 16, lengths: 8 };
        let mut bytes = vec![0xff; 16];
        bytes.extend([7; 8]);
        bytes.extend([1; 8]);
        let mut cursor = Cursor::new("test", &bytes, 100, wide);
        assert_eq!(cursor.address().unwrap(), UNDEFINED_ADDRESS);
        let error = cursor.address().unwrap_err();
        assert_eq!((error.kind, error.at), (Kind::Limit, 116));
        assert_eq!(cursor.take(usize::MAX).unwrap_err().kind, Kind::Truncated);
    }
}
