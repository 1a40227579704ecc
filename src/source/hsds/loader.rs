//! The objects of a file: read each once, many at a time, from the root group along links and references.
//!
//! A level of links is one round trip, and what an answer names is asked for as soon as it is there. Beside the root group
//! go out the scan statistics and, where the store is a service, one page of the file's dataset folders: both name
//! datasets that links or chunk tables lead to only later. These are read ahead while nothing better is to be asked; what
//! nothing leads to in the end is no part of the file. (No chunk is listed: a folder stands for all of a dataset's.)

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::chunks::HsdsChunks;
use super::document::Document;
use super::documents::{Read, identity};
use super::domain::Domain;
use super::hierarchy::Context;
use super::id::Id;
use super::index::Index;
use super::reading::{Reading, SUMMARY_PATIENCE};
use super::{HsdsSource, external, h5image, hierarchy, index, is_nothing, key};
use crate::model::location::Key;
use crate::model::name::Name;
use crate::source::{Contents, Fingerprint, SourceError};
use crate::store::{Meta, Waiting};

/// The objects of a file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Key and JSON of each.
    pub objects: HashMap<Id, (Key, Document)>,
    /// Linked or mentioned, but absent or broken, and why.
    pub missing: HashMap<Id, String>,
    /// What was read.
    pub fingerprint: Fingerprint,
    /// When the youngest of it was written.
    pub modified: Option<SystemTime>,
    /// When each dataset was written.
    pub written: HashMap<Id, SystemTime>,
    /// Bytes of all documents.
    pub bytes: u64,
    /// When the statistics were written that the fingerprint goes by.
    pub counted: Option<SystemTime>,
    /// It was kept, and not read anew.
    pub held: bool,
}

impl HsdsSource {
    /// Everything that describes a file.
    pub(super) async fn open_file(&self, path: &str) -> Result<Contents, SourceError> {
        let (domain, root, mut loaded) = self.load_file(path).await?;
        let kept = self.keeps(&loaded).then(|| key::domain(&self.path_in_store(path)));
        let context = Context {
            bucket: self.store.bucket().clone(),
            shuffle_only: self.settings.shuffle_only,
            resolve_external: self.resolver(path),
        };
        let (objects, missing) = (std::mem::take(&mut loaded.objects), std::mem::take(&mut loaded.missing));
        let made = tokio::task::spawn_blocking(move || {
            let whole = Loaded { objects, missing, ..loaded };
            let index = kept.as_ref().and_then(|_| index::encode(&root, &whole).ok());
            let Loaded { objects, missing, fingerprint, modified, written, .. } = whole;
            let assembled = hierarchy::assemble(&root, objects, missing, &context);
            (assembled, fingerprint, modified, written, kept.zip(index))
        });
        let refused = |reason: String| SourceError::Invalid { key: root.metadata_key(), reason };
        let (assembled, fingerprint, modified, written, index) =
            made.await.map_err(|stopped| refused(format!("the assembler stopped: {stopped}")))?;
        if let Some((domain, index)) = index {
            self.keep(domain, index);
        }
        let assembled = assembled.map_err(|error| refused(error.to_string()))?;
        let mut facts = domain.facts();
        facts.extend(assembled.facts);
        let chunks = HsdsChunks { written, ..assembled.chunks };
        Ok(Contents {
            body: h5image::body(&assembled.hierarchy),
            hierarchy: assembled.hierarchy,
            chunks: Arc::new(chunks),
            fingerprint,
            problems: assembled.problems,
            facts,
            modified,
        })
    }

    /// What gives the names of external links of the file at `path`.
    fn resolver(&self, path: &str) -> Box<dyn Fn(&Name) -> Name + Send + Sync> {
        // Of a source that is one file, only that file is inside.
        let base = if self.only.is_some() { self.path_in_store(path) } else { self.base.clone() };
        let path = self.path_in_store(path);
        Box::new(move |name| match external::resolve(&base, &path, name.as_bytes()) {
            Some(relative) => Name::new(relative),
            None => name.clone(),
        })
    }

    /// The domain at `path`, and what it is in the store.
    async fn domain(&self, path: &str, waiting: &Waiting) -> Result<(Key, Domain, Meta), SourceError> {
        let key = key::domain(&self.path_in_store(path));
        if let Some((domain, meta)) = self.recent.take(&key) {
            return Ok((key, domain, meta));
        }
        let not_found = || SourceError::NotFound { path: path.to_owned() };
        match self.read_document(&key, waiting).await {
            Ok(Read::Whole { document, meta }) => Ok((key, Domain::of(&document), meta)),
            Ok(Read::Absent) => Err(not_found()),
            Ok(Read::Broken { reason, .. }) => Err(SourceError::Invalid { key, reason }),
            Err(error) if is_nothing(&error) => Err(not_found()),
            Err(error) => Err(error.into()),
        }
    }

    /// The objects of a file, and the domain that names it. What was kept of them is not read again where it still holds.
    pub(super) async fn load_file(&self, path: &str) -> Result<(Domain, Id, Loaded), SourceError> {
        let waiting = self.waiting();
        let key = key::domain(&self.path_in_store(path));
        let held = tokio::time::timeout(SUMMARY_PATIENCE, self.held(&key));
        let (domain, held) = tokio::join!(self.domain(path, &waiting), held);
        let held = held.unwrap_or_default();
        self.load_of(path, domain?, Before::May(held.map(Box::new)), &waiting).await
    }

    /// The same, of which nothing is taken from what was kept.
    pub(super) async fn load_anew(&self, path: &str) -> Result<(Domain, Id, Loaded), SourceError> {
        let waiting = self.waiting();
        let domain = self.domain(path, &waiting).await?;
        self.load_of(path, domain, Before::MayNot, &waiting).await
    }

    async fn load_of(
        &self,
        path: &str,
        (domain_key, domain, meta): (Key, Domain, Meta),
        before: Before,
        waiting: &Waiting,
    ) -> Result<(Domain, Id, Loaded), SourceError> {
        let text = domain.root.as_deref().ok_or_else(|| SourceError::NotFound { path: path.to_owned() })?;
        let root = Id::parse(text).ok_or_else(|| SourceError::Invalid {
            key: domain_key.clone(),
            reason: format!("its root `{text}` is no id of a group"),
        })?;
        let mut loaded = Loaded { modified: Some(meta.modified), ..Loaded::default() };
        loaded.fingerprint.objects.insert(domain_key, Some(identity(&meta)));
        let anew = matches!(before, Before::MayNot);
        if let Before::May(Some(held)) = before
            && held.root == root
            && held.agrees(&loaded.fingerprint)
        {
            let Index { loaded, .. } = *held;
            return Ok((domain, root, loaded));
        }
        self.load(root, anew, waiting, &mut loaded).await?;
        if let Some(reason) = loaded.missing.get(&root) {
            return Err(SourceError::Invalid { key: root.metadata_key(), reason: format!("the root group {reason}") });
        }
        Ok((domain, root, loaded))
    }

    /// Reads every object that is reached from `root`. Those that were absent are asked for once more where something
    /// was written a moment ago: HSDS may store a link before what it leads to.
    async fn load(&self, root: Id, anew: bool, waiting: &Waiting, loaded: &mut Loaded) -> Result<(), SourceError> {
        Reading::begin(self, waiting, loaded, root, anew).finish().await?;
        let young = loaded.modified.is_some_and(|modified| self.settings.patience.is_young(modified));
        if !loaded.missing.is_empty() && young && waiting.pause_for_more().await {
            let again: Vec<Id> = std::mem::take(&mut loaded.missing).into_keys().collect();
            let known = loaded.objects.keys().copied().collect();
            Reading::again(self, waiting, loaded, known, again).finish().await?;
        }
        Ok(())
    }

    /// Whether asking for what may not be needed costs less than waiting.
    pub(super) fn reads_ahead(&self) -> bool {
        let capabilities = self.store.capabilities();
        capabilities.listing && !capabilities.directories
    }
}

/// What was kept of a file before it is read.
#[derive(Debug)]
enum Before {
    /// It may be taken where it holds, the domain too.
    May(Option<Box<Index>>),
    /// It is to be read anew.
    MayNot,
}
