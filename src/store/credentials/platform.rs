//! Credentials of the clouds whose places `object_store` knows itself: whether the machine has any, and what to call them.

use std::time::Duration;

use bytes::Bytes;

use super::transport::Transport;
use super::{Described, Fault, Renew};
use crate::model::location::{Bucket, Key, Location};
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
    fn service(self, access: &Access) -> (String, &'static str, &'static str) {
        match self {
            Platform::Azure => ("http://169.254.169.254/metadata/versions".to_owned(), "metadata", "true"),
            Platform::Google => {
                let host = access.variables.get("GCE_METADATA_HOST").filter(|host| !host.is_empty());
                // The address, not the name: nobody waits for a name server that does not know it.
                let host = host.map_or("169.254.169.254", String::as_str);
                (format!("http://{host}/computeMetadata/v1/"), "metadata-flavor", "Google")
            }
        }
    }

    /// Whether this machine is one of this cloud's.
    pub async fn is_here(self, access: &Access) -> Result<bool, StoreError> {
        let (url, name, value) = self.service(access);
        let Ok(request) = http::Request::get(url).header(name, value).body(Bytes::new()) else { return Ok(false) };
        let answer = Transport::new(access)?.send(request, PATIENCE).await;
        Ok(answer.is_ok_and(|answer| match self {
            Platform::Azure => answer.status().is_success(),
            Platform::Google => {
                answer.headers().get(name).is_some_and(|flavour| flavour.as_bytes() == value.as_bytes())
            }
        }))
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
            reason: format!("no credentials found. Looked at: {places}"),
        }
    }
}

/// Credentials that `object_store` renews itself, by their name.
#[derive(Clone, Debug)]
pub(in crate::store) struct Named {
    /// An account.
    pub who: String,
    /// Where it is known from.
    pub from: String,
}

#[async_trait::async_trait]
impl Renew for Named {
    /// The request is repeated, and `object_store` asks for a token when its own has less than five minutes left.
    fn expire(&self) {}

    async fn describe(&self) -> Result<Described, Fault> {
        Ok(Described { who: self.who.clone(), from: self.from.clone(), until: None })
    }
}
