//! The HSDS storage schema: one JSON object for each object of a file, one object for each chunk.
//!
//! Two halves. The pure one says what JSON and keys mean: [`id`], [`key`], [`document`], [`hierarchy`] and what these
//! stand on. The other does the asking: [`tree`] for folders and names, `documents` for one JSON object, [`loader`] for
//! those of a file, [`freshness`] for whether they are still the same, [`held`] for what an
//! earlier mount kept of them ([`index`]). Below lies `store`; above, `namespace` sees only the
//! [`Source`] trait.
//!
//! Files and folders are *domains*: `<path>/.domain.json`, which names a root group where it is a file. All else of a
//! file lies under `db/<half of the root's id>/`, or hashed at the root of the bucket (first schema).

mod asides;
pub mod attribute;
pub mod base64;
pub mod chunks;
pub mod creation;
pub mod document;
mod documents;
pub mod domain;
pub mod external;
pub mod fault;
pub mod filters;
pub mod freshness;
mod growing;
pub mod h5image;
pub mod held;
pub mod hierarchy;
pub mod id;
mod index;
pub mod key;
pub mod linked;
pub mod loader;
pub mod mentions;
mod order;
mod reading;
pub mod region;
pub mod shape;
pub mod statistics;
pub mod stream;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod types;
pub mod value;
mod walk;

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt, iter, once};
use tokio::time::Instant;

use super::shelf::Description;
use super::{Contents, Entry, EntryKind, Fingerprint, Freshness, Source, SourceError};
use crate::model::location::Key;
use crate::store::{Denial, Patience, Store, StoreError};
use documents::Recent;
use tree::Before;

/// How a store is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsdsSettings {
    /// Objects asked for at the same time: see [`crate::store::StoreSettings::in_flight`], which bounds them anyway.
    pub in_flight: usize,
    /// How long JSON that is not whole, or what is linked and not there, is waited for.
    pub patience: Patience,
    /// How datasets with the shuffle filter and no compressor are read.
    pub shuffle_only: hierarchy::ShuffleOnly,
    /// Bytes of JSON of one file, all objects together. Parsed, it takes several times that in memory.
    pub file_bytes: u64,
}

impl Default for HsdsSettings {
    fn default() -> Self {
        HsdsSettings {
            in_flight: 64,
            patience: Patience::default(),
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
    /// Domains that were looked up a moment ago.
    recent: Recent,
    /// Listings of this store spell entity tags otherwise than objects do.
    tags_differ: AtomicBool,
    /// Files of which a page of a listing cannot tell everything, by what their keys begin with.
    crowded: Mutex<HashSet<Key>>,
    /// Where descriptions of files are kept.
    shelves: super::shelf::Shelves,
    /// Kept descriptions that were compared a moment ago.
    ahead: held::Ahead,
    /// When it was last warned that names could not be looked into.
    unclear: Mutex<Option<Instant>>,
}

impl HsdsSource {
    /// What lies at `path` of `store` (`""` for all of it). A folder becomes the root folder; a file becomes the only
    /// entry of the root folder.
    ///
    /// # Errors
    /// [`SourceError::NotFound`] where neither is there.
    pub async fn open(store: Arc<Store>, path: &str, settings: HsdsSettings) -> Result<HsdsSource, SourceError> {
        let path = path.trim_matches('/');
        let mut source = HsdsSource::new(store, settings);
        // That a folder may not be listed is told now, not by an error of the first `ls`.
        let (entry, listed) = tokio::join!(source.find_entry(path, Before::Unknown), source.store.holds_any(path));
        let entry = entry?;
        // A web server: nobody can tell a folder from nothing, and neither could be shown.
        if !source.store.capabilities().listing
            && entry.as_ref().is_none_or(|entry| matches!(entry.kind, EntryKind::Folder))
        {
            let what = source.store.location(&Key::new(path)).to_string();
            let reason =
                "no such file; if it is a folder: this kind of store cannot be listed, name a file by its path";
            return Err(StoreError::Unsupported { what, reason: reason.to_owned() }.into());
        }
        let entry = entry.ok_or_else(|| SourceError::NotFound { path: path.to_owned() })?;
        match entry.kind {
            EntryKind::Folder => match listed {
                Err(error) if !is_nothing(&error) => return Err(error.into()),
                _ => source.base = path.to_owned(),
            },
            EntryKind::File | EntryKind::Plain { .. } | EntryKind::Unclear => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                source.base = folder.to_owned();
                source.only = Some(name.to_owned());
            }
        }
        Ok(source)
    }

    /// All of a store.
    pub(crate) fn new(store: Arc<Store>, settings: HsdsSettings) -> HsdsSource {
        HsdsSource {
            store,
            base: String::new(),
            only: None,
            settings,
            recent: Recent::default(),
            tags_differ: AtomicBool::new(false),
            crowded: Mutex::default(),
            shelves: super::shelf::Shelves::default(),
            ahead: held::Ahead::default(),
            unclear: Mutex::default(),
        }
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
    fn list<'a>(&'a self, folder: &'a str) -> BoxStream<'a, Result<Entry, SourceError>> {
        match &self.only {
            None => self.list_folder(folder),
            Some(name) if folder.is_empty() => {
                once(self.find_entry(name, Before::Unknown)).filter_map(async |found| found.transpose()).boxed()
            }
            Some(_) => iter([Err(SourceError::NotFound { path: folder.to_owned() })]).boxed(),
        }
    }

    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        match &self.only {
            Some(name) if !path.is_empty() && path != name => Ok(None),
            _ => self.find_entry(path, Before::Unknown).await,
        }
    }

    async fn find_again(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        match &self.only {
            Some(name) if !path.is_empty() && path != name => Ok(None),
            _ => self.find_entry(path, Before::Domain).await,
        }
    }

    async fn open(&self, path: &str) -> Result<Contents, SourceError> {
        if self.only.as_ref().is_some_and(|name| name != path) {
            return Err(SourceError::NotFound { path: path.to_owned() });
        }
        self.open_file(path).await
    }

    async fn describe(&self, path: &str) -> Result<Description, SourceError> {
        if self.only.as_ref().is_some_and(|name| name != path) {
            return Err(SourceError::NotFound { path: path.to_owned() });
        }
        self.describe_file(path).await
    }

    async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError> {
        self.compare(fingerprint).await
    }
}

/// Whether an error says that nothing can be there: no object, or a name that no key of this store can have.
fn is_nothing(error: &StoreError) -> bool {
    error.is_not_found() || matches!(error, StoreError::Unsupported { .. })
}

/// Whether an error says that a name is no plain object: nothing is there, or a folder is.
fn is_no_plain(error: &StoreError) -> bool {
    is_nothing(error) || matches!(error, StoreError::NoObject { .. })
}

/// Whether an error says that these rights do not suffice, of which a store that may not be listed says no more where
/// there is nothing.
fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::Forbidden { denial: Denial::Rights, .. })
}
