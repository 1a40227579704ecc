//! JSON of a store: parsed, and assembled as the root group and as a dataset of a file.
#![no_main]

use std::collections::HashMap;

use h5mount::model::chunk::ChunkMap;
use h5mount::model::hierarchy::ObjectId;
use h5mount::model::location::Bucket;
use h5mount::source::hsds::document::Document;
use h5mount::source::hsds::hierarchy::{Context, ShuffleOnly, assemble, children, mentioned};
use h5mount::source::hsds::id::Id;
use libfuzzer_sys::fuzz_target;

const ROOT: &str = "g-00000000-00000001-8888-888888-888889";
const DATASET: &str = "d-00000000-00000001-0000-000000-000001";

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes) else { return };
    let (Some(root), Some(dataset)) = (Id::parse(ROOT), Id::parse(DATASET)) else { return };
    let _ = (children(&document), mentioned(&document));
    let links = format!("{{\"links\": {{\"d\": {{\"class\": \"H5L_TYPE_HARD\", \"id\": \"{DATASET}\"}}}}}}");
    let Ok(parent) = Document::parse(links.as_bytes()) else { return };
    for as_root in [true, false] {
        let group = if as_root { document.clone() } else { parent.clone() };
        let objects = HashMap::from([
            (root, (root.metadata_key(), group)),
            (dataset, (dataset.metadata_key(), document.clone())),
        ]);
        let context = Context {
            bucket: Bucket::new("file:///srv/bucket"),
            shuffle_only: ShuffleOnly::Raw,
            resolve_external: Box::new(Clone::clone),
        };
        let Ok(assembled) = assemble(&root, objects, HashMap::new(), &context) else { continue };
        for number in 0..assembled.hierarchy.objects.len() as u32 {
            if let Some(recipe) = assembled.chunks.recipe(ObjectId(number))
                && recipe.grid.total() > 0
            {
                let last = recipe.grid.coordinates(recipe.grid.total() - 1);
                let _ = assembled.chunks.locate(ObjectId(number), &last);
            }
        }
    }
});
