//! The HSDS storage schema: one JSON object for each object of a file, one object for each chunk.
//!
//! Two halves. The pure one says what JSON and keys mean: [`id`], [`key`], [`document`], [`hierarchy`] and what these
//! stand on. The other does the asking: [`tree`] for folders and names, [`loader`] for the objects of a file,
//! [`freshness`] for whether they are still the same. Below lies `store`; above, `namespace` sees only the
//! [`Source`] trait.
//!
//! Files and folders are *domains*: `<path>/.domain.json`, which names a root group where it is a file. All else of a
//! file lies under `db/<half of the root's id>/`, or hashed at the root of the bucket (first schema).

pub mod attribute;
pub mod base64;
pub mod chunks;
pub mod creation;
pub mod document;
pub mod domain;
pub mod external;
pub mod fault;
pub mod filters;
pub mod freshness;
mod growing;
pub mod h5image;
pub mod hierarchy;
pub mod id;
pub mod key;
pub mod linked;
pub mod loader;
pub mod mentions;
mod order;
pub mod region;
pub mod shape;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod types;
pub mod value;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Contents, Cursor, Entry, EntryKind, Fingerprint, Freshness, Page, Source, SourceError};
use crate::store::{Store, StoreError};

/// How a store is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsdsSettings {
    /// Objects asked for at the same time: see [`crate::store::StoreSettings::in_flight`], which bounds them anyway.
    pub in_flight: usize,
    /// Pauses before JSON that is not whole is read again, together about a second. HSDS writes files in place; a JSON
    /// object is written in well under that.
    pub patience: Vec<Duration>,
    /// An object written less than this ago may still be being written, and what it links to may follow.
    pub young: Duration,
    /// How datasets with the shuffle filter and no compressor are read.
    pub shuffle_only: hierarchy::ShuffleOnly,
    /// Bytes of JSON of one file, all objects together. Parsed, it takes several times that in memory.
    pub file_bytes: u64,
}

impl Default for HsdsSettings {
    fn default() -> Self {
        HsdsSettings {
            in_flight: 64,
            patience: [50, 100, 200, 300, 350].map(Duration::from_millis).to_vec(),
            young: Duration::from_secs(10),
            shuffle_only: hierarchy::ShuffleOnly::default(),
            file_bytes: 1 << 30,
        }
    }
}

/// A store in the HSDS schema, or a folder or a single file of one.
#[derive(Debug)]
pub struct HsdsSource {
    store: Arc<Store>,
    /// Path in the store that is the root of this source, without leading or trailing `/`.
    base: String,
    /// Where the source is a single file: its name, in `base`.
    only: Option<String>,
    settings: HsdsSettings,
}

impl HsdsSource {
    /// What lies at `path` of `store` (`""` for all of it). A folder becomes the root folder; a file becomes the only
    /// entry of the root folder.
    ///
    /// # Errors
    /// [`SourceError::NotFound`] where neither is there.
    pub async fn open(store: Arc<Store>, path: &str, settings: HsdsSettings) -> Result<HsdsSource, SourceError> {
        let path = path.trim_matches('/');
        let mut source = HsdsSource { store, base: String::new(), only: None, settings };
        if path.is_empty() {
            return Ok(source);
        }
        let entry = source.find(path).await?.ok_or_else(|| SourceError::NotFound { path: path.to_owned() })?;
        match entry.kind {
            EntryKind::Folder => source.base = path.to_owned(),
            EntryKind::File | EntryKind::Plain { .. } => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                source.base = folder.to_owned();
                source.only = Some(name.to_owned());
            }
        }
        Ok(source)
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Name of the only file shown, where the source is a single file.
    pub fn only(&self) -> Option<&str> {
        self.only.as_deref()
    }

    /// Path in the store of a path in this source.
    pub fn path_in_store(&self, path: &str) -> String {
        match (self.base.as_str(), path) {
            ("", path) => path.to_owned(),
            (base, "") => base.to_owned(),
            (base, path) => format!("{base}/{path}"),
        }
    }
}

#[async_trait]
impl Source for HsdsSource {
    async fn list(&self, folder: &str, after: Option<&Cursor>) -> Result<Page, SourceError> {
        match &self.only {
            None => self.list_folder(folder, after).await,
            Some(name) if folder.is_empty() => {
                Ok(Page { entries: self.find_entry(name).await?.into_iter().collect(), next: None })
            }
            Some(_) => Err(SourceError::NotFound { path: folder.to_owned() }),
        }
    }

    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        match &self.only {
            Some(name) if !path.is_empty() && path != name => Ok(None),
            _ => self.find_entry(path).await,
        }
    }

    async fn open(&self, path: &str) -> Result<Contents, SourceError> {
        if self.only.as_ref().is_some_and(|name| name != path) {
            return Err(SourceError::NotFound { path: path.to_owned() });
        }
        self.open_file(path).await
    }

    async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError> {
        freshness::still_holds(&self.store, fingerprint, self.settings.in_flight).await
    }
}

/// Whether an error says that nothing can be there: no object, or a name that no key of this store can have.
fn is_nothing(error: &StoreError) -> bool {
    error.is_not_found() || matches!(error, StoreError::Unsupported { .. })
}
