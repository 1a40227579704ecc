//! A store that begins within a bucket: a backend that puts a prefix before every key of another one.
//!
//! Its bucket is the URL of the prefix (`s3://bucket/some/folder`), so that whatever names an object of it names the right
//! one. Errors come from below and name bucket and whole key.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::permits::{Permit, Permits};
use super::{Backend, Batch, Capabilities, Described, Get, Listing, Meta, Object, Put, StoreError, Whereabouts};
use crate::model::location::{Bucket, Key};

/// The bucket that the service knows, and the prefix in it, of the URL of a store's root.
pub(super) fn parts(root: &Bucket) -> (Bucket, &str) {
    let text = root.as_str();
    let Some((scheme, rest)) = text.split_once("://") else { return (root.clone(), "") };
    // Azure's buckets are containers, of which each account has its own.
    let segments = if scheme == "az" { 2 } else { 1 };
    match rest.match_indices('/').nth(segments - 1) {
        Some((at, _)) => {
            let (bucket, prefix) = text.split_at(scheme.len() + "://".len() + at);
            (Bucket::new(bucket), prefix.trim_matches('/'))
        }
        None => (root.clone(), ""),
    }
}

/// A part of a bucket.
#[derive(Debug)]
pub(super) struct Rooted {
    whole: Arc<dyn Backend>,
    /// With a `/` at its end.
    prefix: String,
}

impl Rooted {
    /// What of `whole` lies below `prefix`, which is not empty.
    pub fn new(whole: Arc<dyn Backend>, prefix: &str) -> Rooted {
        Rooted { whole, prefix: format!("{prefix}/") }
    }

    fn key(&self, key: &Key) -> Key {
        Key::new(format!("{}{}", self.prefix, key.as_str()))
    }
}

#[async_trait::async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Rooted {
    fn capabilities(&self) -> Capabilities {
        self.whole.capabilities()
    }

    async fn get(&self, key: &Key, get: Get, permit: Permit) -> Result<Object, StoreError> {
        self.whole.get(&self.key(key), get, permit).await
    }

    async fn head(&self, key: &Key, permit: Permit) -> Result<Meta, StoreError> {
        self.whole.head(&self.key(key), permit).await
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        permit: Permit,
    ) -> Result<Listing, StoreError> {
        let folder = format!("{}{folder}", self.prefix);
        self.whole.list(folder.trim_end_matches('/'), after, page, permit).await
    }

    fn list_below(&self, prefix: &str, permits: Arc<Permits>) -> BoxStream<'static, Result<Batch, StoreError>> {
        let before = self.prefix.clone();
        let batches = self.whole.list_below(&format!("{}{prefix}", self.prefix), permits);
        let inside = move |(key, meta): (Key, Meta)| Some((Key::new(key.as_str().strip_prefix(&before)?), meta));
        batches.map(move |batch| Ok(batch?.into_iter().filter_map(&inside).collect())).boxed()
    }

    fn whereabouts(&self) -> Option<Whereabouts> {
        self.whole.whereabouts()
    }

    async fn who(&self) -> Result<Option<Described>, StoreError> {
        self.whole.who().await
    }

    async fn put(&self, key: &Key, bytes: Bytes, put: Put, permit: Permit) -> Result<Meta, StoreError> {
        self.whole.put(&self.key(key), bytes, put, permit).await
    }

    async fn delete(&self, key: &Key, permit: Permit) -> Result<(), StoreError> {
        self.whole.delete(&self.key(key), permit).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::super::{Store, StoreSettings};
    use super::*;

    #[tokio::test]
    async fn keys_are_those_below_the_prefix() {
        let keys = [("team/db/x", "1"), ("team/home/a.h5", "22"), ("teams/other", "3"), ("z", "4")];
        let whole = Store::of_keys(&keys, StoreSettings::default());
        let part = Rooted::new(Arc::clone(&whole.backend), "team");
        let store = Store::with_backend(&Bucket::new("memory://keys/team"), Arc::new(part), StoreSettings::default());
        assert_eq!(store.list("", None).await.unwrap().folders, ["db", "home"]);
        assert_eq!(store.list("home", None).await.unwrap().objects[0].0, "a.h5");
        assert_eq!(store.head(&Key::new("home/a.h5")).await.unwrap().size, 2);
        assert_eq!(&store.get(&Key::new("db/x")).await.unwrap().bytes[..], b"1");
        let below: Vec<(Key, Meta)> = store.list_below("").try_collect().await.unwrap();
        let mut names: Vec<&str> = below.iter().map(|(key, _)| key.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["db/x", "home/a.h5"]);
        let missing = store.get(&Key::new("z")).await.unwrap_err();
        assert!(missing.is_not_found() && missing.to_string().contains("team/z"), "{missing}");
        assert_eq!(store.location(&Key::new("db/x")).to_string(), "memory://keys/team/db/x");
    }

    #[test]
    fn a_root_is_a_bucket_and_a_prefix() {
        for (root, bucket, prefix) in [
            ("s3://b", "s3://b", ""),
            ("s3://b/a/c", "s3://b", "a/c"),
            ("az://account/box", "az://account/box", ""),
            ("az://account/box/a", "az://account/box", "a"),
            ("https://host:1/a b", "https://host:1", "a b"),
        ] {
            assert_eq!(parts(&Bucket::new(root)), (Bucket::new(bucket), prefix), "{root}");
        }
    }
}
