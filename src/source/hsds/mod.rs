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
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Hsds {}
#[allow(missing_docs, unused_variables)]
mod stand_in {
    use super::Hsds;
    use crate::source::*;
    use crate::store::Store;
    impl Hsds {
        pub fn new(store: Arc<Store>) -> Hsds {
            Hsds {}
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
}
