//! Filters: what a dataset says was done to its chunks, and what undoes it.

use std::sync::Arc;

/// A filter as the presented file may declare it (specification IV.A.2.l).
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Filter {
    /// zlib (id 1), with its level 0 to 9.
    Deflate(u8),
    /// Byte shuffle (id 2).
    Shuffle,
    /// Fletcher32 checksum (id 3).
    Fletcher32,
    /// Any other filter: its registered id and its name, declared by no mode that stock libhdf5 must read.
    Other {
        /// Registered filter id, where known.
        id: Option<u16>,
        /// Name as the store has it.
        name: String,
    },
}

/// One step from stored bytes towards plain bytes.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Decode {
    /// Inflate one zlib stream; what follows its end is ignored.
    Deflate,
    /// Undo HDF5's byte shuffle of elements of this many bytes.
    Unshuffle {
        /// Bytes of an element.
        element: u32,
    },
    /// Check and cut the four bytes of a Fletcher32 checksum at the end.
    Fletcher32,
    /// Whatever HSDS may have written under a compressor: a Blosc-1 frame (recognised by its header; its own shuffle is
    /// undone with it), else a zlib stream, followed by the undoing of a byte shuffle where the dataset lists one.
    BloscOrDeflate {
        /// Bytes of an element where the dataset lists the shuffle filter.
        unshuffle: Option<u32>,
    },
    /// HDF5's bitshuffle with LZ4 (id 32008): u64 BE length, u32 BE block bytes, then blocks. Bytes that already have the
    /// plain length are left as they are.
    BitshuffleLz4 {
        /// Bytes of an element.
        element: u32,
    },
    /// As [`BitshuffleLz4`](Self::BitshuffleLz4), with a zstd frame a block.
    BitshuffleZstd {
        /// Bytes of an element.
        element: u32,
    },
    /// HDF5's bitshuffle without compression: blocks one behind another.
    Bitshuffle {
        /// Bytes of an element.
        element: u32,
        /// Elements of a block; 0 for 8 KiB of them.
        block: u32,
    },
    /// One zstd frame (id 32015).
    Zstd,
    /// One contiguous frame of Blosc2 (id 32026).
    Blosc2,
    /// szip (id 4), with the filter's parameters.
    Szip(Arc<[u32]>),
    /// VBZ (id 32020), with the filter's parameters.
    Vbz(Arc<[u32]>),
    /// ZFP (id 32013), with the filter's parameters.
    Zfp(Arc<[u32]>),
    /// LZO as PyTables writes it (id 305).
    Lzo,
    /// One bzip2 stream (id 307).
    Bzip2,
    /// N-bit (id 5), with the filter's parameters.
    Nbit(Arc<[u32]>),
    /// Scale-offset (id 6), with the filter's parameters.
    ScaleOffset(Arc<[u32]>),
    /// HDF5's LZ4 (id 32004): u64 BE length, u32 BE block bytes, then blocks.
    Lz4,
    /// LZF as h5py writes it (id 32000).
    Lzf,
    /// Cut a surplus of exactly four bytes (a Fletcher32 checksum that the dataset does not list).
    TrimFletcher32,
}

/// The form in which *all* stored chunks of a dataset are, or can be brought without changing a value: what lets a
/// reader of the presented file undo the filters himself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum StoredForm {
    /// None that an HDF5 library reads.
    #[default]
    Other,
    /// One zlib stream a chunk, as libhdf5 writes it.
    Zlib {
        /// Whether elements were shuffled (by bytes) before.
        shuffled: bool,
    },
    /// One Blosc-1 frame a chunk, as HDF5's filter 32001 writes it. The frame says itself how it is read; what stands
    /// here is only told to people.
    Blosc {
        /// 0 none, 1 bytes, 2 bits, as the filter numbers them.
        shuffle: u32,
        /// The codec as the filter numbers it: blosclz, lz4, lz4hc, snappy, zlib, zstd.
        codec: u32,
    },
}

/// Chunks of one dataset as they are handed to a reader who undoes the filters himself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Framing {
    /// What each chunk is; never [`StoredForm::Other`].
    pub form: StoredForm,
    /// Bytes of an element.
    pub element: u32,
    /// Plain bytes of a chunk.
    pub plain: u64,
    /// Most bytes of a chunk in this form; zeros that follow up to here do no harm.
    pub room: u64,
}

/// Steps from stored to plain bytes, in the order in which they are applied when reading.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Default)]
pub struct Pipeline {
    /// The steps; none where bytes are stored plain.
    pub steps: Vec<Decode>,
}
