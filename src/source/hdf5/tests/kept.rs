//! Indexes that were kept: what is asked for with them, and that a damaged or old one costs no more than a look.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::source::shelf::tests::InMemory;
use crate::source::shelf::{Checked, Shelf, Unkept};

/// A file of more than one request, the index beside it, and what is asked when a name is looked up for the first time.
const FILE: &str = "a/x.h5";
const BESIDE: &str = "a/.x.h5.h5mount-index";

fn keeping(memory: &Memory, shelves: Shelves) -> Hdf5Source {
    source(memory, Hdf5Files::Auto).keeping(shelves, super::super::Memory::default())
}

fn own(shelf: &Arc<InMemory>) -> Shelves {
    Shelves { own: Some(shelf.clone()), given: None }
}

/// A store with a file that is more than is read at once.
fn store(of: &str) -> Memory {
    let memory = Memory::new(Duration::from_millis(20));
    memory.put(FILE, large(sample(of)));
    memory
}

fn large(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize((1 << 20) + 77, 0);
    bytes
}

/// A file, and what was asked for to open it.
async fn opened(source: &Hdf5Source, memory: &Memory) -> (Contents, Vec<String>) {
    source.find(FILE).await.unwrap().unwrap();
    memory.asked();
    let contents = source.open(FILE).await.unwrap();
    // Whatever is kept is kept by a task of its own.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut asked = memory.asked();
    asked.sort();
    (contents, asked)
}

fn same(one: &Contents, other: &Contents) -> bool {
    let chunks = |contents: &Contents| {
        let grids = (0..contents.hierarchy.objects.len() as u32)
            .map(ObjectId)
            .filter_map(|id| Some((id, contents.chunks.recipe(id)?.grid.clone())));
        grids
            .flat_map(|(id, grid)| {
                let numbers = 0..grid.total();
                numbers.map(move |number| (id, grid.coordinates(number)))
            })
            .map(|(id, at)| (contents.chunks.locate(id, &at), contents.chunks.exception(id, &at)))
            .collect::<Vec<_>>()
    };
    one.hierarchy == other.hierarchy
        && one.fingerprint == other.fingerprint
        && one.facts == other.facts
        && one.body == other.body
        && one.problems == other.problems
        && one.modified == other.modified
        && chunks(one) == chunks(other)
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_kept_is_opened_by_its_look_up_alone_and_later_by_one_more() {
    let (memory, shelf) = (store(OLD), Arc::new(InMemory::default()));
    let (first, asked) = opened(&keeping(&memory, own(&shelf)), &memory).await;
    assert_eq!(asked, [format!("GET {BESIDE}"), format!("GET {FILE}")]);
    let next = keeping(&memory, own(&shelf));
    let (second, asked) = opened(&next, &memory).await;
    assert_eq!(asked, Vec::<String>::new());
    assert!(same(&first, &second));
    // The look-up is long ago.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let third = next.open(FILE).await.unwrap();
    assert_eq!(memory.asked(), [format!("HEAD {FILE}")]);
    assert!(same(&first, &third));
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_spells_tags_and_times_otherwise_changes_nothing_of_what_is_shown() {
    let (memory, shelf) = (store(OLD), Arc::new(InMemory::default()));
    let (first, _) = opened(&keeping(&memory, own(&shelf)), &memory).await;
    let next = keeping(&memory, own(&shelf));
    next.find(FILE).await.unwrap().unwrap();
    let seen = next.seen().get(FILE).cloned().flatten().unwrap();
    let etag = seen.etag.as_ref().map(|tag| ETag::new(format!("\"{}\"", tag.as_str())));
    assert_ne!(etag, seen.etag);
    let modified = seen.modified.map(|time| time + Duration::from_millis(7));
    next.remember(FILE, Some(Seen { etag, modified, ..seen }));
    memory.asked();
    let second = next.open(FILE).await.unwrap();
    assert_eq!(memory.asked(), Vec::<String>::new());
    assert!(same(&first, &second));
    assert_eq!(first.chunks.container(), second.chunks.container());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_old_or_damaged_costs_a_look_and_shows_nothing_old() {
    let (memory, shelf) = (store(OLD), Arc::new(InMemory::default()));
    let (old, _) = opened(&keeping(&memory, own(&shelf)), &memory).await;
    memory.put(FILE, large(packed()));
    let (new, asked) = opened(&keeping(&memory, own(&shelf)), &memory).await;
    assert_eq!(asked, [format!("GET {BESIDE}"), format!("GET {FILE}"), format!("HEAD {FILE}")]);
    assert!(new.facts["shown"].contains("which is not undone here") && !same(&old, &new), "{:?}", new.facts);
    // That one was kept in its place, though it says only why the file is shown as it is.
    let (again, asked) = opened(&keeping(&memory, own(&shelf)), &memory).await;
    assert!(asked.is_empty() && same(&new, &again), "{asked:?}");
    let location = memory.store().location(&Key::new(FILE));
    let whole = shelf.get(&location).await.unwrap();
    for at in [0, 9, 13, 40, whole.len() - 1] {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 4;
        shelf.put(&location, damaged.into()).await.unwrap();
        let (again, asked) = opened(&keeping(&memory, own(&shelf)), &memory).await;
        assert!(asked.contains(&format!("GET {FILE}")) && same(&new, &again), "{at}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_beside_a_file_is_found_with_its_head_and_not_listed() {
    let memory = store(OLD);
    let plain = keeping(&memory, Shelves::default());
    let (before, _) = opened(&plain, &memory).await;
    let description = plain.describe(FILE).await.unwrap();
    assert_eq!((description.checked, description.beside), (Ok(Checked::Identity), Some(Key::new(BESIDE))));
    assert_eq!(description.objects, before.hierarchy.objects.len() as u64);
    assert!(description.chunks.is_some_and(|chunks| chunks > 0));
    memory.put(BESIDE, description.bytes.to_vec());
    memory.asked();
    let (after, asked) = opened(&keeping(&memory, Shelves::default()), &memory).await;
    assert_eq!(asked, [format!("GET {BESIDE}"), format!("GET {FILE}")]);
    assert!(same(&before, &after));
    let names: Vec<Entry> = plain.list("a").try_collect().await.unwrap();
    assert_eq!(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["x.h5"]);
    // In a folder of indexes it is found without the file.
    let shelf = Arc::new(InMemory::default());
    shelf.put(&description.domain, description.bytes).await.unwrap();
    let given = Shelves { own: None, given: Some(shelf) };
    let (after, asked) = opened(&keeping(&memory, given), &memory).await;
    assert!(asked.is_empty() && same(&before, &after), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn of_files_that_need_none_there_is_none_and_why_is_told() {
    let memory = Memory::new(Duration::from_millis(20));
    memory.put("small.h5", sample(OLD));
    memory.put("classic.nc", "CDF\x01 and so on");
    memory.put("packed.h5", large(packed()));
    let source = keeping(&memory, Shelves::default());
    for (name, reason) in [
        ("small.h5", "it needs none: one request reads all of it"),
        ("classic.nc", "it is shown as it is: it is no HDF5 file"),
        ("packed.h5", "it is shown as it is: /"),
    ] {
        let described = source.describe(name).await.unwrap();
        let Err(Unkept::Needless(told)) = described.checked else { panic!("{:?}", described.checked) };
        assert!(told.starts_with(reason) && described.bytes.is_empty(), "{name}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_is_counted_while_it_is_held_and_no_more_than_may_be() {
    let memory = store(OLD);
    let (held, peak) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    struct Held(Arc<AtomicU64>, u64);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_sub(self.1, Ordering::SeqCst);
        }
    }
    let (count, most) = (held.clone(), peak.clone());
    let hold: Hold = Arc::new(move |bytes| {
        most.fetch_max(count.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
        Box::new(Held(count.clone(), bytes))
    });
    let counting = |most| super::super::Memory { most, hold: hold.clone() };
    let counted = source(&memory, Hdf5Files::Auto).keeping(Shelves::default(), counting(1 << 30));
    let (contents, _) = opened(&counted, &memory).await;
    assert_eq!((held.load(Ordering::SeqCst), peak.load(Ordering::SeqCst)), (0, 1 << 20));
    assert!(contents.chunks.weight() > 0);
    // Values past what may be held are left out one by one.
    let narrow = source(&memory, Hdf5Files::Relayout).keeping(Shelves::default(), counting(1));
    let (contents, _) = opened(&narrow, &memory).await;
    assert!(contents.problems.iter().any(|problem| problem.reason.contains("too much")), "{:?}", contents.problems);
}
