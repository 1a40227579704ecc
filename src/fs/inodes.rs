//! Inodes the kernel holds. An inode of a file is one version of it: when the file changes, its name leads to another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::errno::Failure;
use crate::namespace::{File, Folder, Node, Stat};

/// Number of the root directory; the kernel knows it without asking.
pub(super) const ROOT: u64 = 1;

/// What the kernel knows by one number.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    /// The folder or file.
    pub node: Node,
    /// The folder it was found in.
    pub parent: Arc<Folder>,
    /// Size and times of the version that this inode is; `None` until it was opened.
    pub stat: Option<Stat>,
    /// Whether the kernel was given its structures.
    handed_over: bool,
    /// How many of our answers to LOOKUP the kernel has not taken back yet.
    lookups: u64,
}

/// The table of inodes.
#[derive(Debug)]
pub(super) struct Inodes {
    table: Mutex<HashMap<u64, Inode>>,
}

impl Inodes {
    pub(super) fn new(root: Arc<Folder>) -> Self {
        let inode =
            Inode { node: Node::Folder(root.clone()), parent: root, stat: None, handed_over: false, lookups: 1 };
        Inodes { table: Mutex::new(HashMap::from([(ROOT, inode)])) }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Inode>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the kernel was told of this inode once more.
    pub(super) fn remember(&self, number: u64, node: Node, parent: Arc<Folder>, stat: Option<Stat>) {
        let mut table = self.table();
        let inode = table.entry(number).or_insert(Inode { node, parent, stat: None, handed_over: false, lookups: 0 });
        inode.lookups = inode.lookups.saturating_add(1);
        inode.stat = inode.stat.or(stat);
    }

    /// Takes back `lookups` answers. What nobody knows any more is handed back: dropping it may free a whole listing.
    #[must_use]
    pub(super) fn forget(&self, number: u64, lookups: u64) -> Option<Inode> {
        if number == ROOT {
            return None;
        }
        let mut table = self.table();
        let inode = table.get_mut(&number)?;
        inode.lookups = inode.lookups.saturating_sub(lookups);
        if inode.lookups == 0 { table.remove(&number) } else { None }
    }

    /// The inode of this number.
    pub(super) fn get(&self, number: u64) -> Result<Inode, Failure> {
        self.table().get(&number).cloned().ok_or(Failure::UnknownInode)
    }

    /// The folder of this number.
    pub(super) fn folder(&self, number: u64) -> Result<Arc<Folder>, Failure> {
        match self.get(number)?.node {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(Failure::NotADirectory),
        }
    }

    /// The file of this number.
    pub(super) fn file(&self, number: u64) -> Result<Arc<File>, Failure> {
        match self.get(number)?.node {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(Failure::IsADirectory),
        }
    }

    /// Notes that the kernel is given the structures of this inode. `false` where it was before, or does not know it.
    pub(super) fn hand_over(&self, number: u64) -> bool {
        let mut table = self.table();
        table.get_mut(&number).is_some_and(|inode| !std::mem::replace(&mut inode.handed_over, true))
    }

    /// Notes the size and times of the version that this inode is.
    pub(super) fn measured(&self, number: u64, stat: Stat) {
        if let Some(inode) = self.table().get_mut(&number) {
            inode.stat = Some(stat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::{Namespace, NodeId};

    #[test]
    fn an_inode_is_held_until_every_answer_is_taken_back() {
        let root = Namespace::folder_for_tests(NodeId(1), "");
        let inner = Namespace::folder_for_tests(NodeId(7), "home");
        let inodes = Inodes::new(root.clone());
        inodes.remember(7, Node::Folder(inner.clone()), root.clone(), None);
        inodes.remember(7, Node::Folder(inner), root, None);
        assert!(inodes.forget(7, 1).is_none());
        assert_eq!(inodes.folder(7).unwrap().path(), "home");
        assert_eq!([7, 7, 8].map(|number| inodes.hand_over(number)), [true, false, false]);
        assert!(inodes.forget(7, 1).is_some());
        assert!(matches!(inodes.get(7), Err(Failure::UnknownInode)));
        // The root is never forgotten, nor is what was never told.
        assert!(inodes.forget(ROOT, u64::MAX).is_none());
        assert!(inodes.forget(99, 1).is_none());
        assert!(inodes.folder(ROOT).is_ok());
    }
}
