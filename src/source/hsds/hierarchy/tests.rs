//! Files made of a few documents, and what becomes of them; then the same with everything broken that can be.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::chunk::{ChunkMap, ChunkSource, Initializer};
use crate::model::dataspace::Dataspace;
use crate::model::elements::Target;
use crate::model::hierarchy::{DataLayout, LinkTarget};
use crate::model::location::Location;
use crate::model::pipeline::Decode;

const ROOT: &str = "g-00000000-00000001-8888-888888-888889";

fn id(kind: char, number: u32) -> String {
    format!("{kind}-00000000-00000001-0000-000000-{number:06x}")
}

fn hard(id: &str) -> Value {
    json!({"class": "H5L_TYPE_HARD", "id": id, "created": 1.0})
}

fn group(links: Value) -> Value {
    json!({"links": links, "attributes": {}, "lastModified": 1795208702.5})
}

fn dataset(extra: Value) -> Value {
    let mut dataset = json!({"type": {"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}, "attributes": {},
        "shape": {"class": "H5S_SIMPLE", "dims": [10]},
        "creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [4]}}});
    dataset.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    dataset
}

fn context() -> Context {
    Context {
        bucket: Bucket::new("file:///srv/home"),
        shuffle_only: ShuffleOnly::Raw,
        resolve_external: Box::new(|name| Name::new([b"./", name.as_bytes()].concat())),
    }
}

fn put_together(documents: &[(String, Value)]) -> Result<Assembled, AssembleError> {
    let objects = documents.iter().filter_map(|(id, document)| {
        let (id, Value::Object(map)) = (Id::parse(id)?, document.clone()) else { return None };
        Some((id, (id.metadata_key(), Document::from(map))))
    });
    assemble(&Id::parse(ROOT).unwrap(), objects.collect(), HashMap::new(), &context())
}

fn file(documents: Vec<(String, Value)>) -> Assembled {
    put_together(&documents).unwrap()
}

fn links(assembled: &Assembled, object: u32) -> Vec<(String, LinkTarget)> {
    match &assembled.hierarchy.objects[object as usize].kind {
        ObjectKind::Group(group) => {
            group.links.iter().map(|link| (link.name.to_string(), link.target.clone())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn the_dataset(assembled: &Assembled, object: u32) -> &Dataset {
    match &assembled.hierarchy.objects[object as usize].kind {
        ObjectKind::Dataset(dataset) => dataset,
        other => panic!("{other:?}"),
    }
}

/// A root with one dataset, which becomes object 1.
fn one(extra: Value) -> Assembled {
    file(vec![(ROOT.into(), group(json!({"d": hard(&id('d', 1))}))), (id('d', 1), dataset(extra))])
}

#[test]
fn objects_are_numbered_depth_first_and_cycles_end() {
    let assembled = file(vec![
        (ROOT.into(), group(json!({"b": hard(&id('g', 2)), "a": hard(&id('g', 1)), "self": hard(ROOT)}))),
        (id('g', 1), group(json!({"x": hard(&id('d', 1)), "up": hard(ROOT)}))),
        (id('g', 2), group(json!({"x": hard(&id('d', 1)), "y": hard(&id('d', 2))}))),
        (id('d', 1), dataset(json!({}))),
        (id('d', 2), dataset(json!({}))),
    ]);
    let object = |number| LinkTarget::Hard(ObjectId(number));
    assert_eq!(links(&assembled, 0), [("a".into(), object(1)), ("b".into(), object(3)), ("self".into(), object(0))]);
    assert_eq!(links(&assembled, 1), [("up".into(), object(0)), ("x".into(), object(2))]);
    assert_eq!(links(&assembled, 3), [("x".into(), object(2)), ("y".into(), object(4))]);
    assert_eq!(assembled.hierarchy.objects[0].modified, None);
    assert!(assembled.problems.is_empty());
    assert_eq!(assembled.facts["groups"], "3");
}

#[test]
fn a_chain_of_groups_may_be_long() {
    let mut documents = vec![(ROOT.to_owned(), group(json!({"n": hard(&id('g', 0))})))];
    for number in 0..20_000 {
        documents.push((id('g', number), group(json!({"n": hard(&id('g', number + 1))}))));
    }
    let assembled = file(documents);
    assert_eq!(assembled.hierarchy.objects.len(), 20_001);
    assert_eq!(assembled.problems.len(), 1);
    let path = &assembled.problems[0].path;
    assert!(path.starts_with("…/n/n/n/") && path.len() < 200, "{path}");
}

#[test]
fn a_problem_shows_the_end_of_a_long_path() {
    let far = "é".repeat(5000);
    let documents = vec![
        (ROOT.into(), group(json!({&far: hard(&id('g', 1))}))),
        (id('g', 1), group(json!({"odd": {"class": "x".repeat(5000), "created": 1}}))),
    ];
    let problem = &file(documents).problems[0];
    assert!(problem.path.starts_with("…é") && problem.path.ends_with("é/odd"), "{}", problem.path);
    assert!(problem.path.len() < 1100 && problem.reason.len() < 600);
}

#[test]
fn order_is_of_creation_only_where_the_file_says_so() {
    let timed = |created| json!({"class": "H5L_TYPE_SOFT", "h5path": "x", "created": created});
    let names = |root: Value| {
        let assembled = file(vec![(ROOT.into(), root)]);
        let ObjectKind::Group(group) = &assembled.hierarchy.objects[0].kind else { panic!() };
        (group.links.iter().map(|link| link.name.to_string()).collect::<String>(), group.tracked)
    };
    let mut root = group(
        json!({"a": timed(3.0), "c": timed(1.0), "b": timed(1.0), "d": {"class": "H5L_TYPE_SOFT", "h5path": "x"}}),
    );
    assert_eq!(names(root.clone()), ("abcd".into(), false));
    root["creationProperties"] = json!({"CreateOrder": 1});
    assert_eq!(names(root.clone()), ("bcad".into(), true));
    root["creationProperties"] = json!({});
    root["attributes"] =
        json!({"_NCProperties": {"type": "H5T_STD_I8LE", "shape": {"class": "H5S_SCALAR"}, "value": 1}});
    assert_eq!(names(root), ("bcad".into(), true));
}

#[test]
fn what_cannot_be_shown_is_left_out_and_named() {
    let assembled = file(vec![
        (
            ROOT.into(),
            json!({"links": {
                "bad": hard(&id('d', 1)), "gone": hard(&id('d', 9)), "user": {"class": "H5L_TYPE_USER_DEFINED"}, "a/b": hard(ROOT),
                "ok": hard(&id('d', 2)), "bad2": hard(&id('d', 1)), "nowhere": {"class": "H5L_TYPE_SOFT"}},
                "attributes": {
                    "no_value": {"type": "H5T_STD_I8LE", "shape": {"class": "H5S_SCALAR"}, "encoding": "base64"},
                    "null": {"type": "H5T_STD_I8LE", "shape": {"class": "H5S_NULL"}, "value": null},
                    "lost": {"type": "H5T_STD_REF_OBJ", "shape": {"class": "H5S_SCALAR"}, "value": id('d', 9)}}}),
        ),
        (id('d', 1), dataset(json!({"type": {"class": "H5T_TIME"}}))),
        (id('d', 2), dataset(json!({}))),
    ]);
    assert_eq!(links(&assembled, 0), [("ok".into(), LinkTarget::Hard(ObjectId(1)))]);
    let paths: Vec<&str> = assembled.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/a/b", "/bad", "/bad2", "/gone", "/nowhere", "/user", "/@lost", "/@no_value"]);
    assert_eq!(assembled.problems[0].key, "db/00000000-00000001/.group.json");
    let names: Vec<String> = assembled.hierarchy.objects[0].attributes.iter().map(|a| a.name.to_string()).collect();
    assert_eq!(names, ["lost", "null"]);
}

#[test]
fn links_of_every_kind_and_key() {
    let assembled = file(vec![(
        ROOT.into(),
        group(json!({
            "1": {"class": "H5L_TYPE_EXTERNAL", "h5path": "/x", "h5domain": "a.h5"},
            "2": {"class": "H5L_TYPE_EXTERNAL", "h5path": "/x", "file": "b.h5"},
            "3": {"class": "H5L_TYPE_EXTERNAL", "h5path": "/x", "domain": "c.h5"},
            "4": {"class": "H5L_TYPE_SOFT", "h5path": "a/b"}})),
    )]);
    let external = |file: &str| LinkTarget::External { file: Name::from(file), path: Name::from("/x") };
    let targets: Vec<LinkTarget> = links(&assembled, 0).into_iter().map(|(_, target)| target).collect();
    assert_eq!(
        targets,
        [external("./a.h5"), external("./b.h5"), external("./c.h5"), LinkTarget::Soft(Name::from("a/b"))]
    );
}

#[test]
fn the_top_level_layout_wins_and_chunks_have_keys() {
    let assembled = one(json!({"layout": {"class": "H5D_CHUNKED", "dims": [6], "partition_count": 4},
        "creationProperties": {"fillValue": -9, "layout": {"class": "H5D_CHUNKED", "dims": [4], "partition_count": 2},
            "filters": [{"class": "H5Z_FILTER_DEFLATE", "level": 4}, {"class": "H5Z_FILTER_SHUFFLE"}]}}));
    let dataset = the_dataset(&assembled, 1);
    assert_eq!(dataset.layout, DataLayout::Chunked(vec![6]));
    assert_eq!(dataset.fill.as_ref().unwrap().bytes[..], (-9i32).to_le_bytes());
    let recipe = assembled.chunks.recipe(ObjectId(1)).unwrap();
    assert_eq!((recipe.grid.total(), recipe.raw_len), (2, Some(24)));
    assert_eq!(recipe.decode.steps, [Decode::BloscOrDeflate { unshuffle: Some(4) }]);
    let key = Key::new("db/00000000-00000001/d/0000-000000-000001/p1/1");
    assert_eq!(assembled.chunks.locate(ObjectId(1), &[1]), ChunkSource::Object(key));
    assert_eq!(assembled.chunks.locate(ObjectId(1), &[2]), ChunkSource::Fill);
    assert_eq!(assembled.chunks.recipe(Hierarchy::ROOT), None);
}

#[test]
fn contiguous_is_what_no_schema_chunks() {
    let layout = |extra| {
        let assembled = one(extra);
        the_dataset(&assembled, 1).layout.clone()
    };
    let asked = |class: &str| json!({"creationProperties": {"layout": {"class": class}}});
    assert_eq!(layout(asked("H5D_CONTIGUOUS")), DataLayout::Contiguous);
    assert_eq!(layout(json!({"creationProperties": {"layout": {}}})), DataLayout::Contiguous);
    let effective = |dims: Value| json!({"creationProperties": null, "layout": {"class": "H5D_CHUNKED", "dims": dims}});
    assert_eq!(layout(effective(json!([10]))), DataLayout::Chunked(vec![10]));
    assert_eq!(layout(effective(json!([5]))), DataLayout::Chunked(vec![5]));
    // Elements of several chunks do not lie in the order of the dataset, whatever the layout calls itself.
    let unnamed = |class: &str| json!({"creationProperties": null, "layout": {"class": class, "dims": [5]}});
    assert_eq!(layout(unnamed("H5D_CONTIGUOUS")), DataLayout::Chunked(vec![5]));
    assert_eq!(layout(unnamed("")), DataLayout::Chunked(vec![5]));
    let mut grows = effective(json!([10]));
    grows["shape"] = json!({"class": "H5S_SIMPLE", "dims": [10], "maxdims": [0]});
    assert_eq!(layout(grows), DataLayout::Chunked(vec![10]));
    let mut scalar = effective(json!([1]));
    scalar["shape"] = json!({"class": "H5S_SCALAR"});
    let assembled = one(scalar);
    assert_eq!(the_dataset(&assembled, 1).layout, DataLayout::Contiguous);
    let key = Key::new("db/00000000-00000001/d/0000-000000-000001/0");
    assert_eq!(assembled.chunks.locate(ObjectId(1), &[]), ChunkSource::Object(key));
    let compact = one(json!({"creationProperties": {}, "layout": {"class": "H5D_COMPACT"}}));
    assert_eq!(compact.chunks.locate(ObjectId(1), &[0]), ChunkSource::Fill);
    let null = one(json!({"shape": {"class": "H5S_NULL"}}));
    assert_eq!(null.chunks.recipe(ObjectId(1)), None);
    assert_eq!(the_dataset(&null, 1).dataspace, Dataspace::Null);
}

#[test]
fn chunk_tables_say_where_linked_chunks_are() {
    let linked = json!({"shape": {"class": "H5S_SIMPLE", "dims": [10]},
        "creationProperties": {"layout": {"class": "H5D_CHUNKED_REF_INDIRECT", "dims": [8], "hyper_dims": [4],
            "chunk_table": id('d', 5), "file_uri": "data/files/a.h5"}}});
    let table = |dims: u32, fields: Value| json!({"type": {"class": "H5T_COMPOUND", "fields": fields}, "shape": {"class": "H5S_SIMPLE", "dims": [dims]}});
    let fields = json!([{"name": "offset", "type": "H5T_STD_I64LE"}, {"name": "size", "type": "H5T_STD_I32LE"},
        {"name": "file_uri", "type": {"class": "H5T_STRING", "length": "H5T_VARIABLE"}}]);
    let with = |table: Value| {
        file(vec![
            (ROOT.into(), group(json!({"d": hard(&id('d', 1))}))),
            (id('d', 1), dataset(linked.clone())),
            (id('d', 5), dataset(table)),
        ])
    };
    let assembled = with(table(3, fields.clone()));
    assert_eq!(the_dataset(&assembled, 1).layout, DataLayout::Chunked(vec![4]));
    assert_eq!(assembled.hierarchy.objects.len(), 3);
    let (data, rows) = (ObjectId(1), ObjectId(2));
    assert_eq!(assembled.chunks.locate(data, &[2]), ChunkSource::Table { table: rows, row: vec![2] });
    let mut plain = Vec::new();
    for (offset, size, uri) in
        [(100i64, 16i32, "data/b.h5"), (7, 0, ""), (9, 20, ""), (-1, 1, ""), (0, 1, "../../etc/passwd")]
    {
        plain.extend(offset.to_le_bytes());
        plain.extend(size.to_le_bytes());
        plain.extend((uri.len() as u32).to_le_bytes());
        plain.extend(uri.bytes());
    }
    let places = assembled.chunks.table_rows(data, rows, &plain);
    let row = |number| assembled.chunks.table_row(data, rows, &plain, &places, number);
    let place = |bucket: &str, key: &str| Location { bucket: Bucket::new(bucket), key: Key::new(key) };
    assert_eq!(row(0), Ok(ChunkSource::Range(place("file:///srv/data", "b.h5"), 100..116)));
    assert_eq!(row(1), Ok(ChunkSource::Fill));
    assert_eq!(row(2), Ok(ChunkSource::Range(place("file:///srv/data", "files/a.h5"), 9..29)));
    for wrong in [3, 4, 5, u64::MAX] {
        assert!(row(wrong).is_err(), "{wrong}");
    }
    for unfit in
        [table(2, fields.clone()), table(3, json!([{"name": "offset", "type": "H5T_STD_I64LE"}])), linked.clone()]
    {
        let assembled = with(unfit);
        assert!(links(&assembled, 0).is_empty());
        assert!(assembled.problems[0].reason.contains("chunk table"), "{}", assembled.problems[0]);
    }
}

#[test]
fn rows_that_name_a_file_each_are_found_without_walking_over_those_before() {
    use crate::model::chunk::Rows;
    use crate::source::hsds::linked::TableRow;
    let fields = [
        ("offset", json!("H5T_STD_I64LE")),
        ("size", json!("H5T_STD_I32LE")),
        ("file_uri", json!({"class": "H5T_STRING", "length": "H5T_VARIABLE"})),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, of)| json!({"name": name, "type": of})).collect();
    let table = one(json!({"type": {"class": "H5T_COMPOUND", "fields": fields}}));
    let TypeUse::Own(datatype) = &the_dataset(&table, 1).datatype else { panic!("a committed type") };
    let rows = TableRow::of(datatype).unwrap();
    // Walking to each row from the front would take two hundred million steps, and minutes.
    const ROWS: u64 = 20_000;
    let mut plain = Vec::new();
    for number in 0..ROWS {
        let uri = format!("s3://bucket/{}", "x".repeat(number as usize % 50));
        plain.extend((number as i64).to_le_bytes());
        plain.extend(7i32.to_le_bytes());
        plain.extend((uri.len() as u32).to_le_bytes());
        plain.extend(uri.bytes());
    }
    let places = rows.rows(&plain);
    let Rows::At(begins) = &places else { panic!("rows of different lengths need a list") };
    assert_eq!(begins.len() as u64, ROWS.div_ceil(Rows::STRIDE));
    for number in 0..ROWS {
        let row = rows.read(&plain, &places, number).unwrap();
        assert_eq!((row.offset, row.file_uri.unwrap().len()), (number, 12 + number as usize % 50));
    }
    for number in [0, 1, 15, 16, 17, 999] {
        assert_eq!(rows.read(&plain, &places, number), rows.read(&plain, &Rows::Unknown, number));
    }
    assert!(rows.read(&plain, &places, ROWS).is_err() && rows.read(&plain, &places, u64::MAX).is_err());
}

#[test]
fn listed_and_contiguous_links_are_ranges() {
    let listed =
        one(json!({"creationProperties": {"filters": ["shuffle", "gzip"], "layout": {"class": "H5D_CHUNKED_REF",
        "dims": [4], "file_uri": "s3://bucket/a/b.h5", "chunks": {"0": [100, 7], "2": [9, 0]}}}}));
    let place = Location { bucket: Bucket::new("s3://bucket"), key: Key::new("a/b.h5") };
    assert_eq!(listed.chunks.locate(ObjectId(1), &[0]), ChunkSource::Range(place.clone(), 100..107));
    assert_eq!(listed.chunks.locate(ObjectId(1), &[1]), ChunkSource::Fill);
    assert_eq!(listed.chunks.locate(ObjectId(1), &[2]), ChunkSource::Fill);
    let steps = &listed.chunks.recipe(ObjectId(1)).unwrap().decode.steps;
    assert_eq!(steps[..], [Decode::Deflate, Decode::Unshuffle { element: 4 }]);
    let layout = |size| {
        json!({"creationProperties": {"layout":
        {"class": "H5D_CONTIGUOUS_REF", "file_uri": "s3://bucket/a/b.h5", "offset": 50, "size": size}}})
    };
    let contiguous = one(layout(40));
    assert_eq!(the_dataset(&contiguous, 1).layout, DataLayout::Contiguous);
    assert_eq!(contiguous.chunks.locate(ObjectId(1), &[0]), ChunkSource::Range(place, 50..90));
    assert!(links(&one(layout(39)), 0).is_empty());
}

#[test]
fn committed_types_are_shared_while_copies_equal_them() {
    let compound =
        |base: &str| json!({"class": "H5T_COMPOUND", "fields": [{"name": "x", "type": base}], "id": id('t', 3)});
    let own = json!({"class": "H5T_COMPOUND", "fields": [{"name": "x", "type": "H5T_STD_I32LE"}]});
    let make = |base| {
        file(vec![
            (ROOT.into(), group(json!({"d": hard(&id('d', 1))}))),
            (id('d', 1), dataset(json!({"type": compound(base)}))),
            (id('t', 3), json!({"type": own, "attributes": {}})),
        ])
    };
    assert_eq!(the_dataset(&make("H5T_STD_I32LE"), 1).datatype, TypeUse::Committed(ObjectId(2)));
    assert!(matches!(the_dataset(&make("H5T_STD_I16LE"), 1).datatype, TypeUse::Own(_)));
}

#[test]
fn initializers_are_evaluated_or_named() {
    let arange =
        one(json!({"type": "H5T_IEEE_F64LE", "creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [4]},
        "initializer": ["arange", "--start=10", "--step=0.5"]}}));
    let ChunkSource::Computed { object, initializer } = arange.chunks.locate(ObjectId(1), &[1]) else { panic!() };
    assert_eq!(object.as_str(), "db/00000000-00000001/d/0000-000000-000001/1");
    let bytes = arange.chunks.compute(ObjectId(1), &[1], &initializer).unwrap();
    let values: Vec<f64> = bytes.chunks(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(values, [12.0, 12.5, 13.0, 13.5]);
    let by = Initializer::Arange { start: 250.0, step: 2.5 };
    let bytes = one(json!({"type": "H5T_STD_U8LE"})).chunks.compute(ObjectId(1), &[0], &by).unwrap();
    assert_eq!(bytes[..], [250, 252, 254, 0]);
    let located = one(json!({"creationProperties": {"initializer": ["chunklocator", "--h5path=/x"]}}));
    let ChunkSource::Computed { initializer, .. } = located.chunks.locate(ObjectId(1), &[0]) else { panic!() };
    assert!(located.chunks.compute(ObjectId(1), &[0], &initializer).unwrap_err().reason.contains("chunklocator"));
}

#[test]
fn sizes_past_the_limits_are_left_out() {
    let max = u64::MAX;
    for extra in [
        json!({"shape": {"class": "H5S_SIMPLE", "dims": [max, max]}, "creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [1, 1]}}}),
        json!({"shape": {"class": "H5S_SIMPLE", "dims": [max]}, "creationProperties": {}}),
        json!({"creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [max]}}}),
        json!({"creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [1 << 30]}}}),
        json!({"creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [0]}}}),
        json!({"creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [4, 4]}}}),
        json!({"shape": {"class": "H5S_SIMPLE", "dims": [1u64 << 60]}}),
    ] {
        let assembled = one(extra.clone());
        assert!(links(&assembled, 0).is_empty(), "{extra}");
        assert_eq!(assembled.problems[0].path, "/d");
    }
}

#[test]
fn a_dimension_scale_says_so_as_netcdf_reads_it() {
    let class = |text: &str| {
        json!({"type": {"class": "H5T_STRING", "length": 15, "strPad": "H5T_STR_NULLPAD"},
        "shape": {"class": "H5S_SCALAR"}, "value": text})
    };
    let assembled = one(json!({"attributes": {"CLASS": class("DIMENSION_SCALE"), "OTHER": class("DIMENSION_SCALE")}}));
    let attributes = &assembled.hierarchy.objects[1].attributes;
    assert_eq!(attributes[0].value.bytes[..], *b"DIMENSION_SCALE\0");
    assert_eq!(attributes[1].value.bytes.len(), 15);
    let other = one(json!({"attributes": {"CLASS": class("IMAGE")}}));
    assert_eq!(other.hierarchy.objects[1].attributes[0].value.bytes.len(), 15);
}

#[test]
fn references_in_chunks_find_objects_or_become_null() {
    let assembled = one(json!({"type": {"class": "H5T_REFERENCE", "base": "H5T_STD_REF_OBJ"},
        "shape": {"class": "H5S_SIMPLE", "dims": [2]}, "creationProperties": {}}));
    let mut plain = [0u8; 96];
    plain[..38].copy_from_slice(ROOT.as_bytes());
    plain[48..86].copy_from_slice(id('d', 9).as_bytes());
    let elements = assembled.chunks.elements(ObjectId(1), plain.to_vec().into()).unwrap();
    assert_eq!(elements.places.len(), 1);
    assert_eq!((elements.places[0].at, &elements.places[0].target), (0, &Target::Object(ObjectId(0))));
    assert!(assembled.chunks.elements(ObjectId(1), vec![0; 95].into()).is_err());
}

/// A file that has something of everything.
fn everything() -> Vec<(String, Value)> {
    let scalar = json!({"class": "H5S_SCALAR"});
    vec![
        (
            ROOT.into(),
            json!({"links": {"g": hard(&id('g', 1)), "d": hard(&id('d', 1)), "t": hard(&id('t', 3)), "l": hard(&id('d', 2)),
                "r": hard(&id('d', 4)), "s": {"class": "H5L_TYPE_SOFT", "h5path": "/g"},
                "e": {"class": "H5L_TYPE_EXTERNAL", "h5path": "/x", "h5domain": "a.h5"}},
                "creationProperties": {"CreateOrder": 1},
                "attributes": {
                    "i": {"type": "H5T_STD_U64BE", "shape": {"class": "H5S_SIMPLE", "dims": [2, 1]}, "value": [[1], [2]], "created": 2},
                    "e": {"type": {"class": "H5T_ENUM", "base": "H5T_STD_I8LE", "mapping": {"FALSE": 0, "TRUE": 1}}, "shape": scalar, "value": true},
                    "o": {"type": {"class": "H5T_OPAQUE", "size": 2, "tag": "t"}, "shape": scalar, "value": "Af8="},
                    "r": {"type": {"class": "H5T_VLEN", "base": {"class": "H5T_REFERENCE", "base": "H5T_STD_REF_OBJ"}}, "shape": scalar, "value": [id('d', 1)]},
                    "n": {"type": "H5T_STD_REF_DSETREG", "shape": scalar, "value": {"id": id('d', 1), "select_type": "H5S_SEL_HYPERSLABS", "selection": [[[0], [2]]]}},
                    "b": {"type": "H5T_STD_I8LE", "shape": scalar, "value": "AQ==", "encoding": "base64"},
                    "c": {"type": {"class": "H5T_COMPOUND", "id": id('t', 3), "fields": [{"name": "a", "type": {"class": "H5T_ARRAY", "dims": [2], "base": "H5T_IEEE_F16LE"}}]}, "shape": scalar, "value": [[1.5, "nan"]]}}}),
        ),
        (id('g', 1), group(json!({"up": hard(ROOT)}))),
        (
            id('d', 1),
            dataset(json!({"layout": {"class": "H5D_CHUNKED", "dims": [5], "partition_count": 3},
            "creationProperties": {"fillValue": 7, "initializer": ["arange", "--start=1", "--step=2"],
                "filters": [{"class": "H5Z_FILTER_SHUFFLE", "id": 2}, {"class": "H5Z_FILTER_DEFLATE", "id": 1, "level": 4}]}})),
        ),
        (
            id('d', 2),
            dataset(json!({"creationProperties": {"layout": {"class": "H5D_CHUNKED_REF_INDIRECT", "dims": [4],
            "hyper_dims": [2], "chunk_table": id('d', 5), "file_uri": "b/f.h5"}}})),
        ),
        (
            id('t', 3),
            json!({"type": {"class": "H5T_COMPOUND", "fields": [{"name": "a", "type": {"class": "H5T_ARRAY", "dims": [2], "base": "H5T_IEEE_F16LE"}}]}}),
        ),
        (
            id('d', 4),
            dataset(json!({"type": {"class": "H5T_VLEN", "base": {"class": "H5T_STRING", "length": "H5T_VARIABLE"}},
            "creationProperties": {"layout": {"class": "H5D_CHUNKED_REF", "dims": [4], "file_uri": "b/f.h5", "chunks": {"0": [1, 2]}}}})),
        ),
        (
            id('d', 5),
            dataset(json!({"type": {"class": "H5T_COMPOUND", "fields": [{"name": "offset", "type": "H5T_STD_I64LE"},
            {"name": "size", "type": "H5T_STD_I32LE"}]}, "layout": {"class": "H5D_CHUNKED", "dims": [5]}})),
        ),
    ]
}

/// Replaces the value at position `at` of a walk over `value`; false where the walk is shorter.
fn replace(value: &mut Value, at: &mut usize, by: &Value) -> bool {
    if *at == 0 {
        *value = by.clone();
        return true;
    }
    *at -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|value| replace(value, at, by)),
        Value::Object(object) => object.values_mut().any(|value| replace(value, at, by)),
        _ => false,
    }
}

fn hostile() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "H5T_VARIABLE",
        "H5S_UNLIMITED",
        "H5S_NULL",
        "H5D_CHUNKED",
        "H5D_CHUNKED_REF",
        "nan",
        "\0",
        "../../x",
        ROOT,
    ];
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just(0u64), Just(1), Just(u64::MAX), Just(1 << 31), Just(1 << 32), Just(1 << 61)]
            .prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
        (0u32..6).prop_map(|number| json!(id('d', number))),
        Just(json!([])),
        Just(json!({})),
        proptest::collection::vec(prop_oneof![Just(0u64), Just(3), Just(u64::MAX)], 0..40).prop_map(|list| json!(list)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_broken_document_panics(
        changes in proptest::collection::vec((0usize..7, 0usize..60, hostile()), 1..6),
        stream in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut documents = everything();
        for (document, at, by) in changes {
            let mut at = at + 1;
            replace(&mut documents[document].1, &mut at, &by);
        }
        if let Ok(assembled) = put_together(&documents) {
            for number in 0..assembled.hierarchy.objects.len() as u32 {
                let object = ObjectId(number);
                let Some(recipe) = assembled.chunks.recipe(object) else { continue };
                if recipe.grid.total() > 0 {
                    let last = recipe.grid.coordinates(recipe.grid.total() - 1);
                    if let ChunkSource::Computed { initializer, .. } = assembled.chunks.locate(object, &last)
                        && recipe.raw_len.is_some_and(|len| len < 1 << 16)
                    {
                        let _ = assembled.chunks.compute(object, &last, &initializer);
                    }
                }
                let _ = assembled.chunks.elements(object, stream.clone().into());
                for table in 0..4 {
                    let places = assembled.chunks.table_rows(object, ObjectId(table), &stream);
                    let _ = assembled.chunks.table_row(object, ObjectId(table), &stream, &places, number.into());
                }
            }
        }
    }
}

#[test]
fn the_file_that_has_everything_is_whole() {
    let assembled = file(everything());
    // Linked data of variable length cannot be in a file that HSDS linked; it is in this one to be refused.
    let reasons: Vec<String> = assembled.problems.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("/r: "), "{reasons:?}");
    assert_eq!(assembled.hierarchy.objects.len(), 6);
    assert_eq!(assembled.hierarchy.objects[0].attributes.len(), 7);
}
