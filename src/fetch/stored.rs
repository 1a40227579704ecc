//! One chunk's stored bytes as they are, for readers of the presented file who undo the filters themselves.
//!
//! Most chunks are handed on untouched. One that another writer stored in another form, or that is longer than its
//! place, is made plain and framed anew, so that every chunk of a dataset is what the file says; so is a chunk that was
//! never written.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{FetchError, Fetcher, FileChunks};
use crate::cache::{self, Missing, PiecePart};
use crate::codec::{self, CodecError, blosc, deflate};
use crate::model::chunk::{ChunkId, ChunkRecipe};
use crate::model::pipeline::{Filter, Framing, StoredForm};

/// Level at which zlib streams are made anew: the fastest, since they are read once.
const LEVEL: u8 = 1;

impl Fetcher {
    /// The bytes of a chunk in the form of `framing`; zeros may follow them up to its room. `fill` is one element of a
    /// chunk that was never written, zeros where there is none.
    ///
    /// # Errors
    /// As [`Fetcher::chunk`]. Of bytes that are handed on untouched only the length of their frame is checked.
    pub async fn stored(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        framing: &Framing,
        fill: Option<&[u8]>,
    ) -> Result<Bytes, FetchError> {
        let loaded =
            self.cache.get_or_load(file.piece(id, PiecePart::Stored), || self.loading(file, id, Some(framing))).await;
        match loaded {
            Ok(bytes) => Ok(bytes),
            Err(Missing::Failed(error)) => Err(error),
            Err(Missing::Absent) => self.stored_fill(file, id, framing, fill).await,
        }
    }

    async fn stored_fill(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        framing: &Framing,
        fill: Option<&[u8]>,
    ) -> Result<Bytes, FetchError> {
        // One for all chunks of the dataset.
        let any = ChunkId { number: 0, ..id };
        let make = || {
            let (fetcher, file) = (Arc::clone(self), Arc::clone(file));
            let (framing, fill) = (*framing, fill.map(<[u8]>::to_vec));
            let make = async move {
                let reserved = fetcher.cache.reserve(framing.plain.saturating_add(framing.room)).await;
                let plain = filled(&framing, fill.as_deref());
                let framed = fetcher.on_decoder(framing.plain, move || frame(&framing, plain)).await;
                let fault = |reason| Missing::Failed(file.outside(id, format!("its fill value: {reason}")));
                framed.map(|bytes| cache::reserved(bytes, reserved)).map_err(fault)
            };
            Box::pin(make) as BoxFuture<'static, _>
        };
        match self.cache.get_or_load(file.piece(any, PiecePart::StoredFill), make).await {
            Ok(bytes) => Ok(bytes),
            Err(Missing::Failed(error)) => Err(error),
            Err(Missing::Absent) => Ok(Bytes::new()),
        }
    }

    /// Stored bytes in the form of `framing`.
    pub(super) async fn framed(&self, recipe: &ChunkRecipe, stored: Bytes, framing: &Framing) -> Result<Bytes, String> {
        if let Some(bytes) = untouched(&stored, framing) {
            return Ok(bytes);
        }
        let plain = self.decode(recipe, stored).await?;
        self.reframed(framing, plain).await
    }

    /// Plain bytes in the form of `framing`.
    pub(super) async fn reframed(&self, framing: &Framing, plain: Bytes) -> Result<Bytes, String> {
        let framing = *framing;
        self.on_decoder(framing.plain, move || frame(&framing, plain)).await
    }
}

/// The bytes to hand on where `stored` is what `framing` says.
fn untouched(stored: &Bytes, framing: &Framing) -> Option<Bytes> {
    let len = match framing.form {
        StoredForm::Blosc { .. } => blosc::frame_len(stored, framing.plain)?,
        // A zlib stream has no length; a checksum after its end is ignored by whoever inflates it.
        StoredForm::Zlib { .. } => {
            stored.first().filter(|&&first| first & 0x0f == deflate::METHOD).map(|_| stored.len())?
        }
        StoredForm::Other => return None,
    };
    (len as u64 <= framing.room).then(|| stored.slice(..len))
}

fn frame(framing: &Framing, plain: Bytes) -> Result<Bytes, CodecError> {
    let framed = match framing.form {
        StoredForm::Blosc { .. } => blosc::encode_stored(&plain)?.into(),
        StoredForm::Zlib { shuffled: true } => {
            codec::encode(&[Filter::Shuffle, Filter::Deflate(LEVEL)], framing.element, plain)?
        }
        StoredForm::Zlib { shuffled: false } => codec::encode(&[Filter::Deflate(LEVEL)], framing.element, plain)?,
        StoredForm::Other => plain,
    };
    match framed.len() as u64 {
        bytes if bytes > framing.room => Err(CodecError::TooLarge { at: 0, bytes, limit: framing.room }),
        _ => Ok(framed),
    }
}

/// A chunk of nothing but `fill`. The layout frames no chunk past the limit for chunks in memory.
fn filled(framing: &Framing, fill: Option<&[u8]>) -> Bytes {
    let len = usize::try_from(framing.plain).unwrap_or(0);
    match fill.filter(|fill| !fill.is_empty()) {
        Some(fill) => {
            let mut plain = fill.repeat(len.div_ceil(fill.len()));
            plain.truncate(len);
            plain.into()
        }
        None => vec![0; len].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(form: StoredForm) -> Framing {
        Framing { form, element: 4, plain: 4000, room: 8192 }
    }

    #[test]
    fn what_is_framed_comes_back_and_is_untouched_from_then_on() {
        let plain = Bytes::from((0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>());
        for form in [
            StoredForm::Blosc { shuffle: 1, codec: 5 },
            StoredForm::Zlib { shuffled: true },
            StoredForm::Zlib { shuffled: false },
        ] {
            let framing = framing(form);
            let framed = frame(&framing, plain.clone()).unwrap();
            // Zeros up to the end of the slot follow in the presented file.
            let mut slot = framed.to_vec();
            slot.resize(8192, 0);
            assert_eq!(untouched(&framed, &framing), Some(framed.clone()));
            let undone = match form {
                StoredForm::Blosc { .. } => blosc::decode(&slot.into(), 4000).unwrap(),
                StoredForm::Zlib { shuffled: true } => {
                    codec::shuffle::decode(&deflate::decode(&slot, 4000).unwrap(), 4).into()
                }
                _ => deflate::decode(&slot, 4000).unwrap().into(),
            };
            assert_eq!(undone, plain);
        }
    }

    #[test]
    fn another_form_or_length_is_not_handed_on() {
        let blosc = framing(StoredForm::Blosc { shuffle: 0, codec: 0 });
        let zlib = Bytes::from(deflate::encode(&[7; 4000], 6));
        assert_eq!(untouched(&zlib, &blosc), None);
        assert_eq!(untouched(&Bytes::from(blosc::encode_stored(&[7; 3999]).unwrap()), &blosc), None);
        let mut torn = blosc::encode_stored(&[7; 4000]).unwrap();
        torn.pop();
        assert_eq!(untouched(&torn.into(), &blosc), None);
        let short = Framing { room: 16, ..framing(StoredForm::Zlib { shuffled: false }) };
        assert_eq!(untouched(&zlib, &short), None);
        assert!(frame(&short, Bytes::from(vec![1; 4000])).is_err());
    }

    #[test]
    fn fill_is_cut_at_the_end_of_the_chunk() {
        let mut framing = framing(StoredForm::Blosc { shuffle: 0, codec: 0 });
        framing.plain = 7;
        assert_eq!(filled(&framing, Some(b"abc")), "abcabca");
        assert_eq!(filled(&framing, None), vec![0; 7]);
        assert_eq!(filled(&framing, Some(b"")), vec![0; 7]);
    }
}
