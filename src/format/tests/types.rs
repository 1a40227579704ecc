//! Attributes of every datatype, their variable-length data and references.

use super::builder::{File, message};
use super::open;
use crate::format::heap::global::CollectionBuilder;
use crate::format::message::attribute::{self, Attribute, AttributeType};
use crate::format::message::data_layout::{self, Contiguous};
use crate::format::message::{fill_value, group_info, link_info, shared};
use crate::format::object_header::{Message, message_flags};
use crate::format::{UNDEFINED_ADDRESS, dataspace, datatype, selection};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::{
    ArrayType, ByteOrder, Compound, Datatype, Enumeration, FixedString, Float, Integer, Member, Opaque, ReferenceKind,
    StringPadding, VariableString,
};
use crate::model::name::{CharacterSet, Name};
use crate::model::selection::Selection;
use hdf5_reader::{Datatype as Read, StringEncoding, StringSize, VarLenKind};

fn int(size: u32, signed: bool) -> Datatype {
    Datatype::Integer(Integer::standard(size, ByteOrder::Little, signed))
}

fn string(length: u32, padding: StringPadding, charset: CharacterSet) -> Datatype {
    Datatype::String(FixedString { length, padding, charset })
}

fn colours() -> Datatype {
    let value = |name: &str, value: i16| (Name::from(name), value.to_le_bytes().to_vec());
    let base = Integer::standard(2, ByteOrder::Little, true);
    Datatype::Enumeration(Enumeration { base, members: vec![value("red", 0), value("grün", -1), value("blue", 700)] })
}

fn array(dims: &[u32], base: Datatype) -> Datatype {
    Datatype::Array(ArrayType { dims: dims.to_vec(), base: Box::new(base) })
}

/// A gap behind `a`, an enumeration, an array and a string inside; offsets of two bytes.
fn record() -> Datatype {
    let member = |name: &str, offset, datatype| Member { name: Name::from(name), offset, datatype };
    let inner = Compound::packed([(Name::from("x"), int(4, true)), (Name::from("y"), colours())]).unwrap();
    Datatype::Compound(Compound {
        size: 300,
        members: vec![
            member("a", 0, int(1, false)),
            member("b", 8, array(&[2, 3], int(2, true))),
            member("inner", 20, Datatype::Compound(inner)),
            member("text", 290, string(10, StringPadding::SpacePadded, CharacterSet::Ascii)),
        ],
    })
}

fn record_data() -> Vec<u8> {
    let mut data = vec![0; 300];
    data[0] = 200;
    for (number, element) in data[8..20].chunks_mut(2).enumerate() {
        element.copy_from_slice(&(number as i16 - 3).to_le_bytes());
    }
    data[20..24].copy_from_slice(&123_456i32.to_le_bytes());
    data[24..26].copy_from_slice(&(-1i16).to_le_bytes());
    data[290..].copy_from_slice(b"ten chars ");
    data
}

/// Types whose elements are bytes as they stand, with one element of each.
fn plain_types() -> Vec<(&'static str, Datatype, Vec<u8>)> {
    let big = |size, signed| Datatype::Integer(Integer::standard(size, ByteOrder::Big, signed));
    let float = |size, order| Datatype::Float(Float::ieee(size, order).unwrap());
    let twelve = Integer { precision: 12, bit_offset: 2, ..Integer::standard(2, ByteOrder::Little, false) };
    vec![
        ("i8", int(1, true), vec![0xfe]),
        ("u16", int(2, false), 65_000u16.to_le_bytes().into()),
        ("i32_big", big(4, true), (-77_777i32).to_be_bytes().into()),
        ("u64", int(8, false), u64::MAX.to_le_bytes().into()),
        ("u12", Datatype::Integer(twelve), (1000u16 << 2).to_le_bytes().into()),
        ("f16", float(2, ByteOrder::Little), 0x3e00u16.to_le_bytes().into()),
        ("f32", float(4, ByteOrder::Little), 1.25f32.to_le_bytes().into()),
        ("f64_big", float(8, ByteOrder::Big), (-2.5f64).to_be_bytes().into()),
        ("terminated", string(6, StringPadding::NullTerminated, CharacterSet::Ascii), b"five\0\0".into()),
        ("padded", string(4, StringPadding::NullPadded, CharacterSet::Utf8), "gr\u{fc}".as_bytes().into()),
        ("spaced", string(5, StringPadding::SpacePadded, CharacterSet::Ascii), b"ab   ".into()),
        ("opaque", Datatype::Opaque(Opaque { size: 3, tag: Name::from("a tag of ours") }), vec![1, 2, 3]),
        ("untagged", Datatype::Opaque(Opaque { size: 2, tag: Name::default() }), vec![4, 5]),
        ("colour", colours(), 700i16.to_le_bytes().into()),
        ("array", array(&[3], int(4, true)), [7i32, 8, 9].iter().flat_map(|each| each.to_le_bytes()).collect()),
        ("record", record(), record_data()),
    ]
}

/// What the reader should find: names, sizes, members.
fn written(datatype: &Datatype) -> String {
    let order = |order| if order == ByteOrder::Little { "le" } else { "be" };
    match datatype {
        Datatype::Integer(each) => format!("int {} {} {}", each.size, each.signed, order(each.order)),
        Datatype::Float(each) => format!("float {} {}", each.size, order(each.order)),
        Datatype::String(each) => format!("string {:?} {:?} {:?}", each.length, each.charset, each.padding),
        Datatype::VariableString(each) => format!("vstring {:?}", each.charset),
        Datatype::Opaque(each) => format!("opaque {} {}", each.size, each.tag),
        Datatype::Compound(each) => {
            let member = |each: &Member| format!("{}@{}: {}", each.name, each.offset, written(&each.datatype));
            format!("compound {} {:?}", each.size, each.members.iter().map(member).collect::<Vec<_>>())
        }
        Datatype::Reference(each) => format!("reference {each:?}"),
        Datatype::Enumeration(each) => {
            let members: Vec<String> = each.members.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            format!("enum {} {members:?}", written(&Datatype::Integer(each.base)))
        }
        Datatype::Sequence(base) => format!("sequence {}", written(base)),
        Datatype::Array(each) => format!("array {:?} {}", each.dims, written(&each.base)),
        Datatype::Encoded(each) => format!("{} {}", each.name, each.size),
    }
}

fn read(datatype: &Read) -> String {
    let order = |order: &hdf5_reader::ByteOrder| if format!("{order:?}").starts_with("Little") { "le" } else { "be" };
    let charset = |encoding: &StringEncoding| match encoding {
        StringEncoding::Utf8 => "Utf8",
        StringEncoding::Ascii => "Ascii",
    };
    match datatype {
        Read::FixedPoint { size, signed, byte_order } => format!("int {size} {signed} {}", order(byte_order)),
        Read::FloatingPoint { size, byte_order } => format!("float {size} {}", order(byte_order)),
        Read::String { size: StringSize::Fixed(size), encoding, padding } => {
            let padding = match format!("{padding:?}").as_str() {
                "NullTerminate" => "NullTerminated".into(),
                "NullPad" => "NullPadded".into(),
                "SpacePad" => "SpacePadded".into(),
                other => format!("?{other}"),
            };
            format!("string {size:?} {} {padding}", charset(encoding))
        }
        Read::Compound { size, fields } => {
            let member = |each: &hdf5_reader::CompoundField| {
                format!("{}@{}: {}", each.name, each.byte_offset, read(&each.datatype))
            };
            format!("compound {size} {:?}", fields.iter().map(member).collect::<Vec<_>>())
        }
        Read::Array { base, dims } => format!("array {dims:?} {}", read(base)),
        Read::Enum { base, members } => {
            let members: Vec<String> = members.iter().map(|each| format!("{}={:?}", each.name, each.value)).collect();
            format!("enum {} {members:?}", read(base))
        }
        Read::VarLen { base, kind: VarLenKind::Sequence, .. } => format!("sequence {}", read(base)),
        Read::VarLen { encoding, .. } => format!("vstring {}", charset(encoding)),
        Read::Opaque { size, tag } => format!("opaque {size} {tag}"),
        Read::Reference { ref_type, size: 8 } => format!("reference {ref_type:?}"),
        Read::Reference { size: 12, .. } => "reference Region".into(),
        other => format!("{other:?}"),
    }
}

/// Attributes under way: what is in them must live until the group is written.
#[derive(Default)]
struct Attributes(Vec<Message>);

impl Attributes {
    fn push(&mut self, name: &str, datatype: AttributeType<'_>, dataspace: &Dataspace, data: &[u8]) {
        let attribute = Attribute { name: &Name::from(name), datatype, dataspace, data };
        let body = attribute.body().unwrap();
        assert_eq!(body.len(), attribute.encoded_len());
        self.0.push(message(attribute::KIND, body));
    }
}

/// A dataset of `i32` without a single element written.
fn put_dataset(file: &mut File, dims: Vec<u64>, datatype: Message) -> u64 {
    let mut space = Vec::new();
    dataspace::encode(&Dataspace::fixed(dims), &mut space).unwrap();
    let fill =
        fill_value::FillValue { value: None, storing: super::storing(crate::model::hierarchy::Allocation::Late) }
            .body()
            .unwrap();
    file.header(vec![
        message(dataspace::KIND, space),
        datatype,
        message(fill_value::KIND, fill),
        message(data_layout::KIND, Contiguous { address: UNDEFINED_ADDRESS, size: 0 }.body()),
    ])
}

fn own(datatype: &Datatype) -> Message {
    let mut body = Vec::new();
    datatype::encode(datatype, &mut body).unwrap();
    assert_eq!(body.len(), datatype::encoded_len(datatype));
    message(datatype::KIND, body)
}

#[test]
fn attributes_of_every_datatype() {
    let mut file = File::new();
    let committed = file.header(vec![own(&record())]);
    let target = put_dataset(&mut file, vec![100, 50], own(&int(4, true)));
    let huge = put_dataset(&mut file, vec![1 << 33, 9], own(&int(1, true)));
    let typed = put_dataset(
        &mut file,
        vec![4],
        Message {
            kind: datatype::KIND,
            flags: message_flags::SHARED | message_flags::CONSTANT,
            body: shared::committed(committed).to_vec(),
            creation_index: 0,
        },
    );
    let mut attributes = Attributes::default();
    let mut expected = Vec::new();
    for (name, datatype, data) in plain_types() {
        assert_eq!(datatype.size(), data.len() as u64, "{name}");
        attributes.push(name, AttributeType::Own(&datatype), &Dataspace::Scalar, &data);
        expected.push((name, datatype, data));
    }
    attributes.push("null", AttributeType::Own(&int(4, true)), &Dataspace::Null, &[]);
    attributes.push("none", AttributeType::Own(&int(4, true)), &Dataspace::fixed(vec![0, 3]), &[]);

    // Variable-length data: each element is a length and a heap id.
    let mut heap = CollectionBuilder::new();
    let at = file.raw(8192);
    let sequence = |count: u32, index: u32| {
        let mut element = count.to_le_bytes().to_vec();
        element.extend_from_slice(&if index == 0 { 0 } else { at }.to_le_bytes());
        element.extend_from_slice(&index.to_le_bytes());
        element
    };
    let text = Datatype::VariableString(VariableString {
        padding: StringPadding::NullTerminated,
        charset: CharacterSet::Utf8,
    });
    let words = ["", "w\u{f6}rter", "a longer text than eight bytes"];
    let data: Vec<u8> = words
        .iter()
        .flat_map(|word| {
            let index = if word.is_empty() { 0 } else { heap.push(word.as_bytes()).unwrap() };
            sequence(word.len() as u32, index)
        })
        .collect();
    attributes.push("words", AttributeType::Own(&text), &Dataspace::fixed(vec![3]), &data);
    expected.push(("words", text, data));
    let numbers = Datatype::Sequence(Box::new(int(4, true)));
    let index = heap.push(&[5i32, 6, 7].map(i32::to_le_bytes).concat()).unwrap();
    let element = sequence(3, index);
    attributes.push("numbers", AttributeType::Own(&numbers), &Dataspace::Scalar, &element);
    expected.push(("numbers", numbers.clone(), element.clone()));
    // A sequence of sequences, and one of compounds.
    let index = heap.push(&[sequence(0, 0), element].concat()).unwrap();
    let nested = Datatype::Sequence(Box::new(numbers));
    attributes.push("nested", AttributeType::Own(&nested), &Dataspace::Scalar, &sequence(2, index));
    expected.push(("nested", nested, sequence(2, index)));
    let index = heap.push(&record_data().repeat(2)).unwrap();
    let records = Datatype::Sequence(Box::new(record()));
    attributes.push("records", AttributeType::Own(&records), &Dataspace::Scalar, &sequence(2, index));
    expected.push(("records", records, sequence(2, index)));

    let objects = Datatype::Reference(ReferenceKind::Object);
    let data = [target, 0, committed].map(u64::to_le_bytes).concat();
    attributes.push("objects", AttributeType::Own(&objects), &Dataspace::fixed(vec![3]), &data);
    expected.push(("objects", objects, data));
    let regions = Datatype::Reference(ReferenceKind::Region);
    let selections = [
        (target, Selection::All),
        (target, Selection::None),
        (target, Selection::Points { rank: 2, coordinates: vec![3, 4, 99, 0, 5, 49] }),
        (target, Selection::Blocks { rank: 2, corners: vec![1, 2, 3, 4, 10, 10, 10, 19] }),
        // Beyond 32 bits: a regular hyperslab.
        (huge, Selection::Blocks { rank: 2, corners: vec![1 << 32, 2, (1 << 32) + 9, 4] }),
    ];
    let data: Vec<u8> = selections
        .iter()
        .flat_map(|(dataset, part)| {
            let mut object = Vec::new();
            selection::encode_region(*dataset, part, &mut object).unwrap();
            let index = heap.push(&object).unwrap();
            [at.to_le_bytes().as_slice(), &index.to_le_bytes()].concat()
        })
        .collect();
    attributes.push("regions", AttributeType::Own(&regions), &Dataspace::fixed(vec![5]), &data);
    expected.push(("regions", regions, data));
    let heap = heap.encode();
    assert!(heap.len() <= 8192);
    file.put(at, &heap);

    let mut messages = vec![
        message(link_info::KIND, link_info::LinkInfo::compact(false, 0).body()),
        message(group_info::KIND, group_info::body()),
    ];
    messages.append(&mut attributes.0);
    let group = file.header(messages);
    // In an object of its own: the reader of these tests refuses an attribute of a committed type, libhdf5 reads it.
    let mut shared_attribute = Attributes::default();
    shared_attribute.push("committed", AttributeType::Committed(committed), &Dataspace::Scalar, &record_data());
    let mut messages = vec![own(&record())];
    messages.append(&mut shared_attribute.0);
    let described = file.header(messages);
    let reader = open(
        "types",
        file.finish_with(&[
            ("attrs", group),
            ("described", described),
            ("huge", huge),
            ("record", committed),
            ("target", target),
            ("typed", typed),
        ]),
    );
    let found = reader.group("attrs").unwrap().attributes().unwrap();
    assert_eq!(found.len(), expected.len() + 2);
    for (name, datatype, data) in expected {
        let attribute = found.iter().find(|each| each.name == name).unwrap();
        assert_eq!(read(&attribute.datatype), written(&datatype), "{name}");
        assert_eq!(attribute.raw_data, data, "{name}");
    }
    let words = found.iter().find(|each| each.name == "words").unwrap();
    assert_eq!(words.read_strings().unwrap(), ["", "w\u{f6}rter", "a longer text than eight bytes"]);
    assert_eq!(read(reader.dataset("typed").unwrap().dtype()), written(&record()));
}

#[test]
fn selections_beyond_32_bits_have_their_versions() {
    let encode = |part: &Selection| {
        let mut out = Vec::new();
        selection::encode(part, &mut out).map(|()| out)
    };
    let far = 1u64 << 40;
    let version = |part: &Selection| encode(part).unwrap()[4];
    assert_eq!(version(&Selection::Blocks { rank: 1, corners: vec![1, 2, 3, 4] }), 1);
    assert_eq!(version(&Selection::Blocks { rank: 1, corners: vec![1, far] }), 2);
    assert_eq!(version(&Selection::Blocks { rank: 1, corners: vec![1, 2, 3, far] }), 3);
    assert_eq!(version(&Selection::Points { rank: 1, coordinates: vec![1, far] }), 2);
    assert!(encode(&Selection::Points { rank: 2, coordinates: vec![1] }).is_err());
    assert!(encode(&Selection::Blocks { rank: 1, corners: vec![4, 3] }).is_err());
    assert!(encode(&Selection::Blocks { rank: 1, corners: vec![0, u64::MAX] }).is_err());
}

#[test]
fn types_without_bytes_are_refused() {
    let encode = |datatype: &Datatype| datatype::encode(datatype, &mut Vec::new());
    let deep = (0..100).fold(int(1, false), |base, _| Datatype::Sequence(Box::new(base)));
    assert!(encode(&deep).is_err());
    assert!(encode(&string(0, StringPadding::NullPadded, CharacterSet::Ascii)).is_err());
    assert!(encode(&array(&[u32::MAX, 2], int(4, true))).is_err());
    assert!(encode(&array(&[], int(4, true))).is_err());
    let too_precise = Integer { precision: 40, ..Integer::standard(4, ByteOrder::Little, true) };
    assert!(encode(&Datatype::Integer(too_precise)).is_err());
    assert!(encode(&Datatype::Opaque(Opaque { size: 1, tag: Name::new(vec![b'x'; 249]) })).is_err());
    let outside = Member { name: Name::from("x"), offset: 2, datatype: int(4, true) };
    assert!(encode(&Datatype::Compound(Compound { size: 4, members: vec![outside] })).is_err());
}
