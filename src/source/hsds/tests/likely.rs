//! Objects that links may lead to, asked for ahead of these: they are in the way of none that links lead to.

use std::time::Duration;

use super::*;
use crate::source::hsds::id::Id;
use crate::store::StoreSettings;
use crate::store::memory::Memory;

const ROOT: &str = "g-6470adce-88afc031-ecf8-254600-2748b9";
const DATASET: &str = r#"{"attributes": {}, "lastModified": 1.5, "shape": {"class": "H5S_SCALAR"},
    "type": {"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}}"#;

fn id(kind: char, number: usize) -> String {
    format!("{kind}-6470adce-88afc031-0000-000000-{number:06x}")
}

fn group(ids: &[String]) -> String {
    let links = ids.iter().map(|id| format!(r#""{id}": {{"class": "H5L_TYPE_HARD", "id": "{id}", "created": 1.5}}"#));
    format!(r#"{{"attributes": {{}}, "lastModified": 1.5, "links": {{{}}}}}"#, links.collect::<Vec<_>>().join(", "))
}

#[tokio::test(start_paused = true)]
async fn what_links_lead_to_is_asked_for_before_what_they_may_lead_to() {
    // Six groups, one in the other, of which the last has all datasets; a listing names these before.
    const DEEP: usize = 6;
    const DATASETS: usize = 400;
    const PLACES: usize = 8;
    let memory = Memory::new(Duration::from_millis(20));
    memory.put("x.h5/.domain.json", format!(r#"{{"root": "{ROOT}", "owner": "ann", "acls": {{}}}}"#));
    let put = |id: &str, json: String| memory.put(Id::parse(id).unwrap().metadata_key().as_str(), json);
    put(ROOT, group(&[id('g', 1)]));
    for number in 1..DEEP {
        put(&id('g', number), group(&[id('g', number + 1)]));
    }
    let datasets: Vec<String> = (0..DATASETS).map(|number| id('d', number)).collect();
    put(&id('g', DEEP), group(&datasets));
    datasets.iter().for_each(|id| put(id, DATASET.to_owned()));
    let store = memory.store_with(StoreSettings { in_flight: PLACES, ..StoreSettings::default() });
    let source = HsdsSource::new(Arc::new(store), HsdsSettings::default());
    let contents = source.open("x.h5").await.unwrap();
    assert_eq!(contents.hierarchy.objects.len(), 1 + DEEP + DATASETS);
    let asked = memory.asked();
    let of = |key: &str| asked.iter().filter(|asked| asked.contains(key)).count();
    assert_eq!(of("/d/0000-000000-000001/"), 1, "{:?}", &asked[..20]);
    let last = Id::parse(&id('g', DEEP)).unwrap().metadata_key();
    let at = asked.iter().position(|asked| asked.contains(last.as_str())).unwrap();
    // The domain, the root, and what is asked beside it; then a round for each group, however much waits beside it.
    assert!(at <= 6 + DEEP * PLACES, "the last group is number {at}");
}
