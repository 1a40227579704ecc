//! The fill value message, version 3 (IV.A.2.f): what never written elements read as, and when space is allocated.

use crate::format::FormatError;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;

/// Type of the message in an object header.
pub const KIND: u8 = 0x05;

/// Flag: a value follows.
const DEFINED: u8 = 0x20;
/// Fill values are written where the user set one (the library's default).
const WRITE_IF_SET: u8 = 2 << 2;

/// When libhdf5 allocates a dataset's space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocation {
    /// With the dataset: required for the implicit chunk index.
    Early,
    /// With the first write: the default of contiguous data.
    Late,
    /// With each chunk's first write: the default of chunked data.
    Incremental,
}

/// A fill value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FillValue<'a> {
    /// One element in file form; `None` for the library's default, zero.
    pub value: Option<&'a [u8]>,
    /// When space is allocated.
    pub allocation: Allocation,
}

impl FillValue<'_> {
    /// The message's body.
    pub fn body(&self) -> Result<Vec<u8>, FormatError> {
        let allocation = match self.allocation {
            Allocation::Early => 1,
            Allocation::Late => 2,
            Allocation::Incremental => 3,
        };
        let mut out = vec![3, allocation | WRITE_IF_SET];
        if let Some(value) = self.value {
            let Ok(len) = u32::try_from(value.len()) else {
                return Err(FormatError::new("fill value message", format!("a value of {} bytes", value.len())));
            };
            out[1] |= DEFINED;
            out.put_u32(len);
            out.put_bytes(value);
        }
        Ok(out)
    }
}

/// Type of the message as old files have it, with nothing but the value.
pub const OLD_KIND: u8 = 0x04;

/// A fill value, as a file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFill {
    /// When space is allocated: 1 early, 2 late, 3 with each chunk; 0 where the file does not say.
    pub allocation: u8,
    /// When fill values are written: 0 with allocation, 1 never, 2 where the user set one.
    pub write: u8,
    /// What it is.
    pub value: StoredFillValue,
}

/// What elements are that were never written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredFillValue {
    /// The library's default: zeros.
    Default,
    /// Explicitly none: they may be anything.
    Undefined,
    /// This one.
    Value(Vec<u8>),
}

/// A message's body, of any version.
pub fn decode(body: &mut Cursor<'_>) -> Result<StoredFill, FormatError> {
    let version = body.version(1..=3)?;
    let (allocation, write, undefined, defined) = if version == 3 {
        let flags = body.u8()?;
        (flags & 3, flags >> 2 & 3, flags & 0x10 != 0, flags & DEFINED != 0)
    } else {
        (body.u8()?, body.u8()?, false, body.u8()? != 0)
    };
    if undefined && defined {
        return Err(body.bad("a value that is both defined and not"));
    }
    let value = if defined {
        // Older versions say "none" by a negative length, too.
        match body.u32()? as i32 {
            0 => StoredFillValue::Default,
            ..0 => StoredFillValue::Undefined,
            len => StoredFillValue::Value(body.take(len as usize)?.to_vec()),
        }
    } else if undefined || version < 3 {
        StoredFillValue::Undefined
    } else {
        StoredFillValue::Default
    };
    Ok(StoredFill { allocation, write, value })
}

/// The body of a message of the old type.
pub fn decode_old(body: &mut Cursor<'_>) -> Result<StoredFill, FormatError> {
    let len = body.u32()?;
    let value = match len {
        0 => StoredFillValue::Default,
        len => StoredFillValue::Value(body.take(len as usize)?.to_vec()),
    };
    Ok(StoredFill { allocation: 0, write: 2, value })
}
