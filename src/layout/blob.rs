//! Bytes of the image that are kept rather than made when read: a stretch of the file, written piece by piece.

use bytes::Bytes;

/// A stretch of the file from `start` on; zero where nothing was written.
#[derive(Debug)]
pub(super) struct Blob {
    start: u64,
    bytes: Vec<u8>,
}

impl Blob {
    /// A stretch of `len` zero bytes.
    pub(super) fn new(start: u64, len: u64) -> Self {
        Blob { start, bytes: vec![0; len as usize] }
    }

    /// Puts `bytes` at an address of the file.
    pub(super) fn write(&mut self, address: u64, bytes: &[u8]) {
        let place = address.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        match place.and_then(|at| self.bytes.get_mut(at..at.checked_add(bytes.len())?)) {
            Some(to) => to.copy_from_slice(bytes),
            None => debug_assert!(false, "{} bytes at {address} lie outside", bytes.len()),
        }
    }

    /// The bytes.
    pub(super) fn freeze(self) -> Bytes {
        self.bytes.into()
    }
}
