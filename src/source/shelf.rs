//! Shelves: where what was read of files is kept for the next start, and how whole files are described.
//!
//! A schema says what it keeps and whether that still holds; a shelf only keeps bytes. `service` has shelves on local
//! disk, in folders and in stores.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::location::{Key, Location};

/// A place that keeps one description of each file.
#[async_trait]
pub trait Shelf: Send + Sync + fmt::Debug {
    /// Whether looking there costs less than a request.
    fn is_near(&self) -> bool;

    /// What is kept of the file that `domain` names.
    async fn get(&self, domain: &Location) -> Option<Bytes>;

    /// Keeps it, in place of an earlier one.
    ///
    /// # Errors
    /// Why it is not kept, in words.
    async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String>;
}

/// Where descriptions of files are kept.
#[derive(Clone, Debug, Default)]
pub struct Shelves {
    /// Read, and written whenever a file was read anew.
    pub own: Option<Arc<dyn Shelf>>,
    /// Only read.
    pub given: Option<Arc<dyn Shelf>>,
}

/// All that describes one version of a file, as one object.
#[derive(Clone, Debug)]
pub struct Description {
    /// The object that names the file.
    pub domain: Location,
    /// Where it belongs in the file's own store; `None` where it has no place there.
    pub beside: Option<Key>,
    /// The object.
    pub bytes: Bytes,
    /// Objects of the file.
    pub objects: u64,
    /// Chunks of the file, where its description lists them.
    pub chunks: Option<u64>,
    /// How it will be found out whether it still holds; where that cannot be, or would cost as much as reading the file, why it is not
    /// worth keeping.
    pub checked: Result<Checked, Unkept>,
}

/// Why a description is not worth keeping, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// It would save nothing.
    Needless(String),
    /// It would, and cannot be had now.
    NotNow(String),
}

/// How it is found out whether a description still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// By the statistics that HSDS keeps: one request.
    Statistics,
    /// By one page of a listing.
    Page,
    /// By a look at each object, all at once.
    Each,
    /// By the identity of the one object that the file is.
    Identity,
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;

    /// A shelf near by.
    #[derive(Debug, Default)]
    pub(crate) struct InMemory(pub(crate) Mutex<HashMap<Location, Bytes>>);

    #[async_trait]
    impl Shelf for InMemory {
        fn is_near(&self) -> bool {
            true
        }
        async fn get(&self, domain: &Location) -> Option<Bytes> {
            self.0.lock().unwrap().get(domain).cloned()
        }
        async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String> {
            self.0.lock().unwrap().insert(domain.clone(), description);
            Ok(())
        }
    }
}
