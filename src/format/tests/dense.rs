//! Groups and attributes in compact and dense storage.

use super::builder::{File, message};
use super::open;
use crate::format::message::attribute::{Attribute, AttributeType};
use crate::format::message::link::{Link, LinkBody};
use crate::format::message::{group_info, link_info, reference_count};
use crate::format::object_header::ObjectHeader;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::{ByteOrder, Datatype, Integer};
use crate::model::name::Name;

/// Names of many lengths, some not ASCII, one of more than 255 bytes.
fn link_names(count: usize) -> Vec<Name> {
    let text = |number: usize| match number {
        2 => format!("link2{}", "y".repeat(300)),
        _ if number.is_multiple_of(11) => format!("lünk{number}"),
        _ => format!("link{number}{}", "x".repeat(number % 40)),
    };
    (0..count).map(|number| Name::from(text(number).as_str())).collect()
}

/// Groups of hard, soft and external links in turn.
fn check_group(count: usize, dense: bool, tracked: bool) {
    let mut file = File::new();
    let hard = (0..count).filter(|number| number % 3 == 0).count() as u32;
    // A committed group would do as well: any object that counts its links.
    let target = file.header(vec![
        message(link_info::KIND, link_info::LinkInfo::compact(false, 0).body()),
        message(group_info::KIND, group_info::body()),
        message(reference_count::KIND, reference_count::body(hard + 1)),
    ]);
    let (soft, other) = (Name::from("/target"), Name::from("other.h5"));
    let names = link_names(count);
    let links: Vec<Link<'_>> = names
        .iter()
        .enumerate()
        .map(|(number, name)| Link {
            name,
            creation_order: tracked.then_some(number as u64),
            target: match number % 3 {
                0 => LinkBody::Hard(target),
                1 => LinkBody::Soft(&soft),
                _ => LinkBody::External { file: &other, path: &soft },
            },
        })
        .collect();
    let group = if dense { file.dense_group(&links) } else { file.compact_group(&links) };
    let kind = if dense { "dense" } else { "compact" };
    let reader = open(
        &format!("group_{kind}_{count}{}", if tracked { "_tracked" } else { "" }),
        file.finish_with(&[("group", group), ("target", target)]),
    );
    let group = reader.group("group").unwrap();
    for (number, name) in names.iter().enumerate().filter(|(number, _)| number % 3 == 0).step_by(count / 300 + 1) {
        let found = group.group(&name.to_string()).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(found.address(), target);
    }
    assert!(group.group("nowhere").is_err());
}

#[test]
fn compact_groups_hold_their_links() {
    check_group(5, false, false);
    check_group(4096, false, true);
}

#[test]
fn dense_groups_hold_their_links() {
    check_group(5, true, false);
    check_group(150, true, true);
    check_group(5000, true, true);
    check_group(100_000, true, false);
}

fn int() -> Datatype {
    Datatype::Integer(Integer::standard(4, ByteOrder::Little, true))
}

fn put_group(file: &mut File, attributes: &[Attribute<'_>], dense: bool) -> u64 {
    let mut messages = vec![
        message(link_info::KIND, link_info::LinkInfo::compact(false, 0).body()),
        message(group_info::KIND, group_info::body()),
    ];
    if dense {
        messages.push(file.dense_attributes(attributes));
    } else {
        messages.extend(file.compact_attributes(attributes));
    }
    let header = ObjectHeader {
        messages,
        attribute_order_tracked: dense,
        times: dense.then_some(1_700_000_000),
        ..ObjectHeader::default()
    };
    file.put_header(&header)
}

#[test]
fn ten_thousand_attributes() {
    let datatype = int();
    let names: Vec<Name> = (0..10_000).map(|number| Name::from(format!("a{number}").as_str())).collect();
    let data: Vec<[u8; 4]> = (0..10_000i32).map(|number| (number * 3).to_le_bytes()).collect();
    let attributes: Vec<Attribute<'_>> = names
        .iter()
        .zip(&data)
        .map(|(name, data)| Attribute {
            name,
            datatype: AttributeType::Own(&datatype),
            dataspace: &Dataspace::Scalar,
            data,
        })
        .collect();
    let mut file = File::new();
    let dense = put_group(&mut file, &attributes, true);
    let compact = put_group(&mut file, &attributes[..1000], false);
    let reader = open("attributes", file.finish_with(&[("compact", compact), ("dense", dense)]));
    for (path, count) in [("compact", 1000), ("dense", 10_000)] {
        let group = reader.group(path).unwrap();
        let mut found: Vec<i32> = group
            .attributes()
            .unwrap()
            .iter()
            .map(|attribute| {
                let value = attribute.read_scalar::<i32>().unwrap();
                assert_eq!(attribute.name, format!("a{}", value / 3));
                value
            })
            .collect();
        found.sort_unstable();
        assert_eq!(found, (0..count).map(|number| number * 3).collect::<Vec<i32>>(), "{path}");
    }
}

#[test]
fn attributes_larger_than_a_message() {
    let datatype = int();
    let sizes = [1usize, 900, 50_000, 10, 1_000, 3_000, 70_000];
    let names: Vec<Name> = sizes.iter().map(|size| Name::from(format!("s{size}").as_str())).collect();
    let spaces: Vec<Dataspace> = sizes.iter().map(|&size| Dataspace::fixed(vec![size as u64])).collect();
    let data: Vec<Vec<u8>> =
        sizes.iter().map(|&size| (0..size as i32).flat_map(|each| (each ^ 0x55).to_le_bytes()).collect()).collect();
    let attributes: Vec<Attribute<'_>> = (0..sizes.len())
        .map(|number| Attribute {
            name: &names[number],
            datatype: AttributeType::Own(&datatype),
            dataspace: &spaces[number],
            data: &data[number],
        })
        .collect();
    let mut file = File::new();
    let mixed = put_group(&mut file, &attributes, true);
    // One that is huge and nothing else: a heap without blocks.
    let alone = put_group(&mut file, &attributes[2..3], true);
    let reader = open("attributes_huge", file.finish_with(&[("alone", alone), ("mixed", mixed)]));
    for (path, expected) in [("mixed", sizes.len()), ("alone", 1)] {
        let found = reader.group(path).unwrap().attributes().unwrap();
        assert_eq!(found.len(), expected);
        for attribute in found {
            let values = attribute.read_1d::<i32>().unwrap();
            assert_eq!(attribute.name, format!("s{}", values.len()));
            assert!(values.iter().enumerate().all(|(number, &value)| value == number as i32 ^ 0x55));
        }
    }
}
