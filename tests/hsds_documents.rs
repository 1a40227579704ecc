//! The JSON of real servers, of both lines, assembled: `tests/data/hsds/documents`.

use std::collections::HashMap;
use std::path::Path;

use h5mount::model::chunk::{ChunkMap, ChunkSource};
use h5mount::model::dataspace::Dataspace;
use h5mount::model::datatype::Datatype;
use h5mount::model::elements::Target;
use h5mount::model::hierarchy::{DataLayout, Dataset, Hierarchy, LinkTarget, Object, ObjectId, ObjectKind};
use h5mount::model::location::Bucket;
use h5mount::model::pipeline::{Decode, Filter};
use h5mount::source::hsds::document::Document;
use h5mount::source::hsds::hierarchy::{Assembled, Context, ShuffleOnly, assemble, children, mentioned};
use h5mount::source::hsds::id::Id;

fn open(server: &str, file: &str) -> Assembled {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hsds/documents").join(server).join(file);
    let root = Id::parse(&std::fs::read_to_string(folder.join("root")).unwrap()).unwrap();
    let (mut objects, mut missing, mut wanted) = (HashMap::new(), HashMap::new(), vec![root]);
    while let Some(id) = wanted.pop() {
        if objects.contains_key(&id) {
            continue;
        }
        match std::fs::read(folder.join(format!("{id}.json"))) {
            Ok(bytes) => {
                let document = Document::parse(&bytes).unwrap();
                wanted.extend(children(&document).into_iter().chain(mentioned(&document)));
                objects.insert(id, (id.metadata_key(), document));
            }
            Err(error) => {
                missing.insert(id, error.to_string());
            }
        }
    }
    let stored = std::fs::read_dir(&folder).unwrap().count() - 1;
    assert_eq!(objects.len(), stored, "every stored document is named by another");
    let context = Context {
        bucket: Bucket::new("file:///srv/hsdstest"),
        shuffle_only: ShuffleOnly::Raw,
        resolve_external: Box::new(Clone::clone),
    };
    let assembled = assemble(&root, objects, missing, &context).unwrap();
    assert_eq!(assembled.problems, [], "{server} {file}");
    assert_eq!(assembled.hierarchy.objects.len(), stored);
    assembled
}

fn find<'a>(hierarchy: &'a Hierarchy, path: &str) -> (ObjectId, &'a Object) {
    let mut at = Hierarchy::ROOT;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let ObjectKind::Group(group) = &hierarchy.get(at).unwrap().kind else { panic!("{path}") };
        let link = group.links.iter().find(|link| link.name.as_bytes() == part.as_bytes());
        let LinkTarget::Hard(target) = link.unwrap_or_else(|| panic!("{path}")).target else { panic!("{path}") };
        at = target;
    }
    (at, hierarchy.get(at).unwrap())
}

fn dataset<'a>(hierarchy: &'a Hierarchy, path: &str) -> (ObjectId, &'a Dataset) {
    match find(hierarchy, path) {
        (id, Object { kind: ObjectKind::Dataset(dataset), .. }) => (id, dataset),
        (_, other) => panic!("{path}: {other:?}"),
    }
}

#[test]
fn netcdf_files_keep_their_dimensions_in_both_dialects() {
    for (server, dialect, chunk) in [("1.0.2", "1.0", [1, 6, 8]), ("0.9.4", "0.9", [8192, 6, 8])] {
        let assembled = open(server, "nc4.nc");
        assert_eq!(assembled.facts["dialect"], dialect);
        let hierarchy = &assembled.hierarchy;
        let (id, tas) = dataset(hierarchy, "/tas");
        assert_eq!(tas.layout, DataLayout::Chunked(chunk.to_vec()));
        assert_eq!(tas.filters, [Filter::Shuffle, Filter::Deflate(4)]);
        assert_eq!(assembled.chunks.recipe(id).unwrap().decode.steps, [Decode::BloscOrDeflate { unshuffle: Some(4) }]);
        assert_eq!(tas.fill.as_ref().unwrap().bytes[..], 1e20f32.to_le_bytes());
        let Dataspace::Simple { max_dims, .. } = &tas.dataspace else { panic!() };
        assert_eq!(max_dims[0], None);

        let (_, object) = find(hierarchy, "/tas");
        assert!(object.attributes_tracked);
        let attribute = |name: &str| {
            object.attributes.iter().find(|attribute| attribute.name.as_bytes() == name.as_bytes()).unwrap()
        };
        let scales: Vec<ObjectId> = attribute("DIMENSION_LIST")
            .value
            .places
            .iter()
            .map(|place| match &place.target {
                Target::Sequence { count: 1, body } => match body.places[0].target {
                    Target::Object(object) => object,
                    _ => panic!(),
                },
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(scales, ["/time", "/lat", "/lon"].map(|path| find(hierarchy, path).0));
        let (_, time) = find(hierarchy, "/time");
        let class = time.attributes.iter().find(|attribute| attribute.name.as_bytes() == b"CLASS").unwrap();
        assert_eq!(class.value.bytes[..], *b"DIMENSION_SCALE\0");
    }
}

#[test]
fn links_cycles_and_aliases_of_a_real_file() {
    let assembled = open("1.0.2", "links.h5");
    let hierarchy = &assembled.hierarchy;
    assert_eq!(find(hierarchy, "/a/b/c/up_to_a").0, find(hierarchy, "/a").0);
    assert_eq!(find(hierarchy, "/hard_to_dset").0, find(hierarchy, "/a/b/c/hard_again").0);
    let ObjectKind::Group(root) = &hierarchy.objects[0].kind else { panic!() };
    let external = root.links.iter().find(|link| link.name.as_bytes() == b"ext").unwrap();
    assert!(matches!(&external.target, LinkTarget::External { file, path }
        if file.as_bytes() == b"types.h5" && path.as_bytes() == b"/scalars/i4"));
}

#[test]
fn types_of_both_dialects_are_the_same_types() {
    let (new, old) = (open("1.0.2", "types.h5"), open("0.9.4", "types.h5"));
    let mut seen = 0;
    for path in [
        "/scalars/i1",
        "/scalars/u8",
        "/scalars/f2",
        "/scalars/f8",
        "/scalars/bool",
        "/arrays/bools",
        "/arrays/enum",
        "/arrays/compound",
        "/arrays/vlen_i4",
        "/arrays/vlen_f8be",
        "/arrays/compound_vlen",
        "/refs/obj",
    ] {
        let of = |assembled: &Assembled| -> Option<Datatype> {
            let ObjectKind::Group(_) = &assembled.hierarchy.objects[0].kind else { return None };
            let (_, dataset) = dataset(&assembled.hierarchy, path);
            assembled.hierarchy.datatype(&dataset.datatype).cloned()
        };
        assert_eq!(of(&new), of(&old), "{path}");
        assert!(of(&new).is_some());
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn linked_datasets_lead_into_the_file_beside_the_bucket() {
    let assembled = open("0.9.4", "linked.h5");
    let hierarchy = &assembled.hierarchy;
    let (few, few_gzip) = dataset(hierarchy, "/few_gzip");
    assert_eq!(few_gzip.layout, DataLayout::Chunked(vec![50, 70]));
    let ChunkSource::Range(file, range) = assembled.chunks.locate(few, &[1, 0]) else { panic!() };
    assert_eq!(file.to_string(), "file:///srv/hsdstest/files/linksrc.h5");
    assert_eq!(range, 34053..34053 + 372);

    let (many, many_gzip) = dataset(hierarchy, "/many_gzip_shuf");
    assert_eq!(many_gzip.layout, DataLayout::Chunked(vec![10, 14]));
    let ChunkSource::Table { table, row } = assembled.chunks.locate(many, &[9, 4]) else { panic!() };
    assert_eq!(row, [9, 4]);
    let table_recipe = assembled.chunks.recipe(table).unwrap();
    assert_eq!((table_recipe.raw_len, table_recipe.grid.total()), (Some(50 * 12), 1));

    let (contiguous, contig) = dataset(hierarchy, "/contig");
    assert_eq!(contig.layout, DataLayout::Contiguous);
    assert!(
        matches!(assembled.chunks.locate(contiguous, &[0, 0]), ChunkSource::Range(_, range) if range == (2048..30048))
    );
    let (partial, _) = dataset(hierarchy, "/partial");
    assert_eq!(assembled.chunks.locate(partial, &[0]), ChunkSource::Fill);
}
