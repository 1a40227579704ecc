//! The dataspace message, version 2 (IV.A.2.b): rank and extents of a dataset or an attribute.

use super::FormatError;
use super::cursor::Cursor;
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

/// A message's body, of any version.
pub fn decode(body: &mut Cursor<'_>) -> Result<Dataspace, FormatError> {
    let version = body.version(1..=2)?;
    let (rank, flags) = (body.u8()?, body.u8()?);
    // Version 1 has no type: no dimension means a scalar.
    let class = if version == 1 { u8::from(rank > 0) } else { body.u8()? };
    if version == 1 {
        body.skip(5)?;
    }
    if usize::from(rank) > RANK {
        return Err(body.bad(format!("rank {rank} is more than {RANK}")));
    }
    match class {
        2 => return Ok(Dataspace::Null),
        0 if rank == 0 => return Ok(Dataspace::Scalar),
        1 if rank > 0 => {}
        _ => return Err(body.bad(format!("type {class} with rank {rank}"))),
    }
    let dims = (0..rank).map(|_| body.length()).collect::<Result<Vec<_>, _>>()?;
    let mut max_dims: Vec<_> = dims.iter().copied().map(Some).collect();
    if flags & HAS_MAXIMA != 0 {
        for (max, &dim) in max_dims.iter_mut().zip(&dims) {
            *max = Some(body.length_or_none()?).filter(|&max| max != UNLIMITED);
            if max.is_some_and(|max| max < dim) {
                return Err(body.bad(format!("extent {dim} passes its maximum {max:?}")));
            }
        }
    }
    Ok(Dataspace::Simple { dims, max_dims })
}
