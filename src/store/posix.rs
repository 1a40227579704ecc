//! A directory tree as a store: the path of an object is the root directory and its key.
//!
//! Every call runs on a blocking thread. A key's `/` are directories; what a directory tree cannot hold (empty, `.` or
//! `..` segments, NUL) is [`StoreError::Unsupported`], everything else is a name like any other. Only regular files
//! are objects; symbolic links are followed. What is there and is none (a directory, a pipe, a link that leads nowhere)
//! is never absent: asked for by name it is an error, and a recursive listing names it.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;

use super::permits::{Permit, Permits};
use super::{Backend, Batch, Capabilities, Denial, Get, Listing, Meta, Object, StoreError};
use crate::model::location::{Bucket, ETag, Key, Location};

/// Attempts at a file that somebody rewrites while it is read.
const ATTEMPTS: u32 = 4;
/// Pause before the next of these; a writer needs a few milliseconds for a chunk.
const PAUSE: Duration = Duration::from_millis(10);
/// Keys in one batch of a recursive listing, as many as a page of S3 holds.
const BATCH: usize = 1000;

/// A directory tree.
#[derive(Clone, Debug)]
pub(super) struct Posix {
    bucket: Bucket,
    root: Arc<Path>,
    /// Device and inode of the root when it was opened: see [`Posix::absent`].
    identity: (u64, u64),
}

impl Posix {
    /// The tree at `path`.
    pub fn open(bucket: &Bucket, path: &str) -> Result<Posix, StoreError> {
        let location = Location { bucket: bucket.clone(), key: Key::new("") };
        let root = Path::new(if path.is_empty() { "/" } else { path });
        if !root.is_absolute() {
            return Err(StoreError::Unsupported {
                what: bucket.as_str().to_owned(),
                reason: "a file URL holds an absolute path: file:///dir".to_owned(),
            });
        }
        let metadata = std::fs::metadata(root).map_err(|error| cause(location.clone(), &error))?;
        if !metadata.is_dir() {
            return Err(StoreError::Unsupported {
                what: bucket.as_str().to_owned(),
                reason: "not a directory".to_owned(),
            });
        }
        Ok(Posix { bucket: bucket.clone(), root: Arc::from(root), identity: (metadata.dev(), metadata.ino()) })
    }

    fn location(&self, key: &str) -> Location {
        Location { bucket: self.bucket.clone(), key: Key::new(key) }
    }

    /// The path of a key; the empty key is the root.
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let refuse = |reason: &str| {
            Err(StoreError::Unsupported { what: self.location(key).to_string(), reason: reason.to_owned() })
        };
        if key.is_empty() {
            return Ok(self.root.to_path_buf());
        }
        if key.contains('\0') {
            return refuse("a directory tree holds no key with a NUL");
        }
        if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse("a directory tree holds no key with an empty segment, `.` or `..`");
        }
        Ok(self.root.join(key))
    }

    /// What an I/O error means. A path that is not there is only an absent object while the root is still the
    /// directory it was, and no symbolic link leads nowhere: a disk that was unmounted must not read as a store without
    /// chunks.
    fn absent(&self, key: &str, error: &std::io::Error) -> StoreError {
        let error = cause(self.location(key), error);
        if !error.is_not_found() {
            return error;
        }
        let there = std::fs::metadata(&self.root).map(|root| (root.dev(), root.ino()));
        match there {
            Ok(identity) if identity == self.identity => match self.dangling(key) {
                None => error,
                Some(link) => StoreError::Failed {
                    location: self.location(key),
                    reason: format!("the symbolic link {} leads nowhere", link.display()),
                },
            },
            _ => StoreError::Failed {
                location: self.location(key),
                reason: "the store's root directory is gone or another one".to_owned(),
            },
        }
    }

    /// The symbolic link that leads nowhere on the way to a key: what it stands for is stored, but elsewhere (a disk
    /// that is not mounted, content that was not fetched). Only the first name that is there can be one.
    fn dangling(&self, key: &str) -> Option<PathBuf> {
        let path = self.path(key).ok()?;
        let below = path.ancestors().take_while(|ancestor| **ancestor != *self.root);
        let there = below.map(|name| (name, std::fs::symlink_metadata(name))).find_map(|(name, metadata)| {
            let metadata = metadata.ok()?;
            Some((name, metadata.is_symlink()))
        });
        let (link, _) = there.filter(|(_, is_link)| *is_link)?;
        // One that was made or repaired a moment ago is asked for again by whoever waits for it.
        let gone = std::fs::metadata(link).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        gone.then(|| link.to_path_buf())
    }

    /// Opens a regular file. `O_NONBLOCK`, since opening a FIFO would wait for its writer.
    fn file(&self, key: &str) -> Result<(File, Metadata), StoreError> {
        let path = self.path(key)?;
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
            .map_err(|error| self.absent(key, &error))?;
        let metadata = file.metadata().map_err(|error| self.absent(key, &error))?;
        match no_object(&metadata) {
            None => Ok((file, metadata)),
            Some(what) => Err(StoreError::NoObject { location: self.location(key), what }),
        }
    }

    /// Reads until what was read is of one version: a file that grew, shrank or was written meanwhile is read again.
    fn read(&self, key: &str, get: &Get) -> Result<Object, StoreError> {
        let location = || self.location(key);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            let (file, before) = self.file(key)?;
            let meta = meta_of(&before);
            if get.if_match.is_some() && get.if_match != meta.etag {
                return Err(StoreError::Changed { location: location() });
            }
            if get.if_none_match.is_some() && get.if_none_match == meta.etag {
                return Err(StoreError::Changed { location: location() });
            }
            let range = get.range.clone().unwrap_or(0..meta.size);
            if range.end > meta.size || range.start > range.end {
                return Err(StoreError::Range { location: location(), start: range.start, end: range.end });
            }
            let length = range.end - range.start;
            if length > get.at_most {
                return Err(StoreError::TooLarge { location: location(), size: length, limit: get.at_most });
            }
            let Ok(length) = usize::try_from(length) else {
                return Err(StoreError::TooLarge { location: location(), size: length, limit: usize::MAX as u64 });
            };
            let mut bytes = vec![0; length];
            match file.read_exact_at(&mut bytes, range.start) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(cause(location(), &error)),
            }
            let after = file.metadata().map_err(|error| cause(location(), &error))?;
            if meta_of(&after) == meta {
                return Ok(Object { bytes: Bytes::from(bytes), meta });
            }
        }
        Err(StoreError::Busy { location: location() })
    }

    fn stat(&self, key: &str) -> Result<Meta, StoreError> {
        let metadata = std::fs::metadata(self.path(key)?).map_err(|error| self.absent(key, &error))?;
        match no_object(&metadata) {
            None => Ok(meta_of(&metadata)),
            Some(what) => Err(StoreError::NoObject { location: self.location(key), what }),
        }
    }

    /// One page: the directory is read whole (names only), and just the names of the page are looked at closely.
    fn page(&self, folder: &str, after: Option<&str>, page: usize) -> Result<Listing, StoreError> {
        let page = page.max(1);
        let path = self.path(folder)?;
        let entries = std::fs::read_dir(&path).map_err(|error| self.absent(folder, &error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| cause(self.location(folder), &error))?;
            match entry.file_name().into_string() {
                Ok(name) if after.is_none_or(|after| name.as_str() > after) => names.push((name, entry.file_type())),
                Ok(_) => {}
                Err(name) => tracing::warn!(folder, ?name, "left out of the listing: the name is not UTF-8"),
            }
        }
        let more = names.len() > page;
        if more {
            names.select_nth_unstable_by(page - 1, |one, other| one.0.cmp(&other.0));
            names.truncate(page);
        }
        names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut listing =
            Listing { next: names.last().filter(|_| more).map(|(name, _)| name.clone()), ..Listing::default() };
        for (name, kind) in names {
            if kind.is_ok_and(|kind| kind.is_dir()) {
                listing.folders.push(name);
                continue;
            }
            match std::fs::metadata(path.join(&name)) {
                Ok(metadata) if metadata.is_dir() => listing.folders.push(name),
                Ok(metadata) if metadata.is_file() => listing.objects.push((name, meta_of(&metadata))),
                Ok(_) => {}
                // Deleted since, or a symbolic link that leads nowhere.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(folder, name, %error, "left out of the listing"),
            }
        }
        Ok(listing)
    }

    /// Sends every name below `prefix`, directories with a `/` behind; each directory once, so that symbolic links
    /// cannot make a circle.
    fn walk(&self, prefix: &str, out: &mpsc::Sender<Result<Batch, StoreError>>) -> Result<(), StoreError> {
        let (folder, _) = prefix.rsplit_once('/').unwrap_or_default();
        let mut folders = vec![folder.to_owned()];
        let mut seen = HashSet::new();
        let mut batch = Batch::new();
        while let Some(folder) = folders.pop() {
            let path = self.path(&folder)?;
            let entries = match std::fs::metadata(&path).and_then(|directory| {
                let new = seen.insert((directory.dev(), directory.ino()));
                if new { std::fs::read_dir(&path).map(Some) } else { Ok(None) }
            }) {
                Ok(Some(entries)) => entries,
                Ok(None) => continue,
                Err(error) => match self.absent(&folder, &error) {
                    StoreError::NotFound { .. } => continue,
                    error => return Err(error),
                },
            };
            for entry in entries {
                let entry = entry.map_err(|error| cause(self.location(&folder), &error))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if !key.starts_with(prefix) {
                    continue;
                }
                let found = match entry.file_type() {
                    Ok(kind) if kind.is_dir() => entry.metadata(),
                    _ => std::fs::metadata(entry.path()),
                };
                match found {
                    Ok(metadata) if metadata.is_dir() => {
                        batch.push((Key::new(format!("{key}/")), Meta { size: 0, ..meta_of(&metadata) }));
                        folders.push(key);
                    }
                    Ok(metadata) => batch.push((Key::new(key), meta_of(&metadata))),
                    // Deleted since, or a link that cannot be followed: that is there, and whoever reads it is told.
                    Err(error) => match std::fs::symlink_metadata(entry.path()) {
                        Ok(link) if link.is_symlink() => {
                            batch.push((Key::new(key), Meta { size: 0, ..meta_of(&link) }));
                        }
                        Err(gone) if gone.kind() == ErrorKind::NotFound => {}
                        _ => return Err(cause(self.location(&key), &error)),
                    },
                }
                if batch.len() == BATCH && out.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                    return Ok(());
                }
            }
        }
        // An empty last batch still says that the listing was asked for.
        let _ = out.blocking_send(Ok(batch));
        Ok(())
    }

    /// Runs `work` on a blocking thread that keeps `permit` until it is done.
    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        permit: Permit,
        work: impl FnOnce(&Posix) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let tree = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&tree)
        });
        done.await.unwrap_or_else(|stopped| {
            Err(StoreError::Failed { location: self.location(key), reason: stopped.to_string() })
        })
    }
}

#[async_trait::async_trait]
impl Backend for Posix {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            conditional_get: true,
            listing: true,
            ranges: true,
            directories: true,
            atomic_put: false,
            conditional_put: false,
        }
    }

    async fn get(&self, key: &Key, get: Get, permit: Permit) -> Result<Object, StoreError> {
        let name = key.clone();
        self.blocking(key.as_str(), permit, move |tree| tree.read(name.as_str(), &get)).await
    }

    async fn head(&self, key: &Key, permit: Permit) -> Result<Meta, StoreError> {
        let name = key.clone();
        self.blocking(key.as_str(), permit, move |tree| tree.stat(name.as_str())).await
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        permit: Permit,
    ) -> Result<Listing, StoreError> {
        let (name, after) = (folder.to_owned(), after.map(str::to_owned));
        self.blocking(folder, permit, move |tree| tree.page(&name, after.as_deref(), page)).await
    }

    fn list_below(&self, prefix: &str, _: Arc<Permits>) -> BoxStream<'static, Result<Batch, StoreError>> {
        let (tree, prefix) = (self.clone(), prefix.to_owned());
        // Two batches: one being used, one ready. The walk ends when the stream is dropped.
        let (out, batches) = mpsc::channel(2);
        futures::stream::once(async move {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = tree.walk(&prefix, &out) {
                    let _ = out.blocking_send(Err(error));
                }
            });
            futures::stream::unfold(batches, |mut batches| async { batches.recv().await.map(|batch| (batch, batches)) })
        })
        .flatten()
        .boxed()
    }
}

/// Identity of a file: inode, time of the last write in nanoseconds, size. A write in place of the same length within
/// one tick of the kernel's clock (4 ms) is not seen; writers that rename a new file into place have a new inode.
fn meta_of(metadata: &Metadata) -> Meta {
    let etag =
        format!("\"{:x}-{:x}.{:x}-{:x}\"", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size());
    Meta {
        size: metadata.size(),
        etag: Some(ETag::new(etag)),
        modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// What is there in place of an object.
fn no_object(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some(DIRECTORY),
        () if kind.is_fifo() => Some("a pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

/// What a directory is called.
const DIRECTORY: &str = "a directory";

pub(super) fn cause(location: Location, error: &std::io::Error) -> StoreError {
    match error.raw_os_error() {
        // ENOTDIR: an object where a folder of the key's path would be, so there is nothing below it.
        Some(libc::ENOENT | libc::ENOTDIR) => StoreError::NotFound { location },
        Some(libc::EISDIR) => StoreError::NoObject { location, what: DIRECTORY },
        // How open(2) answers for a socket, or a device without a driver.
        Some(libc::ENXIO) => StoreError::NoObject { location, what: "a socket or a device" },
        Some(libc::EACCES | libc::EPERM) => {
            StoreError::Forbidden { location, denial: Denial::Rights, code: None, reason: error.to_string() }
        }
        Some(libc::ENAMETOOLONG) => StoreError::Unsupported {
            what: location.to_string(),
            reason: "longer than the file system allows".to_owned(),
        },
        _ => StoreError::Failed { location, reason: error.to_string() },
    }
}
