//! Who asks Google: a service account and its key, whoever signed in with gcloud, the machine.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use serde::Deserialize;

use super::fault::sentence;
use super::oauth::{self, Token};
use super::renewing::{Found, Renewing, Search};
use super::transport::Transport;
use super::{Fault, Platform, Renew};
use crate::store::Access;
use crate::store::cloud::wire::Line;

/// Where Google gives tokens to those who signed in.
const TOKENS: &str = "https://oauth2.googleapis.com/token";
/// How long a token holds that a service account signs for itself: the longest that Google takes.
const SELF_SIGNED: Duration = Duration::from_secs(3600);
/// What to do where a token is refused.
const REMEDY: &str = "sign in again (gcloud auth application-default login), or check GOOGLE_APPLICATION_CREDENTIALS; \
                      --no-sign-request for public buckets";

/// One way to a token.
#[derive(Clone)]
pub(in crate::store) enum Way {
    /// A key of a service account, which `object_store` signs tokens with: made anew of this, which reads the file anew.
    Account(Box<GoogleCloudStorageBuilder>),
    /// A file that gcloud wrote.
    SignedIn(String),
    /// The machine's service account.
    Machine,
}

/// What a file of credentials is, as far as it is looked at here.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    token_uri: Option<String>,
}

fn read(path: &str) -> Result<File, String> {
    let text = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    // Not the words of the parser, which may quote a secret.
    serde_json::from_slice(&text).map_err(|_| format!("{path}: not a file of Google's credentials"))
}

impl Way {
    /// The way that a file of application credentials names. `builder` is a store's, without credentials.
    pub fn of_file(path: &str, builder: GoogleCloudStorageBuilder) -> Result<Way, String> {
        match read(path)?.kind.as_str() {
            "service_account" => Ok(Way::Account(Box::new(builder.with_service_account_path(path)))),
            "authorized_user" => Ok(Way::SignedIn(path.to_owned())),
            kind => {
                Err(format!("{path}: credentials of the type {kind} are not read: service_account, authorized_user"))
            }
        }
    }
}

/// Tokens, which were found at the place called `from`.
pub(in crate::store) fn tokens(
    way: Way,
    from: &str,
    access: &Access,
    line: &Line,
) -> (GcpCredentialProvider, Arc<dyn Renew>) {
    let machine = Platform::Google.host(access);
    let search = Tokens { way, from: from.to_owned(), machine, transport: Transport::new(line) };
    let renewing = Arc::new(Renewing::new(Arc::new(search)));
    (Arc::clone(&renewing) as GcpCredentialProvider, renewing)
}

struct Tokens {
    way: Way,
    from: String,
    /// Host of the metadata service.
    machine: String,
    transport: Transport,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Tokens {
    async fn signed_in(&self, path: &str) -> Result<Token, Fault> {
        let file = read(path).map_err(Fault::refused)?;
        let (Some(id), Some(secret), Some(token)) = (&file.client_id, &file.client_secret, &file.refresh_token) else {
            return Err(Fault::refused(format!("{path} holds no sign-in; {REMEDY}")));
        };
        let words = [
            ("grant_type", "refresh_token"),
            ("client_id", id.as_str()),
            ("client_secret", secret.as_str()),
            ("refresh_token", token.as_str()),
        ];
        let request = oauth::form(file.token_uri.as_deref().unwrap_or(TOKENS), &words)?;
        oauth::ask(&self.transport, request, REMEDY).await
    }

    async fn machine(&self) -> Result<Token, Fault> {
        let url = format!("http://{}/computeMetadata/v1/instance/service-accounts/default/token", self.machine);
        let request = oauth::query(&url, &[])?.header("metadata-flavor", "Google").body(Bytes::new());
        oauth::ask(&self.transport, request.map_err(|error| Fault::refused(error.to_string()))?, REMEDY).await
    }
}

/// A token that a service account signs for itself.
async fn self_signed(builder: &GoogleCloudStorageBuilder) -> Result<Token, Fault> {
    let until = SystemTime::now().checked_add(SELF_SIGNED);
    let wrong = |error: object_store::Error| Fault::refused(format!("{}; {REMEDY}", sentence(&error)));
    let store = builder.clone().build().map_err(wrong)?;
    let credential = store.credentials().get_credential().await.map_err(wrong)?;
    Ok(Token { secret: credential.bearer.clone(), until })
}

#[async_trait::async_trait]
impl Search for Tokens {
    type Credential = GcpCredential;

    async fn find(&self) -> Result<Found<GcpCredential>, Fault> {
        let token = match &self.way {
            Way::Account(builder) => self_signed(builder).await,
            Way::SignedIn(path) => self.signed_in(path).await,
            Way::Machine => self.machine().await,
        }?;
        Ok(Found {
            credential: Arc::new(GcpCredential { bearer: token.secret }),
            who: "an account of Google".to_owned(),
            from: self.from.clone(),
            until: token.until,
        })
    }
}
