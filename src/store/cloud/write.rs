//! Objects written and deleted, with conditions.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

use super::answer::Asked;
use super::attempts::Failure;
use super::{Cloud, Service};
use crate::model::location::{ETag, Key};
use crate::store::permits::Permit;
use crate::store::{Meta, Put, StoreError};

impl Cloud {
    /// Writes an object.
    pub(super) async fn write(&self, key: &Key, bytes: Bytes, put: Put, permit: Permit) -> Result<Meta, StoreError> {
        let path = self.path(key)?;
        let size = bytes.len() as u64;
        let asked = if put == Put::Overwrite { Asked::Write } else { Asked::WriteIf };
        let ask = |service: Arc<Service>, waits| {
            let (path, put, payload) = (&path, &put, PutPayload::from(bytes.clone()));
            async move {
                let mode = match put {
                    Put::Overwrite => PutMode::Overwrite,
                    Put::IfAbsent => PutMode::Create,
                    Put::IfMatch(tag) => {
                        PutMode::Update(UpdateVersion { e_tag: Some(tag.as_str().to_owned()), version: None })
                    }
                };
                let options = PutOptions { mode, ..PutOptions::default() };
                let request = service.objects.put_opts(path, payload, options);
                let (done, answer) =
                    self.hear(&service, asked, key, waits, request).await.map_err(|failure| told(failure, put))?;
                // The service names no time of its own but that of its answer.
                let modified = answer.header("date").and_then(super::answer::http_date).unwrap_or(answer.received);
                Ok(Meta { size, etag: done.e_tag.map(ETag::new), modified })
            }
            .boxed()
        };
        self.ask(key, Some(permit), ask).await
    }

    /// Deletes an object. One that is not there is deleted.
    pub(super) async fn remove(&self, key: &Key, permit: Permit) -> Result<(), StoreError> {
        let path = self.path(key)?;
        let ask = |service: Arc<Service>, waits| {
            let path = &path;
            async move {
                let request = async { service.objects.delete(path).await };
                self.hear(&service, Asked::Write, key, waits, request).await.map(|_| ())
            }
            .boxed()
        };
        match self.ask(key, Some(permit), ask).await {
            Err(StoreError::NotFound { .. }) => Ok(()),
            done => done,
        }
    }
}

/// What a failed condition means for this kind of write.
fn told(mut failure: Failure, put: &Put) -> Failure {
    let location = match &failure.error {
        StoreError::Changed { location } | StoreError::Exists { location } | StoreError::NotFound { location } => {
            location.clone()
        }
        _ => return failure,
    };
    match put {
        Put::IfAbsent if !failure.error.is_not_found() => failure.error = StoreError::Exists { location },
        Put::IfMatch(_) => failure.error = StoreError::Changed { location },
        _ => {}
    }
    failure
}
