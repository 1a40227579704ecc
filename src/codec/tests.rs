//! Every filter against bytes that others wrote (`tests/data/codec`), and against bytes that nobody should write.

use bytes::Bytes;
use md5::{Digest, Md5};
use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 64 << 20;

/// A frame of one of the packs; ORIGIN.md there describes the columns.
struct Frame {
    name: &'static str,
    stored: Bytes,
    plain_len: u64,
    md5: &'static str,
    more: Vec<&'static str>,
}

impl Frame {
    fn assert_decodes(&self, steps: &[Decode]) -> Bytes {
        let pipeline = Pipeline { steps: steps.to_vec() };
        let known = decode(&pipeline, self.stored.clone(), Some(self.plain_len), LIMIT)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let md5: String = Md5::digest(&known).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(md5, self.md5, "{}", self.name);
        known
    }

    fn element(&self) -> u32 {
        self.more[0].parse().unwrap()
    }
}

macro_rules! pack {
    ($name:literal) => {
        read_pack(
            include_bytes!(concat!("../../tests/data/codec/", $name, ".bin")),
            include_str!(concat!("../../tests/data/codec/", $name, ".tsv")),
        )
    };
}

fn read_pack(bytes: &'static [u8], table: &'static str) -> Vec<Frame> {
    let frames: Vec<Frame> = table
        .lines()
        .map(|line| {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap();
            let (name, at, length) = (next(), next().parse::<usize>().unwrap(), next().parse::<usize>().unwrap());
            let (plain_len, md5) = (next().parse().unwrap(), next());
            let stored = Bytes::from_static(&bytes[at..at + length]);
            Frame { name, stored, plain_len, md5, more: fields.collect() }
        })
        .collect();
    assert!(!frames.is_empty());
    frames
}

const BLOSC: Decode = Decode::BloscOrDeflate { unshuffle: None };

#[test]
fn blosc_frames_of_numcodecs() {
    let frames = pack!("blosc");
    for frame in &frames {
        let known = frame.assert_decodes(&[BLOSC]);
        // A listed shuffle is the frame's own business.
        assert_eq!(frame.assert_decodes(&[Decode::BloscOrDeflate { unshuffle: Some(4) }]), known);
        let open = decode(&Pipeline { steps: vec![BLOSC] }, frame.stored.clone(), None, LIMIT).unwrap();
        assert_eq!(open, known);
    }
    // The packs hold what they are meant to hold: all five formats, split and stored frames, both shuffles.
    for format in 0..5 {
        assert!(frames.iter().any(|frame| frame.stored[2] >> 5 == format));
    }
    for flags in [0x01, 0x02, 0x04, 0x10] {
        assert!(frames.iter().any(|frame| frame.stored[2] & flags != 0), "no frame with flag {flags:#x}");
    }
    assert!(frames.iter().any(|frame| frame.stored[2] & 0x12 == 0 && frame.stored[3] > 1), "no split frame");
}

#[test]
fn blosc_frames_of_the_hdf5_plugin() {
    pack!("plugin").iter().for_each(|frame| {
        frame.assert_decodes(&[BLOSC]);
    });
}

#[test]
fn chunks_of_hdf5() {
    for frame in pack!("hdf5") {
        let element = frame.element();
        let steps: Vec<Decode> = frame.more[1]
            .chars()
            .rev()
            .map(|filter| match filter {
                'd' => Decode::Deflate,
                's' => Decode::Unshuffle { element },
                'f' => Decode::Fletcher32,
                other => panic!("{other}"),
            })
            .collect();
        let plain = frame.assert_decodes(&steps);
        // What HSDS says of such a chunk, or of one whose checksum it does not list, gives the same bytes.
        match frame.more[1] {
            "d" => drop(frame.assert_decodes(&[BLOSC])),
            "sd" => drop(frame.assert_decodes(&[Decode::BloscOrDeflate { unshuffle: Some(element) }])),
            "sdf" => drop(frame.assert_decodes(&[Decode::Deflate, Decode::Unshuffle { element }])),
            "f" | "sf" => {
                let mut steps = steps.clone();
                steps[0] = Decode::TrimFletcher32;
                frame.assert_decodes(&steps);
            }
            _ => {}
        }
        // Written by us and read back; shuffle and checksum are fixed by their definition, so also byte for byte.
        let filters: Vec<Filter> = frame.more[1]
            .chars()
            .map(|filter| match filter {
                'd' => Filter::Deflate(4),
                's' => Filter::Shuffle,
                _ => Filter::Fletcher32,
            })
            .collect();
        let ours = encode(&filters, element, plain.clone()).unwrap();
        if !frame.more[1].contains('d') {
            assert_eq!(ours, frame.stored, "{}", frame.name);
        }
        assert_eq!(decode(&Pipeline { steps }, ours, Some(frame.plain_len), LIMIT).unwrap(), plain);
    }
}

#[test]
fn chunks_of_the_bitshuffle_filter() {
    for frame in pack!("bitshuffle") {
        let step = Decode::BitshuffleLz4 { element: frame.element() };
        // A chunk whose length happens to be the plain length counts as plain; the pack has none that is not.
        let plain = frame.assert_decodes(std::slice::from_ref(&step));
        // An extra compressor around it, as HSDS may write it.
        let wrapped = blosc::encode_stored(&frame.stored).unwrap().into();
        let pipeline = Pipeline { steps: vec![BLOSC, step.clone()] };
        assert_eq!(decode(&pipeline, wrapped, Some(frame.plain_len), LIMIT).unwrap(), plain);
        let pipeline = Pipeline { steps: vec![step.clone()] };
        assert_eq!(decode(&pipeline, plain.clone(), Some(frame.plain_len), LIMIT).unwrap(), plain);
    }
}

/// The parameters of a frame of the ZFP pack.
fn zfp_step(frame: &Frame) -> Decode {
    Decode::Zfp(frame.more[0].split(',').map(|value| value.parse().unwrap()).collect())
}

#[test]
fn chunks_of_the_zfp_filter() {
    let frames = pack!("zfp");
    for frame in &frames {
        let step = zfp_step(frame);
        frame.assert_decodes(std::slice::from_ref(&step));
        // Each byte is needed.
        let short = frame.stored.slice(..frame.stored.len() - 1);
        let pipeline = Pipeline { steps: vec![step] };
        assert!(matches!(decode(&pipeline, short, None, LIMIT), Err(CodecError::Truncated { .. })), "{}", frame.name);
    }
    for kind in ["i4", "i8", "f4", "f8"] {
        for axes in 1..=4 {
            let named = |frame: &&Frame| frame.name.starts_with(&format!("{kind}-{axes}-"));
            assert!(frames.iter().filter(named).count() >= 6);
        }
    }
}

#[test]
fn chunks_of_the_lzo_filter() {
    for frame in pack!("lzo") {
        frame.assert_decodes(&[Decode::Lzo]);
        let end = frame.stored.len();
        let pipeline = Pipeline { steps: vec![Decode::Lzo] };
        for end in [0, end - 10, end - 9, end - 7, end - 1] {
            assert!(decode(&pipeline, frame.stored.slice(..end), None, LIMIT).is_err(), "{} {end}", frame.name);
        }
    }
}

#[test]
fn without_steps_the_bytes_are_not_copied() {
    let stored = Bytes::from(vec![1, 2, 3]);
    let plain = decode(&Pipeline::default(), stored.clone(), Some(3), LIMIT).unwrap();
    assert_eq!(plain.as_ptr(), stored.as_ptr());
    let stored: Bytes = blosc::encode_stored(b"abc").unwrap().into();
    let plain = decode(&Pipeline { steps: vec![BLOSC] }, stored.clone(), Some(3), LIMIT).unwrap();
    assert_eq!(plain.as_ptr(), stored[16..].as_ptr());
}

#[test]
fn another_length_than_the_chunk_has_is_an_error() {
    let plain = vec![7; 1000];
    let zlib = Bytes::from(deflate::encode(&plain, 6));
    let frame = Bytes::from(blosc::encode_stored(&plain).unwrap());
    let deflate = Pipeline { steps: vec![BLOSC] };
    for stored in [zlib, frame] {
        let decode = |raw_len, limit| decode(&deflate, stored.clone(), raw_len, limit);
        assert_eq!(decode(Some(1000), LIMIT).unwrap(), plain);
        assert_eq!(decode(Some(1001), LIMIT), Err(CodecError::WrongLength { expected: 1001, found: 1000 }));
        assert!(matches!(decode(Some(999), LIMIT), Err(CodecError::TooLarge { limit: 999, .. })));
        assert!(matches!(decode(None, 999), Err(CodecError::TooLarge { limit: 999, .. })));
        assert_eq!(decode(None, 1000).unwrap(), plain);
        assert!(matches!(decode(Some(LIMIT + 1), LIMIT), Err(CodecError::TooLarge { .. })));
    }
    let plain_steps = Pipeline::default();
    assert!(matches!(decode(&plain_steps, plain.into(), None, 999), Err(CodecError::TooLarge { .. })));
}

#[test]
fn bytes_after_a_zlib_stream_or_a_frame_are_ignored() {
    let plain = b"plain bytes".repeat(9);
    for mut stored in [deflate::encode(&plain, 9), blosc::encode_stored(&plain).unwrap()] {
        stored.extend_from_slice(b"tail");
        let steps = Pipeline { steps: vec![BLOSC] };
        assert_eq!(decode(&steps, stored.into(), Some(plain.len() as u64), LIMIT).unwrap(), plain);
    }
}

#[test]
fn torn_and_foreign_chunks_are_named() {
    let steps = Pipeline { steps: vec![BLOSC] };
    let decode = |stored: &[u8]| decode(&steps, Bytes::copy_from_slice(stored), Some(990), LIMIT);
    let plain = b"plain bytes".repeat(90);
    let zlib = deflate::encode(&plain, 9);
    assert!(matches!(decode(&[]), Err(CodecError::Truncated { .. })));
    for end in 1..zlib.len() {
        assert!(decode(&zlib[..end]).is_err());
    }
    assert!(matches!(decode(&zlib[..zlib.len() - 1]), Err(CodecError::Truncated { .. })));
    assert_eq!(decode(&[0x55; 990]), Err(CodecError::Unrecognised { first: 0x55 }));
    let frame = &pack!("blosc")[0].stored;
    for end in 1..frame.len() {
        assert!(matches!(decode(&frame[..end]), Err(CodecError::Truncated { .. })), "{end}");
    }
}

#[test]
fn a_small_stream_of_a_large_chunk_is_refused_without_its_memory() {
    // 100 MB of zeros are 100 kB of zlib; allowed are 1000 bytes.
    let bomb = Bytes::from(deflate::encode(&vec![0; 100 << 20], 1));
    let steps = Pipeline { steps: vec![Decode::Deflate] };
    let Err(CodecError::TooLarge { bytes, limit: 1000, .. }) = decode(&steps, bomb, Some(1000), LIMIT) else {
        panic!("not refused");
    };
    assert!(bytes < 1 << 20, "{bytes} bytes were inflated first");
}

#[test]
fn a_match_length_past_31_bits_does_not_reach_c_blosc() {
    // Two literals, then a match whose length goes on for nine million bytes of 255 each.
    let mut split = vec![1, b'a', b'b', 0xe0];
    split.resize(9_000_000, 0xff);
    split.extend_from_slice(&[0, 0, 0]);
    let block = 10_000_000u32;
    let mut frame = vec![2, 1, 0x10, 1];
    for field in [block, block, 24 + split.len() as u32, 20, split.len() as u32] {
        frame.extend_from_slice(&field.to_le_bytes());
    }
    frame.extend_from_slice(&split);
    let error = blosc::decode(&frame.into(), LIMIT).unwrap_err();
    assert!(matches!(error, CodecError::Invalid { at: 24, reason: "a match longer than its block", .. }), "{error}");
}

#[test]
fn zstd_in_a_frame_is_one_frame_of_the_present_format() {
    let frames = pack!("blosc");
    let frame = frames.iter().find(|frame| frame.name == "zstd-none-1-large").unwrap();
    let mut old = frame.stored.to_vec();
    // After a table of two blocks and the first split's length.
    assert_eq!(old[28..32], [0x28, 0xb5, 0x2f, 0xfd]);
    old[28] = 0x27; // zstd 0.7
    assert!(matches!(blosc::decode(&old.into(), LIMIT), Err(CodecError::Invalid { at: 28, .. })));
}

/// Every frame of every pack, with the steps that read it.
fn all_frames() -> Vec<(Frame, Vec<Decode>)> {
    let blosc = pack!("blosc").into_iter().chain(pack!("plugin")).filter(|frame| frame.stored.len() < 20_000);
    let hdf5 = pack!("hdf5").into_iter().map(|frame| {
        let element = frame.element();
        let steps = frame.more[1].chars().rev().map(|filter| match filter {
            'd' => Decode::Deflate,
            's' => Decode::Unshuffle { element },
            // Checked first, the checksum would hide what comes after it from every mutation.
            _ => Decode::TrimFletcher32,
        });
        let steps = steps.collect();
        (frame, steps)
    });
    let bits = pack!("bitshuffle").into_iter().map(|frame| {
        let steps = vec![Decode::BitshuffleLz4 { element: frame.element() }];
        (frame, steps)
    });
    let zfp = pack!("zfp").into_iter().map(|frame| {
        let steps = vec![zfp_step(&frame)];
        (frame, steps)
    });
    // Without a trailer, which would hide most mutations.
    let lzo = pack!("lzo").into_iter().map(|frame| {
        let stored = frame.stored.slice(..frame.stored.len() - 8);
        (Frame { stored, ..frame }, vec![Decode::Lzo])
    });
    let blosc = blosc.map(|frame| (frame, vec![BLOSC]));
    blosc.chain(hdf5).chain(bits).chain(zfp).chain(lzo).collect()
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    SetHeader(usize, u8),
    SetWord(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    /// Makes the frame's length true again, so that the mutation is not noticed by it.
    MendLength,
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Mutation::Set(at, value) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Mutation::SetHeader(at, value) if *at < bytes.len() => bytes[*at] = *value,
            Mutation::SetWord(at, value) if bytes.len() >= 4 => {
                // Most fields lie at multiples of four from the start.
                let at = at.index(bytes.len() / 4) * 4;
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            Mutation::Cut(at) if !bytes.is_empty() => bytes.truncate(at.index(bytes.len())),
            Mutation::Remove(at, length) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Mutation::Insert(at, more) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::MendLength if bytes.len() >= 16 => {
                let length = bytes.len() as u32;
                bytes[12..16].copy_from_slice(&length.to_le_bytes());
            }
            _ => {}
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let word = prop_oneof![0u32..64, any::<u32>(), Just(u32::MAX), Just(i32::MAX as u32), 0u32..100_000];
    prop_oneof![
        4 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, value)| Mutation::Set(at, value)),
        2 => (0usize..40, any::<u8>()).prop_map(|(at, value)| Mutation::SetHeader(at, value)),
        2 => (any::<prop::sample::Index>(), word).prop_map(|(at, value)| Mutation::SetWord(at, value)),
        1 => any::<prop::sample::Index>().prop_map(Mutation::Cut),
        1 => (any::<prop::sample::Index>(), 1usize..40).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, more)| Mutation::Insert(at, more)),
        2 => Just(Mutation::MendLength),
    ]
}

proptest! {
    #[test]
    fn mutated_chunks_give_bytes_or_an_error(
        pick in any::<prop::sample::Index>(),
        variants in prop::collection::vec(prop::collection::vec(mutation(), 1..6), 16),
        known in any::<bool>(),
    ) {
        thread_local!(static FRAMES: Vec<(Frame, Vec<Decode>)> = all_frames());
        FRAMES.with(|frames| {
            let (frame, steps) = &frames[pick.index(frames.len())];
            let pipeline = Pipeline { steps: steps.clone() };
            let limit = frame.plain_len * 2 + 100;
            for mutations in &variants {
                let mut stored = frame.stored.to_vec();
                mutations.iter().for_each(|mutation| mutation.apply(&mut stored));
                // An exact allocation: what reads past its end is seen by a sanitizer.
                let stored = Bytes::from(stored.into_boxed_slice());
                let raw_len = known.then_some(frame.plain_len);
                if let Ok(plain) = decode(&pipeline, stored, raw_len, limit) {
                    assert!(plain.len() as u64 <= limit);
                    assert!(raw_len.is_none_or(|expected| expected == plain.len() as u64));
                }
            }
        });
    }

    #[test]
    fn any_bytes_give_bytes_or_an_error(stored in prop::collection::vec(any::<u8>(), 0..200), steps in prop::collection::vec(
        prop_oneof![
            Just(Decode::Deflate),
            Just(BLOSC),
            Just(Decode::Fletcher32),
            Just(Decode::TrimFletcher32),
            (0u32..9).prop_map(|element| Decode::Unshuffle { element }),
            (0u32..9).prop_map(|element| Decode::BitshuffleLz4 { element }),
        ], 0..4), raw_len in prop::option::of(0u64..300)) {
        if let Ok(plain) = decode(&Pipeline { steps }, stored.into(), raw_len, 4096) {
            prop_assert!(plain.len() <= 4096);
        }
    }

    #[test]
    fn what_is_encoded_comes_back(
        plain in prop::collection::vec(any::<u8>(), 0..5000),
        element in 1u32..17,
        level in 0u8..12,
    ) {
        let plain = Bytes::from(plain);
        let filters = [Filter::Shuffle, Filter::Deflate(level), Filter::Fletcher32];
        let stored = encode(&filters, element, plain.clone()).unwrap();
        let steps = vec![Decode::Fletcher32, Decode::Deflate, Decode::Unshuffle { element }];
        let pipeline = Pipeline { steps };
        prop_assert_eq!(decode(&pipeline, stored, Some(plain.len() as u64), LIMIT).unwrap(), plain.clone());
        let stored = Bytes::from(blosc::encode_stored(&plain).unwrap());
        prop_assert_eq!(blosc::decode(&stored, LIMIT).unwrap(), plain);
    }
}
