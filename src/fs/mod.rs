//! The kernel's questions, answered from the namespace.
//!
//! Below stands [`crate::namespace`], which knows folders, versions of files and byte ranges; above stands the kernel,
//! which knows inodes and handles. This room translates, and knows neither HDF5 nor any store.
//!
//! * **No request waits in a thread of fuser.** Its handler takes the owned reply, starts a task and returns; the task
//!   answers. Each has a deadline, since the kernel's INTERRUPT is not passed on: a killed reader waits for us.
//! * **An inode is a version.** A name leads to the inode of its file's current version. A changed file gets a new
//!   inode, what is open keeps its own, and therefore the kernel's page cache of an inode is right for ever.
//! * **A handle pins** a version, or a listing. FLUSH (a descriptor was closed) and RELEASE (the last one was) are
//!   told apart, though a reader needs only the latter.
//! * **The structures of a file are handed to the kernel when it is opened**, so that it asks for data only.
//! * flock and fcntl locks are the kernel's own business as long as we do not claim them.

mod attributes;
mod complaints;
mod errno;
mod filesystem;
mod handles;
mod inodes;
mod read_ahead;
mod session;
mod xattr;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fuser::{Errno, INodeNo, Notifier};
use tokio::runtime::Handle;

pub use attributes::Ownership;
pub use session::{Audience, Detach, Mount, MountError, detach, is_ours, mount, source_name};

use crate::namespace::{File, Folder, Namespace, Node, NodeId, Stat, Version};
use complaints::Complaints;
use errno::Failure;
use handles::{DirectoryHandle, FileHandle, Handles, Superseded};
use inodes::Inodes;
use read_ahead::ReadAhead;
use xattr::Told;

/// How the file system behaves; resolved once by the configuration.
#[derive(Clone, Debug)]
pub struct FsSettings {
    /// URL of the store's root, for `user.h5mount.source`.
    pub source: String,
    /// Whom everything belongs to.
    pub ownership: Ownership,
    /// Time after which a request is answered with an error. Above anything the store below takes with its own
    /// deadlines and retries, and low enough that a stuck program comes back within a coffee.
    pub deadline: Duration,
}

impl FsSettings {
    /// The deadline of a kernel request.
    pub const DEADLINE: Duration = Duration::from_secs(300);
}

/// The file system: shared by all requests.
#[derive(Debug)]
struct Adapter {
    namespace: Arc<Namespace>,
    settings: FsSettings,
    runtime: Handle,
    inodes: Inodes,
    files: Handles<FileHandle>,
    directories: Handles<DirectoryHandle>,
    superseded: Superseded,
    complaints: Arc<Complaints>,
    read_ahead: ReadAhead,
    /// How the kernel is told what it did not ask for; there once the session is.
    notifier: OnceLock<Notifier>,
}

/// What is told of a file by number: the inode, its size, and whether that is more than an estimate.
struct Measured {
    number: u64,
    stat: Stat,
    exact: bool,
}

impl Adapter {
    fn new(namespace: Arc<Namespace>, settings: FsSettings, runtime: Handle) -> Self {
        let inodes = Inodes::new(namespace.root().clone());
        Adapter {
            namespace,
            settings,
            runtime,
            inodes,
            files: Handles::new(),
            directories: Handles::new(),
            superseded: Superseded::default(),
            complaints: Arc::default(),
            read_ahead: ReadAhead::default(),
            notifier: OnceLock::new(),
        }
    }

    /// Answers a request in a task of its own, within the deadline. `request` names it in the log.
    fn answer<T: Send + 'static>(
        &self,
        request: &'static str,
        number: u64,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        send: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        let deadline = self.settings.deadline;
        let complaints = self.complaints.clone();
        self.runtime.spawn(async move {
            let result = tokio::time::timeout(deadline, work).await.unwrap_or(Err(Failure::Deadline));
            send(result.map_err(|failure| {
                let errno = failure.errno();
                let line = failure.log_line();
                let line = line.and_then(|line| complaints.line(failure.subject(request), &line, Instant::now()));
                if let Some(reason) = line {
                    tracing::warn!(request, inode = number, errno = errno.code(), "{reason}");
                }
                errno
            }));
        });
    }

    /// Gives the kernel the structures of a version before anybody reads them, once for an inode. It asks for none of
    /// them then, and reads nothing ahead of them, which would be chunks. It only serves to save requests: where the
    /// kernel does not take them, it asks.
    async fn hand_over(&self, number: u64, version: &Arc<Version>) {
        let Some(notifier) = self.notifier.get().filter(|_| self.inodes.hand_over(number)) else { return };
        let (notifier, version) = (notifier.clone(), version.clone());
        // Aside: the bytes are made now, and the kernel waits for whoever reads one of these pages already.
        let handed = self.runtime.spawn_blocking(move || {
            version.preface().try_for_each(|piece| notifier.store(INodeNo(number), piece.at, &piece.bytes))
        });
        match handed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(inode = number, "the kernel takes no pages: {error}"),
            Err(stopped) => tracing::warn!(inode = number, "making pages: {stopped}"),
        }
    }

    /// The value of an extended attribute. A file is opened only for what is told of its content.
    async fn extended(&self, number: u64, name: &str) -> Result<Vec<u8>, Failure> {
        let node = self.inodes.get(number)?.node;
        if let Some(answer) = self.asked(&node, name).await {
            return answer;
        }
        let told = xattr::find(&node, name).ok_or(Failure::NoAttribute)?;
        let file = match (&node, told) {
            (Node::File(file), Told::Fact(_) | Told::Problems) => file,
            _ => {
                let url = format!("{}/{}", self.settings.source, node.path());
                return Ok(xattr::text(url.trim_end_matches('/')));
            }
        };
        Ok(match (self.namespace.open(file).await, told) {
            (Ok(version), Told::Problems) => xattr::lines(self.namespace.problems(&version).await),
            (Ok(version), Told::Fact(name)) => xattr::text(version.facts().get(name).map_or("", String::as_str)),
            // Why it cannot be opened is its problem.
            (Err(error), Told::Problems) => xattr::lines([error]),
            _ => Vec::new(),
        })
    }

    /// The answer to a name that asks for something; `None` for others.
    async fn asked(&self, node: &Node, name: &str) -> Option<Result<Vec<u8>, Failure>> {
        let (wish, grid) = (xattr::wish(name), name.strip_prefix(xattr::GRID));
        if wish.is_none() && grid.is_none() && name != xattr::DATASETS {
            return None;
        }
        let Node::File(file) = node else { return Some(Err(Failure::NoAttribute)) };
        let version = match self.namespace.open(file).await {
            Ok(version) => version,
            Err(error) => return Some(Err(error.into())),
        };
        if let Some((verb, wish)) = wish {
            return Some(Ok(xattr::warmed(&self.namespace.wish(&version, verb, wish).await)));
        }
        if let Some(path) = grid {
            let grid = self.namespace.grid(&version, path);
            return Some(grid.map(|grid| xattr::grid(&grid)).ok_or(Failure::NoAttribute));
        }
        Some(Ok(xattr::lines(self.namespace.datasets(&version))))
    }

    /// Inode and size of a file. It is opened for that, unless somebody walks through the large folder it is in.
    async fn measure(&self, file: &Arc<File>, parent: &Folder) -> Result<Measured, Failure> {
        if self.namespace.is_walked(parent) {
            self.namespace.walk(parent);
            let (NodeId(number), stat) = file.current_stat();
            return Ok(Measured { number, stat: stat.unwrap_or(attributes::ESTIMATE), exact: stat.is_some() });
        }
        match self.namespace.open(file).await {
            Ok(version) => Ok(Measured { number: version.id().0, stat: version.stat(), exact: true }),
            Err(error) if error.is_not_found() => Err(error.into()),
            Err(error) => {
                // The name is there, and whoever opens it is told why it cannot be read.
                let failure = Failure::from(error);
                let line = failure.log_line().unwrap_or_default();
                if let Some(line) = self.complaints.line(failure.subject("LOOKUP"), &line, Instant::now()) {
                    tracing::warn!("{line}");
                }
                Ok(Measured { number: file.current().0, stat: attributes::ESTIMATE, exact: false })
            }
        }
    }
}
