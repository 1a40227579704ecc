//! What is read of the disk cache, and what is asked of the store for it.

use std::path::Path;
use std::time::Duration;

use super::super::tests::{DATA, over, recipe};
use super::super::{FetchSettings, FileChunks, Plain, Shown};
use super::*;
use crate::cache::CacheSettings;
use crate::cache::disk::DiskSettings;
use crate::model::chunk::{ChunkId, ChunkSource};
use crate::model::location::Key;
use crate::model::pipeline::Decode;
use crate::store::memory::Memory;

const LONG: Duration = Duration::from_secs(30);
const CHUNK: u64 = 100;

fn disk(directory: &Path) -> Arc<DiskCache> {
    let settings = DiskSettings { directory: directory.to_owned(), bytes: 1 << 30, origins: Default::default() };
    Arc::new(DiskCache::open(&settings))
}

/// One that keeps nothing in memory, so that every read comes here.
fn fetcher(disk: &Arc<DiskCache>, believed: bool) -> Arc<Fetcher> {
    let cache = CacheSettings { bytes: 0, ..CacheSettings::default() };
    let fetcher = Fetcher::new(FetchSettings { cache, ..FetchSettings::default() });
    Arc::new(fetcher.keeping(Arc::clone(disk), believed))
}

fn bytes(byte: u8) -> Vec<u8> {
    vec![byte; CHUNK as usize]
}

async fn read(fetcher: &Arc<Fetcher>, file: &Arc<FileChunks>) -> Vec<u8> {
    match fetcher.chunk(file, ChunkId { dataset: DATA, number: 0 }, None).await.unwrap() {
        Plain::Bytes(bytes) => bytes.to_vec(),
        Plain::Absent => Vec::new(),
    }
}

fn sent(file: &FileChunks) -> u64 {
    file.stores().home().counters().bytes
}

#[tokio::test]
async fn what_was_fetched_before_a_restart_is_asked_for_once_and_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let memory = Memory::new(Duration::ZERO);
    memory.put("1/c0", bytes(1));
    let file = over(memory.store(), recipe(CHUNK, CHUNK, 1, &[]), None);
    assert_eq!(read(&fetcher(&disk, false), &file).await, bytes(1));
    disk.settle(LONG).await;
    assert_eq!((memory.asked(), sent(&file)), (vec!["GET 1/c0".to_owned()], CHUNK));
    let (again, file) = (fetcher(&disk, false), file.renewed());
    for _ in 0..3 {
        assert_eq!(read(&again, &file).await, bytes(1));
    }
    assert_eq!((memory.asked(), sent(&file)), (vec!["GET 1/c0".to_owned()], CHUNK));
    // Nothing changes, says whoever mounts it.
    assert_eq!(read(&fetcher(&disk, true), &file.renewed()).await, bytes(1));
    assert_eq!(memory.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_replaced_is_sent_and_what_is_gone_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let memory = Memory::new(Duration::ZERO);
    memory.put("1/c0", bytes(1));
    let file = over(memory.store(), recipe(CHUNK, CHUNK, 1, &[]), None);
    for byte in 1..4 {
        memory.put("1/c0", bytes(byte));
        assert_eq!(read(&fetcher(&disk, false), &file.renewed()).await, bytes(byte));
        disk.settle(LONG).await;
    }
    memory.remove("1/c0");
    assert_eq!(read(&fetcher(&disk, false), &file.renewed()).await, Vec::<u8>::new());
}

#[tokio::test]
async fn linked_data_of_an_object_that_is_known_need_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let memory = Memory::new(Duration::ZERO);
    memory.put("linked", [bytes(1), bytes(2)].concat());
    let store = memory.store();
    let part = |at: u64| ChunkSource::Range(store.location(&Key::new("linked")), at..at + CHUNK);
    let first = over(memory.store(), recipe(CHUNK, CHUNK, 1, &[]), Some(part(0)));
    let second = over(memory.store(), recipe(CHUNK, CHUNK, 1, &[]), Some(part(CHUNK)));
    let fetching = fetcher(&disk, false);
    assert_eq!((read(&fetching, &first).await, read(&fetching, &second).await), (bytes(1), bytes(2)));
    disk.settle(LONG).await;
    memory.asked();
    let (again, first) = (fetcher(&disk, false), first.renewed());
    assert_eq!((read(&again, &first).await, read(&again, &first).await), (bytes(1), bytes(1)));
    assert_eq!((memory.asked().len(), sent(&first)), (1, CHUNK));
}

#[tokio::test]
async fn what_is_warmed_is_on_disk_though_it_was_in_memory_before_or_the_disk_has_much_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let memory = Memory::new(Duration::ZERO);
    // Twice as much as may wait for the disk.
    const LARGE: u64 = 4 << 20;
    let count = 16;
    for number in 0..count {
        memory.put(format!("1/c{number}"), vec![number as u8; LARGE as usize]);
    }
    let file = over(memory.store(), recipe(LARGE * count, LARGE, 1, &[]), None);
    let fetcher = Arc::new(Fetcher::new(FetchSettings::default()).keeping(Arc::clone(&disk), false));
    let chunk = |number| ChunkId { dataset: DATA, number };
    let at = |number: u64| Place::object(&file.stores().home().location(&Key::new(format!("1/c{number}"))), None);
    fetcher.chunk(&file, chunk(0), None).await.unwrap();
    fetcher.settle().await;
    disk.forget(&at(0)).await;
    let warm = |number| fetcher.warm(&file, chunk(number), Shown::default());
    for warmed in futures::future::join_all((0..count).map(warm)).await {
        assert_eq!(warmed.unwrap(), Some(LARGE));
    }
    fetcher.settle().await;
    for number in 0..count {
        assert!(disk.holds(&at(number)), "{number}");
        assert_eq!(fetcher.is_here(&file, chunk(number), None).await.unwrap().disk, Some(true));
    }
    assert_eq!(disk.counts().dropped, 0);
    // Once for each, and once more for the one that was in memory; nobody's order is left behind.
    assert_eq!(memory.asked().len() as u64, count + 1);
    warm(0).await.unwrap();
    assert_eq!((memory.asked().len(), fetcher.kept.orders.lock().len()), (0, 0));
}

#[tokio::test]
async fn kept_bytes_that_mean_nothing_are_forgotten_and_sent_anew() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let memory = Memory::new(Duration::ZERO);
    let stored = crate::codec::deflate::encode(&bytes(7), 6);
    memory.put("1/c0", stored);
    let file = over(memory.store(), recipe(CHUNK, CHUNK, 1, &[Decode::Deflate]), None);
    assert_eq!(read(&fetcher(&disk, false), &file).await, bytes(7));
    disk.settle(LONG).await;
    let location = file.stores().home().location(&Key::new("1/c0"));
    let place = Place::object(&location, None);
    let good = disk.get(&place).await.unwrap();
    // Whole by its checksum, and of the right tag: only decoding tells.
    disk.put(place.clone(), Record { body: vec![0; 5].into(), ..good.clone() });
    disk.settle(LONG).await;
    assert_eq!(read(&fetcher(&disk, false), &file.renewed()).await, bytes(7));
    disk.settle(LONG).await;
    assert_eq!(disk.get(&place).await, Some(good));
}
