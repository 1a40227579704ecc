//! Elements while they are being made: out of JSON by `value`, out of a chunk's bytes by `stream`.

use crate::model::elements::{Elements, Place, Target};

/// Elements as they grow. Whoever adds to them has checked the sum of their sizes before.
#[derive(Default)]
pub(super) struct Growing {
    /// File form of what is there so far.
    pub(super) bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Growing {
    /// None yet, with room for `capacity` bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Growing { bytes: Vec::with_capacity(capacity), places: Vec::new() }
    }

    /// Adds `size` bytes that the layout fills in.
    pub(super) fn place(&mut self, target: Target, size: u64) {
        self.places.push(Place { at: self.bytes.len() as u64, target });
        self.zeros(size);
    }

    /// Adds `size` zero bytes.
    pub(super) fn zeros(&mut self, size: u64) {
        self.bytes.resize(self.bytes.len() + size as usize, 0);
    }

    /// What has grown.
    pub(super) fn finish(self) -> Elements {
        Elements { bytes: self.bytes.into(), places: self.places }
    }
}
