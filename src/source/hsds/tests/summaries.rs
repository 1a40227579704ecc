//! Files of a store that HSDS 1.0 wrote, read with their summaries and without.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::layout::{PresentOptions, plan};
use crate::source::Contents;
use crate::store::memory::Memory;

/// Time of a request.
pub(super) const TRIP: Duration = Duration::from_millis(20);
/// The folder that holds all files of the sample store.
const FOLDER: &str = "home/admin";

/// The sample store as objects, each as old as its file; a request takes `trip`.
pub(super) fn sample(trip: Duration) -> Memory {
    let directory = tempfile::tempdir().unwrap();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hsds/store-posix-1.0.2.tar.gz");
    assert!(Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(directory.path()).status().unwrap().success());
    let memory = Memory::new(trip);
    let mut open = vec![directory.path().join("hsdstest")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let key = path.strip_prefix(directory.path().join("hsdstest")).unwrap().to_str().unwrap().to_owned();
            memory.put_at(key, fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        }
    }
    memory
}

fn source(memory: &Memory) -> HsdsSource {
    HsdsSource::new(Arc::new(memory.store()), HsdsSettings::default())
}

pub(super) async fn files(memory: &Memory) -> Vec<String> {
    let entries: Vec<Entry> = source(memory).list(FOLDER).try_collect().await.unwrap();
    let files = entries.into_iter().filter(|entry| entry.kind == EntryKind::File);
    files.map(|entry| format!("{FOLDER}/{}", entry.name)).collect()
}

/// Everything that is shown of a file, as bytes and text.
pub(super) fn shown(contents: &Contents) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    if contents.body == Body::Hierarchy {
        let image = plan(&contents.hierarchy, &PresentOptions::default()).unwrap();
        for segment in image.segments(0..image.len()) {
            if let crate::layout::SegmentKind::Metadata { part, at } = segment.kind {
                let mut out = vec![0; usize::try_from(segment.range.end - segment.range.start).unwrap()];
                image.synthesize(&part, at, &mut out);
                bytes.extend(out);
            }
        }
    }
    let Contents { hierarchy, fingerprint, problems, facts, modified, body, .. } = contents;
    (format!("{hierarchy:?} {:?} {problems:?} {facts:?} {modified:?} {body:?}", fingerprint.objects), bytes)
}

/// What is shown of a file, the round trips to open it, and how often its own objects were asked for.
async fn open(memory: &Memory, path: &str) -> ((String, Vec<u8>), u128, usize) {
    let source = source(memory);
    memory.asked();
    let begun = Instant::now();
    let contents = source.open(path).await.unwrap();
    let trips = begun.elapsed().as_millis() / TRIP.as_millis();
    let own = |asked: &&String| asked.starts_with("GET") && (asked.contains("/d/") || asked.contains("/g/"));
    (shown(&contents), trips, memory.asked().iter().filter(own).count())
}

fn summaries(memory: &Memory) -> Vec<String> {
    memory.keys().into_iter().filter(|key| key.ends_with("/.summary.json")).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_is_the_same_with_a_summary_and_without() {
    let with = sample(TRIP);
    let without = sample(TRIP);
    assert_eq!(summaries(&with).len(), 9);
    summaries(&without).iter().for_each(|key| without.remove(key));
    let mut used = BTreeMap::new();
    for path in files(&with).await {
        let (one, trips, own) = open(&with, &path).await;
        let (other, ..) = open(&without, &path).await;
        assert!(one == other, "{path}: {}\n{}", one.0, other.0);
        if own == 0 {
            // The domain; the root group and the statistics; the summary and a page of the listing.
            assert!(trips <= 3, "{path}: {trips}");
            used.insert(path.clone(), trips);
        }
    }
    // Of the fourteen samples nine have a summary; one is a file that was given to the store by hand.
    assert!(used.len() >= 9, "{used:?}");
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_may_be_outdated_is_not_used() {
    let path = "home/admin/layouts.h5";
    let fresh = open(&sample(TRIP), path).await;
    assert_eq!(fresh.2, 0, "used");
    let memory = sample(TRIP);
    let (_, root_id, _) = source(&memory).load_file(path).await.unwrap();
    // As old as one of its objects.
    let below = key::below(&root_id).unwrap();
    let dataset =
        memory.keys().into_iter().find(|key| key.starts_with(below.as_str()) && key.ends_with(".dataset.json"));
    let dataset = dataset.unwrap();
    let summary = key::summary(&root_id).unwrap();
    let store = memory.store();
    let (written, bytes) = {
        let meta = store.head(&summary).await.unwrap();
        (meta.modified, store.get(&Key::new(&dataset)).await.unwrap().bytes)
    };
    memory.put_at(&dataset, bytes.clone(), written);
    assert!(open(&memory, path).await.2 > 0);
    memory.put_at(&dataset, bytes.clone(), written - Duration::from_secs(1));
    assert_eq!(open(&memory, path).await.2, 0);
    // Written before the summary was, but after its writer had read it.
    let late = store.get(&summary).await.unwrap().bytes;
    memory.put_at(summary.as_str(), late.clone(), written + Duration::from_secs(100));
    memory.put_at(&dataset, bytes.clone(), written + Duration::from_secs(50));
    assert!(open(&memory, path).await.2 > 0);
    memory.put_at(summary.as_str(), late, written);
    memory.put_at(&dataset, bytes.clone(), written - Duration::from_secs(1));
    assert_eq!(open(&memory, path).await.2, 0);
    // An object it does not have, though nothing leads there.
    let stray = format!("{}d/0000-000000-000001/.dataset.json", below.as_str());
    memory.put(&stray, "{}");
    assert!(open(&memory, path).await.2 > 0);
    memory.remove(&stray);
    // An object that holds more than the summary says is read itself, and only it.
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let more = text.replacen('{', r#"{"layout": {"class": "H5D_CHUNKED", "dims": [1]}, "#, 1);
    memory.put_at(&dataset, more, written - Duration::from_secs(1));
    assert_eq!(open(&memory, path).await.2, 1);
    // A listing that spells tags otherwise vouches for nothing.
    memory.put_at(&dataset, bytes, written - Duration::from_secs(1));
    memory.set_tags_of_listings("0x");
    assert!(open(&memory, path).await.2 > 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_objects_come_in_two_trips_and_the_listing_with_a_summary() {
    let memory = Memory::new(TRIP);
    let scalar = r#""type": {"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}, "shape": {"class": "H5S_SCALAR"}, "attributes": {}"#;
    let object = |id: &str, members: &str| {
        format!(
            r#"{{"id": "{id}", "root": "{ROOT}", "created": 1795208566.5, "lastModified": 1795208566.5, {members}}}"#
        )
    };
    let ids: Vec<String> = (0..999).map(|number| id('d', number)).collect();
    let links: Vec<String> = ids
        .iter()
        .map(|id| format!(r#""{id}": {{"class": "H5L_TYPE_HARD", "id": "{id}", "created": 1795208566.5}}"#))
        .collect();
    let group = format!(r#""links": {{{}}}, "attributes": {{}}"#, links.join(", "));
    memory.put("x.h5/.domain.json", format!(r#"{{"root": "{ROOT}", "owner": "ann", "acls": {{}}}}"#));
    memory.put(key_of(ROOT), object(ROOT, &group));
    ids.iter().for_each(|id| memory.put(key_of(id), object(id, scalar)));
    let datasets: Vec<String> = ids.iter().map(|id| format!(r#""{id}": {{}}"#)).collect();
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let info = format!(
        r#"{{"num_groups": 1, "num_datatypes": 0, "num_chunks": 0, "scan_start": {began}, "datasets": {{{}}}}}"#,
        datasets.join(", ")
    );
    memory.put(format!("{HOME}/.info.json"), info);
    let (without, trips, own) = open(&memory, "x.h5").await;
    // The summary was looked for in vain beside the root group; then the datasets, 64 at a time.
    assert_eq!((trips, own), (2 + 999_u128.div_ceil(64), 999));
    let entries: Vec<String> = ids.iter().map(|id| format!(r#""{id}": {{{scalar}}}"#)).collect();
    let summary = format!(r#"{{"{ROOT}": {{{group}}}, {}}}"#, entries.join(", "));
    memory.put_at(format!("{HOME}/.summary.json"), summary, SystemTime::now());
    let (with, trips, own) = open(&memory, "x.h5").await;
    assert!(with == without);
    // Two and the two pages of the listing: a thousand objects and two more.
    assert_eq!((trips, own), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_comes_beside_the_objects_changes_nothing() {
    let quick = sample(TRIP);
    // Objects do not wait for a summary for longer than two seconds: then both come.
    for trip in [700, 1100, 1500, 1900].map(Duration::from_millis) {
        let slow = sample(trip);
        for path in files(&quick).await {
            let (late, soon) = (open(&slow, &path).await.0, open(&quick, &path).await.0);
            assert!(late == soon, "{path} {trip:?}");
        }
    }
}
