//! Files whose descriptions were kept: what is shown, and what is asked for it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::key;
use super::summaries::{TRIP, files, sample, shown};
use super::*;
use crate::source::Contents;
use crate::source::shelf::tests::InMemory;
use crate::source::shelf::{Checked, Shelf, Shelves};
use crate::store::memory::Memory;

fn keeping(memory: &Memory, shelf: &Arc<InMemory>) -> HsdsSource {
    let shelves = Shelves { own: Some(shelf.clone()), given: None };
    HsdsSource::new(Arc::new(memory.store()), HsdsSettings::default()).keeping(shelves)
}

/// A file, and the round trips to open it.
async fn opened(source: &HsdsSource, path: &str) -> (Contents, u128) {
    let begun = Instant::now();
    let contents = source.open(path).await.unwrap();
    let trips = begun.elapsed().as_millis() / TRIP.as_millis();
    // Whatever is kept is kept by a task of its own, and decoding takes threads.
    tokio::time::sleep(Duration::from_millis(1)).await;
    (contents, trips)
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_kept_opens_as_it_was_in_one_round_trip() {
    let (memory, shelf) = (sample(TRIP), Arc::new(InMemory::default()));
    let mut kept = 0;
    for path in files(&memory).await {
        let (before, _) = opened(&keeping(&memory, &shelf), &path).await;
        let domain = memory.store().location(&key::domain(&path));
        if shelf.get(&domain).await.is_none() {
            continue;
        }
        kept += 1;
        memory.asked();
        let (after, trips) = opened(&keeping(&memory, &shelf), &path).await;
        assert!(shown(&before) == shown(&after), "{path}");
        assert_eq!(trips, 1, "{path}: {:?}", memory.asked());
        // Looked up before, as mounts do: nothing more is asked.
        let source = keeping(&memory, &shelf);
        assert!(source.find(&path).await.unwrap().is_some());
        assert_eq!(opened(&source, &path).await.1, 0, "{path}");
        // Of what it was read from, the first version of it.
        assert_eq!(source.still_holds(&after.fingerprint).await.unwrap(), Freshness::Unchanged);
    }
    assert!(kept >= 9, "{kept}");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_a_file_that_changed_or_is_damaged_is_not_shown() {
    let (memory, shelf) = (sample(TRIP), Arc::new(InMemory::default()));
    let path = "home/admin/layouts.h5";
    let (before, _) = opened(&keeping(&memory, &shelf), path).await;
    let root = id::Id::parse(&before.facts["root"]).unwrap();
    let domain = memory.store().location(&key::domain(path));
    let whole = shelf.get(&domain).await.unwrap();
    for damaged in [whole.slice(..whole.len() - 1), Bytes::new(), Bytes::from(vec![0; 500])] {
        shelf.put(&domain, damaged).await.unwrap();
        assert!(shown(&opened(&keeping(&memory, &shelf), path).await.0) == shown(&before));
        assert_eq!(shelf.get(&domain).await.unwrap().len(), whole.len(), "kept anew");
    }
    memory.put(root.metadata_key().as_str(), format!(r#"{{"id": "{root}", "root": "{root}", "links": {{}}}}"#));
    // It was counted after that.
    let info = key::info(&root).unwrap();
    memory.put_at(info.as_str(), "{}", SystemTime::now());
    let (after, _) = opened(&keeping(&memory, &shelf), path).await;
    assert_eq!(after.hierarchy.objects.len(), 1);
    memory.remove(key::domain(path).as_str());
    assert!(keeping(&memory, &shelf).open(path).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_changed_since_it_was_counted_is_not_kept() {
    let (memory, shelf) = (sample(TRIP), Arc::new(InMemory::default()));
    let path = "home/admin/layouts.h5";
    let (_, root, _) = keeping(&memory, &shelf).load_file(path).await.unwrap();
    memory.put_at(root.metadata_key().as_str(), format!(r#"{{"id": "{root}"}}"#), SystemTime::now());
    opened(&keeping(&memory, &shelf), path).await;
    assert!(shelf.0.lock().unwrap().is_empty());
    assert_eq!(keeping(&memory, &shelf).describe(path).await.unwrap().checked.ok(), None);
}

/// A file of `number` datasets below its root, counted, with more chunks than a page of a listing holds.
fn many(memory: &Memory, number: u32) {
    let links = (0..number).map(|at| format!(r#""d{at}": {{"class": "H5L_TYPE_HARD", "id": "{}"}}"#, id('d', at)));
    let links = links.collect::<Vec<_>>().join(", ");
    memory.put("x.h5/.domain.json", format!(r#"{{"root": "{ROOT}"}}"#));
    memory.put(key_of(ROOT), format!(r#"{{"id": "{ROOT}", "root": "{ROOT}", "links": {{{links}}}}}"#));
    for at in 0..number {
        let dataset = id('d', at);
        let json = format!(
            r#"{{"id": "{dataset}", "root": "{ROOT}", "type": {{"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}}, "shape": {{"class": "H5S_SCALAR"}}, "attributes": {{}}}}"#
        );
        memory.put(key_of(&dataset), json);
    }
    let datasets = (0..number).map(|at| format!(r#""{}": {{"num_chunks": 100}}"#, id('d', at)));
    let datasets = datasets.collect::<Vec<_>>().join(", ");
    let info = format!(
        r#"{{"num_groups": 0, "num_datatypes": 0, "num_chunks": 100000000, "datasets": {{{datasets}}}, "scan_start": 1}}"#
    );
    memory.put(format!("{HOME}/.info.json"), info);
}

#[tokio::test(start_paused = true)]
async fn an_index_beside_a_large_file_is_found_in_the_third_round_trip() {
    let memory = Memory::new(TRIP);
    let number = 2000;
    many(&memory, number);
    let source = HsdsSource::new(Arc::new(memory.store()), HsdsSettings::default());
    let (before, without) = opened(&source, "x.h5").await;
    assert!(without > 30, "{without}");
    let description = source.describe("x.h5").await.unwrap();
    assert_eq!((description.objects, description.checked), (u64::from(number) + 1, Ok(Checked::Statistics)));
    memory.put(description.beside.unwrap().as_str(), description.bytes);
    memory.asked();
    let (after, trips) = opened(&source, "x.h5").await;
    // The domain; the statistics; the index, and what was asked for beside it.
    let asked = memory.asked().len();
    assert!(trips <= 4 && asked < 300, "{trips} {asked}");
    assert!(shown(&after) == shown(&before));
    // Outdated, it is not believed.
    let first = id('d', 0);
    memory.put(key_of(&first), "{}");
    memory.put(
        format!("{HOME}/.info.json"),
        r#"{"num_groups": 2000, "num_datatypes": 0, "num_chunks": 1000000, "datasets": {}}"#,
    );
    assert_ne!(opened(&source, "x.h5").await.0.problems, after.problems);
}

#[tokio::test(start_paused = true)]
async fn a_large_file_that_was_kept_opens_in_one_round_trip_too() {
    let (memory, shelf) = (Memory::new(TRIP), Arc::new(InMemory::default()));
    many(&memory, 2000);
    let (before, _) = opened(&keeping(&memory, &shelf), "x.h5").await;
    memory.asked();
    let (after, trips) = opened(&keeping(&memory, &shelf), "x.h5").await;
    assert_eq!((trips, memory.asked().len()), (1, 2));
    assert!(shown(&after) == shown(&before));
}
