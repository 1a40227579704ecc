//! A hierarchy with one of everything, and the chunks that belong to it.

use bytes::Bytes;

use crate::model::chunk::ChunkId;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::*;
use crate::model::elements::{Elements, Place, Target};
use crate::model::grid::Grid;
use crate::model::hierarchy::*;
use crate::model::name::{CharacterSet, Name};
use crate::model::pipeline::{Filter, StoredForm};
use crate::model::selection::Selection;

pub(super) fn int32() -> Datatype {
    Datatype::Integer(Integer::standard(4, ByteOrder::Little, true))
}

pub(super) fn string() -> Datatype {
    Datatype::VariableString(VariableString { padding: StringPadding::NullTerminated, charset: CharacterSet::Utf8 })
}

/// One variable-length string for each text.
pub(super) fn strings<T: AsRef<[u8]>>(texts: &[T]) -> Elements {
    let places = texts
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.as_ref().is_empty())
        .map(|(number, text)| Place {
            at: 16 * number as u64,
            target: Target::Sequence {
                count: text.as_ref().len() as u32,
                body: Elements::plain(text.as_ref().to_vec()),
            },
        })
        .collect();
    Elements { bytes: Bytes::from(vec![0; 16 * texts.len()]), places }
}

pub(super) fn ints(values: impl IntoIterator<Item = i32>) -> Elements {
    Elements::plain(values.into_iter().flat_map(i32::to_le_bytes).collect::<Vec<u8>>())
}

pub(super) fn attribute(name: &str, datatype: Datatype, dims: &[u64], value: Elements) -> Attribute {
    let dataspace = if dims.is_empty() { Dataspace::Scalar } else { Dataspace::fixed(dims.to_vec()) };
    Attribute { name: name.into(), datatype: TypeUse::Own(datatype), dataspace, value }
}

pub(super) fn object(kind: ObjectKind) -> Object {
    Object { kind, attributes: Vec::new(), attributes_tracked: false, modified: None, details: Default::default() }
}

pub(super) fn dataset(datatype: Datatype, dims: &[u64], max: &[Option<u64>], chunk: &[u64]) -> Dataset {
    let layout = if chunk.is_empty() { DataLayout::Contiguous } else { DataLayout::Chunked(chunk.to_vec()) };
    let dataspace = match dims {
        [] => Dataspace::Scalar,
        _ => Dataspace::Simple { dims: dims.to_vec(), max_dims: max.to_vec() },
    };
    Dataset {
        datatype: TypeUse::Own(datatype),
        dataspace,
        fill: None,
        layout,
        filters: Vec::new(),
        stored: StoredForm::Other,
    }
}

/// Objects under a root group, by name.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) root: Group,
    pub(super) objects: Vec<Object>,
}

impl Builder {
    pub(super) fn add(&mut self, name: &str, object: Object) -> ObjectId {
        self.objects.push(object);
        let id = ObjectId(self.objects.len() as u32);
        self.root.links.push(Link { name: name.into(), target: LinkTarget::Hard(id) });
        id
    }

    pub(super) fn dataset(&mut self, name: &str, dataset: Dataset) -> ObjectId {
        self.add(name, object(ObjectKind::Dataset(dataset)))
    }

    pub(super) fn build(self) -> Hierarchy {
        let mut objects = vec![object(ObjectKind::Group(self.root))];
        objects.extend(self.objects);
        Hierarchy { objects, ..Hierarchy::default() }
    }
}

/// Every chunk index, with and without filters: 32-bit numbers that count up in C order.
pub(super) fn ramps() -> Vec<(&'static str, Dataset)> {
    let zlib = vec![Filter::Shuffle, Filter::Deflate(4)];
    let some = |dims: &[u64]| dims.iter().map(|&dim| Some(dim)).collect::<Vec<_>>();
    let fixed = |dims: &[u64], chunk: &[u64]| dataset(int32(), dims, &some(dims), chunk);
    let with = |mut dataset: Dataset, filters: &[Filter]| {
        dataset.filters = filters.to_vec();
        dataset
    };
    vec![
        ("scalar", dataset(int32(), &[], &[], &[])),
        ("contiguous", fixed(&[7, 11], &[])),
        ("empty", fixed(&[0, 4], &[])),
        ("empty_growing", dataset(int32(), &[0], &[None], &[])),
        ("empty_chunked", dataset(int32(), &[0, 5], &[None, Some(5)], &[3, 5])),
        ("implicit", fixed(&[10, 9], &[4, 5])),
        ("single", with(fixed(&[6, 5], &[6, 5]), &zlib)),
        ("fixed", with(fixed(&[20, 9], &[4, 5]), &zlib)),
        ("fixed_paged", with(fixed(&[3000], &[1]), &[Filter::Deflate(1)])),
        ("fixed_growing", dataset(int32(), &[10, 7], &[Some(40), Some(30)], &[4, 5])),
        ("fletcher", with(fixed(&[20], &[6]), &[Filter::Shuffle, Filter::Deflate(6), Filter::Fletcher32])),
        ("hidden", with(fixed(&[20], &[6]), &[Filter::Other { id: Some(32001), name: "blosc".into() }])),
        ("extensible", dataset(int32(), &[50, 3], &[None, Some(7)], &[4, 2])),
        ("extensible_one", dataset(int32(), &[3], &[None], &[4])),
        ("extensible_zlib", with(dataset(int32(), &[3, 90], &[Some(5), None], &[2, 7]), &zlib)),
        ("extensible_long", dataset(int32(), &[5000], &[None], &[1])),
        ("extensible_swizzled", dataset(int32(), &[3, 4, 900], &[Some(3), Some(5), None], &[1, 2, 1])),
        ("tree", dataset(int32(), &[30, 20], &[None, None], &[1, 3])),
        ("tree_zlib", with(dataset(int32(), &[200, 20], &[None, None], &[1, 3]), &zlib)),
        ("tree_sparse", dataset(int32(), &[9], &[Some(1 << 40)], &[2])),
    ]
}

/// Chunk `id` of a ramp in file form.
pub(super) fn ramp(dataset: &Dataset, id: ChunkId) -> Vec<u8> {
    let dims = dataset.dataspace.dims();
    let chunk = match &dataset.layout {
        DataLayout::Chunked(chunk) => chunk.clone(),
        _ => dims.to_vec(),
    };
    let grid = Grid::new(dims, &chunk).unwrap();
    let origin: Vec<u64> = grid.coordinates(id.number).iter().zip(&chunk).map(|(at, len)| at * len).collect();
    let mut bytes = Vec::new();
    for number in 0..chunk.iter().product::<u64>() {
        let (mut rest, mut value, mut scale) = (number, 0, 1);
        let mut inside = true;
        for level in (0..dims.len()).rev() {
            let at = origin[level] + rest % chunk[level];
            rest /= chunk[level];
            inside &= at < dims[level];
            value += at * scale;
            scale *= dims[level];
        }
        bytes.extend_from_slice(&(if inside { value as i32 } else { 0 }).to_le_bytes());
    }
    bytes
}

fn compound(members: Vec<(&str, Datatype)>) -> Datatype {
    let members = members.into_iter().map(|(name, datatype)| (Name::from(name), datatype));
    Datatype::Compound(Compound::packed(members).unwrap())
}

/// Every datatype, link and reference, and the elements of those datasets whose chunks are not plain ramps.
pub(super) fn everything() -> (Hierarchy, impl Fn(ChunkId) -> Elements + Send + Sync) {
    let mut file = Builder::default();
    file.root.tracked = true;
    let mut contents: Vec<Option<Vec<Elements>>> = vec![None];
    let mut plain: Vec<Option<Dataset>> = vec![None];
    for (name, dataset) in ramps() {
        file.dataset(name, dataset.clone());
        contents.push(None);
        plain.push(Some(dataset));
    }
    let be = Datatype::Float(Float::ieee(8, ByteOrder::Big).unwrap());
    let fixed_string =
        |length, padding| Datatype::String(FixedString { length, padding, charset: CharacterSet::Ascii });
    let enumeration = Datatype::Enumeration(Enumeration {
        base: Integer::standard(1, ByteOrder::Little, true),
        members: vec![("FALSE".into(), vec![0]), ("TRUE".into(), vec![1])],
    });
    let types = vec![
        ("u16be", Datatype::Integer(Integer::standard(2, ByteOrder::Big, false)), Elements::plain(vec![1, 2, 3, 4])),
        ("f64be", be.clone(), Elements::plain([1.5f64.to_be_bytes(), (-2.25f64).to_be_bytes()].concat())),
        ("f16", Datatype::Float(Float::ieee(2, ByteOrder::Little).unwrap()), Elements::plain(vec![0, 0x3c, 0, 0xc0])),
        ("nullpad", fixed_string(4, StringPadding::NullPadded), Elements::plain(b"ab\0\0wxyz".to_vec())),
        ("spacepad", fixed_string(4, StringPadding::SpacePadded), Elements::plain(b"ab  wxyz".to_vec())),
        ("bool", enumeration, Elements::plain(vec![0, 1])),
        ("opaque", Datatype::Opaque(Opaque { size: 3, tag: "raw".into() }), Elements::plain(b"abcdef".to_vec())),
        ("complex", compound(vec![("r", be.clone()), ("i", be)]), Elements::plain(vec![0; 32])),
        ("array", Datatype::Array(ArrayType { dims: vec![2, 3], base: Box::new(int32()) }), ints(0..12)),
    ];
    for (name, datatype, value) in types {
        let mut dataset = dataset(datatype.clone(), &[2], &[Some(2)], &[]);
        let mut object = object(ObjectKind::Dataset(dataset.clone()));
        if name == "u16be" {
            dataset.fill = Some(Elements::plain(vec![0, 7]));
            object.kind = ObjectKind::Dataset(dataset);
        }
        object.attributes.push(attribute("same", datatype, &[2], value.clone()));
        file.add(name, object);
        contents.push(Some(vec![value]));
        plain.push(None);
    }
    // Variable-length data: strings in two chunks, sequences, sequences of strings, inside compounds; a fill value.
    let mut words = dataset(string(), &[5], &[None], &[3]);
    words.fill = Some(strings(&["fill"]));
    words.filters = vec![Filter::Deflate(3)];
    let words = file.dataset("words", words);
    contents.push(Some(vec![strings(&["one", "", "three"]), strings(&["four", "fünf", ""])]));
    file.dataset("word", dataset(string(), &[], &[], &[]));
    contents.push(Some(vec![strings(&["alone"])]));
    let nested = Datatype::Sequence(Box::new(string()));
    file.dataset("nested", dataset(nested, &[2], &[Some(2)], &[1]));
    let sequence = |count, body| Elements {
        bytes: Bytes::from(vec![0; 16]),
        places: vec![Place { at: 0, target: Target::Sequence { count, body } }],
    };
    contents.push(Some(vec![sequence(2, strings(&["a", "bc"])), sequence(1, strings(&["def"]))]));
    let mixed = compound(vec![("n", int32()), ("s", Datatype::Sequence(Box::new(int32())))]);
    file.dataset("mixed", dataset(mixed, &[1], &[Some(1)], &[]));
    let body = Target::Sequence { count: 3, body: ints([7, 8, 9]) };
    contents.push(Some(vec![Elements {
        bytes: [vec![5, 0, 0, 0], vec![0; 16]].concat().into(),
        places: vec![Place { at: 4, target: body }],
    }]));
    // References to a dataset, to the root and to nothing; regions.
    let fixed = ObjectId(8);
    file.dataset("objects", dataset(Datatype::Reference(ReferenceKind::Object), &[3], &[Some(3)], &[2]));
    let object_ref = |at, id| Place { at, target: Target::Object(id) };
    contents.push(Some(vec![
        Elements { bytes: vec![0; 16].into(), places: vec![object_ref(0, fixed), object_ref(8, ObjectId(0))] },
        Elements { bytes: vec![0; 16].into(), places: vec![object_ref(0, ObjectId(9999))] },
    ]));
    file.dataset("regions", dataset(Datatype::Reference(ReferenceKind::Region), &[3], &[Some(3)], &[]));
    let region = |at, selection| Place { at, target: Target::Region { object: fixed, selection } };
    contents.push(Some(vec![Elements {
        bytes: vec![0; 36].into(),
        places: vec![
            region(0, Selection::Blocks { rank: 2, corners: vec![1, 1, 2, 3] }),
            region(12, Selection::Points { rank: 2, coordinates: vec![0, 0, 3, 4] }),
            region(24, Selection::All),
        ],
    }]));
    // A committed type, and what uses it.
    let committed = file.add("type", object(ObjectKind::Datatype(compound(vec![("x", int32()), ("y", int32())]))));
    contents.push(None);
    let mut typed = dataset(int32(), &[2], &[Some(2)], &[]);
    typed.datatype = TypeUse::Committed(committed);
    let mut typed = object(ObjectKind::Dataset(typed));
    typed.attributes.push(Attribute {
        name: "point".into(),
        datatype: TypeUse::Committed(committed),
        dataspace: Dataspace::Scalar,
        value: ints([3, 4]),
    });
    file.add("typed", typed);
    contents.push(Some(vec![ints([1, 2, 3, 4])]));
    // A null dataspace, attributes of all storages.
    let mut null = dataset(int32(), &[], &[], &[]);
    null.dataspace = Dataspace::Null;
    let mut null = object(ObjectKind::Dataset(null));
    null.modified = Some(1_500_000_000);
    null.attributes_tracked = true;
    null.attributes.push(attribute("zulu", string(), &[2], strings(&["x", "yy"])));
    null.attributes.push(attribute("alpha", string(), &[], strings(&["ä"])));
    null.attributes.push(attribute(
        "ref",
        Datatype::Reference(ReferenceKind::Object),
        &[],
        Elements { bytes: vec![0; 8].into(), places: vec![object_ref(0, words)] },
    ));
    null.attributes.push(Attribute {
        name: "null".into(),
        datatype: TypeUse::Own(int32()),
        dataspace: Dataspace::Null,
        value: Elements::default(),
    });
    file.add("null", null);
    contents.push(None);
    let mut wide = object(ObjectKind::Group(Group::default()));
    wide.attributes_tracked = true;
    wide.attributes = (0..300).rev().map(|n| attribute(&format!("a{n}"), int32(), &[], ints([n]))).collect();
    wide.attributes.push(attribute("big", int32(), &[50_000], ints(0..50_000)));
    wide.attributes.push(attribute("text", string(), &[], strings(&["in a dense heap"])));
    file.add("wide", wide);
    contents.push(None);
    let many = (0..5000)
        .map(|n| Link {
            name: format!("link{}", (n * 7919) % 5000).as_str().into(),
            target: if n % 2 == 0 { LinkTarget::Hard(fixed) } else { LinkTarget::Soft("/fixed".into()) },
        })
        .collect();
    file.add("many", object(ObjectKind::Group(Group { links: many, tracked: true })));
    contents.push(None);
    let back = vec![
        Link { name: "up".into(), target: LinkTarget::Hard(Hierarchy::ROOT) },
        Link { name: "soft".into(), target: LinkTarget::Soft("/words".into()) },
        Link { name: "ext".into(), target: LinkTarget::External { file: "o.h5".into(), path: "/x".into() } },
        Link { name: "ünï".into(), target: LinkTarget::Hard(words) },
    ];
    file.add("back", object(ObjectKind::Group(Group { links: back, tracked: false })));
    let hierarchy = file.build();
    let content = move |id: ChunkId| {
        let number = id.dataset.0 as usize;
        match (plain.get(number).and_then(Option::as_ref), contents.get(number).and_then(Option::as_ref)) {
            (Some(dataset), _) => Elements::plain(ramp(dataset, id)),
            (None, Some(chunks)) => chunks[id.number as usize].clone(),
            _ => panic!("object {number} has no chunks"),
        }
    };
    (hierarchy, content)
}

/// A file as netCDF-4 writes it: one unlimited dimension, one fixed, a variable over both.
pub(super) fn netcdf() -> (Hierarchy, impl Fn(ChunkId) -> Elements + Send + Sync) {
    let mut file = Builder::default();
    file.root.tracked = true;
    let fixed = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        let length = bytes.len() as u32;
        let string = FixedString { length, padding: StringPadding::NullTerminated, charset: CharacterSet::Ascii };
        (Datatype::String(string), Elements::plain(bytes))
    };
    let scale = |name: &str, number: i32, dataset: Dataset| {
        let mut object = object(ObjectKind::Dataset(dataset));
        let ((class_type, class), (name_type, name)) = (fixed("DIMENSION_SCALE"), fixed(name));
        object.attributes_tracked = true;
        object.attributes = vec![
            attribute("CLASS", class_type, &[], class),
            attribute("NAME", name_type, &[], name),
            attribute("_Netcdf4Dimid", int32(), &[], ints([number])),
        ];
        object
    };
    let shapes = [
        dataset(int32(), &[5], &[None], &[4]),
        dataset(int32(), &[3], &[Some(3)], &[]),
        dataset(int32(), &[5, 3], &[None, Some(3)], &[2, 3]),
    ];
    let time = file.add("time", scale("time", 0, shapes[0].clone()));
    let lat = file.add("lat", scale("lat", 1, shapes[1].clone()));
    let mut values = object(ObjectKind::Dataset(shapes[2].clone()));
    let list = [time, lat].map(|scale| Elements {
        bytes: vec![0; 8].into(),
        places: vec![Place { at: 0, target: Target::Object(scale) }],
    });
    let places = list.into_iter().zip([0, 16]);
    let places = places.map(|(body, at)| Place { at, target: Target::Sequence { count: 1, body } }).collect();
    let reference = Datatype::Sequence(Box::new(Datatype::Reference(ReferenceKind::Object)));
    let value = Elements { bytes: vec![0; 32].into(), places };
    values.attributes.push(attribute("DIMENSION_LIST", reference, &[2], value));
    values.attributes.push(attribute("units", string(), &[], strings(&["K"])));
    file.add("temperature", values);
    (file.build(), move |id| Elements::plain(ramp(&shapes[id.dataset.0 as usize - 1], id)))
}
