//! Who asks a cloud: credentials that are found, renewed before they end, and told about.
//!
//! Above lies `cloud`, whose services sign each request with what [`Renewing`] hands out; below lie the
//! [`places`] where AWS credentials are looked for. `object_store` brings the environment, web identity and the machine's
//! role itself, but no profile, no SSO and no `credential_process`, so all AWS credentials come from here.

mod container;
pub(super) mod fault;
mod places;
mod platform;
mod renewing;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::SystemTime;

use object_store::aws::AwsCredentialProvider;

pub(super) use fault::Fault;
use places::Places;
pub(super) use platform::{Named, Platform};
use renewing::Renewing;
use transport::Transport;

use super::{Access, StoreError};

/// What can be asked of whoever provides credentials, beside the credentials.
#[async_trait::async_trait]
pub(super) trait Renew: Send + Sync + std::fmt::Debug {
    /// The service took the credentials for expired: the next request asks for new ones.
    fn expire(&self);

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

/// AWS credentials as `access` names them. Nothing is looked for before the first request.
pub(super) fn aws(access: &Access, region: &str) -> Result<(AwsCredentialProvider, Arc<dyn Renew>), StoreError> {
    let places = Places::new(access, region, Transport::new(access)?);
    let renewing = Arc::new(Renewing::new(Arc::new(places)));
    Ok((Arc::clone(&renewing) as AwsCredentialProvider, renewing))
}
