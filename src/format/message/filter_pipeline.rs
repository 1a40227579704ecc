//! The filter pipeline message, version 2 (IV.A.2.l): what was done to each chunk, in the order of writing.

use crate::format::FormatError;
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
