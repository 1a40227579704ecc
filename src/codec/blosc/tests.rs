//! Frames made by c-blosc, and damaged ones: what is decoded here is what c-blosc makes of them.

use std::ffi::c_int;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 64 << 20;

/// How a frame is made.
#[derive(Clone, Debug)]
struct Making {
    level: c_int,
    shuffle: c_int,
    element: usize,
    block: usize,
    split: bool,
}

/// A frame of `plain` by c-blosc.
#[allow(unsafe_code)] // the C codec, which writes frames for tests alone
fn compress(plain: &[u8], making: &Making, codec: &std::ffi::CStr) -> Vec<u8> {
    // The way of splitting is a global variable.
    static SPLITTING: Mutex<()> = Mutex::new(());
    let _guard = SPLITTING.lock().unwrap();
    let mode = if making.split { ::blosc::BLOSC_FORWARD_COMPAT_SPLIT } else { ::blosc::BLOSC_NEVER_SPLIT };
    // As long as c-blosc asks for.
    let mut frame = vec![0u8; plain.len() + HEADER];
    // SAFETY: all pointers are valid for the lengths given with them, the name ends with a zero byte, and none is kept.
    let made = unsafe {
        ::blosc::blosc_set_splitmode(mode as c_int);
        ::blosc::blosc_compress_ctx(
            making.level,
            making.shuffle,
            making.element,
            plain.len(),
            plain.as_ptr().cast(),
            frame.as_mut_ptr().cast(),
            frame.len(),
            codec.as_ptr(),
            making.block,
            1,
        )
    };
    frame.truncate(usize::try_from(made).unwrap());
    assert!(!frame.is_empty());
    frame
}

/// What c-blosc makes of a frame that was checked; `None` where it was refused or cannot be decoded.
fn by_c_blosc(frame: &[u8]) -> Option<Vec<u8>> {
    let header = Header::read(frame, LIMIT).ok()?;
    assert_eq!(header.flags & STORED, 0);
    let frame = frame.get(..header.stored as usize)?;
    blocks::check(&header, frame).ok()?;
    let mut plain = vec![0; header.plain as usize];
    decode_in_c(&header, frame, &mut plain).ok()?;
    Some(plain)
}

fn making() -> impl Strategy<Value = Making> {
    let element = prop_oneof![4 => 1usize..20, 4 => Just(4usize), 1 => 20usize..256];
    let block = prop_oneof![Just(0usize), 128usize..5000];
    (0..10, 0..3, element, block, any::<bool>()).prop_map(|(level, shuffle, element, block, split)| Making {
        level,
        shuffle,
        element,
        block,
        split,
    })
}

/// Bytes that compress in some places and not in others.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        (any::<u16>(), 1u16..3000).prop_map(|(from, count)| {
            (0..count).flat_map(|step| u32::from(from.wrapping_add(step)).to_le_bytes()).collect()
        }),
        prop::collection::vec(any::<u8>(), 1..600),
        (any::<u8>(), 1usize..3000).prop_map(|(byte, times)| vec![byte; times]),
    ];
    prop::collection::vec(run, 1..6).prop_map(|runs| runs.concat())
}

proptest! {
    #[test]
    fn zlib_frames_come_back_and_are_what_c_blosc_makes_of_them(plain in plain(), making in making()) {
        let frame = compress(&plain, &making, c"zlib");
        let decoded = decode(&Bytes::copy_from_slice(&frame), LIMIT).unwrap();
        prop_assert_eq!(&decoded, &plain);
        if frame[2] & STORED == 0 {
            prop_assert_eq!(frame[2] >> 5, 3);
            prop_assert_eq!(by_c_blosc(&frame).unwrap(), plain);
        }
    }

    #[test]
    fn damaged_zlib_frames_are_read_and_refused_as_by_c_blosc(
        plain in plain(),
        making in making(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        in_header in any::<bool>(),
    ) {
        let mut frame = compress(&plain, &making, c"zlib");
        for (at, value) in damages {
            let end = if in_header { frame.len().min(64) } else { frame.len() };
            frame[at.index(end)] = value;
        }
        let zlib = frame[2] >> 5 == 3 && frame[2] & STORED == 0;
        if zlib && Header::read(&frame, LIMIT).is_ok_and(|header| header.plain > 0) {
            let decoded = decode(&Bytes::copy_from_slice(&frame), LIMIT).ok();
            prop_assert_eq!(decoded, by_c_blosc(&frame).map(Bytes::from));
        }
    }

    #[test]
    fn frames_of_other_codecs_come_back(plain in plain(), making in making(), codec in 0usize..5) {
        let codec = [c"blosclz", c"lz4", c"lz4hc", c"snappy", c"zstd"][codec];
        let frame = compress(&plain, &making, codec);
        prop_assert_eq!(decode(&frame.into(), LIMIT).unwrap(), plain);
    }
}

#[test]
fn a_split_that_inflates_to_another_length_is_refused_where_it_lies() {
    let plain = [7; 1000];
    for claimed in [999u32, 1001] {
        let split = super::super::deflate::encode(&plain, 6);
        let mut frame = vec![FORMAT_VERSION, 1, 3 << 5 | NEVER_SPLIT, 1];
        for field in [claimed, claimed, 24 + split.len() as u32, 20, split.len() as u32] {
            frame.extend_from_slice(&field.to_le_bytes());
        }
        frame.extend_from_slice(&split);
        let error = decode(&frame.into(), LIMIT).unwrap_err();
        let reason = "a split that cannot be inflated to its length";
        assert_eq!(error, CodecError::Invalid { what: header::WHAT, at: 24, reason });
    }
}
