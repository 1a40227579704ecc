//! The whole way of a file: read, judged, laid out anew, its chunks decoded and put in their place.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h5mount::codec::decode;
use h5mount::format::FormatError;
use h5mount::layout::scan::{Addresses, Place, Placement, Scan, ledger};
use h5mount::layout::{Image, PresentOptions, SegmentKind, plan};
use h5mount::model::chunk::ChunkId;
use h5mount::model::extents::Extents;
use h5mount::model::hierarchy::{Hierarchy, ObjectId};
use h5mount::model::location::ETag;
use h5mount::model::pipeline::Pipeline;
use h5mount::source::hdf5::index::{self, Found, State};

/// Chunks of a dataset, and bytes of the largest of them: those that a file of some KiB needs.
const CHUNKS: u64 = 4;
const CHUNK: u64 = 4 << 20;
/// Datasets of a file that chunks are read of.
const DATASETS: usize = 50;
/// Pieces of an image that are made, and bytes of each.
const PIECES: usize = 200;
const PIECE: u64 = 64 << 10;
/// Rounds in which a file is read that comes in parts, and bytes that come at least.
const ROUNDS: usize = 10_000;
const PART: u64 = 512;
/// What an index may take in memory.
const INDEX: u64 = 32 << 20;

/// How cases ended.
#[derive(Default)]
pub struct Totals {
    /// Not shown laid out anew, for an error of the whole.
    pub refused: u64,
    /// Laid out anew,
    pub shown: u64,
    /// of these without a fault.
    pub sound: u64,
    /// Indexes that were refused, and that were believed.
    pub indexes: (u64, u64),
    /// Chunks that were decoded, and that could not be.
    pub decoded: u64,
    pub undecoded: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Totals) {
        self.refused += other.refused;
        self.shown += other.shown;
        self.sound += other.sound;
        self.indexes = (self.indexes.0 + other.indexes.0, self.indexes.1 + other.indexes.1);
        self.decoded += other.decoded;
        self.undecoded += other.undecoded;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { refused, shown, sound, indexes, decoded, undecoded } = self;
        write!(
            out,
            "{refused} refused, {shown} laid out ({sound} without a fault), {} indexes refused and {} believed, \
             {decoded} chunks decoded, {undecoded} not",
            indexes.0, indexes.1
        )
    }
}

/// Takes a file the whole way, or an index of it.
pub fn take(bytes: &[u8], kept: Option<&[u8]>) -> Totals {
    let mut totals = Totals::default();
    if let Some(kept) = kept {
        match index::decode(kept, INDEX) {
            Err(_) => totals.indexes.0 += 1,
            Ok((_, found)) => {
                totals.indexes.1 += 1;
                show(bytes, &found.hierarchy, &found.placements, &found.addresses, &mut totals);
            }
        }
        return totals;
    }
    judge(bytes);
    let mut scan = Scan::default();
    let scanned = match scan.step(&bytes) {
        Ok(missing) => {
            assert!(missing.is_empty(), "the whole file is there, and {missing:?} is asked for");
            scan.finish()
        }
        Err(error) => Err(error),
    };
    let parted = in_parts(bytes);
    let scanned = match scanned {
        Ok(scanned) => scanned,
        Err(error) => {
            check(&error);
            assert!(parted.is_err(), "in parts it is read");
            totals.refused += 1;
            return totals;
        }
    };
    assert!(parted.is_ok(), "in parts it is not read: {:?}", parted.err());
    scanned.faults.iter().for_each(|fault| check(&fault.error));
    for placement in scanned.placements.iter().flatten() {
        // What has no place reads as the fill value, which a place past all files must not.
        let last = placement.grid.total().checked_sub(1).filter(|_| matches!(placement.place, Place::Even { .. }));
        let place = last.map(|last| placement.chunk(last));
        assert!(place.is_none_or(|place| place.is_some_and(|(range, _)| range.end <= bytes.len() as u64)));
    }
    totals.shown += 1;
    totals.sound += u64::from(scanned.faults.is_empty());
    show(bytes, &scanned.hierarchy, &scanned.placements, &scanned.addresses, &mut totals);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let state = State { tag: ETag::new("\"1\""), size: bytes.len() as u64, modified };
    let found = Found::of(scanned, bytes.len() as u64);
    if let Some(kept) = index::encode(&state, &found) {
        let back = index::decode(&kept, u64::MAX);
        let back = back.unwrap_or_else(|error| panic!("its index is refused: {error}")).1;
        assert!(back.hierarchy == found.hierarchy && back.placements == found.placements, "its index says otherwise");
    }
    totals
}

/// An error names the structure, and says what is wrong with it.
fn check(error: &FormatError) {
    assert!(!error.structure.is_empty() && !error.reason.is_empty(), "{error:?}");
    assert!(error.needs().is_none(), "{error:?}");
}

/// Every structure is noted, what only writers read is read too.
fn judge(bytes: &[u8]) {
    let mut scan = Scan::noting();
    let Ok(missing) = scan.step(&bytes) else { return };
    assert!(missing.is_empty(), "the whole file is there");
    let mut faults = Vec::new();
    let missing = scan.step_aside(&bytes, &mut faults);
    assert!(missing.is_empty(), "the whole file is there");
    faults.iter().for_each(|(_, error)| check(error));
    let structures = scan.take_register().unwrap_or_default().structures();
    if let Ok(scanned) = scan.finish() {
        ledger::balance(&structures, &scanned.placements, &scanned.addresses, 0..bytes.len() as u64);
    }
}

/// Reads a file whose parts come as they are asked for.
fn in_parts(bytes: &[u8]) -> Result<(), FormatError> {
    let len = bytes.len() as u64;
    let (mut scan, mut held) = (Scan::default(), Extents::new(len));
    for _ in 0..ROUNDS {
        let missing = scan.step(&held)?;
        if missing.is_empty() {
            return scan.finish().map(|_| ());
        }
        let before = held.held();
        for range in missing {
            for gap in held.gaps(range.start..range.end.max(range.start + PART).min(len)) {
                held.put(gap.start, Bytes::copy_from_slice(&bytes[gap.start as usize..gap.end as usize]));
            }
            assert!(held.join(&range), "{range:?} is asked for, of {len} bytes");
        }
        assert!(held.held() >= before, "what is there is asked for");
    }
    panic!("more than {ROUNDS} rounds");
}

/// Lays a file out anew, makes what stands in front of the image, and reads chunks.
fn show(
    bytes: &[u8],
    hierarchy: &Hierarchy,
    placements: &[Option<Placement>],
    addresses: &Addresses,
    totals: &mut Totals,
) {
    let image = plan(hierarchy, &PresentOptions::default()).map_err(|error| panic!("no plan: {error}")).ok();
    if let Some(image) = &image {
        make(image);
    }
    let datasets = (0..).map(ObjectId).zip(placements).filter_map(|(id, placement)| Some((id, placement.as_ref()?)));
    for (id, placement) in datasets.take(DATASETS) {
        let total = placement.grid.total();
        for number in (0..total.min(CHUNKS)).chain(total.checked_sub(1)) {
            let read = chunk(bytes, placement, addresses, number);
            match &read {
                Some(Ok(_)) => totals.decoded += 1,
                Some(Err(reason)) => {
                    assert!(!reason.is_empty());
                    totals.undecoded += 1;
                }
                None => {}
            }
            if let (Some(image), Some(Ok(elements))) = (&image, &read) {
                let _ = image.place(ChunkId { dataset: id, number }, elements);
            }
        }
    }
}

fn make(image: &Image) {
    for segment in image.segments(0..image.len()).take(PIECES) {
        if let SegmentKind::Metadata { part, at } = segment.kind {
            let mut out = vec![0; (segment.range.end - segment.range.start).min(PIECE) as usize];
            image.synthesize(&part, at, &mut out);
        }
    }
}

/// A chunk as its reader does it; `None` where nothing was written, or more than is tried here.
fn chunk(
    bytes: &[u8],
    placement: &Placement,
    addresses: &Addresses,
    number: u64,
) -> Option<Result<h5mount::model::elements::Elements, String>> {
    let (range, mask) = placement.chunk(number)?;
    if placement.raw_len > CHUNK {
        return None;
    }
    let stored = bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)?;
    let steps = match placement.steps(mask) {
        Ok(steps) => steps,
        Err(reason) => return Some(Err(reason)),
    };
    let plain = decode(&Pipeline { steps }, Bytes::copy_from_slice(stored), Some(placement.raw_len), CHUNK);
    let plain = match plain {
        Ok(plain) => plain,
        Err(error) => return Some(Err(error.to_string())),
    };
    let elements = addresses.elements(placement, &plain, &bytes);
    Some(elements.map_err(|(bad, missing)| {
        assert!(missing.is_empty(), "the whole file is there, and {missing:?} is asked for");
        bad.reason
    }))
}
