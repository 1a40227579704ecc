//! The kernel's requests, one method each. Every method takes its reply, starts a task where there is anything to wait
//! for, and returns.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle as Fh, FileType, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::attributes::LASTING;
use super::errno::{Failure, NO_DEVICE, NOT_OURS, READ_ONLY};
use super::handles::{DirectoryHandle, FileHandle, Mode};
use super::{Adapter, xattr};
use crate::namespace::{EntryKind, NamespaceError, Node, Whence};

/// Requests the kernel may have waiting in the background (read-ahead): 64 of up to 1 MiB keep a distant store busy.
const BACKGROUND: u16 = 64;
/// From here on the kernel calls us congested and reads less ahead; three quarters, as the kernel's own default.
const CONGESTED: u16 = 48;
/// Bytes of one request. The kernel sizes reads by it too, and takes at most 1 MiB without a changed system setting.
const REQUEST_BYTES: u32 = 1 << 20;
/// What a directory entry has for an inode number where none was given out yet (as libfuse does).
const UNKNOWN_INODE: u64 = 0xffff_ffff;
/// Entries taken from a listing for one READDIR: more than the largest buffer of the kernel holds.
const ENTRIES: usize = 1024;
/// Numbers are never used again within a mount, so there is one generation of them.
const GENERATION: Generation = Generation(0);

/// What fuser drives.
pub(super) struct Filesystem {
    pub(super) adapter: Arc<Adapter>,
    /// Called when the kernel has let go of the file system.
    pub(super) ended: Box<dyn FnMut() + Send + Sync>,
}

/// What a LOOKUP is answered.
struct Looked {
    attributes: FileAttr,
    attributes_for: Duration,
    entry_for: Duration,
}

impl fuser::Filesystem for Filesystem {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Each returns the nearest possible value where it refuses one; the kernel's defaults work, only slower.
        let _ = config.set_max_background(BACKGROUND);
        let _ = config.set_congestion_threshold(CONGESTED);
        let _ = config.set_max_write(REQUEST_BYTES);
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        // The bytes of an inode never change: where a size was an estimate, what the kernel has of it stays right.
        let _ = config.add_capabilities(InitFlags::FUSE_EXPLICIT_INVAL_DATA);
        Ok(())
    }

    fn destroy(&mut self) {
        (self.ended)();
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let adapter = self.adapter.clone();
        let name = name.to_owned();
        let work = async move {
            let folder = adapter.inodes.folder(parent.0)?;
            // Names of a store are text; another byte string cannot be one of them.
            let Some(name) = name.to_str() else {
                return Err(NamespaceError::NotFound { path: name.to_string_lossy().into() }.into());
            };
            let node = adapter.namespace.lookup(&folder, name).await?;
            let found = match &node {
                Node::Folder(inner) => {
                    let number = inner.id().0;
                    adapter.inodes.remember(number, node.clone(), folder, None);
                    let attributes = adapter.settings.ownership.of_folder(number, inner);
                    let time = adapter.namespace.believed_for(&node);
                    Looked { attributes, attributes_for: time, entry_for: time }
                }
                Node::File(file) => {
                    let measured = adapter.measure(file, &folder).await?;
                    let stat = measured.exact.then_some(measured.stat);
                    adapter.inodes.remember(measured.number, node.clone(), folder, stat);
                    Looked {
                        attributes: adapter.settings.ownership.of_file(measured.number, measured.stat),
                        attributes_for: if measured.exact { LASTING } else { Duration::ZERO },
                        entry_for: adapter.namespace.believed_for(&node),
                    }
                }
            };
            Ok(found)
        };
        self.adapter.answer("LOOKUP", parent.0, work, |result| match result {
            Ok(found) => {
                reply.entry_with_ttls(&found.attributes_for, &found.entry_for, &found.attributes, GENERATION);
            }
            Err(errno) => reply.error(errno),
        });
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        let gone = self.adapter.inodes.forget(number.0, lookups);
        // Not in fuser's thread: a folder may have a long listing. Of files many thousands are forgotten at a time, and
        // each is soon dropped.
        match gone.as_ref().map(|inode| &inode.node) {
            None => {}
            Some(Node::Folder(_)) => drop(self.adapter.runtime.spawn_blocking(move || drop(gone))),
            Some(Node::File(_)) => drop(self.adapter.runtime.spawn(async move { drop(gone) })),
        }
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<Fh>, reply: ReplyAttr) {
        let adapter = self.adapter.clone();
        let work = async move {
            let inode = adapter.inodes.get(number.0)?;
            let ownership = &adapter.settings.ownership;
            match &inode.node {
                Node::Folder(folder) => {
                    let time = adapter.namespace.believed_for(&inode.node);
                    Ok((ownership.of_folder(number.0, folder), time))
                }
                Node::File(file) => {
                    if let Some(stat) = inode.stat {
                        return Ok((ownership.of_file(number.0, stat), LASTING));
                    }
                    let measured = adapter.measure(file, &inode.parent).await?;
                    if measured.number != number.0 {
                        return Err(Failure::Superseded);
                    }
                    if measured.exact {
                        adapter.inodes.measured(number.0, measured.stat);
                    }
                    let time = if measured.exact { LASTING } else { Duration::ZERO };
                    Ok((ownership.of_file(number.0, measured.stat), time))
                }
            }
        };
        self.adapter.answer("GETATTR", number.0, work, |result| match result {
            Ok((attributes, time)) => reply.attr(&time, &attributes),
            Err(errno) => reply.error(errno),
        });
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY || flags.0 & libc::O_TRUNC != 0 {
            return reply.error(READ_ONLY);
        }
        let adapter = self.adapter.clone();
        let thread = request.pid();
        let work = async move {
            let file = adapter.inodes.file(number.0)?;
            let mut version = adapter.namespace.open_found(&file).await?;
            if version.id().0 != number.0 {
                let reopened = adapter.files.version(number.0);
                let again = adapter.superseded.again(thread, number.0, Instant::now());
                version = reopened.filter(|_| again).ok_or(Failure::Superseded)?;
            }
            adapter.inodes.measured(number.0, version.stat());
            adapter.hand_over(number.0, &version).await;
            let read_ahead = adapter.read_ahead.open(version.reach());
            let reader = Arc::new(adapter.namespace.reader(version, read_ahead, adapter.runtime.clone()));
            Ok(adapter.files.open(FileHandle { reader, mode: Mode::Read }))
        };
        self.adapter.answer("OPEN", number.0, work, |result| match result {
            // The pages of an inode are those of its one version.
            Ok(handle) => reply.opened(Fh(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        });
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: Fh,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let reader = match self.adapter.files.get(handle.0) {
            Ok(open) => open.reader,
            Err(failure) => return reply.error(failure.errno()),
        };
        let (adapter, wanted) = (self.adapter.clone(), offset..offset.saturating_add(u64::from(size)));
        let work = {
            let (reader, wanted) = (reader.clone(), wanted.clone());
            async move { Ok(adapter.namespace.read_by(&reader, wanted).await?) }
        };
        self.adapter.answer("READ", number.0, work, |result| match result {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        });
        // Here, where reads come in their order; what is wanted now is asked for first.
        reader.touch(wanted);
    }

    fn flush(&self, _request: &Request, _number: INodeNo, handle: Fh, _owner: LockOwner, reply: ReplyEmpty) {
        // One descriptor of the handle was closed. A reader has nothing to hand in.
        match self.adapter.files.get(handle.0).map(|open| open.mode) {
            Ok(Mode::Read) => reply.ok(),
            Err(failure) => reply.error(failure.errno()),
        }
    }

    fn release(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: Fh,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        // Dropping a version may free a large plan: not in fuser's thread.
        let closed = self.adapter.files.close(handle.0);
        reply.ok();
        self.adapter.runtime.spawn_blocking(move || drop(closed));
    }

    fn fsync(&self, _request: &Request, _number: INodeNo, _handle: Fh, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _request: &Request, _number: INodeNo, _handle: Fh, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn lseek(&self, _request: &Request, number: INodeNo, handle: Fh, offset: i64, whence: i32, reply: ReplyLseek) {
        let adapter = self.adapter.clone();
        let work = async move {
            let open = adapter.files.get(handle.0)?;
            let offset = u64::try_from(offset).map_err(|_| Failure::NoSuchOffset)?;
            let whence = match whence {
                libc::SEEK_DATA => Whence::Data,
                libc::SEEK_HOLE => Whence::Hole,
                _ => return Err(Failure::Invalid),
            };
            let found = adapter.namespace.seek(open.reader.version(), offset, whence).await?;
            found.and_then(|found| i64::try_from(found).ok()).ok_or(Failure::NoSuchOffset)
        };
        self.adapter.answer("LSEEK", number.0, work, |result| match result {
            Ok(offset) => reply.offset(offset),
            Err(errno) => reply.error(errno),
        });
    }

    fn ioctl(&self, _: &Request, _: INodeNo, _: Fh, _: IoctlFlags, _: u32, _: &[u8], _: u32, reply: fuser::ReplyIoctl) {
        reply.error(NO_DEVICE);
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: Fh,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: fuser::ReplyPoll,
    ) {
        // Files are always ready, which is the kernel's own answer.
        reply.error(NOT_OURS);
    }

    fn bmap(&self, _: &Request, _: INodeNo, _: u32, _: u64, reply: fuser::ReplyBmap) {
        reply.error(NOT_OURS);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: Fh,
        _: u64,
        _: INodeNo,
        _: Fh,
        _: u64,
        _: u64,
        _: fuser::CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(READ_ONLY);
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let adapter = self.adapter.clone();
        let work = async move {
            let folder = adapter.inodes.folder(number.0)?;
            let listing = adapter.namespace.list(&folder);
            Ok(adapter.directories.open(DirectoryHandle { folder, listing }))
        };
        self.adapter.answer("OPENDIR", number.0, work, |result| match result {
            Ok(handle) => reply.opened(Fh(handle), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        });
    }

    fn readdir(&self, _request: &Request, number: INodeNo, handle: Fh, offset: u64, mut reply: ReplyDirectory) {
        let adapter = self.adapter.clone();
        let work = async move {
            let open = adapter.directories.get(handle.0)?;
            adapter.namespace.walk(&open.folder);
            // Offsets 1 and 2 stand behind the two entries every directory has.
            let from = usize::try_from(offset.saturating_sub(2)).map_err(|_| Failure::NoSuchOffset)?;
            let entries = if offset == 0 { Vec::new() } else { open.listing.from(from, ENTRIES).await? };
            Ok((from, entries))
        };
        self.adapter.answer("READDIR", number.0, work, move |result| match result {
            Err(errno) => reply.error(errno),
            Ok((from, entries)) => {
                // `..` of the root is the kernel's business; elsewhere nobody looks at its number.
                let dots = [(0, number.0, "."), (1, UNKNOWN_INODE, "..")];
                for (at, inode, name) in dots {
                    if offset <= at && reply.add(INodeNo(inode), at + 1, FileType::Directory, name) {
                        return reply.ok();
                    }
                }
                for (position, entry) in entries.iter().enumerate() {
                    let kind =
                        if entry.kind == EntryKind::Folder { FileType::Directory } else { FileType::RegularFile };
                    let next = (from + position + 3) as u64;
                    if reply.add(INodeNo(UNKNOWN_INODE), next, kind, &entry.name) {
                        break;
                    }
                }
                reply.ok();
            }
        });
    }

    fn releasedir(&self, _request: &Request, _number: INodeNo, handle: Fh, _flags: OpenFlags, reply: ReplyEmpty) {
        let closed = self.adapter.directories.close(handle.0);
        reply.ok();
        self.adapter.runtime.spawn_blocking(move || drop(closed));
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        // Nobody can say how large a bucket is; nothing can be written to it. The unit is the page.
        reply.statfs(0, 0, 0, 0, 0, 4096, crate::namespace::listing::NAME_BYTES as u32, 4096);
    }

    fn getxattr(&self, _request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let wanted = match name.to_str() {
            Some(name) if name.starts_with(xattr::PREFIX) => name.to_owned(),
            // The kernel asks for capabilities and ACLs of its own: no need to open anything for that.
            _ => return reply.error(Failure::NoAttribute.errno()),
        };
        let adapter = self.adapter.clone();
        let work = async move { adapter.extended(number.0, &wanted).await };
        self.adapter.answer("GETXATTR", number.0, work, move |result| sized(reply, size, result));
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let adapter = self.adapter.clone();
        let work = async move { Ok(xattr::names(&adapter.inodes.get(number.0)?.node)) };
        self.adapter.answer("LISTXATTR", number.0, work, move |result| sized(reply, size, result));
    }

    // What would change something.

    fn setattr(
        &self,
        _request: &Request,
        _number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<Fh>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(READ_ONLY);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(READ_ONLY);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(READ_ONLY);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(READ_ONLY);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(READ_ONLY);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(READ_ONLY);
    }

    fn rename(&self, _: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(READ_ONLY);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(READ_ONLY);
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(READ_ONLY);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: Fh,
        _: u64,
        _: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(READ_ONLY);
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: Fh, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        reply.error(READ_ONLY);
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(READ_ONLY);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(READ_ONLY);
    }
}

/// A value as getxattr and listxattr want it: its size where none was offered, an error where too little was.
fn sized(reply: ReplyXattr, size: u32, value: Result<Vec<u8>, fuser::Errno>) {
    match value {
        Err(errno) => reply.error(errno),
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > size as usize => reply.error(Failure::BufferTooSmall.errno()),
        Ok(value) => reply.data(&value),
    }
}
