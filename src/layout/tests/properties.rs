//! Random hierarchies, sound and unsound: what must hold for any image.

use bytes::Bytes;
use proptest::prelude::*;

use super::corpus::{Builder, attribute, dataset, int32, ints, object, string, strings};
use crate::layout::image::Piece;
use crate::layout::pages::PAGE;
use crate::layout::{FilterPresentation, Image, PresentOptions, SegmentKind, plan};
use crate::model::chunk::ChunkId;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::*;
use crate::model::elements::{Elements, Place, Target};
use crate::model::hierarchy::*;
use crate::model::pipeline::{Filter, StoredForm};
use crate::model::selection::Selection;

fn datatypes() -> impl Strategy<Value = Datatype> {
    let leaf = prop_oneof![
        Just(int32()),
        Just(string()),
        Just(Datatype::Reference(ReferenceKind::Object)),
        Just(Datatype::Reference(ReferenceKind::Region)),
        (0u32..300).prop_map(|size| Datatype::Opaque(Opaque { size, tag: "x".repeat(size as usize).as_str().into() })),
        (0u32..9).prop_map(|length| Datatype::String(FixedString {
            length,
            padding: StringPadding::NullPadded,
            charset: crate::model::name::CharacterSet::Ascii
        })),
    ];
    leaf.prop_recursive(3, 8, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|base| Datatype::Sequence(Box::new(base))),
            (prop::collection::vec(0u32..4, 0..3), inner.clone())
                .prop_map(|(dims, base)| Datatype::Array(ArrayType { dims, base: Box::new(base) })),
            prop::collection::vec(inner, 0..4).prop_map(|members| {
                let names = (0..).map(|n: u32| n.to_string().as_str().into());
                Datatype::Compound(Compound::packed(names.zip(members)).unwrap())
            }),
        ]
    })
}

fn extents() -> impl Strategy<Value = (Vec<u64>, Vec<Option<u64>>, Vec<u64>)> {
    let small = 0u64..40;
    let dim = prop_oneof![8 => small, 1 => 0u64..100_000, 1 => any::<u64>()];
    let one = (
        dim,
        prop_oneof![Just(0u64), 0u64..30, any::<u64>()],
        any::<bool>(),
        prop_oneof![9 => 1u64..9, 1 => any::<u64>()],
    );
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let dims = all.iter().map(|one| one.0).collect();
        let max = all.iter().map(|one| (!one.2 || one.1 == 0).then_some(one.0.saturating_add(one.1))).collect();
        (dims, max, all.iter().map(|one| one.3).collect())
    })
}

fn datasets() -> impl Strategy<Value = ObjectKind> {
    let filter = prop_oneof![
        (0u8..10).prop_map(Filter::Deflate),
        Just(Filter::Shuffle),
        Just(Filter::Fletcher32),
        any::<u16>().prop_map(|id| Filter::Other { id: Some(id), name: "other".into() }),
    ];
    let usage = prop_oneof![
        9 => datatypes().prop_map(TypeUse::Own),
        1 => (0u32..12).prop_map(|id| TypeUse::Committed(ObjectId(id))),
    ];
    let fill = prop::option::of(prop::collection::vec(any::<u8>(), 0..20).prop_map(Elements::plain));
    (usage, extents(), any::<bool>(), prop::collection::vec(filter, 0..3), fill).prop_map(
        |(datatype, (dims, max_dims, chunk), chunked, filters, fill)| {
            let dataspace = match dims.len() {
                0 => Dataspace::Scalar,
                _ => Dataspace::Simple { dims, max_dims },
            };
            let layout = if chunked { DataLayout::Chunked(chunk) } else { DataLayout::Contiguous };
            ObjectKind::Dataset(Dataset { datatype, dataspace, fill, layout, filters, stored: StoredForm::Other })
        },
    )
}

fn links() -> impl Strategy<Value = Vec<Link>> {
    let target = prop_oneof![
        6 => (0u32..12).prop_map(|id| LinkTarget::Hard(ObjectId(id))),
        1 => "[a-z/]{0,9}".prop_map(|path| LinkTarget::Soft(path.as_str().into())),
        1 => Just(LinkTarget::External { file: "f.h5".into(), path: "/x".into() }),
    ];
    prop::collection::vec(("[a-zä/]{0,5}", target), 0..12)
        .prop_map(|all| all.into_iter().map(|(name, target)| Link { name: name.as_str().into(), target }).collect())
}

fn values() -> impl Strategy<Value = Attribute> {
    let target = prop_oneof![
        (0u32..12).prop_map(|id| Target::Object(ObjectId(id))),
        (0u32..12).prop_map(|id| Target::Region { object: ObjectId(id), selection: Selection::All }),
        prop::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| Target::Sequence { count: bytes.len() as u32, body: Elements::plain(bytes) }),
    ];
    let odd = (any::<u8>(), target, datatypes(), 0usize..40).prop_map(|(at, target, datatype, len)| {
        let value = Elements { bytes: vec![0; len].into(), places: vec![Place { at: (at % 40).into(), target }] };
        attribute("odd", datatype, &[], value)
    });
    prop_oneof![
        (0u64..40_000).prop_map(|n| attribute("ints", int32(), &[n], ints(0..n as i32))),
        "[a-zä]{0,9}".prop_map(|text| attribute("text", string(), &[], strings(&[text]))),
        ("[a-z]{0,3}", 0i32..9).prop_map(|(name, n)| attribute(&name, int32(), &[], ints([n]))),
        odd,
    ]
}

fn hierarchies() -> impl Strategy<Value = Hierarchy> {
    let kind = prop_oneof![
        2 => (links(), any::<bool>()).prop_map(|(links, tracked)| ObjectKind::Group(Group { links, tracked })),
        5 => datasets(),
        1 => datatypes().prop_map(ObjectKind::Datatype),
    ];
    let many = prop_oneof![20 => Just(0usize), 1 => 60usize..90];
    let one = (kind, prop::collection::vec(values(), 0..5), any::<bool>(), many, prop::option::of(any::<u32>()));
    let objects = prop::collection::vec(one, 0..10);
    (links(), objects).prop_map(|(links, objects)| {
        let mut all = vec![object(ObjectKind::Group(Group { links, tracked: false }))];
        all.extend(objects.into_iter().map(|(kind, mut attributes, attributes_tracked, many, modified)| {
            attributes.extend((0..many).map(|n| attribute(&format!("many{n}"), int32(), &[], ints([n as i32]))));
            Object { kind, attributes, attributes_tracked, modified, details: Default::default() }
        }));
        Hierarchy { objects: all, ..Hierarchy::default() }
    })
}

/// The segments of all of a file that has few enough of them.
fn whole(image: &Image) -> Vec<crate::layout::Segment> {
    image.segments(0..image.len()).take(20_000).collect()
}

fn bytes(image: &Image, kind: SegmentKind, len: u64) -> Vec<u8> {
    let SegmentKind::Metadata { part, at } = kind else { return Vec::new() };
    let mut bytes = vec![0xaa; len as usize];
    image.synthesize(&part, at, &mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_hierarchy_gives_a_whole_file(hierarchy in hierarchies(), hidden in any::<bool>(), cuts in prop::collection::vec((any::<u64>(), 1u64..20_000), 8)) {
        let options =
            PresentOptions { filters: if hidden { FilterPresentation::Hidden } else { FilterPresentation::Declared } };
        // The page rules are asserted inside.
        let image = plan(&hierarchy, &options).unwrap();
        prop_assert_eq!(image.len() % PAGE, 0);
        let again = plan(&hierarchy, &options).unwrap();
        prop_assert_eq!(&image.blobs, &again.blobs);
        prop_assert_eq!(&image.regions, &again.regions);

        // Pieces follow each other without gap, and no page holds both metadata and raw data.
        let mut end = 0;
        let mut kinds = std::collections::HashMap::new();
        for segment in whole(&image) {
            prop_assert_eq!(segment.range.start, end);
            prop_assert!(segment.range.end > end && segment.range.end <= image.len());
            end = segment.range.end;
            let raw = match segment.kind {
                SegmentKind::Zero => continue,
                SegmentKind::Metadata { part, .. } => part.0 == Piece::Blob(1),
                SegmentKind::Chunk { .. } | SegmentKind::Heap { .. } => true,
            };
            for page in [segment.range.start / PAGE, (end - 1) / PAGE] {
                prop_assert_eq!(*kinds.entry(page).or_insert(raw), raw);
            }
        }
        let last: Vec<_> = image.segments(image.len() - PAGE..u64::MAX).collect();
        prop_assert_eq!(last.len(), 1);
        prop_assert_eq!(last[0].kind, SegmentKind::Zero);

        // A part of the file is that part of the whole file.
        for (place, len) in cuts {
            let start = place % image.len();
            let mut at = start;
            for segment in image.segments(start..start + len) {
                prop_assert_eq!(segment.range.start, at);
                at = segment.range.end;
                let Some(full) = image.segments(segment.range.start..image.len()).next() else { continue };
                prop_assert!(full.range.end >= segment.range.end);
                prop_assert_eq!(full.kind, segment.kind);
            }
            prop_assert_eq!(at, (start + len).min(image.len()));
        }
        for region in image.regions.windows(2) {
            let len = (region[1].start - region[0].start).min(100_000);
            if let Some(segment) = image.segments(region[0].start..region[0].start + len).next()
                && matches!(segment.kind, SegmentKind::Metadata { .. })
            {
                let all = bytes(&image, segment.kind, len);
                let (from, to) = (len / 3, len / 2 + 1);
                let middle = image.segments(region[0].start + from..region[0].start + to).next().unwrap();
                prop_assert_eq!(&bytes(&image, middle.kind, to - from)[..], &all[from as usize..to as usize]);
            }
        }
    }

    #[test]
    fn any_elements_are_placed_or_refused(
        hierarchy in hierarchies(), number in 0u64..3, len in 0usize..2000, places in prop::collection::vec((any::<u16>(), 0u32..12), 0..5),
    ) {
        let image = plan(&hierarchy, &PresentOptions::default()).unwrap();
        for dataset in (0..hierarchy.objects.len() as u32).map(ObjectId) {
            let len = image.chunk_len(dataset).map_or(len, |len| (len as usize).min(100_000));
            let places = places.iter().map(|&(at, id)| Place {
                at: u64::from(at) % 3000,
                target: Target::Sequence { count: id, body: Elements::plain(vec![1; id as usize]) },
            });
            let elements = Elements { bytes: vec![0; len].into(), places: places.collect() };
            if let Ok(window) = image.place(ChunkId { dataset, number }, &elements) {
                prop_assert_eq!(Some(window.chunk.len() as u64), image.chunk_len(dataset));
            }
        }
    }
}

#[test]
fn a_hierarchy_without_root_group_is_an_error() {
    assert!(plan(&Hierarchy::default(), &PresentOptions::default()).is_err());
    let datatype = Hierarchy { objects: vec![object(ObjectKind::Datatype(int32()))], ..Hierarchy::default() };
    assert!(plan(&datatype, &PresentOptions::default()).is_err());
}

#[test]
fn large_chunks_begin_where_the_requests_of_a_scan_do() {
    const MIB: u64 = 1 << 20;
    // Elements of four bytes: how many there are, and in a chunk; contiguous where none.
    let cases: [(u64, &[u64], bool); 7] = [
        (4 * MIB, &[MIB / 4], true),
        (5 * MIB, &[5 * MIB / 16], true),
        (5 * MIB, &[], true),
        // Less than 16 MiB; chunks that are smaller, or would drift; nothing.
        (3 * MIB, &[MIB / 4], false),
        (4 * MIB, &[MIB / 8], false),
        (4 * MIB, &[MIB / 4 + 1024], false),
        (1, &[], false),
    ];
    for (elements, chunk, aligned) in cases {
        for user_block in [Bytes::new(), Bytes::from_static(&[1; 512])] {
            let mut file = Builder::default();
            file.dataset("first", dataset(int32(), &[1], &[Some(1)], &[]));
            let id = file.dataset("large", dataset(int32(), &[elements], &[Some(elements)], chunk));
            let (shifted, ahead) = (!user_block.is_empty(), user_block.len() as u64);
            let image = plan(&Hierarchy { user_block, ..file.build() }, &PresentOptions::default()).unwrap();
            let base = image.dataset(id).unwrap().base;
            assert_eq!(base.is_multiple_of(MIB), aligned && !shifted, "{elements} {chunk:?}");
            assert_eq!(base % PAGE, 0);
            // What is between is empty, and no longer than what it is for.
            let before: Vec<_> = whole(&image).into_iter().filter(|part| part.range.end <= base + ahead).collect();
            let gap = before.last().map_or(0, |part| part.range.end - part.range.start);
            assert!(before.last().is_none_or(|part| part.kind == SegmentKind::Zero) && gap < MIB + PAGE);
        }
    }
}
