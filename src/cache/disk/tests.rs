//! The disk cache on real directories, and on disks that are full, foreign, damaged or somebody else's.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::AtomicU64;

use super::*;
use crate::model::location::{Bucket, ETag, Key, Location};

pub(super) const LONG: Duration = Duration::from_secs(30);

pub(super) fn place(key: &str) -> Place {
    Place::object(&Location { bucket: Bucket::new("s3://b"), key: Key::new(key) }, None)
}

pub(super) fn record(bytes: usize) -> Record {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    Record { etag: ETag::new("\"e\""), modified, size: bytes as u64, body: vec![5; bytes].into() }
}

fn settings(directory: &Path, bytes: u64) -> DiskSettings {
    DiskSettings { directory: directory.to_owned(), bytes, origins: Origins::new() }
}

pub(super) fn open(directory: &Path, bytes: u64) -> DiskCache {
    DiskCache::with_disk(&settings(directory, bytes), keeper::Disk(Box::new(|_| (u64::MAX, u64::MAX))))
}

async fn kept(cache: &DiskCache, key: &str) -> bool {
    cache.get(&place(key)).await.is_some()
}

fn path_of(cache: &DiskCache, key: &str) -> PathBuf {
    cache.shelves.path(name(&place(key).of(&Origins::new())))
}

fn used_at(cache: &DiskCache, key: &str, seconds: u64) {
    let file = File::options().write(true).open(path_of(cache, key)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart_and_of_no_other_origin() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    cache.put(place("a"), record(1000));
    cache.settle(LONG).await;
    assert_eq!(cache.get(&place("a")).await, Some(record(1000)));
    drop(cache);
    let cache = reopened(dir.path(), 1 << 20).await;
    assert_eq!(cache.get(&place("a")).await, Some(record(1000)));
    let counts = Counts { hits: 1, ..Counts::default() };
    assert_eq!(cache.counts(), counts);
    let elsewhere =
        DiskSettings { origins: [("s3", "http://other".to_owned())].into(), ..settings(dir.path(), 1 << 20) };
    assert!(!kept(&DiskCache::open(&elsewhere), "a").await);
    // Where another kind of store is asked for changes nothing of this one.
    let beside = DiskSettings { origins: [("az", "http://other".to_owned())].into(), ..settings(dir.path(), 1 << 20) };
    assert!(kept(&DiskCache::open(&beside), "a").await);
    cache.forget(&place("a")).await;
    assert!(!kept(&cache, "a").await);
}

#[tokio::test]
async fn the_least_recently_used_go_where_there_is_no_more_room() {
    let dir = tempfile::tempdir().unwrap();
    // Ten records of two blocks.
    let cache = open(dir.path(), 80 << 10);
    for number in 0..10 {
        cache.put(place(&number.to_string()), record(5000));
        cache.settle(LONG).await;
        used_at(&cache, &number.to_string(), 1000 + number);
    }
    // Reading marks a record as used.
    assert!(kept(&cache, "0").await);
    cache.put(place("10"), record(5000));
    cache.settle(LONG).await;
    assert!(kept(&cache, "0").await && kept(&cache, "10").await);
    assert!(!kept(&cache, "1").await && kept(&cache, "9").await);
    // One that is larger than everything pushes nothing out.
    cache.put(place("huge"), record(1 << 20));
    cache.settle(LONG).await;
    assert!(!kept(&cache, "huge").await && kept(&cache, "9").await);
}

#[tokio::test]
async fn what_is_pinned_stays_whatever_comes_also_after_a_restart_until_it_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    // Ten records of two blocks, five of which may stay.
    let mut cache = open(dir.path(), 80 << 10);
    let places = |numbers: std::ops::Range<u32>| numbers.map(|at| place(&at.to_string())).collect::<Vec<_>>();
    let fill = async |cache: &DiskCache, numbers: std::ops::Range<u32>| {
        for number in numbers {
            cache.put(place(&number.to_string()), record(5000));
            cache.settle(LONG).await;
        }
    };
    fill(&cache, 0..5).await;
    let pinned = Pinned { records: 5, bytes: 40 << 10, absent: 0 };
    assert_eq!(cache.pin(places(0..5), true).await, Ok(pinned));
    assert_eq!(cache.pin(places(0..5), true).await, Ok(pinned));
    assert_eq!(cache.pin(places(90..92), true).await, Ok(Pinned { absent: 2, ..Pinned::default() }));
    for restarted in [false, true] {
        if restarted {
            drop(cache);
            cache = reopened(dir.path(), 80 << 10).await;
        }
        fill(&cache, 10..40).await;
        for number in 0..5 {
            assert!(kept(&cache, &number.to_string()).await, "{number}");
        }
        assert!(kept(&cache, "39").await && !kept(&cache, "10").await);
        let full = cache.pin(places(39..40), true).await.unwrap_err();
        assert!(full.contains("half of --cache-size"), "{full}");
    }
    // One that is replaced stays, and counts as what it is.
    cache.put(place("0"), record(100));
    cache.settle(LONG).await;
    fill(&cache, 50..80).await;
    assert_eq!(cache.get(&place("0")).await, Some(record(100)));
    assert_eq!(cache.pin(places(0..5), false).await, Ok(Pinned { records: 5, bytes: 36 << 10, absent: 0 }));
    for number in 0..5 {
        used_at(&cache, &number.to_string(), 1000);
    }
    fill(&cache, 10..40).await;
    assert!(!kept(&cache, "0").await && !kept(&cache, "4").await);
}

#[tokio::test]
async fn where_all_that_is_left_stays_nothing_is_added_and_nothing_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 160 << 10);
    for number in 0..8 {
        cache.put(place(&number.to_string()), record(5000));
    }
    cache.settle(LONG).await;
    assert_eq!(cache.pin((0..8).map(|at| place(&at.to_string())).collect(), true).await.unwrap().records, 8);
    drop(cache);
    let cache = reopened(dir.path(), 40 << 10).await;
    cache.put(place("new"), record(5000));
    cache.settle(LONG).await;
    assert!(!kept(&cache, "new").await && kept(&cache, "0").await);
    assert_eq!(cache.counts().dropped, 1);
}

#[tokio::test]
async fn what_lies_there_from_before_counts_against_the_room() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    for number in 0..20 {
        cache.put(place(&number.to_string()), record(5000));
    }
    cache.settle(LONG).await;
    (0..20).for_each(|number| used_at(&cache, &number.to_string(), 1000 + number));
    drop(cache);
    let cache = reopened(dir.path(), 80 << 10).await;
    cache.put(place("new"), record(5000));
    cache.settle(LONG).await;
    let mut left = 0;
    for number in 0..20 {
        left += usize::from(kept(&cache, &number.to_string()).await);
    }
    assert!(left < 10 && kept(&cache, "new").await && kept(&cache, "19").await, "{left}");
}

/// A directory that was kept before. The keeper of before ends a moment after its cache.
async fn reopened(directory: &Path, bytes: u64) -> DiskCache {
    for _ in 0..1000 {
        let free = File::open(directory.join("lock")).unwrap().try_lock().is_ok();
        if free {
            return open(directory, bytes);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the lock is still held");
}

#[tokio::test]
async fn the_floor_stays_free_whoever_fills_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1 << 30));
    let seen = Arc::clone(&free);
    let disk = keeper::Disk(Box::new(move |_| (1 << 30, seen.load(Ordering::Relaxed))));
    let cache = DiskCache::with_disk(&settings(dir.path(), 1 << 30), disk);
    for number in 0..10 {
        cache.put(place(&number.to_string()), record(5000));
    }
    cache.settle(LONG).await;
    assert_eq!(cache.counts().written, 10);
    // A twentieth has to stay free: all that was kept goes, and nothing comes.
    free.store(1 << 20, Ordering::Relaxed);
    cache.put(place("more"), record(5000));
    cache.settle(LONG).await;
    assert_eq!(cache.counts().dropped, 1);
    for number in 0..10 {
        assert!(!kept(&cache, &number.to_string()).await);
    }
    free.store(1 << 30, Ordering::Relaxed);
    cache.put(place("more"), record(5000));
    cache.settle(LONG).await;
    assert!(kept(&cache, "more").await);
}

#[tokio::test]
async fn a_damaged_record_is_a_miss_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    cache.put(place("a"), record(1000));
    cache.settle(LONG).await;
    let path = path_of(&cache, "a");
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[500] ^= 4;
    for bad in [&flipped[..], &whole[..700], b"", &[&whole[..], b"x"].concat()] {
        std::fs::write(&path, bad).unwrap();
        assert!(!kept(&cache, "a").await);
        assert!(!path.exists());
    }
    assert_eq!((cache.counts().bad, cache.counts().hits), (4, 0));
    cache.put(place("a"), record(1000));
    cache.settle(LONG).await;
    assert!(kept(&cache, "a").await);
}

#[tokio::test]
async fn what_is_no_file_of_ours_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    cache.put(place("a"), record(1000));
    cache.settle(LONG).await;
    let path = path_of(&cache, "a");
    let aside = dir.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    symlink(&aside, &path).unwrap();
    assert!(!kept(&cache, "a").await);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(!kept(&cache, "a").await);
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    assert!(kept(&cache, "a").await);
    // Another user's.
    let foreign = Shelves { user: cache.shelves.user + 1, ..Shelves::at(&settings(dir.path(), 0)) };
    assert_eq!((foreign.read(&place("a").of(&Origins::new())), foreign.bad.load(Ordering::Relaxed)), (None, 1));
    assert!(path.exists());
}

#[tokio::test]
async fn a_second_process_reads_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), 1 << 20);
    first.put(place("a"), record(1000));
    first.settle(LONG).await;
    // A lock belongs to an open file, so a second one in this process is like another process.
    let second = open(dir.path(), 1 << 20);
    second.put(place("b"), record(1000));
    second.settle(LONG).await;
    assert!(kept(&second, "a").await && !kept(&second, "b").await);
    assert_eq!(second.counts().dropped, 1);
    first.put(place("c"), record(1000));
    first.settle(LONG).await;
    assert!(kept(&second, "c").await);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_keeps_nothing_and_fails_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"x").unwrap();
    let cache = open(&dir.path().join("file/below"), 1 << 20);
    cache.put(place("a"), record(1000));
    cache.settle(LONG).await;
    assert!(!kept(&cache, "a").await);
    assert_eq!(cache.counts().dropped, 1);
}

#[tokio::test]
async fn nobody_else_may_look_at_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("cache"), 1 << 20);
    cache.put(place("a"), record(10));
    cache.settle(LONG).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = path_of(&cache, "a");
    assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&dir.path().join("cache"))), (0o600, 0o700, 0o700));
}

/// A disk that answers once what comes with it is sent to or dropped, and from then on at once.
fn hanging() -> (std::sync::mpsc::Sender<()>, keeper::Disk) {
    let (release, waits) = std::sync::mpsc::channel();
    let disk = keeper::Disk(Box::new(move |_| {
        let _ = waits.recv();
        (u64::MAX, u64::MAX)
    }));
    (release, disk)
}

#[tokio::test]
async fn what_a_slow_disk_has_no_time_for_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (release, disk) = hanging();
    let cache = DiskCache::with_disk(&settings(dir.path(), 1 << 30), disk);
    for number in 0..12 {
        cache.put(place(&number.to_string()), record(4 << 20));
    }
    // Eight records of 4 MiB are the whole queue.
    assert_eq!(cache.counts().dropped, 4);
    drop(release);
    cache.settle(LONG).await;
    assert_eq!(cache.counts().written, 8);
    cache.put(place("again"), record(4 << 20));
    cache.settle(LONG).await;
    assert!(kept(&cache, "again").await);
}

#[tokio::test]
async fn what_was_ordered_waits_for_a_slow_disk_and_not_for_one_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let (release, disk) = hanging();
    let cache = DiskCache::with_disk(&settings(dir.path(), 1 << 30), disk);
    let put = |number: u32| cache.put_in_turn(place(&number.to_string()), record(4 << 20));
    for number in 0..8 {
        put(number).await;
    }
    // The keeper is a thread, for which a clock that stands still does not wait.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    futures::future::join_all((8..12).map(put)).await;
    assert!(begun.elapsed() >= STANDS && begun.elapsed() < 2 * STANDS);
    tokio::time::resume();
    assert_eq!((cache.counts().written, cache.counts().dropped), (0, 4));
    assert!(cache.lack().contains("too long"), "{}", cache.lack());
    let mut later = Box::pin(futures::future::join_all((8..24).map(put)));
    assert!(futures::poll!(&mut later).is_pending());
    drop(release);
    later.await;
    cache.settle(LONG).await;
    assert_eq!((cache.counts().written, cache.counts().dropped), (24, 4));
}

#[tokio::test]
async fn why_something_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 80 << 10);
    assert!(cache.lack().contains("--cache-size is 0 MiB, and what came later"), "{}", cache.lack());
    cache.put_in_turn(place("huge"), record(3 << 20)).await;
    cache.settle(LONG).await;
    assert!(cache.lack().contains("too little for a record of 3 MiB"), "{}", cache.lack());
    let second = open(dir.path(), 80 << 10);
    second.put_in_turn(place("a"), record(1000)).await;
    second.settle(LONG).await;
    assert!(second.lack().contains("another process"), "{}", second.lack());
}

#[tokio::test]
async fn a_disk_that_hangs_is_waited_for_once_and_then_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    cache.put(place("a"), record(10));
    cache.settle(LONG).await;
    let hung = cache.readers.acquire_many(AT_ONCE as u32).await.unwrap();
    // The keeper is a thread, for which a clock that stands still does not wait.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert!(!kept(&cache, "a").await);
    let waited = begun.elapsed();
    assert!(waited >= PATIENCE);
    assert!(!kept(&cache, "a").await);
    assert_eq!(begun.elapsed(), waited);
    drop(hung);
    tokio::time::advance(LEFT_ALONE).await;
    tokio::time::resume();
    assert!(kept(&cache, "a").await);
}

#[test]
fn names_are_those_of_records_only() {
    let text = format!("{:032x}", u128::MAX - 1);
    assert_eq!(named(&text[..2], &text[2..]), Some(u128::MAX - 1));
    for (shelf, file) in [("ff", "ff"), ("FF", &text[2..]), ("f", &text[1..]), ("ff", "../../../etc/passwd__________")]
    {
        assert_eq!(named(shelf, file), None, "{shelf} {file}");
    }
}
