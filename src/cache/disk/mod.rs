//! The disk cache: stored bytes that survive a restart, each place a file of its own.
//!
//! `fetch` and `service` stand above and say what a place is and whether its bytes still are what the store has; here they are kept,
//! and checked when they are read: see [`record`]. Nothing is answered that fails its check, is of another place or
//! belongs to another user, so a disk that is damaged, shared or full costs requests and never a byte. Docs: `docs/cache.md`.
//!
//! * [`record`]: one file, byte by byte (pure);
//! * [`oldest`]: what goes when there is no more room (pure);
//! * `directory`: which directories are fit for it;
//! * `keeper`: the one thread that writes, and makes room.
//!
//! Readers open the file a place's name leads to; there is no index, in memory or on disk, so nothing has to be read at
//! the start and nothing grows with the cache. One process at a time writes to a directory (`flock`); others read what is
//! there.

mod directory;
mod keeper;
pub mod oldest;
pub mod record;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::model::limits;
pub use directory::prepare;
use keeper::Order;
pub use record::{Origins, Place, Record};

/// Where records are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSettings {
    /// The directory; made where it is not there.
    pub directory: PathBuf,
    /// Bytes that all records may take on the disk.
    pub bytes: u64,
    /// The services that buckets without a host in their name are asked for, by the scheme of their URLs, where these are not
    /// the clouds' own; two services may have one bucket's name.
    pub origins: Origins,
}

impl DiskSettings {
    /// Bytes kept where nobody says how many. 16 GiB: a working set of some thousand chunks of 4 MiB, and a part of any
    /// disk that is bought today.
    pub const BYTES: u64 = 16 << 30;
}

/// Bytes that wait to be written. More are not kept: a disk that is slower than the store is not worth a reader's wait.
const QUEUE: u64 = 32 << 20;
/// How long somebody who ordered that a record is kept waits for room in the queue while nothing is written at all. Making
/// room may take as long as it takes to look over a million files; longer than this the disk hangs.
const STANDS: Duration = Duration::from_secs(5);
/// Records read at the same time. A disk has that many requests in its queue; one that hangs holds no more threads.
const AT_ONCE: usize = 16;
/// How long a record is waited for. Most stores answer sooner than a disk that takes longer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a disk is left alone that took longer: no reader waits for it again and again.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// A record is marked as used once in this time, so that reading does not write all the time.
const MARKED: Duration = Duration::from_secs(60);
/// For so long it is remembered why a record was not kept: as long as somebody fetches things into the cache, and then asks
/// what has become of them.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Between two warnings of one cache.
const WARNINGS: Duration = Duration::from_secs(60);
/// Largest file that is read: a chunk at its limit, and what stands before it.
const LARGEST: u64 = limits::DECODED_CHUNK_BYTES + (1 << 20);

/// How often something was found, as running counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were found and are whole.
    pub hits: u64,
    /// Places of which there was none.
    pub misses: u64,
    /// Files that were no record, or of another user.
    pub bad: u64,
    /// Records written.
    pub written: u64,
    /// Records that were not written, for want of time or room.
    pub dropped: u64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { hits, misses, bad, written, dropped } = self;
        write!(f, "{hits} found, {misses} not, {bad} of no use; {written} written, {dropped} dropped")
    }
}

/// What became of records that are to stay, or to stay no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Records that are as they should be now.
    pub records: u64,
    /// Bytes that these take on the disk.
    pub bytes: u64,
    /// Places of which there is no record.
    pub absent: u64,
}

/// A directory of records. Cheap to share as an `Arc`.
#[derive(Debug)]
pub struct DiskCache {
    shelves: Arc<Shelves>,
    orders: Mutex<Sender<Order>>,
    /// The room in the queue.
    room: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    /// Reads that the disk has answered.
    answered: AtomicU64,
    /// When the disk last took too long.
    late: Mutex<Option<tokio::time::Instant>>,
}

/// What readers and the keeper share.
#[derive(Debug)]
struct Shelves {
    directory: PathBuf,
    /// Bytes that all records may take.
    most: u64,
    origins: Origins,
    /// Who runs this program; files of others are not believed.
    user: u32,
    hits: AtomicU64,
    misses: AtomicU64,
    bad: AtomicU64,
    written: AtomicU64,
    /// Records that the keeper has done with, written or not.
    followed: AtomicU64,
    dropped: AtomicU64,
    warned: Mutex<Option<Instant>>,
    /// Why a record was not kept, and when.
    lacking: Mutex<Option<(Instant, String)>>,
}

impl DiskCache {
    /// The cache at a directory. Never fails: what cannot be kept is asked for again, and the log says why.
    pub fn open(settings: &DiskSettings) -> DiskCache {
        DiskCache::with_disk(settings, keeper::Disk::real())
    }

    fn with_disk(settings: &DiskSettings, disk: keeper::Disk) -> DiskCache {
        let shelves = Arc::new(Shelves::at(settings));
        let (orders, received) = channel();
        keeper::start(Arc::clone(&shelves), disk, received);
        let (readers, room) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(room_for(QUEUE) as usize)));
        let (orders, answered) = (Mutex::new(orders), AtomicU64::new(0));
        DiskCache { shelves, orders, room, readers, answered, late: Mutex::default() }
    }

    /// What is kept of `place`.
    pub async fn get(&self, place: &Place) -> Option<Record> {
        if self.late().is_some_and(|then| then.elapsed() < LEFT_ALONE) {
            return None;
        }
        let (shelves, place) = (Arc::clone(&self.shelves), place.of(&self.shelves.origins));
        // Many at a time wait for each other, which says nothing of the disk as long as it answers some of them.
        let before = self.answered.load(Ordering::Relaxed);
        let Ok(permit) = tokio::time::timeout(PATIENCE, Arc::clone(&self.readers).acquire_owned()).await else {
            if self.answered.load(Ordering::Relaxed) == before {
                self.give_up();
            }
            return None;
        };
        let permit = permit.ok()?;
        let found = tokio::task::spawn_blocking(move || {
            // Held until the disk has answered, though nobody waits any more.
            let _permit = permit;
            shelves.read(&place)
        });
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                found.ok().flatten()
            }
            Err(_) => {
                self.give_up();
                None
            }
        }
    }

    /// Leaves the disk alone for a while.
    fn give_up(&self) {
        *self.late() = Some(tokio::time::Instant::now());
        self.shelves.complain("it takes longer to read than the store would", None);
    }

    /// Keeps a record, unless the disk has enough to do already. Nobody waits for it.
    pub fn put(&self, place: Place, record: Record) {
        match Arc::clone(&self.room).try_acquire_many_owned(room_for(record.body.len() as u64)) {
            Ok(room) => self.write(place, record, room),
            Err(_) => drop(self.shelves.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Keeps a record, however much the disk has to do: waits for room in the queue as long as anything is written.
    /// It is written when [`settle`](Self::settle) has come back.
    pub async fn put_in_turn(&self, place: Place, record: Record) {
        let mut room = std::pin::pin!(Arc::clone(&self.room).acquire_many_owned(room_for(record.body.len() as u64)));
        loop {
            let before = self.shelves.followed.load(Ordering::Relaxed);
            match tokio::time::timeout(STANDS, room.as_mut()).await {
                Ok(Ok(room)) => return self.write(place, record, room),
                Err(_) if self.shelves.followed.load(Ordering::Relaxed) != before => {}
                Ok(Err(_)) | Err(_) => return self.refuse("the disk takes too long to write"),
            }
        }
    }

    fn write(&self, place: Place, record: Record, room: OwnedSemaphorePermit) {
        self.order(Order::Put(Box::new((place.of(&self.shelves.origins), record)), room));
    }

    /// Counts a record that was to be kept and is not, and remembers why.
    pub fn refuse(&self, lack: &str) {
        self.shelves.lacks(lack.to_owned());
    }

    /// Why records are missing that were put here, in words.
    pub fn lack(&self) -> String {
        let lacking = self.shelves.lacking.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lacking = lacking.filter(|(then, _)| then.elapsed() < REMEMBERED).map(|(_, lack)| lack);
        lacking.unwrap_or_else(|| {
            let mib = self.shelves.most >> 20;
            format!("--cache-size is {mib} MiB, and what came later took the place of what came first")
        })
    }

    /// Forgets what is kept of `place`: whoever looks from now on finds nothing, until it is put again.
    pub async fn forget(&self, place: &Place) {
        let path = self.shelves.path(name(&place.of(&self.shelves.origins)));
        // What is counted of it is counted anew when room is made.
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
    }

    /// Whether there is a record of `place`; whether it is whole, reading it tells.
    pub fn holds(&self, place: &Place) -> bool {
        self.shelves.path(name(&place.of(&self.shelves.origins))).is_file()
    }

    /// Keeps what is there of `places` whatever else needs room, also after a restart, or (`stays` false) no longer does so.
    ///
    /// # Errors
    /// In words: what is pinned would take more than half of the cache, or it is not this process that keeps it.
    pub async fn pin(&self, places: Vec<Place>, stays: bool) -> Result<Pinned, String> {
        let (done, waiting) = oneshot::channel();
        let names = places.iter().map(|place| name(&place.of(&self.shelves.origins))).collect();
        self.order(Order::Pin { names, stays, done });
        waiting.await.map_err(|_| "the disk cache has ended".to_owned())?
    }

    /// Waits until everything that was put is written, or `patience` has passed.
    pub async fn settle(&self, patience: Duration) {
        let (done, waiting) = oneshot::channel();
        self.order(Order::Tell(done));
        let _ = tokio::time::timeout(patience, waiting).await;
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let shelves = &self.shelves;
        Counts {
            hits: now(&shelves.hits),
            misses: now(&shelves.misses),
            bad: now(&shelves.bad),
            written: now(&shelves.written),
            dropped: now(&shelves.dropped),
        }
    }

    fn late(&self) -> MutexGuard<'_, Option<tokio::time::Instant>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: Order) {
        // The keeper ends with the cache, and what it was not told of is not kept.
        let _ = self.orders.lock().unwrap_or_else(PoisonError::into_inner).send(order);
    }
}

/// What a record of so many bytes takes of the queue; one that is larger than all of it has it to itself.
fn room_for(bytes: u64) -> u32 {
    u32::try_from(bytes.min(QUEUE)).unwrap_or(u32::MAX)
}

/// The name of a place: where its record lies. Two places of one name would push each other out, and are told apart by
/// what the record says.
fn name(place: &Place) -> u128 {
    u128::from_be_bytes(Md5::digest(place.as_str()).into())
}

/// A number that names no record.
fn named(shelf: &str, file: &str) -> Option<u128> {
    let digits = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    (digits(shelf, 2) && digits(file, 30)).then(|| u128::from_str_radix(&format!("{shelf}{file}"), 16).ok()).flatten()
}

impl Shelves {
    fn at(settings: &DiskSettings) -> Shelves {
        Shelves {
            directory: settings.directory.clone(),
            origins: settings.origins.clone(),
            user: nix::unistd::geteuid().as_raw(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            written: AtomicU64::new(0),
            followed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            warned: Mutex::default(),
            most: settings.bytes,
            lacking: Mutex::default(),
        }
    }

    /// Counts a record that is not kept.
    fn lacks(&self, lack: String) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        *self.lacking.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), lack));
    }

    /// 256 folders, so that none holds more than some thousand files.
    fn path(&self, name: u128) -> PathBuf {
        let mut text = String::with_capacity(33);
        // Writing to a string cannot fail.
        let _ = write!(text, "{name:032x}");
        text.insert(2, '/');
        self.directory.join(text)
    }

    fn read(&self, place: &Place) -> Option<Record> {
        let name = name(place);
        let path = self.path(name);
        let (bytes, used) = match self.bytes(&path) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.bad.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            Err(error) => {
                self.bad.fetch_add(1, Ordering::Relaxed);
                self.complain("a record cannot be read", Some(&error));
                return None;
            }
        };
        let Some(record) = record::read(place, bytes) else {
            self.bad.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(path = %path.display(), "no record of the place, or damaged: not used");
            // Read on and on, it would fail on and on. Whose it is not to remove stays.
            let _ = std::fs::remove_file(&path);
            return None;
        };
        if used.elapsed().is_ok_and(|since| since >= MARKED) {
            mark(&path);
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(record)
    }

    /// The bytes of a file, and when it was last used; `None` where it may not be believed.
    fn bytes(&self, path: &Path) -> std::io::Result<Option<(Bytes, SystemTime)>> {
        // No link is followed, and nothing waits for the writer of a pipe.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let mut file = File::options().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != self.user || metadata.len() > LARGEST {
            return Ok(None);
        }
        let length = metadata.len();
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        // A file that grows meanwhile is none of ours.
        Read::by_ref(&mut file).take(length + 1).read_to_end(&mut bytes)?;
        Ok(Some((bytes.into(), metadata.modified()?)))
    }

    /// Says what is wrong, not with every record anew.
    fn complain(&self, what: &str, error: Option<&std::io::Error>) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|then| then.elapsed() >= WARNINGS) {
            *warned = Some(Instant::now());
            let reason = error.map_or(String::new(), |error| format!(": {error}"));
            tracing::warn!("disk cache {}: {what}{reason}; the store is asked instead", self.directory.display());
        }
    }
}

/// Notes that a record was used just now. Where that may not be noted, it only goes sooner.
fn mark(path: &Path) {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    if let Ok(file) = File::options().read(true).custom_flags(flags).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}
