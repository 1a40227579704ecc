//! Who asks a cloud: credentials that are found, renewed before they end, and told about.
//!
//! Above lies `cloud`, whose services sign each request with what [`Renewing`] hands out; below lie the
//! [`places`] where AWS credentials are looked for, and the services that give tokens to [`azure`] and [`google`].
//! `object_store` knows no profile, no SSO and no `credential_process`, and keeps a token until it ends, also one that the
//! service takes no more; so whatever is looked for is looked for here.

pub(super) mod azure;
mod container;
pub(super) mod fault;
pub(super) mod google;
mod oauth;
mod places;
mod platform;
mod renewing;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::SystemTime;

use object_store::aws::AwsCredentialProvider;
use tokio::time::Instant;

pub(super) use fault::Fault;
use places::Places;
pub(super) use platform::{Fixed, Platform};
use renewing::Renewing;
use transport::Transport;

use super::Access;
use super::cloud::wire::Line;

/// What can be asked of whoever provides credentials, beside the credentials.
#[async_trait::async_trait]
pub(super) trait Renew: Send + Sync + std::fmt::Debug {
    /// The service does not take the credentials of a request that began at `asked`: unless there are newer ones, the next
    /// request looks for them. Whether there can be any.
    fn expire(&self, asked: Instant) -> bool;

    /// Who asks. Looks for credentials if there are none yet.
    async fn describe(&self) -> Result<Described, Fault>;
}

/// Who asks, from which place that is known, and until when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The public part of the credentials: an access key, an account.
    pub who: String,
    /// Where they were found.
    pub from: String,
    /// When they end; `None` for those that do not say so.
    pub until: Option<SystemTime>,
}

/// AWS credentials: those that requests are signed with, and the same to be asked about.
pub(super) type Aws = (AwsCredentialProvider, Arc<dyn Renew>);

/// AWS credentials as `access` names them, the same for all buckets on `line`; services that give them are asked in
/// `region`, the first bucket's. Nothing is looked for before the first request.
pub(super) fn aws(access: &Access, region: &str, line: &Line) -> Aws {
    let found = line.aws.get_or_init(|| {
        let places = Places::new(access, region, Transport::new(line));
        let renewing = Arc::new(Renewing::new(Arc::new(places)));
        (Arc::clone(&renewing) as AwsCredentialProvider, renewing)
    });
    found.clone()
}
