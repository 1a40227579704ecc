//! Values in JSON and the same values in a chunk's stream must come to the same elements.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::model::hierarchy::ObjectId;
use crate::model::name::{CharacterSet, Name};
use crate::model::selection::Selection;
use crate::source::hsds::document::Document;

const DATASET: &str = "d-21da1467-6e6d9d5f-a2ce-3461d4-ffe5fc";
const GROUP: &str = "g-21da1467-6e6d9d5f-a952-9cefe6-e515d7";

fn known(id: &Id) -> Option<ObjectId> {
    let known = HashMap::from([(Id::parse(DATASET)?, ObjectId(7)), (Id::parse(GROUP)?, ObjectId(0))]);
    known.get(id).copied()
}

fn encode(datatype: &Datatype, shape: &[u64], value: &Value) -> Result<Elements, Fault> {
    let dataspace = if shape.is_empty() { Dataspace::Scalar } else { Dataspace::fixed(shape.to_vec()) };
    Encoder::new(&known).elements(datatype, &dataspace, Some(value), None)
}

fn fixed(length: u32, padding: StringPadding) -> Datatype {
    Datatype::String(FixedString { length, padding, charset: CharacterSet::Utf8 })
}

fn variable() -> Datatype {
    Datatype::VariableString(VariableString { padding: StringPadding::NullTerminated, charset: CharacterSet::Utf8 })
}

#[test]
fn numbers_are_in_file_order() {
    let big = Datatype::Integer(Integer::standard(2, ByteOrder::Big, true));
    assert_eq!(encode(&big, &[2], &json!([1, -2])).unwrap().bytes[..], [0, 1, 0xff, 0xfe]);
    assert!(encode(&big, &[], &json!(32768)).is_err());
    assert!(encode(&big, &[], &json!(1.5)).is_err());
    let unsigned = Datatype::Integer(Integer::standard(8, ByteOrder::Little, false));
    assert_eq!(encode(&unsigned, &[], &json!(u64::MAX)).unwrap().bytes[..], [0xff; 8]);
    let single = Datatype::Float(Float::ieee(4, ByteOrder::Big).unwrap());
    assert_eq!(encode(&single, &[], &json!(0.10000000149011612)).unwrap().bytes[..], 0.1f32.to_be_bytes());
}

#[test]
fn every_half_comes_back_and_others_round_to_even() {
    for bits in 0..=u16::MAX {
        let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        let magnitude = match exponent {
            0 => mantissa * 2f64.powi(-24),
            31 if mantissa == 0.0 => f64::INFINITY,
            31 => continue,
            _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
        };
        let number = if bits >> 15 == 1 { -magnitude } else { magnitude };
        assert_eq!(half(number), bits, "{number}");
    }
    assert_eq!(half(f64::NAN), 0x7E00);
    assert_eq!(half(65519.9), 0x7BFF);
    assert_eq!(half(65520.0), 0x7C00);
    assert_eq!(half(1.0 + 2f64.powi(-11)), 0x3C00);
    assert_eq!(half(1.0 + 3.0 * 2f64.powi(-11)), 0x3C02);
    assert_eq!(half(2f64.powi(-25)), 0);
    assert_eq!(half(2f64.powi(-25) * 1.001), 1);
    assert_eq!(half(5e-324), 0);
}

#[test]
fn strings_are_padded_as_their_type_says() {
    assert_eq!(encode(&fixed(4, StringPadding::NullPadded), &[], &json!("ab")).unwrap().bytes[..], *b"ab\0\0");
    assert_eq!(encode(&fixed(4, StringPadding::SpacePadded), &[], &json!("ab")).unwrap().bytes[..], *b"ab  ");
    let document = Document::parse(br#"{"v": "a\udcff"}"#).unwrap();
    let raw = document.get("v").unwrap();
    assert_eq!(encode(&fixed(2, StringPadding::NullPadded), &[], raw).unwrap().bytes[..], *b"a\xff");
    let text = encode(&variable(), &[3], &json!(["a\0b", "", null])).unwrap();
    let string = |at, text: &'static [u8]| {
        let body = Elements::plain(text);
        Place { at, target: Target::Sequence { count: text.len() as u32, body } }
    };
    assert_eq!(text.places, [string(0, b"a\0b"), string(16, b"")], "an empty string is there, null is not");
    assert_eq!(text.bytes[..], [0; 48]);
}

#[test]
fn opaque_values_of_both_dialects() {
    let opaque = |size| Datatype::Opaque(Opaque { size, tag: Name::from("t") });
    assert_eq!(encode(&opaque(2), &[], &json!("Af8=")).unwrap().bytes[..], [1, 255]);
    assert_eq!(encode(&opaque(4), &[], &json!("Af8=")).unwrap().bytes[..], *b"Af8=");
    assert_eq!(encode(&opaque(3), &[], &json!("")).unwrap().bytes[..], [0; 3]);
    assert!(encode(&opaque(3), &[], &json!("Af8=")).is_err());
}

#[test]
fn references_lead_to_objects_and_lost_ones_are_named() {
    let object = Datatype::Reference(ReferenceKind::Object);
    let mut encoder = Encoder::new(&known);
    let lost = "d-21da1467-6e6d9d5f-0000-000000-000000";
    let value = json!([format!("datasets/{DATASET}"), GROUP, "", null, lost]);
    let elements = encoder.elements(&object, &Dataspace::fixed(vec![5]), Some(&value), None).unwrap();
    let expected =
        [Place { at: 0, target: Target::Object(ObjectId(7)) }, Place { at: 8, target: Target::Object(ObjectId(0)) }];
    assert_eq!(elements.places, expected);
    assert_eq!(encoder.dangling, [lost]);
    let region = Datatype::Reference(ReferenceKind::Region);
    let value = json!({"id": DATASET, "select_type": "H5S_SEL_POINTS", "selection": [[1, 2]]});
    let selection = Selection::Points { rank: 2, coordinates: vec![1, 2] };
    assert_eq!(
        encode(&region, &[], &value).unwrap().places,
        [Place { at: 0, target: Target::Region { object: ObjectId(7), selection } }]
    );
}

#[test]
fn values_that_do_not_match_their_shape_are_faults() {
    let int = Datatype::Integer(Integer::standard(4, ByteOrder::Little, true));
    for (shape, value) in [
        (&[2][..], json!([1])),
        (&[2, 2], json!([[1, 2], [3]])),
        (&[2], json!(1)),
        (&[], json!([1, 2])),
        (&[], json!(null)),
        (&[u64::MAX, u64::MAX], json!([])),
        (&[1 << 40], json!([])),
    ] {
        assert!(encode(&int, shape, &value).is_err(), "{shape:?} {value}");
    }
    assert_eq!(encode(&int, &[0, 5], &json!([])).unwrap(), Elements::default());
    assert_eq!(encode(&int, &[1], &json!(3)).unwrap().bytes[..], [3, 0, 0, 0]);
    let padded = fixed(1 << 30, StringPadding::NullPadded);
    assert!(matches!(encode(&padded, &[], &json!("")), Err(Fault::Limit { .. })));
}

#[test]
fn base64_is_the_stream() {
    let int = Datatype::Integer(Integer::standard(1, ByteOrder::Little, false));
    let encode = |value: Value, dims: Vec<u64>| {
        Encoder::new(&known).elements(&int, &Dataspace::fixed(dims), Some(&value), Some("base64"))
    };
    assert_eq!(encode(json!("Af8="), vec![2]).unwrap().bytes[..], [1, 255]);
    assert!(encode(json!("Af8="), vec![3]).is_err());
    assert!(encode(json!([1]), vec![1]).is_err());
}

/// A small generator: the next number below `bound`.
fn draw(seed: &mut u64, bound: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % bound
}

/// A value of `datatype`, and what a server writes for it into a chunk: made independently of the code under test.
fn value_and_stream(datatype: &Datatype, seed: &mut u64, stream: &mut Vec<u8>) -> Value {
    match datatype {
        Datatype::Integer(integer) => {
            let number = draw(seed, 127);
            let mut bytes = number.to_le_bytes()[..integer.size as usize].to_vec();
            if integer.order == ByteOrder::Big {
                bytes.reverse();
            }
            stream.extend(bytes);
            json!(number)
        }
        Datatype::Float(float) => {
            let number = draw(seed, 1000) as f64 / 8.0 - 50.0;
            let mut bytes =
                if float.size == 4 { (number as f32).to_le_bytes().to_vec() } else { number.to_le_bytes().to_vec() };
            if float.order == ByteOrder::Big {
                bytes.reverse();
            }
            stream.extend(bytes);
            json!(number)
        }
        Datatype::String(string) => {
            let text = "é-text"[..2].repeat(draw(seed, u64::from(string.length) / 2 + 1) as usize);
            let padding = if string.padding == StringPadding::SpacePadded { b' ' } else { 0 };
            stream.extend(text.bytes());
            stream.extend(vec![padding; string.length as usize - text.len()]);
            json!(text)
        }
        Datatype::VariableString(_) => {
            let text = "ab\0".repeat(draw(seed, 3) as usize);
            stream.extend((text.len() as u32).to_le_bytes());
            stream.extend(text.bytes());
            json!(text)
        }
        Datatype::Sequence(base) => {
            let mut body = Vec::new();
            let list: Vec<Value> = (0..draw(seed, 4)).map(|_| value_and_stream(base, seed, &mut body)).collect();
            stream.extend((body.len() as u32).to_le_bytes());
            stream.extend(body);
            json!(list)
        }
        Datatype::Compound(compound) => {
            compound.members.iter().map(|member| value_and_stream(&member.datatype, seed, stream)).collect()
        }
        Datatype::Array(array) => {
            fn nest(dims: &[u32], base: &Datatype, seed: &mut u64, stream: &mut Vec<u8>) -> Value {
                match dims.split_first() {
                    None => value_and_stream(base, seed, stream),
                    Some((&dim, inner)) => (0..dim).map(|_| nest(inner, base, seed, stream)).collect(),
                }
            }
            nest(&array.dims, &array.base, seed, stream)
        }
        Datatype::Reference(ReferenceKind::Object) => {
            let text = [String::new(), GROUP.into(), format!("datasets/{DATASET}")][draw(seed, 3) as usize].clone();
            let mut bytes = text.clone().into_bytes();
            bytes.resize(48, 0);
            stream.extend(bytes);
            json!(text)
        }
        _ => unreachable!("not generated"),
    }
}

fn datatypes() -> impl Strategy<Value = Datatype> {
    let order = prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)];
    let leaf = prop_oneof![
        (prop_oneof![Just(1u32), Just(2), Just(4), Just(8)], order.clone(), any::<bool>())
            .prop_map(|(size, order, signed)| Datatype::Integer(Integer::standard(size, order, signed))),
        (prop_oneof![Just(4u32), Just(8)], order)
            .prop_map(|(size, order)| Datatype::Float(Float::ieee(size, order).unwrap())),
        (1u32..9, any::<bool>()).prop_map(|(length, spaces)| {
            fixed(length, if spaces { StringPadding::SpacePadded } else { StringPadding::NullPadded })
        }),
        Just(variable()),
        Just(Datatype::Reference(ReferenceKind::Object)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|base| Datatype::Sequence(Box::new(base))),
            (proptest::collection::vec(1u32..3, 1..3), inner.clone())
                .prop_map(|(dims, base)| Datatype::Array(ArrayType { dims, base: Box::new(base) })),
            proptest::collection::vec(inner, 2..4).prop_map(|members| {
                let named =
                    members.into_iter().enumerate().map(|(n, datatype)| (Name::from(n.to_string().as_str()), datatype));
                Datatype::Compound(Compound::packed(named).unwrap())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn json_and_stream_agree(datatype in datatypes(), seed in 1u64.., count in 1u64..5) {
        let (mut seed, mut stream) = (seed, Vec::new());
        let values: Value = (0..count).map(|_| value_and_stream(&datatype, &mut seed, &mut stream)).collect();
        let by_json = encode(&datatype, &[count], &values).unwrap();
        prop_assert_eq!(by_json.bytes.len() as u64, count * datatype.size());
        let stream = Bytes::from(stream);
        let by_stream = stream::elements(&datatype, &stream, count, &known).unwrap();
        prop_assert_eq!(&by_json, &by_stream);
        if let Some(size) = stream::stored_size(&datatype) {
            prop_assert_eq!(stream.len() as u64, size * count);
        }
        // A stream that is cut anywhere, or goes on, is refused.
        if !stream.is_empty() {
            let cut = draw(&mut seed, stream.len() as u64) as usize;
            prop_assert!(stream::elements(&datatype, &stream.slice(..cut), count, &known).is_err());
        }
        let longer = Bytes::from([&stream[..], &[0]].concat());
        prop_assert!(stream::elements(&datatype, &longer, count, &known).is_err());
    }

    #[test]
    fn no_stream_panics(datatype in datatypes(), stream: Vec<u8>, count: u64) {
        let _ = stream::elements(&datatype, &Bytes::from(stream), count, &known);
    }

    #[test]
    fn no_value_panics(datatype in datatypes(), seed in 1u64.., foreign in datatypes()) {
        let mut seed = seed;
        let value = value_and_stream(&foreign, &mut seed, &mut Vec::new());
        let _ = encode(&datatype, &[], &value);
        let _ = encode(&datatype, &[2], &Value::Object(Map::new()));
    }
}

#[test]
fn short_json_cannot_ask_for_much_memory() {
    let padded = Datatype::Sequence(Box::new(fixed(1 << 25, StringPadding::NullPadded)));
    let row = json!(["", ""]);
    assert!(matches!(encode(&padded, &[2], &json!([row, row])), Err(Fault::Limit { .. })));
    let slices = json!({"type": "slice", "start": 0, "stop": 2_000_000, "step": 2});
    let region = json!({"id": DATASET, "selection_dict": {"shape": [2_000_000], "select_type": 2, "slices": [slices]}});
    let regions = Datatype::Reference(ReferenceKind::Region);
    assert!(encode(&regions, &[2], &json!([region, region])).is_ok());
    assert!(matches!(
        encode(&regions, &[5], &json!([region, region, region, region, region])),
        Err(Fault::Limit { .. })
    ));
}
