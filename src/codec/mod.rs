//! Filters on chunks: bytes to bytes. (A seam until the codecs are here: plain bytes and zlib only.)

use std::io::Read;

use bytes::Bytes;

use crate::model::pipeline::{Decode, Pipeline};

/// Why bytes could not be decoded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

/// Stored bytes to plain bytes.
pub fn decode(pipeline: &Pipeline, stored: Bytes, raw_len: Option<u64>, limit: u64) -> Result<Bytes, CodecError> {
    let mut bytes = stored;
    for step in &pipeline.steps {
        match step {
            Decode::Deflate | Decode::BloscOrDeflate { unshuffle: None } => {
                let mut plain = Vec::new();
                flate2::read::ZlibDecoder::new(&bytes[..])
                    .take(raw_len.unwrap_or(limit))
                    .read_to_end(&mut plain)
                    .map_err(|error| CodecError(error.to_string()))?;
                bytes = plain.into();
            }
            other => return Err(CodecError(format!("{other:?} is not here yet"))),
        }
    }
    match raw_len {
        Some(raw_len) if raw_len != bytes.len() as u64 => {
            Err(CodecError(format!("{} bytes instead of {raw_len}", bytes.len())))
        }
        _ => Ok(bytes),
    }
}
