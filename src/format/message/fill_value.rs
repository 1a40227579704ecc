//! The fill value message, version 3 (IV.A.2.f): what never written elements read as, and when space is allocated.

use crate::format::FormatError;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;
use crate::model::hierarchy::{Allocation, FillTime, Storing};

/// Type of the message in an object header.
pub const KIND: u8 = 0x05;

/// Flag: a value follows.
const DEFINED: u8 = 0x20;
/// Flag: there is explicitly none.
const UNDEFINED: u8 = 0x10;

/// A fill value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FillValue<'a> {
    /// One element in file form; `None` for the library's default, zero.
    pub value: Option<&'a [u8]>,
    /// When space is allocated and filled, and whether there is explicitly no value.
    pub storing: Storing,
}

impl FillValue<'_> {
    /// The message's body.
    pub fn body(&self) -> Result<Vec<u8>, FormatError> {
        let allocation = match self.storing.allocation {
            Allocation::Early => 1,
            Allocation::Late => 2,
            Allocation::Incremental => 3,
        };
        let time = match self.storing.fill_time {
            FillTime::Allocation => 0,
            FillTime::Never => 1,
            FillTime::IfSet => 2,
        };
        let undefined = if self.storing.fill_undefined && self.value.is_none() { UNDEFINED } else { 0 };
        let mut out = vec![3, allocation | time << 2 | undefined];
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
    /// When space is allocated; `None` where the file does not say.
    pub allocation: Option<Allocation>,
    /// When fill values are written.
    pub write: FillTime,
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
        (flags & 3, flags >> 2 & 3, flags & UNDEFINED != 0, flags & DEFINED != 0)
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
    let allocation = match allocation {
        1 => Some(Allocation::Early),
        2 => Some(Allocation::Late),
        3 => Some(Allocation::Incremental),
        _ => None,
    };
    let write = match write {
        0 => FillTime::Allocation,
        1 => FillTime::Never,
        2 => FillTime::IfSet,
        time => return Err(body.bad(format!("fill values written at time {time}"))),
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
    Ok(StoredFill { allocation: None, write: FillTime::IfSet, value })
}
