//! Files of a bucket, found, opened and compared; what is asked for is counted exactly.

mod kept;

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt;

use super::*;
use crate::model::chunk::ChunkSource;
use crate::model::hierarchy::ObjectId;
use crate::source::Body;
use crate::source::hsds::{HsdsSettings, HsdsSource};
use crate::store::memory::Memory;

/// Groups of the old form, attributes, elements in one piece.
const OLD: &str = "HDFGroup__h5serv/test/test_files/sample.h5";

fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5/good");
    std::fs::read(folder.join(name)).unwrap()
}

/// Two datasets, of which one went through a version of ZFP that nothing here undoes.
fn packed() -> Vec<u8> {
    let mut file = sample("silx-kit__hdf5plugin/src/H5Z-ZFP/test/test_zfp_110050.h5");
    let magic = file.windows(4).position(|four| four == b"zfp\x05").unwrap();
    file[magic + 3] = 4;
    file
}

fn source(memory: &Memory, files: Hdf5Files) -> Hdf5Source {
    let store = Arc::new(memory.store());
    Hdf5Source::over(Arc::new(HsdsSource::new(store.clone(), HsdsSettings::default())), store, files)
}

/// Where the first chunk lies that was written.
fn written(contents: &Contents) -> Option<ChunkSource> {
    let ids = (0..contents.hierarchy.objects.len() as u32).map(ObjectId);
    let first = |id| {
        let grid = &contents.chunks.recipe(id)?.grid;
        (0..grid.total()).find_map(|number| match contents.chunks.locate(id, &grid.coordinates(number)) {
            ChunkSource::Fill => None,
            source => Some(source),
        })
    };
    ids.filter_map(first).next()
}

#[tokio::test(start_paused = true)]
async fn objects_with_the_names_of_hdf5_files_are_files_and_opened_with_one_request() {
    let memory = Memory::new(Duration::from_millis(20));
    memory.put("a/x.h5", sample(OLD));
    memory.put("a/notes.txt", "words");
    let source = source(&memory, Hdf5Files::Auto);
    let mut entries: Vec<Entry> = source.list("a").try_collect().await.unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(matches!(entries[0].kind, EntryKind::Plain { .. }), "{entries:?}");
    assert_eq!((entries[1].name.as_str(), &entries[1].kind), ("x.h5", &EntryKind::File));
    memory.asked();
    let contents = source.open("a/x.h5").await.unwrap();
    assert_eq!(memory.asked(), ["GET a/x.h5"]);
    assert_eq!((&contents.body, contents.problems.len()), (&Body::Hierarchy, 0));
    let Some(ChunkSource::Range(location, range)) = written(&contents) else { panic!("no range") };
    assert_eq!(location.key.as_str(), "a/x.h5");
    assert!(!range.is_empty() && range.end <= sample(OLD).len() as u64, "{range:?}");

    assert_eq!(source.still_holds(&contents.fingerprint).await.unwrap(), Freshness::Unchanged);
    assert_eq!(memory.asked(), ["HEAD a/x.h5"]);
    memory.put("a/x.h5", "other bytes");
    assert_eq!(source.still_holds(&contents.fingerprint).await.unwrap(), Freshness::Changed);
    memory.remove("a/x.h5");
    assert_eq!(source.still_holds(&contents.fingerprint).await.unwrap(), Freshness::Gone);
    assert!(matches!(source.open("a/x.h5").await, Err(SourceError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_hdf5_file_or_is_cut_off_is_shown_as_it_is() {
    let memory = Memory::new(Duration::from_millis(20));
    memory.put("classic.nc", "CDF\x01 and so on");
    memory.put("empty.h5", "");
    let whole = sample(OLD);
    let cut = whole.len() as u64 - 100;
    memory.put("cut.h5", whole[..whole.len() - 100].to_vec());
    let source = source(&memory, Hdf5Files::Auto);
    for (name, size, reason) in [
        ("classic.nc", 14, "it is no HDF5 file".to_owned()),
        ("empty.h5", 0, "it is no HDF5 file".to_owned()),
        ("cut.h5", cut, format!("it is cut off: it ends at byte {cut} and should end at byte {}", cut + 100)),
    ] {
        let contents = source.open(name).await.unwrap();
        let shown = &contents.facts["shown"];
        assert_eq!(*shown, format!("as it is: {reason}"), "{name}");
        let problems: Vec<String> = contents.problems.iter().map(|problem| problem.reason.clone()).collect();
        // What is of another kind is as it should be; what lacks its end is not.
        assert_eq!(problems, if name == "cut.h5" { vec![reason] } else { Vec::new() }, "{name}");
        assert!(matches!(&contents.body, Body::Object { size: found, .. } if *found == size), "{:?}", contents.body);
        assert_eq!(source.still_holds(&contents.fingerprint).await.unwrap(), Freshness::Unchanged, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_undone_is_shown_as_it_is_or_left_out_and_never_taken_for_elements() {
    let memory = Memory::new(Duration::from_millis(20));
    memory.put("x.h5", packed());
    let auto = source(&memory, Hdf5Files::Auto).open("x.h5").await.unwrap();
    assert!(auto.facts["shown"].contains("which is not undone here"), "{:?}", auto.facts);
    assert!(matches!(auto.body, Body::Object { .. }));
    let anew = source(&memory, Hdf5Files::Relayout).open("x.h5").await.unwrap();
    // The dataset beside it is shown.
    assert_eq!((&anew.body, anew.hierarchy.objects.len()), (&Body::Hierarchy, 2));
    let [problem] = anew.problems.as_slice() else { panic!("{:?}", anew.problems) };
    assert!(problem.path == "/compressed" && problem.reason.contains("which is not undone here"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn raw_leaves_everything_as_it_is() {
    let memory = Memory::new(Duration::from_millis(20));
    memory.put("x.h5", sample(OLD));
    let source = source(&memory, Hdf5Files::Raw);
    let entry = source.find("x.h5").await.unwrap().unwrap();
    assert!(matches!(entry.kind, EntryKind::Plain { .. }), "{entry:?}");
}

#[tokio::test(start_paused = true)]
async fn files_of_the_other_source_cost_nothing_more() {
    let memory = Memory::new(Duration::from_millis(20));
    memory.put("run.h5/.domain.json", r#"{"root": "g-00000000-00000001-8888-888888-888889"}"#);
    let (over, alone) = (source(&memory, Hdf5Files::Auto), source(&memory, Hdf5Files::Raw));
    let mut asked = Vec::new();
    for source in [&over, &alone] {
        memory.asked();
        assert_eq!(source.find("run.h5").await.unwrap().unwrap().kind, EntryKind::File);
        // Its root is not there; only what is asked for matters.
        assert!(source.open("run.h5").await.is_err());
        let mut all = memory.asked();
        all.sort();
        asked.push(all);
    }
    assert_eq!(asked[0], asked[1]);
}

#[tokio::test(start_paused = true)]
async fn a_survey_names_what_is_wrong_with_a_file_as_a_whole() {
    use survey::{Cause, survey};
    let memory = Memory::new(Duration::from_millis(20));
    let whole = sample(OLD);
    memory.put("cut.h5", whole[..whole.len() - 100].to_vec());
    memory.put("other.nc", "CDF\x01 and so on");
    memory.put("x.h5", whole.clone());
    memory.put("packed.h5", packed());
    let store = memory.store();
    for (name, cause) in [("cut.h5", Cause::Cut), ("other.nc", Cause::Foreign)] {
        let surveyed = survey(&store, &Key::new(name), 1 << 20).await.unwrap();
        let causes: Vec<Cause> = surveyed.findings.iter().map(|finding| finding.cause).collect();
        assert_eq!((causes, surveyed.contents.is_none()), (vec![cause], true), "{name}");
    }
    memory.asked();
    let sound = survey(&store, &Key::new("x.h5"), whole.len() as u64).await.unwrap();
    assert_eq!(memory.asked(), ["GET x.h5"]);
    assert_eq!((&sound.findings[..], &sound.packed[..], sound.partial), (&[][..], &[][..], false));
    let ledger = &sound.ledger;
    let named = ledger.metadata + ledger.elements + sound.heaps;
    assert!(named > 0 && named + ledger.unnamed_bytes() <= whole.len() as u64, "{ledger:?}");
    // A filter that nothing here undoes hides no dataset from a survey.
    let packed = survey(&store, &Key::new("packed.h5"), 0).await.unwrap();
    assert_eq!((packed.findings.len(), packed.packed.len()), (0, 1));
    assert_eq!(packed.contents.unwrap().hierarchy.objects.len(), 3);
}

#[test]
fn names_tell_by_their_ends() {
    let named = |key: &str| is_hdf5(&Key::new(key));
    assert!(["a/b.h5", "b.NC", "x.y.he5", "z.nc4", "s.hdf5"].map(named).iter().all(|named| *named));
    assert!(!["h5", "a.h5/b", ".h5", "a.h5.txt", "a.json"].map(named).iter().any(|named| *named));
}
