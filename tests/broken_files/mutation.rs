//! Ways to break a file: bits, numbers, addresses, whole structures; and its checksums made right again, so that what is
//! behind them is reached.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use h5mount::layout::scan::Scan;
use h5mount::model::location::ETag;
use h5mount::source::hdf5::index::{self, Found, State};

use super::samples::{Sample, sum};

/// Changes of one file at most.
const CHANGES: usize = 4;
/// One case in so many has its checksums left wrong, one breaks the index of a sound file instead.
const UNSUMMED: usize = 8;
const INDEXED: usize = 8;
/// Bytes of a text or list that is put in or cut out.
const STRETCH: usize = 600;

/// A broken file.
pub struct Broken {
    /// The sample it was made of.
    pub of: String,
    /// What was done to it.
    pub how: String,
    pub bytes: Vec<u8>,
    /// A broken index of it.
    pub index: Option<Vec<u8>>,
}

/// The case `number` of a seed.
pub fn broken(samples: &[Sample], seed: u64, number: u64) -> Broken {
    // Neighbouring numbers make neighbouring states, whose first outputs are alike.
    let mut random =
        Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
    random.u64(..);
    let sample = &samples[random.usize(..samples.len())];
    let mut broken = Broken { of: sample.name.clone(), how: String::new(), bytes: sample.bytes.clone(), index: None };
    if random.usize(..INDEXED) == 0 {
        broken.index = broken_index(sample, &mut random);
        if broken.index.is_some() {
            broken.how = "its index".to_owned();
            return broken;
        }
    }
    let mut touched = Vec::new();
    for _ in 0..random.usize(1..=CHANGES) {
        let (what, range) = change(&mut broken.bytes, sample, samples, &mut random);
        broken.how += &format!("{what} at {}, ", range.start);
        touched.push(range);
    }
    if random.usize(..UNSUMMED) > 0 {
        // Outer structures hold none of the inner ones, so the order does not matter.
        let hit = |range: &&Range<usize>| touched.iter().any(|at| at.start < range.end && range.start < at.end);
        sample.sums.iter().filter(hit).for_each(|range| sum(&mut broken.bytes, range));
    }
    broken
}

/// A place in a file, mostly in one of its structures.
fn place(bytes: &[u8], sample: &Sample, random: &mut Rng) -> Range<usize> {
    let whole = 0..bytes.len();
    let chosen = match random.usize(..10) {
        0 => whole.clone(),
        1 => 0..bytes.len().min(100),
        _ => match random.choice(&sample.structures) {
            Some(one) => one.range().start as usize..one.range().end as usize,
            None => whole.clone(),
        },
    };
    let chosen = chosen.start.min(bytes.len())..chosen.end.min(bytes.len());
    if chosen.is_empty() { whole } else { chosen }
}

/// Makes one change; what it was, and where.
fn change(bytes: &mut Vec<u8>, sample: &Sample, samples: &[Sample], random: &mut Rng) -> (&'static str, Range<usize>) {
    if bytes.is_empty() {
        bytes.push(random.u8(..));
        return ("byte", 0..1);
    }
    let within = place(bytes, sample, random);
    let at = random.usize(within.clone());
    match random.usize(..20) {
        0..4 => {
            bytes[at] ^= 1 << random.u8(..8);
            ("bit", at..at + 1)
        }
        4..8 => {
            bytes[at] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, random.u8(..)][random.usize(..8)];
            ("byte", at..at + 1)
        }
        8..13 => {
            let width = [1, 2, 4, 8][random.usize(..4)];
            let value = telling(bytes, sample, random).to_le_bytes();
            ("number", put(bytes, at, &value[..width]))
        }
        13..16 => ("address", address(bytes, sample, &within, random)),
        16 => {
            let from = random.choice(samples).unwrap_or(sample);
            let other = place(&from.bytes, from, random);
            let part = from.bytes[other].to_vec();
            ("structure", put(bytes, within.start, &part))
        }
        17 => {
            bytes[within.clone()].fill([0, 0xff][random.usize(..2)]);
            ("structure wiped", within)
        }
        18 => {
            bytes.truncate(at);
            ("cut", at..at)
        }
        _ => {
            let len = random.usize(1..STRETCH);
            if random.bool() {
                let end = (at + len).min(bytes.len());
                bytes.drain(at..end);
            } else {
                let part = vec![random.u8(..); len];
                bytes.splice(at..at, part);
            }
            ("moved", at..bytes.len())
        }
    }
}

fn put(bytes: &mut [u8], at: usize, part: &[u8]) -> Range<usize> {
    let end = (at + part.len()).min(bytes.len());
    bytes[at..end].copy_from_slice(&part[..end - at]);
    at..end
}

/// A number that a decoder may stumble over.
fn telling(bytes: &[u8], sample: &Sample, random: &mut Rng) -> u64 {
    let len = bytes.len() as u64;
    let structure = random.choice(&sample.structures).map_or(0, |one| one.start);
    let known = [
        0,
        1,
        2,
        3,
        31,
        32,
        33,
        0xff,
        0x7fff,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 32,
        1 << 40,
        1 << 61,
        1 << 62,
        1 << 63,
        i64::MAX as u64,
        u64::MAX,
        u64::MAX - 1,
        u64::MAX - 8,
        len,
        len - 1,
        len + 1,
        len / 2,
        structure,
        structure + 1,
        random.u64(..),
        random.u64(..) >> random.u32(..64),
    ];
    known[random.usize(..known.len())]
}

/// Turns an address in a stretch to another structure: often its own, or one above, so that it leads in a circle.
fn address(bytes: &mut [u8], sample: &Sample, within: &Range<usize>, random: &mut Rng) -> Range<usize> {
    let starts: Vec<u64> = sample.structures.iter().map(|one| one.start).collect();
    let number = |at: usize| -> Option<u64> { Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)) };
    let leads = |at: &usize| number(*at).is_some_and(|to| to > 0 && starts.binary_search(&to).is_ok());
    let fields: Vec<usize> = within.clone().filter(leads).collect();
    let at = *random.choice(&fields).unwrap_or(&within.start);
    let to = match random.usize(..4) {
        0 => within.start as u64,
        1 => u64::MAX,
        _ => *random.choice(&starts).unwrap_or(&0),
    };
    put(bytes, at, &to.to_le_bytes())
}

/// The index of a sample, broken under a right checksum; `None` where it has none.
fn broken_index(sample: &Sample, random: &mut Rng) -> Option<Vec<u8>> {
    let bytes = sample.bytes.as_slice();
    let mut scan = Scan::default();
    scan.step(&bytes).ok().filter(Vec::is_empty)?;
    let found = Found::of(scan.finish().ok()?, bytes.len() as u64);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let state = State { tag: ETag::new("\"1\""), size: bytes.len() as u64, modified };
    let kept = index::encode(&state, &found)?;
    let mut plain = index::unpack(&kept, u64::MAX).ok()?;
    for _ in 0..random.usize(1..=CHANGES) {
        let at = random.usize(..plain.len().max(1));
        match random.usize(..8) {
            0..3 => *plain.get_mut(at)? ^= 1 << random.u8(..8),
            3..5 => *plain.get_mut(at)? = random.u8(..),
            // The longest number that there is.
            5 => drop(plain.splice(at..at + 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
            6 => {
                let end = (at + random.usize(1..STRETCH)).min(plain.len());
                let part = plain[at..end].to_vec();
                drop(plain.splice(at..at, part));
            }
            _ => drop(plain.drain(at..(at + random.usize(1..STRETCH)).min(plain.len()))),
        }
        if plain.is_empty() {
            break;
        }
    }
    index::pack(&state, &plain)
}
