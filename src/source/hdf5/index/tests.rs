//! What was found comes back from an index; what is damaged does not, and takes no memory.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::format::datatype::decode::{Bits, StoredClass, StoredOrder, StoredType};
use crate::layout::scan::{ChunkAt, ChunkList, Place, Scan};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::{ByteOrder, Compound, Datatype, Integer, VariableString};
use crate::model::elements::{self, Elements, Target};
use crate::model::grid::Grid;
use crate::model::hierarchy::{
    Attribute, DataLayout, Dataset, Details, Group, Link, LinkTarget, Object, ObjectKind, TypeUse,
};
use crate::model::name::{CharacterSet, Name};

const MOST: u64 = 1 << 30;
const TAG: &str = "\"5-7\"";

fn tag() -> ETag {
    ETag::new(TAG)
}

fn state(size: u64) -> State {
    State { tag: tag(), size, modified: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5) }
}

/// What a scan finds in a file; `None` where it is none that can be read.
fn scanned(bytes: &[u8]) -> Option<Found> {
    let mut scan = Scan::default();
    scan.step(&bytes).ok().filter(Vec::is_empty)?;
    Some(Found::of(scan.finish().ok()?, bytes.len() as u64))
}

fn samples(folder: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => walk(&entry, found),
                false => found.push(entry),
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5").join(folder), &mut found);
    found
}

fn same(one: &Found, other: &Found) -> bool {
    one.hierarchy == other.hierarchy
        && one.placements == other.placements
        && one.addresses == other.addresses
        && one.faults == other.faults
        && (one.facts, one.read) == (other.facts, other.read)
}

#[test]
fn every_sample_comes_back_as_it_was_read() {
    let mut compared = 0;
    for path in ["good", "corrupt"].into_iter().flat_map(samples) {
        let bytes = std::fs::read(&path).unwrap();
        let Some(found) = scanned(&bytes) else { continue };
        // There are no words for heaps that are not where their addresses say.
        if found.addresses.has_heaps() {
            assert!(encode(&state(1), &found).is_none(), "{path:?}");
            continue;
        }
        let index = encode(&state(bytes.len() as u64), &found).unwrap_or_else(|| panic!("{path:?} has none"));
        assert!(is_of(&index, &tag(), bytes.len() as u64));
        let (of, back) = decode(&index, MOST).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(same(&found, &back), "{path:?}");
        assert_eq!(of, state(bytes.len() as u64));
        compared += 1;
    }
    assert!(compared >= 30, "{compared}");
}

#[test]
fn a_file_of_any_width_of_numbers_has_an_index() {
    let mut found = small(ChunkList::default(), "");
    for (offsets, lengths) in [(2, 4), (8, 16), (32, 2)] {
        let sizes = crate::format::bytes::Sizes { offsets, lengths };
        found.addresses = Addresses::of(vec![96, 800], 0, sizes).unwrap();
        assert!(same(&decode(&encode(&state(1), &found).unwrap(), MOST).unwrap().1, &found));
    }
    assert!(Addresses::of(vec![96], 0, crate::format::bytes::Sizes { offsets: 3, lengths: 8 }).is_none());
}

#[test]
fn an_index_is_of_one_state_of_one_file() {
    let index = encode(&state(100), &small(ChunkList::default(), "")).unwrap();
    assert!(is_of(&index, &ETag::new("5-7"), 100));
    assert!(!is_of(&index, &ETag::new("\"5-8\""), 100) && !is_of(&index, &tag(), 101));
    assert!(!is_of(&index[..30], &tag(), 100) && !is_of(b"h5index1", &tag(), 100));
}

#[test]
fn one_that_is_damaged_cut_off_or_too_large_is_none() {
    let index = encode(&state(100), &small(chunks(&[(3, 7, 9, 0)]), "words")).unwrap();
    for at in 0..index.len() {
        let mut flipped = index.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(decode(&flipped, MOST).is_err(), "{at}");
        assert!(decode(&index[..at], MOST).is_err(), "{at}");
    }
    assert_eq!(decode(&index, 100).unwrap_err().what, "more than may be held");
    assert!(decode(&[&index[..], b"x"].concat(), MOST).is_err());
}

/// The same index with other bytes packed into it, under a right checksum.
fn repacked(index: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(index[..HEADER + TAG.len()].to_vec(), Compression::fast());
    packed.write_all(plain).unwrap();
    let mut bytes = packed.finish().unwrap();
    bytes[20..28].copy_from_slice(&(plain.len() as u64).to_le_bytes());
    let sum = crc_fast::crc32_iscsi(&bytes[CHECKED..]);
    bytes[8..CHECKED].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn unpacked(index: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    ZlibDecoder::new(&index[HEADER + TAG.len()..]).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn what_was_kept_when_less_could_be_shown_is_read_anew_by_the_next_program() {
    let mut found = small(ChunkList::default(), "");
    let unsupported = Some("filter 1234".to_owned());
    found.faults.push(Told { object: ObjectId(0), what: String::new(), reason: "no".to_owned(), unsupported });
    let index = encode(&state(1), &found).unwrap();
    assert!(same(&decode(&index, MOST).unwrap().1, &found));
    let mut plain = unpacked(&index);
    // Its version stands behind the number of what is found.
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let at = plain.windows(version.len()).position(|window| window == version).unwrap();
    plain[at] ^= 1;
    assert_eq!(decode(&repacked(&index, &plain), MOST).unwrap_err().what, "of another program");
}

fn chunks(all: &[(u64, u64, u32, u32)]) -> ChunkList {
    all.iter().map(|&(number, position, len, mask)| ChunkAt { number, position, len, mask }).collect()
}

/// A root group with an attribute, and a dataset with these chunks.
fn small(chunks: ChunkList, words: &str) -> Found {
    let integer = Integer::standard(4, ByteOrder::Little, true);
    let bits = Bits { order: StoredOrder::Little, offset: 0, precision: 32, padding: (false, false) };
    let stored =
        StoredType { version: 1, size: 4, class: StoredClass::Integer { bits, signed: true }, body: vec![1, 2] };
    let text = Datatype::VariableString(VariableString {
        padding: crate::model::datatype::StringPadding::NullTerminated,
        charset: CharacterSet::Utf8,
    });
    let compound = Compound::packed([(Name::from("n"), Datatype::Integer(integer)), (Name::from("t"), text)]).unwrap();
    let body = Elements::plain(words.as_bytes().to_vec());
    let place = elements::Place { at: 4, target: Target::Sequence { count: words.len() as u32, body } };
    let attribute = Attribute {
        name: Name::from("a"),
        datatype: TypeUse::Own(Datatype::Compound(compound)),
        dataspace: Dataspace::Scalar,
        value: Elements { bytes: vec![7; 20].into(), places: vec![place] },
    };
    let placement = Placement {
        grid: Grid::new(&[u64::MAX], &[2]).unwrap(),
        raw_len: 8,
        filters: Vec::new(),
        plain_edges: true,
        place: Place::Listed(chunks),
        stored,
        datatype: Datatype::Integer(integer),
    };
    let dataset = Dataset {
        datatype: TypeUse::Own(Datatype::Integer(integer)),
        dataspace: Dataspace::Simple { dims: vec![u64::MAX], max_dims: vec![None] },
        fill: Some(Elements::plain(vec![1, 2, 3, 4])),
        layout: DataLayout::Chunked(vec![2]),
        filters: placement.listed_filters(),
        stored: placement.stored_form(),
    };
    let object = |kind, attributes| Object {
        kind,
        attributes,
        attributes_tracked: false,
        modified: Some(5),
        details: Details { comment: Some(Name::from(words)), ..Details::default() },
    };
    let link = Link { name: Name::from("x"), target: LinkTarget::Hard(ObjectId(1)) };
    let group = ObjectKind::Group(Group { links: vec![link], tracked: true });
    let objects = vec![object(group, vec![attribute]), object(ObjectKind::Dataset(dataset), Vec::new())];
    Found {
        hierarchy: Hierarchy { objects, user_block: b"words".to_vec().into(), chunk_values: Some(7) },
        placements: vec![None, Some(placement)],
        addresses: Addresses::of(vec![96, 800], 0, crate::format::bytes::Sizes::EIGHT).unwrap(),
        faults: Vec::new(),
        facts: FileFacts { superblock: 2, user_block: 0, page: Some(4096), strategy: "PAGE", headers_first: false },
        read: 1234,
    }
}

proptest! {
    #[test]
    fn chunks_anywhere_and_any_words_come_back(
        all in proptest::collection::btree_map(0..u64::MAX / 2, (0..u64::MAX - (1 << 32), any::<u32>(), any::<u32>()), 0..200),
        words: String,
    ) {
        let all: Vec<_> = all.into_iter().map(|(number, (position, len, mask))| (number, position, len, mask)).collect();
        let found = small(chunks(&all), &words);
        let back = decode(&encode(&state(100), &found).unwrap(), MOST).unwrap().1;
        prop_assert!(same(&found, &back));
    }

    #[test]
    fn what_is_forged_is_refused_or_read_and_never_more_than_it_may_take(
        turned in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: Option<prop::sample::Index>,
    ) {
        let index = encode(&state(100), &small(chunks(&[(3, 7, 9, 0), (4, 16, 9, 1)]), "words")).unwrap();
        let mut plain = unpacked(&index);
        for (at, byte) in turned {
            let at = at.index(plain.len());
            plain[at] = byte;
        }
        if let Some(cut) = cut {
            plain.truncate(cut.index(plain.len()));
        }
        // Whatever it says, it fits into little memory, or is refused.
        let _ = decode(&repacked(&index, &plain), 64 << 10);
    }
}

#[test]
fn a_million_chunks_in_a_row_take_few_bytes() {
    let all: Vec<_> = (0..1_000_000).map(|number| (number, 4096 + number * 20_000, 20_000, 0)).collect();
    let index = encode(&state(1 << 40), &small(chunks(&all), "")).unwrap();
    assert!(index.len() < 100_000, "{}", index.len());
    let (_, back) = decode(&index, MOST).unwrap();
    assert!(back.placements[1].as_ref().unwrap().weight() < 1_000_000);
}
