//! Builds the house, mounts it, waits for a signal, drains and unmounts.
//!
//! Above stands `cli`; every other room is below. What a command needs of a store without mounting it is [`open`].

pub mod allocator;
pub mod background;
pub mod mountpoint;
mod notify;
pub mod shelves;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use crate::cache::disk::{self, DiskCache, DiskSettings};
use crate::config::{IndexPlace, Place};
use crate::fetch::{FetchSettings, Fetcher};
use crate::fs::{self, Audience, FsSettings, Mount, MountError, Ownership};
use crate::namespace::{Freshness, Namespace, NamespaceSettings};
use crate::source::hdf5::{Hdf5Files, Hdf5Source, Memory};
use crate::source::hsds::{HsdsSettings, HsdsSource};
use crate::source::shelf::Shelf;
use crate::source::{Source, SourceError};
use crate::store::{Store, StoreError, StoreSettings, Stores};
use mountpoint::{MountpointError, Wanted};

/// Why a command could not do its work, by the part of the house that failed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing there.
    #[error("{place}: no such file or folder in the store")]
    NotFound {
        /// What was asked for.
        place: String,
    },
    /// The directory named for the disk cache is not fit for one.
    #[error("--cache-dir {}: {reason}", directory.display())]
    CacheDir {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The place to mount at is not fit.
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
    /// The file system could not be mounted or unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The mount does not answer.
    #[error("{mountpoint}: mounted, but it does not answer: {reason}")]
    Silent {
        /// Where.
        mountpoint: PathBuf,
        /// What happened.
        reason: String,
    },
    /// Ended by a signal before it was mounted.
    #[error("ended by {name} before the store could be mounted")]
    Stopped {
        /// The signal.
        name: &'static str,
    },
    /// The system refuses something every program needs.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// A store, opened.
pub struct House {
    /// The tree of what was asked for.
    pub namespace: Arc<Namespace>,
    /// The stores it reads from.
    pub stores: Arc<Stores>,
    /// Its schema.
    pub source: Arc<dyn Source>,
    /// Its chunks.
    pub fetcher: Arc<Fetcher>,
    /// What is kept on disk.
    pub disk: Option<Arc<DiskCache>>,
    /// Indexes that do not lie beside their files.
    pub given: Option<Arc<dyn Shelf>>,
    /// URL of the folder that is the tree's root.
    pub url: String,
}

/// Opens what `place` means. A file is shown alone in a folder.
pub async fn open(
    place: &Place,
    store: StoreSettings,
    files: Hdf5Files,
    namespace: NamespaceSettings,
    fetch: FetchSettings,
    keep: KeepSettings,
) -> Result<House, ServiceError> {
    let disk = keep.disk.as_ref().map(|settings| Arc::new(DiskCache::open(settings)));
    let settings = store.clone();
    let store = Arc::new(Store::open_with(&place.bucket, store).await?);
    let shelves = shelves::of(disk.as_ref(), keep.index.as_ref(), settings).await?;
    let given = shelves.given.clone();
    let stores = Arc::new(Stores::new(store.clone()));
    let source =
        HsdsSource::open(store.clone(), &place.path, HsdsSettings::default()).await.map_err(|error| match error {
            SourceError::NotFound { .. } => ServiceError::NotFound { place: place.to_string() },
            error => error.into(),
        })?;
    let url = format!("{}/{}", place.bucket.as_str(), source.path_in_store(""));
    let source = source.keeping(shelves.clone());
    let limit = fetch.cache.bytes;
    let mut fetcher = Fetcher::new(fetch);
    if let Some(disk) = &disk {
        fetcher = fetcher.keeping(Arc::clone(disk), namespace.freshness == Freshness::Ever);
    }
    let fetcher = Arc::new(fetcher);
    let counting = Arc::clone(&fetcher);
    let memory = Memory {
        most: limit.clamp(METADATA, Memory::default().most),
        hold: Arc::new(move |bytes| Box::new(counting.hold(bytes))),
    };
    let source = Hdf5Source::over(Arc::new(source), store, files).keeping(shelves, memory);
    let source: Arc<dyn Source> = Arc::new(source);
    let namespace = Arc::new(Namespace::new(source.clone(), stores.clone(), fetcher.clone(), namespace));
    Ok(House { namespace, stores, source, fetcher, disk, given, url: url.trim_end_matches('/').to_owned() })
}

/// What is kept for later, and where.
#[derive(Clone, Debug, Default)]
pub struct KeepSettings {
    /// The disk cache.
    pub disk: Option<DiskSettings>,
    /// Indexes that do not lie beside their files.
    pub index: Option<IndexPlace>,
}

/// What to mount, where and how; resolved by the configuration.
#[derive(Clone, Debug)]
pub struct MountSettings {
    /// What.
    pub place: Place,
    /// Where.
    pub mountpoint: PathBuf,
    /// Also where there are files already.
    pub nonempty: bool,
    /// How its store, and those that linked data lies in, are asked.
    pub store: StoreSettings,
    /// How HDF5 files that lie in the store are shown.
    pub files: Hdf5Files,
    /// How the tree behaves.
    pub namespace: NamespaceSettings,
    /// How chunks are fetched.
    pub fetch: FetchSettings,
    /// What is kept for later.
    pub keep: KeepSettings,
    /// User that everything belongs to; the mounting one where not given.
    pub uid: Option<u32>,
    /// Group that everything belongs to; the mounting user's where not given.
    pub gid: Option<u32>,
    /// Bits taken from the modes.
    pub umask: u16,
    /// Who may use it.
    pub audience: Audience,
    /// After how long a request of the kernel is answered with an error.
    pub deadline: Duration,
}

/// Bytes of metadata that are read of an HDF5 file however little memory there is to be used: those of a hundred thousand objects,
/// which are let go again when they have been read.
const METADATA: u64 = 256 << 20;
/// How long programs get to let go of the mount when it is to end. Shorter than the 10 s and more after which service
/// managers kill.
const GRACE: Duration = Duration::from_secs(5);
/// How long a fresh mount may take to answer the first stat.
const FIRST_ANSWER: Duration = Duration::from_secs(30);
/// How long what was fetched last may take to be written to the disk cache when the mount has ended. 2 s: the queue of a disk
/// that writes 16 MB/s.
const SETTLED: Duration = Duration::from_secs(2);

/// Mounts, calls `ready` when a stat through the mount answers, and returns when it was unmounted: by a signal, or by
/// somebody else.
pub fn run(settings: MountSettings, ready: impl FnOnce() + Send) -> Result<(), ServiceError> {
    on_runtime(serve(settings, ready))?
}

/// Stack of a thread that runs tasks. The frames of a read on its way down lie on one another, in a build without
/// optimisation more than the 2 MiB that are usual; what is not touched costs no memory.
const STACK: usize = 8 << 20;

/// Runs `work`, and with it the program, to the end.
pub fn on_runtime<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(STACK)
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // What still runs has nobody to answer to, and the process ends. Shutting down would detach threads that are just
    // ending, which glibc before 2.37 may crash on.
    std::mem::forget(runtime);
    Ok(result)
}

async fn serve(settings: MountSettings, ready: impl FnOnce() + Send) -> Result<(), ServiceError> {
    // Signals first: one that comes while mounting must not leave a mount behind.
    let mut stop = Signals::new()?;
    if let Some(disk) = &settings.keep.disk {
        // The mount itself would only be slower, and say so in its log.
        disk::prepare(&disk.directory)
            .map_err(|reason| ServiceError::CacheDir { directory: disk.directory.clone(), reason })?;
    }
    let wanted = Wanted { nonempty: settings.nonempty, sources: settings.place.directories() };
    let mountpoint = mountpoint::prepare(&settings.mountpoint, &wanted)?;
    notify::status(&format!("opening {}", settings.place));
    let (fetch, keep) = (settings.fetch.clone(), settings.keep.clone());
    let (store, namespace) = (settings.store.clone(), settings.namespace.clone());
    let opened = open(&settings.place, store, settings.files, namespace, fetch, keep);
    let house = tokio::select! {
        house = opened => house?,
        // A service that is away is waited for, but not against somebody's will.
        name = stop.next() => {
            notify::stopping(&format!("{name}: not mounted"));
            return Err(ServiceError::Stopped { name });
        }
    };
    let fs_settings = FsSettings {
        source: house.url.clone(),
        ownership: Ownership {
            uid: settings.uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw()),
            gid: settings.gid.unwrap_or_else(|| nix::unistd::getegid().as_raw()),
            umask: settings.umask,
            since: SystemTime::now(),
        },
        deadline: settings.deadline,
    };
    let runtime = tokio::runtime::Handle::current();
    let kept = house.disk.clone();
    let mount = fs::mount(house.namespace, &mountpoint, fs_settings, settings.audience, runtime)?;
    match first_answer(&mountpoint).await {
        Ok(device) => mount.read_ahead_on(device),
        Err(reason) => {
            mount.unmount(Duration::ZERO, Arc::default()).await?;
            return Err(ServiceError::Silent { mountpoint, reason });
        }
    }
    tracing::info!("{} is mounted at {}", settings.place, mountpoint.display());
    notify::ready(&format!("{} is mounted at {}", settings.place, mountpoint.display()));
    ready();
    let ended = tokio::select! {
        () = mount.ended() => {
            notify::stopping("unmounted");
            tracing::info!("{} was unmounted", mountpoint.display());
            Ok(())
        }
        name = stop.next() => {
            notify::stopping(&format!("{name}: unmounting"));
            tracing::info!("{name}: unmounting {}", mountpoint.display());
            end(mount, &mut stop).await
        }
    };
    if let Some(kept) = kept {
        kept.settle(SETTLED).await;
        tracing::info!("disk cache: {}", kept.counts());
    }
    ended
}

/// Unmounts; a second signal shortens the grace.
async fn end(mount: Mount, stop: &mut Signals) -> Result<(), ServiceError> {
    let hurry = Arc::new(tokio::sync::Notify::new());
    let unmount = mount.unmount(GRACE, hurry.clone());
    tokio::pin!(unmount);
    loop {
        tokio::select! {
            result = &mut unmount => return Ok(result?),
            _ = stop.next() => hurry.notify_one(),
        }
    }
}

/// Device number of the mount, from a stat through it.
async fn first_answer(mountpoint: &Path) -> Result<u64, String> {
    let path = mountpoint.to_owned();
    let stat = tokio::task::spawn_blocking(move || {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&path).map(|metadata| metadata.dev())
    });
    match tokio::time::timeout(FIRST_ANSWER, stat).await {
        Ok(Ok(Ok(device))) => Ok(device),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", FIRST_ANSWER.as_secs())),
    }
}

/// Signals that end a mount.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
