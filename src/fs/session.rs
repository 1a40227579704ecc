//! Mounting and unmounting: fuser's session in a thread of its own, and its end.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fuser::{Config, MountOption, Session, SessionACL};
use nix::mount::{MntFlags, umount2};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::filesystem::Filesystem;
use super::{Adapter, FsSettings};
use crate::namespace::Namespace;

/// Who may use the mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Whoever mounted it.
    Owner,
    /// Everybody, within the modes shown.
    All,
}

/// Why a mount could not be made or ended.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel or fusermount3 refused.
    #[error("{mountpoint}: cannot mount: {reason}")]
    Refused {
        /// Where.
        mountpoint: String,
        /// In the words of whoever refused, and what to do.
        reason: String,
    },
    /// Could not be unmounted.
    #[error("{mountpoint}: cannot unmount: {error}")]
    Unmount {
        /// Where.
        mountpoint: String,
        /// In the kernel's words.
        error: io::Error,
    },
}

/// A mounted file system.
#[derive(Debug)]
pub struct Mount {
    mountpoint: PathBuf,
    end: Arc<End>,
    adapter: Arc<Adapter>,
}

/// Tells when the session is over.
#[derive(Debug, Default)]
struct End {
    over: AtomicBool,
    told: Notify,
}

/// Mounts the namespace. Requests are answered on `runtime` from now on.
pub fn mount(
    namespace: Arc<Namespace>,
    mountpoint: &Path,
    settings: FsSettings,
    audience: Audience,
    runtime: Handle,
) -> Result<Mount, MountError> {
    let refused = |error: io::Error| MountError::Refused {
        mountpoint: mountpoint.display().to_string(),
        reason: explain(&error, audience),
    };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::DefaultPermissions,
        MountOption::Subtype(SUBTYPE.to_owned()),
        MountOption::FSName(source_name(&settings.source)),
    ];
    config.acl = match audience {
        Audience::Owner => SessionACL::Owner,
        Audience::All => SessionACL::All,
    };
    let end = Arc::new(End::default());
    let adapter = Arc::new(Adapter::new(namespace, settings, runtime));
    let running = Arc::new(AtomicBool::new(false));
    let ended = {
        let (end, running) = (end.clone(), running.clone());
        Box::new(move || {
            end.over.store(true, Ordering::Release);
            // Both: whoever waits now, and whoever comes to wait later.
            end.told.notify_waiters();
            end.told.notify_one();
            // A session that never came to run is dropped by whoever tried to start it, who must go on and say so.
            if !running.load(Ordering::Acquire) {
                return;
            }
            // Going back to fuser would unmount the path a second time, and hit what may be mounted there by now.
            // This thread has nothing more to do; it ends with the program.
            loop {
                std::thread::park();
            }
        })
    };
    let filesystem = Filesystem { adapter: adapter.clone(), ended };
    let session = Session::new(filesystem, mountpoint, &config).map_err(refused)?;
    let _ = adapter.notifier.set(session.notifier());
    std::thread::Builder::new()
        .name("fuse".to_owned())
        .spawn(move || {
            running.store(true, Ordering::Release);
            if let Err(error) = session.run() {
                tracing::error!("the connection to the kernel broke: {error}");
            }
        })
        .map_err(refused)?;
    Ok(Mount { mountpoint: mountpoint.to_owned(), end, adapter })
}

impl Mount {
    /// Waits until the kernel has let go, whoever unmounted it.
    pub async fn ended(&self) {
        while !self.end.over.load(Ordering::Acquire) {
            let told = self.end.told.notified();
            if self.end.over.load(Ordering::Acquire) {
                return;
            }
            // A wake-up that was missed costs half a second.
            let _ = tokio::time::timeout(Duration::from_millis(500), told).await;
        }
    }

    /// The mount has device number `device`: from now on the kernel reads ahead of each file as far as is good for it.
    pub fn read_ahead_on(&self, device: u64) {
        self.adapter.read_ahead.of_device(device);
    }

    /// Files that programs have open.
    pub fn open_files(&self) -> usize {
        self.adapter.files.len()
    }

    /// Unmounts and waits for the end. Where programs still use it, they get `grace` to stop; then the name is taken
    /// away from them, and what they have open works until the program ends.
    /// `hurry` ends the grace early.
    pub async fn unmount(self, grace: Duration, hurry: Arc<Notify>) -> Result<(), MountError> {
        let failed = |error| MountError::Unmount { mountpoint: self.mountpoint.display().to_string(), error };
        let mut busy_until = tokio::time::Instant::now() + grace;
        let mut waited = false;
        while !self.end.over.load(Ordering::Acquire) {
            match self.detach(Detach::Free).await {
                Ok(()) => break,
                // Not mounted any more: somebody was faster.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(failed(error)),
                Err(_) if tokio::time::Instant::now() >= busy_until => {
                    tracing::warn!("{} is still in use and is detached", self.mountpoint.display());
                    return self.detach(Detach::Busy).await.map_err(failed);
                }
                Err(_) => {
                    if !waited {
                        tracing::warn!(
                            open_files = self.open_files(),
                            "{} is in use; waiting up to {} s for it to be let go",
                            self.mountpoint.display(),
                            grace.as_secs()
                        );
                    }
                    waited = true;
                    if tokio::time::timeout(RETRY, hurry.notified()).await.is_ok() {
                        busy_until = tokio::time::Instant::now();
                    }
                }
            }
        }
        // The kernel lets go at once unless something is still being answered.
        let _ = tokio::time::timeout(grace, self.ended()).await;
        Ok(())
    }

    async fn detach(&self, what: Detach) -> io::Result<()> {
        let path = self.mountpoint.clone();
        tokio::task::spawn_blocking(move || detach(&path, what))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// What may be unmounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detach {
    /// Only what nobody uses.
    Free,
    /// Also what is in use: the name goes now, the rest when it is let go.
    Busy,
}

/// Unmounts `mountpoint`: by the kernel, or by fusermount3 where the kernel allows it to root only.
pub fn detach(mountpoint: &Path, what: Detach) -> io::Result<()> {
    let flags = match what {
        // The path is the mount itself; a link in its place is somebody's trick.
        Detach::Free => MntFlags::UMOUNT_NOFOLLOW,
        Detach::Busy => MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH,
    };
    match umount2(mountpoint, flags) {
        Ok(()) => Ok(()),
        Err(nix::errno::Errno::EPERM) => {
            let mut command = Command::new("fusermount3");
            // Its words are looked at below, so they must not be translated.
            command.env("LC_ALL", "C");
            command.arg(if what == Detach::Busy { "-uz" } else { "-u" }).arg("--").arg(mountpoint);
            let output = command.output()?;
            if output.status.success() {
                return Ok(());
            }
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            // It has no exit code for this; where nothing but its words tell, they are all there is.
            if words.contains("busy") {
                Err(io::Error::from_raw_os_error(libc::EBUSY))
            } else {
                Err(io::Error::other(words))
            }
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The source as the mount table shows it. A comma would end the mount option, and a backslash begins an escape.
pub fn source_name(source: &str) -> String {
    format!("{SUBTYPE}:{}", source.replace([',', '\\', '\n'], "_"))
}

/// What the system said, and what to do about it.
fn explain(error: &io::Error, audience: Audience) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{error}; is FUSE there? (/dev/fuse is made by `modprobe fuse`, and fusermount3 is in the package fuse3)"
        ),
        io::ErrorKind::PermissionDenied => {
            let others = "; --allow-other needs `user_allow_other` in /etc/fuse.conf unless you are root";
            let others = if audience == Audience::All { others } else { "" };
            format!("{error}; /dev/fuse and the mount point must be open to you for writing{others}")
        }
        _ => error.to_string().trim().to_owned(),
    }
}

/// Whether a source in the mount table is one of ours.
pub fn is_ours(source: &str) -> bool {
    source.strip_prefix(SUBTYPE).is_some_and(|rest| rest.starts_with(':'))
}

/// Pause between two attempts to unmount what is in use.
const RETRY: Duration = Duration::from_millis(100);
/// Subtype in the mount table: `fuse.h5mount` where fusermount3 mounts.
const SUBTYPE: &str = "h5mount";
