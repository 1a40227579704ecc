//! The filter pipeline message, version 2 (IV.A.2.l): what was done to each chunk, in the order of writing.

use crate::format::FormatError;
use crate::format::Kind;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;

/// Type of the message in an object header.
pub const KIND: u8 = 0x0b;

const STRUCTURE: &str = "filter pipeline message";
/// Filters below this id are the library's own and are written without a name.
const FIRST_NAMED: u16 = 256;
/// Filters in a pipeline: a chunk's filter mask has one bit for each.
const FILTERS: usize = 32;

/// One filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilterEntry<'a> {
    /// Registered id.
    pub id: u16,
    /// A chunk may be stored without it.
    pub optional: bool,
    /// Its name; written for ids from 256 on.
    pub name: &'a str,
    /// Its parameters.
    pub values: &'a [u32],
}

/// The message's body.
pub fn body(filters: &[FilterEntry<'_>]) -> Result<Vec<u8>, FormatError> {
    if filters.is_empty() || filters.len() > FILTERS {
        return Err(FormatError::new(STRUCTURE, format!("{} filters: not between 1 and {FILTERS}", filters.len())));
    }
    let mut out = vec![2, filters.len() as u8];
    for filter in filters {
        let named = filter.id >= FIRST_NAMED;
        // The length counts the NUL; no name at all has length 0.
        let name_len = if filter.name.is_empty() { 0 } else { filter.name.len() + 1 };
        let (Ok(name_len), Ok(values)) = (u16::try_from(name_len), u16::try_from(filter.values.len())) else {
            return Err(FormatError::at(STRUCTURE, out.len(), format!("filter {} is too large", filter.id)));
        };
        out.put_u16(filter.id);
        if named {
            out.put_u16(name_len);
        }
        out.put_u16(u16::from(filter.optional));
        out.put_u16(values);
        if named && name_len > 0 {
            out.put_bytes(filter.name.as_bytes());
            out.put_u8(0);
        }
        for &value in filter.values {
            out.put_u32(value);
        }
    }
    Ok(out)
}

/// One filter, as a file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFilter {
    /// Registered id.
    pub id: u16,
    /// A chunk may be stored without it.
    pub optional: bool,
    /// Its name, where the file has one.
    pub name: Vec<u8>,
    /// Its parameters.
    pub values: Vec<u32>,
}

/// A message's body, of any version: filters in the order in which a writer applies them.
pub fn decode(body: &mut Cursor<'_>) -> Result<Vec<StoredFilter>, FormatError> {
    let version = body.version(1..=2)?;
    let count = body.u8()?;
    if usize::from(count) > FILTERS {
        return Err(body.bad(format!("{count} filters: more than {FILTERS}")));
    }
    if version == 1 {
        body.skip(6)?;
    }
    let mut filters = Vec::new();
    for _ in 0..count {
        let id = body.u16()?;
        let name_len = if version == 1 || id >= FIRST_NAMED { body.u16()? } else { 0 };
        let optional = body.u16()? & 1 != 0;
        let values = body.u16()?;
        let name = body.take(name_len.into())?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        if body.left() / 4 < usize::from(values) {
            return Err(body.fault(Kind::Truncated, format!("{values} parameters of filter {id}")));
        }
        let stored = (0..values).map(|_| body.u32()).collect::<Result<Vec<_>, _>>()?;
        if version == 1 && values % 2 == 1 {
            body.skip(4)?;
        }
        filters.push(StoredFilter { id, optional, name, values: stored });
    }
    Ok(filters)
}
