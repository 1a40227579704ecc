//! What is kept, by when it was last asked for.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use bytes::Bytes;

/// Things that are there, the least recently used first to go.
#[derive(Debug)]
pub struct Shelf<K> {
    kept: HashMap<K, Kept>,
    /// By when they were last used, the things nobody has asked for yet apart.
    read: BTreeMap<u64, K>,
    unread: BTreeMap<u64, K>,
    clock: u64,
    unread_bytes: u64,
    /// Bytes that were loaded ahead and let go before anybody asked for them.
    wasted: u64,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    when: u64,
    unread: bool,
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Shelf {
            kept: HashMap::new(),
            read: BTreeMap::new(),
            unread: BTreeMap::new(),
            clock: 0,
            unread_bytes: 0,
            wasted: 0,
        }
    }
}

impl<K: Copy + Eq + Hash> Shelf<K> {
    /// The bytes of `key`, which somebody asks for.
    pub fn get(&mut self, key: &K) -> Option<Bytes> {
        let kept = self.kept.get_mut(key)?;
        match kept.unread {
            true => {
                self.unread.remove(&kept.when);
                self.unread_bytes -= kept.bytes.len() as u64;
            }
            false => {
                self.read.remove(&kept.when);
            }
        }
        self.clock += 1;
        (kept.when, kept.unread) = (self.clock, false);
        self.read.insert(self.clock, *key);
        Some(kept.bytes.clone())
    }

    /// Whether `key` is here; nobody asks for its bytes.
    pub fn contains(&self, key: &K) -> bool {
        self.kept.contains_key(key)
    }

    /// Keeps bytes as the latest; `unread` where they were loaded ahead. What is here under this key stays.
    pub fn insert(&mut self, key: K, bytes: Bytes, unread: bool) {
        if self.kept.contains_key(&key) {
            return;
        }
        self.clock += 1;
        if unread {
            self.unread_bytes += bytes.len() as u64;
            self.unread.insert(self.clock, key);
        } else {
            self.read.insert(self.clock, key);
        }
        self.kept.insert(key, Kept { bytes, when: self.clock, unread });
    }

    /// Takes out what was used longest ago of what somebody has read.
    pub fn pop_read(&mut self) -> Option<Bytes> {
        let (_, key) = self.read.pop_first()?;
        self.kept.remove(&key).map(|kept| kept.bytes)
    }

    /// Takes out what was used longest ago, whether it was read or only loaded ahead: what was loaded for a reader who has
    /// left goes before what others have just read.
    pub fn pop_oldest(&mut self) -> Option<Bytes> {
        let (read, unread) = (self.read.first_key_value(), self.unread.first_key_value());
        match (read, unread) {
            (Some((read, _)), Some((unread, _))) if unread < read => self.pop_unread(),
            (Some(_), _) => self.pop_read(),
            (None, _) => None,
        }
    }

    /// Takes out what was used longest ago: of what was read, else of what was loaded ahead.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.pop_read().or_else(|| self.pop_unread())
    }

    fn pop_unread(&mut self) -> Option<Bytes> {
        let (_, key) = self.unread.pop_first()?;
        let bytes = self.kept.remove(&key)?.bytes;
        self.unread_bytes -= bytes.len() as u64;
        self.wasted += bytes.len() as u64;
        Some(bytes)
    }

    /// Takes out what was loaded ahead longest ago, if everything that was read was read since.
    pub fn pop_forsaken(&mut self) -> Option<Bytes> {
        let (read, unread) = (self.read.first_key_value()?.0, self.unread.first_key_value()?.0);
        (unread < read).then(|| self.pop_unread()).flatten()
    }

    /// Bytes that were loaded ahead and not asked for yet.
    pub fn unread_bytes(&self) -> u64 {
        self.unread_bytes
    }

    /// Bytes that were loaded ahead and let go unread.
    pub fn wasted(&self) -> u64 {
        self.wasted
    }

    /// How many things are here.
    pub fn len(&self) -> usize {
        self.kept.len()
    }
}
