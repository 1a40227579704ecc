//! The HSDS storage schema.

pub mod attribute;
pub mod base64;
pub mod chunks;
pub mod creation;
pub mod document;
pub mod fault;
pub mod filters;
pub mod hierarchy;
pub mod id;
pub mod key;
pub mod linked;
pub mod mentions;
mod order;
pub mod region;
pub mod shape;
pub mod stream;
pub mod types;
pub mod value;
mod walk;

// Stand-in, replaced at merge.
#[allow(missing_docs, unused_variables)]
mod stand_in {
    use super::document::Document;
    use super::id::Id;
    use crate::source::*;
    use crate::store::{Meta, Store};
    use std::collections::HashMap;
    #[derive(Debug)]
    pub struct Hsds {
        store: Arc<Store>,
    }
    impl Hsds {
        pub fn new(store: Arc<Store>) -> Hsds {
            Hsds { store }
        }
        async fn doc(&self, path: &str) -> Result<Option<(Key, Document, Meta)>, SourceError> {
            let key = super::key::domain(path);
            match self.store.get(&key).await {
                Ok(object) => match Document::parse(&object.bytes) {
                    Ok(document) => Ok(Some((key, document, object.meta))),
                    Err(error) => Err(SourceError::Invalid { key, reason: error.to_string() }),
                },
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }
    #[async_trait]
    impl Source for Hsds {
        async fn list(&self, folder: &str, after: Option<&Cursor>) -> Result<Page, SourceError> {
            let listing = self.store.list(folder, after.map(|a| a.0.as_str())).await?;
            let mut entries = Vec::new();
            for name in listing.folders {
                if folder.is_empty() && name == "db" {
                    continue;
                }
                let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                entries.extend(self.find(&path).await?);
            }
            for (name, meta) in listing.objects {
                if name != ".domain.json" && !(folder.is_empty() && name.as_bytes().get(5) == Some(&b'-')) {
                    let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                    let kind = EntryKind::Plain { key: Key::new(path), size: meta.size, etag: meta.etag };
                    entries.push(Entry { name, kind, modified: Some(meta.modified), owner: None });
                }
            }
            Ok(Page { entries, next: listing.next.map(Cursor) })
        }
        async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
            let name = path.rsplit('/').next().unwrap_or("").to_owned();
            if let Some((_, doc, meta)) = self.doc(path).await? {
                let kind = if doc.get("root").is_some() { EntryKind::File } else { EntryKind::Folder };
                return Ok(Some(Entry { name, kind, modified: Some(meta.modified), owner: None }));
            }
            match self.store.head(&Key::new(path)).await {
                Ok(meta) => {
                    let kind = EntryKind::Plain { key: Key::new(path), size: meta.size, etag: meta.etag };
                    Ok(Some(Entry { name, kind, modified: Some(meta.modified), owner: None }))
                }
                Err(_) => Ok(None),
            }
        }
        async fn open(&self, path: &str) -> Result<Contents, SourceError> {
            let Some((domain_key, domain, meta)) = self.doc(path).await? else {
                return Err(SourceError::NotFound { path: path.into() });
            };
            let mut fingerprint = Fingerprint::default();
            fingerprint.objects.insert(domain_key, meta.etag.clone());
            let root = domain.get("root").and_then(|r| r.as_str()).and_then(Id::parse).unwrap();
            let mut objects = HashMap::new();
            let mut missing = HashMap::new();
            let mut queue = vec![root];
            while let Some(id) = queue.pop() {
                if objects.contains_key(&id) || missing.contains_key(&id) {
                    continue;
                }
                let key = super::key::metadata(&id);
                match self.store.get(&key).await {
                    Ok(object) => match Document::parse(&object.bytes) {
                        Ok(document) => {
                            queue.extend(super::mentions::children(&document));
                            queue.extend(super::mentions::mentioned(&document));
                            fingerprint.objects.insert(key.clone(), object.meta.etag);
                            objects.insert(id, (key, document));
                        }
                        Err(error) => {
                            missing.insert(id, error.to_string());
                        }
                    },
                    Err(error) => {
                        missing.insert(id, error.to_string());
                    }
                }
            }
            let context = super::hierarchy::Context {
                bucket: self.store.bucket().clone(),
                shuffle_only: Default::default(),
                resolve_external: Box::new(|name| name.clone()),
            };
            let a = super::hierarchy::assemble(&root, objects, missing, &context).unwrap();
            Ok(Contents {
                hierarchy: a.hierarchy,
                chunks: Arc::new(a.chunks),
                body: Body::Hierarchy,
                fingerprint,
                problems: a.problems,
                facts: a.facts,
                modified: Some(meta.modified),
            })
        }
        async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError> {
            for (key, etag) in &fingerprint.objects {
                match self.store.head(key).await {
                    Ok(meta) if meta.etag == *etag => {}
                    Ok(_) => return Ok(Freshness::Changed),
                    Err(error) if error.is_not_found() => return Ok(Freshness::Gone),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(Freshness::Unchanged)
        }
    }
}
pub use stand_in::Hsds;
