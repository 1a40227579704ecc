//! The fill value message, version 3 (IV.A.2.f): what never written elements read as, and when space is allocated.

use crate::format::FormatError;
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
