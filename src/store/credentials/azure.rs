//! Who asks Azure with a token: a service principal, a workload's identity, whoever signed in with `az login`, the
//! machine. Keys and shared access signatures need nobody: `cloud::azure` signs with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::azure::{AzureCredential, AzureCredentialProvider};
use serde_json::Value;

use super::fault::sentence;
use super::oauth::{self, Token};
use super::renewing::{Found, Renewing, Search};
use super::transport::Transport;
use super::{Fault, Renew};
use crate::store::Access;
use crate::store::cloud::wire::Line;

/// Where Microsoft signs in.
const SIGN_IN: &str = "https://login.microsoftonline.com";
/// What a token is for.
const RESOURCE: &str = "https://storage.azure.com/";
const SCOPE: &str = "https://storage.azure.com/.default";
/// The metadata service of Azure's machines.
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// Its version, and that of the same in App Service and Functions.
const VERSION: &str = "2018-02-01";
const SERVICE_VERSION: &str = "2019-08-01";
/// How long `az` may take: it is slow to start, and asks a service.
const PATIENCE: Duration = Duration::from_secs(30);
/// For how long `az` is asked no more where it does not say how long a token holds: it hands out those that have five
/// minutes left and more.
const USUAL: Duration = Duration::from_secs(5 * 60);
/// What to do where a token is refused.
const REMEDY: &str = "sign in again, or check AZURE_CLIENT_…; --no-sign-request for public containers";

/// One way to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Way {
    /// A file that some platform (Kubernetes) keeps for the workload.
    Workload,
    /// A service principal and its secret.
    Principal,
    /// `az login`.
    SignedIn,
    /// The machine's identity, or that of a service that runs us.
    Machine,
}

impl Way {
    /// The first way that the variables name.
    pub fn named_by(variables: &BTreeMap<String, String>) -> Option<Way> {
        let has = |name: &str| variables.get(name).is_some_and(|value| !value.is_empty());
        let home = variables.get("HOME").filter(|home| !home.is_empty());
        if has("AZURE_FEDERATED_TOKEN_FILE") {
            Some(Way::Workload)
        } else if has("AZURE_CLIENT_SECRET") {
            Some(Way::Principal)
        } else if has("IDENTITY_ENDPOINT") || has("MSI_ENDPOINT") {
            Some(Way::Machine)
        } else if has("AZURE_USE_AZURE_CLI")
            || home.is_some_and(|home| Path::new(home).join(".azure/azureProfile.json").is_file())
        {
            Some(Way::SignedIn)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Way::Workload => "a workload identity (AZURE_FEDERATED_TOKEN_FILE)",
            Way::Principal => "a service principal (AZURE_CLIENT_ID)",
            Way::SignedIn => "`az login`",
            Way::Machine => "a managed identity",
        }
    }
}

/// Tokens for `account`.
pub(in crate::store) fn tokens(
    way: Way,
    account: &str,
    access: &Access,
    line: &Line,
) -> (AzureCredentialProvider, Arc<dyn Renew>) {
    let (account, variables) = (account.to_owned(), access.variables.clone());
    let search = Tokens { way, account, variables, az: PathBuf::from("az"), transport: Transport::new(line) };
    let renewing = Arc::new(Renewing::new(Arc::new(search)));
    (Arc::clone(&renewing) as AzureCredentialProvider, renewing)
}

struct Tokens {
    way: Way,
    account: String,
    variables: BTreeMap<String, String>,
    /// Azure's command line, where the process finds it.
    az: PathBuf,
    transport: Transport,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("way", &self.way).field("account", &self.account).finish_non_exhaustive()
    }
}

impl Tokens {
    fn variable(&self, names: &[&str]) -> Option<&str> {
        let of = |name: &&str| self.variables.get(*name).map(|value| value.trim()).filter(|value| !value.is_empty());
        names.iter().find_map(of)
    }

    fn needed(&self, names: &[&str]) -> Result<&str, Fault> {
        let first = names.first().copied().unwrap_or_default();
        self.variable(names)
            .ok_or_else(|| Fault::refused(format!("{first} is not set, which {} needs", self.way.name())))
    }

    /// A sign-in with `proof` of who the principal is.
    async fn sign_in(&self, proof: &[(&str, &str)]) -> Result<Token, Fault> {
        let host = self.variable(&["AZURE_AUTHORITY_HOST", "AZURE_STORAGE_AUTHORITY_HOST"]).unwrap_or(SIGN_IN);
        let tenant = self.needed(&["AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID", "AZURE_STORAGE_AUTHORITY_ID"])?;
        let client = self.needed(&["AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID"])?;
        let url = format!("{}/{tenant}/oauth2/v2.0/token", host.trim_end_matches('/'));
        let words = [("client_id", client), ("scope", SCOPE), ("grant_type", "client_credentials")];
        oauth::ask(&self.transport, oauth::form(&url, &[&words, proof].concat())?, REMEDY).await
    }

    async fn workload(&self) -> Result<Token, Fault> {
        let path = self.needed(&["AZURE_FEDERATED_TOKEN_FILE"])?;
        // Read anew each time: the platform renews it.
        let proof = std::fs::read_to_string(path).map_err(|error| Fault::refused(format!("{path}: {error}")))?;
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        self.sign_in(&[("client_assertion_type", kind), ("client_assertion", proof.trim())]).await
    }

    async fn machine(&self) -> Result<Token, Fault> {
        let service = self.variable(&["IDENTITY_ENDPOINT", "MSI_ENDPOINT"]);
        let secret = self.variable(&["IDENTITY_HEADER", "MSI_SECRET"]);
        let version = if secret.is_some() { SERVICE_VERSION } else { VERSION };
        let mut words = vec![("api-version", version), ("resource", RESOURCE)];
        for (word, variable) in [
            ("client_id", "AZURE_CLIENT_ID"),
            ("object_id", "AZURE_OBJECT_ID"),
            ("msi_res_id", "AZURE_MSI_RESOURCE_ID"),
        ] {
            if let Some(value) = self.variable(&[variable]) {
                words.push((word, value));
                break;
            }
        }
        let mut request = oauth::query(service.unwrap_or(METADATA), &words)?.header("metadata", "true");
        if let Some(secret) = secret {
            request = request.header("x-identity-header", secret);
        }
        let request = request.body(Bytes::new()).map_err(|error| Fault::refused(error.to_string()))?;
        oauth::ask(&self.transport, request, REMEDY).await
    }

    async fn signed_in(&self) -> Result<Token, Fault> {
        let mut az = tokio::process::Command::new(&self.az);
        az.args(["account", "get-access-token", "--output", "json", "--resource", RESOURCE]).kill_on_drop(true);
        az.stdin(std::process::Stdio::null());
        let seconds = PATIENCE.as_secs();
        let done = tokio::time::timeout(PATIENCE, az.output()).await;
        let done = done.map_err(|_| Fault::unreachable(format!("az gives no token within {seconds} s")))?;
        let done = done.map_err(|error| Fault::refused(format!("az cannot be run: {}", sentence(&error))))?;
        let said = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            return Err(Fault::refused(format!("az gives no token: {}; run `az login` again", said.trim())));
        }
        let document: Value = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
        let text = |name: &str| document.get(name).cloned().unwrap_or(Value::Null);
        // Older ones name the end in local time only; without one, the token is taken to hold for what is usual.
        let end = match text("expires_on") {
            Value::Null => serde_json::json!({"access_token": text("accessToken"), "expires_in": USUAL.as_secs()}),
            end => serde_json::json!({"access_token": text("accessToken"), "expires_on": end}),
        };
        let nothing = || Fault::refused("az answers without a token; run `az login` again");
        oauth::token(&end, std::time::SystemTime::now()).ok_or_else(nothing)
    }
}

#[async_trait::async_trait]
impl Search for Tokens {
    type Credential = AzureCredential;

    async fn find(&self) -> Result<Found<AzureCredential>, Fault> {
        let token = match self.way {
            Way::Workload => self.workload().await,
            Way::Principal => self.sign_in(&[("client_secret", self.needed(&["AZURE_CLIENT_SECRET"])?)]).await,
            Way::SignedIn => self.signed_in().await,
            Way::Machine => self.machine().await,
        }?;
        Ok(Found {
            credential: Arc::new(AzureCredential::BearerToken(token.secret)),
            who: format!("account {}", self.account),
            from: self.way.name().to_owned(),
            until: token.until,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use super::*;

    /// What comes of `az login` where the command line is a script with these words.
    async fn signed_in(script: &str) -> Result<Found<AzureCredential>, Fault> {
        let directory = tempfile::tempdir().unwrap();
        let az = directory.path().join("az");
        std::fs::write(&az, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&az, PermissionsExt::from_mode(0o755)).unwrap();
        let transport = Transport::new(&Line::new(&Access::default()).unwrap());
        let (account, variables) = ("account".to_owned(), BTreeMap::new());
        let tokens = Tokens { way: Way::SignedIn, account, variables, az, transport };
        loop {
            match tokens.find().await {
                // A process that another test starts holds what is open here until it is another program.
                Err(fault) if fault.to_string().contains("Text file busy") => tokio::task::yield_now().await,
                found => return found,
            }
        }
    }

    #[tokio::test]
    async fn who_signed_in_is_given_what_the_command_line_has() {
        let found = signed_in(
            "case \"$*\" in *https://storage.azure.com/*) ;; *) exit 9 ;; esac\n\
             echo '{\"accessToken\": \"secret\", \"expiresOn\": \"2099-01-01 00:00:00\", \"expires_on\": 4070908800}'",
        );
        let found = found.await.unwrap();
        assert!(matches!(&*found.credential, AzureCredential::BearerToken(token) if token == "secret"));
        assert!(found.until.unwrap() > SystemTime::now() + Duration::from_secs(86_400));
        // An older one, whose local time is nothing to go by.
        let older =
            signed_in("echo '{\"accessToken\": \"secret\", \"expiresOn\": \"2099-01-01 00:00:00\"}'").await.unwrap();
        assert!(older.until.unwrap() <= SystemTime::now() + USUAL);
    }

    #[tokio::test]
    async fn who_did_not_sign_in_is_told_the_words_of_the_command_line() {
        for (script, word) in
            [("echo please sign in >&2; exit 1", "please sign in"), ("echo nothing", "without a token")]
        {
            let fault = signed_in(script).await.unwrap_err().to_string();
            assert!(fault.contains(word) && fault.contains("az login"), "{fault}");
        }
    }

    #[test]
    fn the_way_to_a_token_follows_from_the_variables() {
        let way =
            |names: &[&str]| Way::named_by(&names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect());
        assert_eq!(way(&[]), None);
        assert_eq!(way(&["AZURE_CLIENT_ID", "AZURE_TENANT_ID"]), None);
        assert_eq!(way(&["AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET"]), Some(Way::Workload));
        assert_eq!(way(&["AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT"]), Some(Way::Principal));
        assert_eq!(way(&["IDENTITY_ENDPOINT", "AZURE_USE_AZURE_CLI"]), Some(Way::Machine));
        assert_eq!(way(&["AZURE_USE_AZURE_CLI"]), Some(Way::SignedIn));
    }
}
