//! The machines of Azure and Google: whether this is one of them, and what to say where nobody has credentials.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::transport::Transport;
use super::{Described, Fault, Renew};
use crate::model::location::{Bucket, Key, Location};
use crate::store::cloud::wire::Line;
use crate::store::{Access, Denial, StoreError};

/// How long a machine's metadata service may take. `object_store` would wait and repeat for a minute on machines
/// that have none, so it is asked for a sign of life first, where nothing else names credentials.
const PATIENCE: Duration = Duration::from_secs(1);

/// A cloud whose machines have a metadata service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Platform {
    /// Microsoft's.
    Azure,
    /// Google's.
    Google,
}

impl Platform {
    /// Host of its metadata service.
    pub(super) fn host(self, access: &Access) -> String {
        // The address, not the name: nobody waits for a name server that does not know it.
        let usual = "169.254.169.254";
        let variable = |name: &str| access.variables.get(name).filter(|host| !host.is_empty());
        match self {
            Platform::Azure => usual.to_owned(),
            Platform::Google => variable("GCE_METADATA_HOST").map_or(usual, String::as_str).to_owned(),
        }
    }

    fn service(self, access: &Access) -> (String, &'static str, &'static str) {
        let host = self.host(access);
        match self {
            Platform::Azure => (format!("http://{host}/metadata/versions"), "metadata", "true"),
            Platform::Google => (format!("http://{host}/computeMetadata/v1/"), "metadata-flavor", "Google"),
        }
    }

    /// Whether this machine is one of this cloud's.
    pub async fn is_here(self, access: &Access, line: &Line) -> bool {
        let (url, name, value) = self.service(access);
        let Ok(request) = http::Request::get(url).header(name, value).body(Bytes::new()) else { return false };
        let answer = Transport::new(line).send(request, PATIENCE).await;
        answer.is_ok_and(|answer| match self {
            Platform::Azure => answer.status().is_success(),
            Platform::Google => {
                answer.headers().get(name).is_some_and(|flavour| flavour.as_bytes() == value.as_bytes())
            }
        })
    }

    /// That there are no credentials for `bucket`.
    pub fn nothing_found(self, bucket: &Bucket) -> StoreError {
        let places = match self {
            Platform::Azure => {
                "AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_TOKEN, \
                 AZURE_CLIENT_ID with AZURE_TENANT_ID and a secret or AZURE_FEDERATED_TOKEN_FILE, `az login` in \
                 HOME/.azure, this machine's identity. A public container? Pass --no-sign-request. Otherwise run `az login`"
            }
            Platform::Google => {
                "GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT, GOOGLE_SERVICE_ACCOUNT_KEY, GOOGLE_BEARER_TOKEN, \
                 HOME/.config/gcloud/application_default_credentials.json, this machine's service account. A public \
                 bucket? Pass --no-sign-request. Otherwise run `gcloud auth application-default login`"
            }
        };
        StoreError::Forbidden {
            location: Location { bucket: bucket.clone(), key: Key::new("") },
            denial: Denial::Credentials,
            code: None,
            reason: format!("no credentials found. Looked at: {places}"),
        }
    }
}

/// Credentials that are given once and for all, by their name.
#[derive(Clone, Debug)]
pub(in crate::store) struct Fixed {
    /// An account.
    pub who: String,
    /// Where it is known from.
    pub from: String,
}

#[async_trait::async_trait]
impl Renew for Fixed {
    fn expire(&self, _: Instant) -> bool {
        false
    }

    async fn describe(&self) -> Result<Described, Fault> {
        Ok(Described { who: self.who.clone(), from: self.from.clone(), until: None })
    }
}
