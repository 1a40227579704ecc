//! The keeper: the one thread of the one process that writes to a directory of records, and makes room in it.
//!
//! A record is written beside its place and renamed, so that readers, of other processes too, see all of it or none. Nothing
//! is synced: what a power cut leaves half written fails its check. When there is no more room, the directory is looked
//! over and the records that were not used for longest go; that holds a bounded number of names at a time, however many there are.

use std::fs::{DirBuilder, File, Metadata, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::oldest::{Oldest, Room, Seen};
use super::record::{self, Place, Record};
use super::{Pinned, Shelves, name, named};

/// Between two looks whether the process that keeps the directory has ended.
const AGAIN: Duration = Duration::from_secs(10);
/// Names held at a time while room is made: half a megabyte.
const NAMES: usize = 10_000;
/// What stays free of a disk for others: a twentieth, but not more than 8 GiB. Full disks make other programs fail, this
/// one only slower.
const FLOOR: (u64, u64) = (20, 8 << 30);
/// Locked while a process keeps the directory.
pub(super) const LOCK: &str = "lock";
/// A record that is being written.
pub(super) const NEW: &str = "new";
/// Tells programs that make backups that nothing here is worth one.
pub(super) const TAG: (&str, &str) =
    ("CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# Kept by h5mount; may be deleted.\n");

/// What the keeper is told.
pub(super) enum Order {
    /// With its room in the queue.
    Put(Box<(Place, Record)>, OwnedSemaphorePermit),
    Tell(oneshot::Sender<()>),
    Pin {
        names: Vec<u128>,
        stays: bool,
        done: oneshot::Sender<Result<Pinned, String>>,
    },
}

/// Why nothing can be done here.
const NOT_OURS: &str = "another process keeps the disk cache, or it cannot be written to";
/// Of the room for records, the part that those which stay may take: a half, so that what is read meanwhile is kept as well.
const PINNED_PART: u64 = 2;
/// Modes of records, and of those that stay. Whoever may write to the directory may still remove both.
const MODES: (u32, u32) = (0o600, 0o400);

type Space = Box<dyn Fn(&Path) -> (u64, u64) + Send>;

/// The disk as far as a test replaces it: bytes in all and bytes free, where a path is.
pub(super) struct Disk(pub Space);

impl Disk {
    pub fn real() -> Disk {
        Disk(Box::new(|path| match nix::sys::statvfs::statvfs(path) {
            Ok(space) => {
                // Numbers of the kernel, whose types differ between machines.
                #[allow(clippy::useless_conversion)]
                let bytes = |blocks| u64::from(blocks).saturating_mul(u64::from(space.fragment_size()));
                (bytes(space.blocks()), bytes(space.blocks_available()))
            }
            // A disk that does not say is filled until it refuses.
            Err(_) => (0, u64::MAX),
        }))
    }
}

/// Starts it. It ends when nobody can tell it anything any more.
pub(super) fn start(shelves: Arc<Shelves>, disk: Disk, orders: Receiver<Order>) {
    let thread = std::thread::Builder::new().name("disk-cache".to_owned());
    let started = thread.spawn({
        let shelves = Arc::clone(&shelves);
        move || {
            let most = shelves.most;
            let mut keeping = Keeping { shelves, most, disk, held: None, tried: None };
            keeping.begin();
            orders.into_iter().for_each(|order| keeping.follow(order));
        }
    });
    if let Err(error) = started {
        shelves.complain("it cannot be written to", Some(&error));
    }
}

/// A directory that is ours.
struct Held {
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")]
    lock: File,
    /// Bytes that all records take.
    kept: u64,
    /// Of them, those that stay.
    pinned: u64,
}

struct Keeping {
    shelves: Arc<Shelves>,
    most: u64,
    disk: Disk,
    /// `None` while another process has the directory, or nothing can be written.
    held: Option<Held>,
    tried: Option<Instant>,
}

impl Keeping {
    /// Takes the directory, if it can be had.
    fn begin(&mut self) {
        let first = self.tried.is_none();
        self.tried = Some(Instant::now());
        let directory = self.shelves.directory.clone();
        match lock(&directory) {
            Ok(lock) => {
                let (mut kept, mut pinned) = (0u64, 0u64);
                look_over(&directory, |seen, stays| {
                    kept = kept.saturating_add(seen.bytes);
                    pinned = pinned.saturating_add(if stays { seen.bytes } else { 0 });
                });
                self.held = Some(Held { lock, kept, pinned });
                tracing::info!("disk cache {}: {} MiB are kept", directory.display(), kept >> 20);
            }
            Err(TryLockError::WouldBlock) if first => tracing::warn!(
                "disk cache {}: another process keeps it; what is there is read, and nothing added as long as it runs",
                directory.display()
            ),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => self.shelves.complain("it cannot be written to", Some(&error)),
        }
    }

    fn follow(&mut self, order: Order) {
        if self.held.is_none() && self.tried.is_none_or(|then| then.elapsed() >= AGAIN) {
            self.begin();
        }
        match order {
            Order::Put(put, room) => {
                let (place, record) = *put;
                match self.put(&place, &record) {
                    Ok(()) => drop(self.shelves.written.fetch_add(1, Ordering::Relaxed)),
                    Err(lack) => self.shelves.lacks(lack),
                }
                self.shelves.followed.fetch_add(1, Ordering::Relaxed);
                // With its bytes.
                drop(record);
                drop(room);
            }
            Order::Tell(done) => {
                let _ = done.send(());
            }
            Order::Pin { names, stays, done } => {
                let _ = done.send(self.pin(&names, stays));
            }
        }
    }

    /// Lets records stay, or no longer.
    fn pin(&mut self, names: &[u128], stays: bool) -> Result<Pinned, String> {
        let most = self.most / PINNED_PART;
        let Some(held) = &mut self.held else {
            return Err(NOT_OURS.to_owned());
        };
        let mut told = Pinned::default();
        for name in names {
            let path = self.shelves.path(*name);
            let Some(record) = path.symlink_metadata().ok().filter(|record| record.is_file()) else {
                told.absent += 1;
                continue;
            };
            let bytes = taken(&record);
            if is_pinned(&record) != stays {
                let pinned = match stays {
                    true => held.pinned.saturating_add(bytes),
                    false => held.pinned.saturating_sub(bytes),
                };
                if stays && pinned > most {
                    return Err(format!(
                        "{} MiB are pinned, and no more than half of --cache-size, {} MiB, may be: unpin something (h5mount \
                         warm --unpin), or mount with a larger one",
                        held.pinned >> 20,
                        most >> 20
                    ));
                }
                let mode = Permissions::from_mode(if stays { MODES.1 } else { MODES.0 });
                std::fs::set_permissions(&path, mode).map_err(|error| format!("the disk cache: {error}"))?;
                held.pinned = pinned;
            }
            (told.records, told.bytes) = (told.records + 1, told.bytes.saturating_add(bytes));
        }
        Ok(told)
    }

    /// Writes a record, or says why it is not there now.
    fn put(&mut self, place: &Place, record: &Record) -> Result<(), String> {
        let head = record::head(place, record);
        let bytes = on_disk(head.len() as u64 + record.body.len() as u64);
        if self.held.is_none() {
            return Err(NOT_OURS.to_owned());
        }
        self.make_room(bytes)?;
        let path = self.shelves.path(name(place));
        let before = path.symlink_metadata().ok();
        let stays = before.as_ref().is_some_and(is_pinned);
        let before = before.map_or(0, |metadata| taken(&metadata));
        match self.write(&path, &head, &record.body) {
            Ok(()) => {
                // What is put in its place stays as well.
                let mode = Permissions::from_mode(MODES.1);
                if let Some(held) = self.held.as_mut().filter(|_| stays) {
                    let still = std::fs::set_permissions(&path, mode).is_ok();
                    held.pinned = held.pinned.saturating_sub(before).saturating_add(if still { bytes } else { 0 });
                }
                self.count(|kept| kept.saturating_sub(before).saturating_add(bytes));
                Ok(())
            }
            Err(error) => {
                let _ = std::fs::remove_file(self.shelves.directory.join(NEW));
                self.shelves.complain("a record cannot be written", Some(&error));
                Err(format!("a record cannot be written ({error})"))
            }
        }
    }

    fn write(&self, path: &Path, head: &[u8], body: &[u8]) -> std::io::Result<()> {
        let new = self.shelves.directory.join(NEW);
        let mut file = private(&new, |options| options.truncate(true))?;
        file.write_all(head)?;
        file.write_all(body)?;
        drop(file);
        match std::fs::rename(&new, path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(shelf) = path.parent() {
                    directory(shelf)?;
                }
                std::fs::rename(&new, path)
            }
            renamed => renamed,
        }
    }

    /// Makes room for `bytes` more, or says why there is none.
    fn make_room(&mut self, bytes: u64) -> Result<(), String> {
        let directory = self.shelves.directory.clone();
        loop {
            let (all, free) = (self.disk.0)(&directory);
            let room = Room { most: self.most, floor: (all / FLOOR.0).min(FLOOR.1) };
            let kept = self.held.as_ref().map_or(0, |held| held.kept);
            let wanted = room.to_go(kept, free, bytes);
            if !room.takes(bytes) {
                return Err(format!(
                    "--cache-size is {} MiB, too little for a record of {} MiB",
                    self.most >> 20,
                    bytes >> 20
                ));
            }
            if wanted == 0 {
                return Ok(());
            }
            if kept == 0 {
                self.shelves.complain("the disk is full", None);
                return Err(format!("the disk is full: {} MiB of it stay free for others", room.floor >> 20));
            }
            let mut oldest = Oldest::new(wanted, NAMES);
            let (mut all, mut pinned) = (0u64, 0u64);
            look_over(&directory, |seen, stays| {
                all = all.saturating_add(seen.bytes);
                match stays {
                    true => pinned = pinned.saturating_add(seen.bytes),
                    false => oldest.see(seen),
                }
            });
            // What was looked over is what there is, whoever else added or removed something.
            self.count(|_| all);
            if let Some(held) = &mut self.held {
                held.pinned = pinned;
            }
            let gone = oldest.to_go();
            if gone.is_empty() && all < kept {
                // Less than was thought: perhaps that is room enough.
                continue;
            }
            for seen in gone {
                self.remove(&self.shelves.path(seen.name));
            }
            let left = self.held.as_ref().map_or(0, |held| held.kept);
            if left >= all {
                // Nothing could be removed.
                self.shelves.complain("no room can be made", None);
                return Err("what is pinned, or cannot be removed, leaves no room".to_owned());
            }
        }
    }

    fn remove(&mut self, path: &Path) {
        if self.held.is_none() {
            return;
        }
        let bytes = path.symlink_metadata().map_or(0, |metadata| taken(&metadata));
        if std::fs::remove_file(path).is_ok() {
            self.count(|kept| kept.saturating_sub(bytes));
        }
    }

    fn count(&mut self, now: impl FnOnce(u64) -> u64) {
        if let Some(held) = &mut self.held {
            held.kept = now(held.kept);
        }
    }
}

/// Blocks of a disk: what a file takes beyond its bytes.
const BLOCK: u64 = 4096;

fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK).saturating_mul(BLOCK)
}

fn taken(metadata: &Metadata) -> u64 {
    on_disk(metadata.size())
}

/// Whether a record stays whatever else needs room: nobody may write to it.
fn is_pinned(record: &Metadata) -> bool {
    record.mode() & 0o200 == 0
}

/// Tells of every record of a directory, and whether it stays.
fn look_over(directory: &Path, mut see: impl FnMut(Seen, bool)) {
    let files = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    for shelf in files(directory.to_owned()) {
        let Ok(shelf_name) = shelf.file_name().into_string() else { continue };
        if shelf_name.len() != 2 || !shelf.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        for file in files(shelf.path()) {
            let Some(name) = file.file_name().to_str().and_then(|file| named(&shelf_name, file)) else { continue };
            // Gone since, or nobody may look at it.
            let Ok(metadata) = file.metadata() else { continue };
            let used = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
            let used = u64::try_from(used.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
            see(Seen { used, bytes: taken(&metadata), name }, is_pinned(&metadata));
        }
    }
}

/// Makes a directory that is for this user alone, unless it is there.
pub(super) fn directory(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file of this user for writing, made where it is not there.
pub(super) fn private(
    path: &Path,
    how: impl FnOnce(&mut std::fs::OpenOptions) -> &mut std::fs::OpenOptions,
) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    how(&mut options).open(path)
}

/// Makes the directory where it is not there, and locks it until the file is closed.
fn lock(path: &Path) -> Result<File, TryLockError> {
    directory(path).map_err(TryLockError::Error)?;
    let lock = private(&path.join(LOCK), |options| options).map_err(TryLockError::Error)?;
    lock.try_lock()?;
    if let Ok(mut tag) = private(&path.join(TAG.0), |options| options.truncate(true)) {
        // Without it, a backup is larger than it need be.
        let _ = tag.write_all(TAG.1.as_bytes());
    }
    Ok(lock)
}
