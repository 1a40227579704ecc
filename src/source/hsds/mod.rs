//! The HSDS storage schema. (Stand-in.)
#![allow(missing_docs, unused_variables)]
use super::*;
use crate::store::Store;
#[derive(Debug)]
pub struct Hsds {
    store: Arc<Store>,
}
impl Hsds {
    pub fn new(store: Arc<Store>) -> Hsds {
        Hsds { store }
    }
}
#[async_trait]
impl Source for Hsds {
    async fn list(&self, folder: &str, after: Option<&Cursor>) -> Result<Page, SourceError> {
        unimplemented!()
    }
    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        unimplemented!()
    }
    async fn open(&self, path: &str) -> Result<Contents, SourceError> {
        unimplemented!()
    }
    async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError> {
        unimplemented!()
    }
}
