//! Zstandard (HDF5 filter 32015): one frame.

use super::error::{CodecError, room};

const WHAT: &str = "zstd frame";
/// What a frame begins with (RFC 8878, section 3.1.1). Frames of other formats are not read.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes that one byte of a frame makes at most, about: a block of 128 KiB takes four where all its bytes are equal.
const BEST_RATIO: u64 = 128 << 10;

/// Plain bytes of the frame at the start of `stored`; more than `bound` are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    let invalid = |at, reason| CodecError::Invalid { what: WHAT, at, reason };
    if !stored.starts_with(&MAGIC) {
        return Err(invalid(0, "it does not begin as one"));
    }
    // Zeros may follow, where a chunk has room to spare.
    let frame = zstd_safe::find_frame_compressed_size(stored).ok().and_then(|bytes| stored.get(..bytes));
    let frame = frame.ok_or_else(|| invalid(4, "it has no end"))?;
    let most = (frame.len() as u64).saturating_mul(BEST_RATIO);
    let bytes = match zstd_safe::get_frame_content_size(frame) {
        Ok(Some(bytes)) if bytes > bound => return Err(CodecError::TooLarge { at: 4, bytes, limit: bound }),
        Ok(Some(bytes)) if bytes > most => return Err(invalid(4, "more bytes than it can hold")),
        Ok(Some(bytes)) => bytes,
        Ok(None) => bound.min(most),
        Err(_) => return Err(invalid(4, "a header that means nothing")),
    };
    let mut plain = room(bytes)?;
    zstd_safe::decompress(&mut plain, frame).map_err(|_| invalid(4, "blocks that cannot be decoded"))?;
    Ok(plain)
}

/// Plain bytes into `plain`; how many there were.
pub(super) fn decode_into(stored: &[u8], plain: &mut [u8]) -> Option<usize> {
    let frame = stored.starts_with(&MAGIC).then(|| zstd_safe::decompress(plain, stored));
    frame.and_then(Result::ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(plain: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
        zstd_safe::compress(&mut frame, plain, 3).unwrap();
        frame
    }

    #[test]
    fn a_frame_comes_out_whatever_follows_it() {
        let plain = b"wind over sea, ".repeat(1000);
        let stored = frame(&plain);
        assert_eq!(decode(&stored, 1 << 20).unwrap(), plain);
        assert_eq!(decode(&[&stored[..], &[0; 100]].concat(), plain.len() as u64).unwrap(), plain);
        assert!(matches!(decode(&stored, 100), Err(CodecError::TooLarge { bytes: 15_000, limit: 100, .. })));
        for end in 0..stored.len() {
            assert!(decode(&stored[..end], 1 << 20).is_err(), "{end}");
        }
        assert!(decode(&[&b"BZh9"[..], &stored[4..]].concat(), 1 << 20).is_err());
    }
}
