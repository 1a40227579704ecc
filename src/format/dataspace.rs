//! The dataspace message, version 2 (IV.A.2.b): rank and extents of a dataset or an attribute.

use super::FormatError;
use super::fields::Fields;
use crate::model::dataspace::Dataspace;
use crate::model::limits::RANK;

/// Type of the message in an object header.
pub const KIND: u8 = 0x01;

/// What stands for "no limit" among the maximum extents.
const UNLIMITED: u64 = u64::MAX;
/// Flag: maximum extents follow the current ones.
const HAS_MAXIMA: u8 = 0x01;

/// Bytes of the message.
pub fn encoded_len(dataspace: &Dataspace) -> usize {
    match dataspace {
        Dataspace::Null | Dataspace::Scalar => 4,
        Dataspace::Simple { dims, max_dims } if is_fixed(dims, max_dims) => 4 + 8 * dims.len(),
        Dataspace::Simple { dims, .. } => 4 + 16 * dims.len(),
    }
}

/// Appends the message's body. Maximum extents are left out where they are the current ones, as libhdf5 does.
pub fn encode(dataspace: &Dataspace, out: &mut Vec<u8>) -> Result<(), FormatError> {
    let error = |reason: String| FormatError::new("dataspace message", reason);
    let (dims, max_dims) = match dataspace {
        Dataspace::Null => {
            out.put_bytes(&[2, 0, 0, 2]);
            return Ok(());
        }
        Dataspace::Scalar => {
            out.put_bytes(&[2, 0, 0, 0]);
            return Ok(());
        }
        Dataspace::Simple { dims, max_dims } => (dims, max_dims),
    };
    if dims.is_empty() || dims.len() > RANK {
        return Err(error(format!("rank {} is not between 1 and {RANK}", dims.len())));
    }
    if dims.len() != max_dims.len() {
        return Err(error(format!("{} extents but {} maximum extents", dims.len(), max_dims.len())));
    }
    if let Some((dim, max)) = dims.iter().zip(max_dims).find(|(dim, max)| max.is_some_and(|max| max < **dim)) {
        return Err(error(format!("extent {dim} passes its maximum {max:?}")));
    }
    let flags = if is_fixed(dims, max_dims) { 0 } else { HAS_MAXIMA };
    out.put_bytes(&[2, dims.len() as u8, flags, 1]);
    for &dim in dims {
        out.put_u64(dim);
    }
    if flags & HAS_MAXIMA != 0 {
        for max in max_dims {
            out.put_u64(max.unwrap_or(UNLIMITED));
        }
    }
    Ok(())
}

/// True where no dimension may grow.
fn is_fixed(dims: &[u64], max_dims: &[Option<u64>]) -> bool {
    dims.iter().zip(max_dims).all(|(dim, max)| *max == Some(*dim))
}
