//! Attributes of inodes: sizes, times, owner and mode.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

use crate::namespace::{Folder, Stat};

/// Owner, group and mode that everything is shown with: the store's own users mean nothing on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// User that everything belongs to.
    pub uid: u32,
    /// Group that everything belongs to.
    pub gid: u32,
    /// Bits taken from 0444 of files and 0555 of directories.
    pub umask: u16,
    /// Time of what the store gives none: when it was mounted.
    pub since: SystemTime,
}

/// How long the kernel may keep the attributes of a version: they never change, and a day later costs one question.
pub(super) const LASTING: Duration = Duration::from_secs(86_400);

/// Size shown of a file that nobody opened while a large folder is walked through, and of one that cannot be opened. Not 0, since programs pass over
/// empty files; the attribute is not kept, so the right one is there from open on.
pub(super) const ESTIMATE: Stat = Stat { len: 4096, stored: 4096, modified: None };

/// Unit of `st_blocks`.
const BLOCK: u64 = 512;

impl Ownership {
    pub(super) fn of_file(&self, number: u64, stat: Stat) -> FileAttr {
        let mut attributes = self.common(number, stat.modified);
        attributes.size = stat.len;
        attributes.blocks = stat.stored.div_ceil(BLOCK);
        attributes.kind = FileType::RegularFile;
        attributes.perm = 0o444 & !self.umask;
        attributes
    }

    pub(super) fn of_folder(&self, number: u64, folder: &Folder) -> FileAttr {
        let mut attributes = self.common(number, folder.modified());
        attributes.perm = 0o555 & !self.umask;
        // A link count of 1 tells `find` not to count subdirectories by it.
        attributes.nlink = 1;
        attributes
    }

    fn common(&self, number: u64, modified: Option<SystemTime>) -> FileAttr {
        // A time before the epoch is a fault of a clock, and some programs fail on negative times.
        let time = modified.unwrap_or(self.since).max(UNIX_EPOCH);
        FileAttr {
            ino: INodeNo(number),
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: FileType::Directory,
            perm: 0,
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            // stdio reads in this unit, and HDF5's stdio users read here and there.
            blksize: 4096,
            flags: 0,
        }
    }
}
