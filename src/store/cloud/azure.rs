//! Containers of Azure's blob storage: where to ask, as whom, and what the answers mean.
//!
//! `az://account/container`; what Spark writes, `abfss://…`, is turned into that by `config`. Who asks is said by the
//! variables that Azure's own tools and libraries read (`AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`,
//! `AZURE_STORAGE_CONNECTION_STRING`, `AZURE_CLIENT_ID` …), by `az login`, or by the machine.

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::answer::{Answer, Asked, Dialect, Meaning, html};
use super::wire::{Wire, no_retries};
use super::{CAPABILITIES, Service};
use crate::model::location::Bucket;
use crate::store::credentials::azure::{Way, tokens};
use crate::store::credentials::{Fixed, Platform, Renew};
use crate::store::{Access, Credentials, Denial, StoreError};

/// Where Azure's public cloud keeps blobs.
const DOMAIN: &str = "blob.core.windows.net";

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    account: String,
    container: String,
}

/// Keys of `object_store` that say who asks without a token of their own, before any token is asked for.
const FIRST: [(AzureConfigKey, &str); 2] = [
    (AzureConfigKey::Token, "a bearer token of the environment"),
    (AzureConfigKey::AccessKey, "the account's key (AZURE_STORAGE_ACCOUNT_KEY)"),
];
/// The same, where no principal is named.
const SECOND: [(AzureConfigKey, &str); 1] =
    [(AzureConfigKey::SasKey, "a shared access signature (AZURE_STORAGE_SAS_TOKEN)")];

/// The container of a URL.
///
/// # Errors
/// [`StoreError::Unsupported`] for what cannot be one, [`StoreError::Forbidden`] where nobody says who asks.
pub async fn open(bucket: &Bucket, access: &Access, wire: &Wire) -> Result<Service, StoreError> {
    let refuse = |what: &str, reason: String| StoreError::Unsupported { what: what.to_owned(), reason };
    let Some(name) = Name::parse(bucket.as_str()) else {
        return Err(refuse(bucket.as_str(), "not a container: az://ACCOUNT/CONTAINER".to_owned()));
    };
    let settings = settings(access);
    let endpoint = match &access.azure.endpoint {
        Some(endpoint) => at_account(endpoint, &name.account).map_err(|reason| refuse(endpoint, reason))?,
        None => format!("https://{}", format_args!("{}.{DOMAIN}", name.account)),
    };
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(Wire::options())
        .with_http_connector(wire.clone())
        .with_retry(no_retries());
    let mut renew: Option<Arc<dyn Renew>> = None;
    match &access.azure.credentials {
        Credentials::Anonymous => builder = builder.with_skip_signature(true).with_bearer_token_authorization(""),
        Credentials::Profile(profile) => {
            return Err(refuse(
                profile,
                "profiles are for s3://…; Azure's credentials come from AZURE_… or `az login`".to_owned(),
            ));
        }
        Credentials::Found => {
            let fixed = |keys: &[(AzureConfigKey, &'static str)]| {
                keys.iter().find(|(key, _)| of(&settings, *key).is_some()).map(|(_, from)| *from)
            };
            let named = Way::named_by(&access.variables);
            let principal = matches!(named, Some(Way::Workload | Way::Principal));
            let first = fixed(&FIRST).or_else(|| fixed(&SECOND).filter(|_| !principal));
            let way = match (first, named) {
                (Some(_), _) => None,
                (None, Some(way)) => Some(way),
                (None, None) if Platform::Azure.is_here(access, wire.line()).await => Some(Way::Machine),
                (None, None) => return Err(Platform::Azure.nothing_found(bucket)),
            };
            for (key, value) in settings {
                builder = builder.with_config(key, value);
            }
            renew = Some(match (way, first) {
                (Some(way), _) => {
                    let (provider, renewing) = tokens(way, &name.account, access, wire.line());
                    builder = builder.with_credentials(provider);
                    renewing
                }
                (None, from) => {
                    let (who, from) = (format!("account {}", name.account), from.unwrap_or_default().to_owned());
                    Arc::new(Fixed { who, from })
                }
            });
        }
    }
    let url = format!("{endpoint}/{}", name.container);
    let store = builder
        .with_account(&name.account)
        .with_container_name(&name.container)
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| refuse(bucket.as_str(), super::attempts::told(&error)))?;
    let store = Arc::new(store);
    Ok(Service {
        objects: Arc::clone(&store) as _,
        pages: Some(store),
        capabilities: CAPABILITIES,
        dialect: Arc::new(Azure { anonymous: access.azure.credentials == Credentials::Anonymous, url }),
        renew,
        elsewhere: None,
    })
}

impl Name {
    fn parse(url: &str) -> Option<Name> {
        let (account, container) = url.strip_prefix("az://")?.split_once('/')?;
        let account_like = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fine = !account.is_empty() && account.chars().all(account_like);
        // `$web` and `$root` are containers too.
        let container_like = |c: char| account_like(c) || c == '$';
        let fine = fine && !container.is_empty() && container.chars().all(container_like);
        fine.then(|| Name { account: account.to_owned(), container: container.to_owned() })
    }
}

/// What the variables say of who asks, connection string included; the more particular ones win.
fn settings(access: &Access) -> Vec<(AzureConfigKey, String)> {
    let filled = || access.variables.iter().filter(|(_, value)| !value.is_empty());
    let mut settings = Vec::new();
    if let Some(text) = access.variables.get("AZURE_STORAGE_CONNECTION_STRING") {
        for part in text.split(';') {
            let Some((name, value)) = part.split_once('=') else { continue };
            let key = match name.trim().to_ascii_lowercase().as_str() {
                "accountkey" => AzureConfigKey::AccessKey,
                "sharedaccesssignature" => AzureConfigKey::SasKey,
                _ => continue,
            };
            settings.push((key, value.trim().to_owned()));
        }
    }
    for (name, value) in filled() {
        let name = match name.as_str() {
            "IDENTITY_ENDPOINT" | "MSI_ENDPOINT" => name.to_ascii_lowercase(),
            // Azure's command line names its key and token so.
            "AZURE_STORAGE_KEY" => "azure_storage_account_key".to_owned(),
            name if name.starts_with("AZURE_") => name.to_ascii_lowercase(),
            _ => continue,
        };
        match name.parse() {
            // The URL and the command line say these.
            Ok(AzureConfigKey::AccountName | AzureConfigKey::ContainerName | AzureConfigKey::SkipSignature) => {}
            // These were read by `config`, or are not meant for us.
            Ok(AzureConfigKey::Endpoint | AzureConfigKey::UseEmulator | AzureConfigKey::Client(_)) | Err(_) => {}
            Ok(key) => settings.push((key, value.clone())),
        }
    }
    settings
}

/// What was said last of `key`.
fn of(settings: &[(AzureConfigKey, String)], key: AzureConfigKey) -> Option<String> {
    settings.iter().rev().find(|(known, _)| *known == key).map(|(_, value)| value.clone())
}

/// URL of `account` at `endpoint`, which may be the URL of another account: linked data lies in others, too. Azure has the
/// account in the host (`ACCOUNT.blob.…`), emulators in the path.
///
/// # Errors
/// A sentence, where that is not to be told.
fn at_account(endpoint: &str, account: &str) -> Result<String, String> {
    let endpoint = endpoint.trim_end_matches('/');
    let url = reqwest::Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let not_a_service = || "not the URL of a service: https://host[:port]".to_owned();
    let mut url = url.ok_or_else(not_a_service)?;
    let host = url.host_str().ok_or_else(not_a_service)?.to_owned();
    let path = url.path().trim_matches('/').to_owned();
    let (first, rest) = host.split_once('.').unwrap_or((&host, ""));
    let numbered = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if first == account || path == account || path.ends_with(&format!("/{account}")) {
        return Ok(endpoint.to_owned());
    }
    if !numbered && (rest.starts_with("blob.") || rest.starts_with("dfs.")) {
        url.set_host(Some(&format!("{account}.{rest}"))).map_err(|_| not_a_service())?;
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    if path.is_empty() {
        return Ok(format!("{endpoint}/{account}"));
    }
    // Of an emulator at a number, or on this machine, the path is an account and nothing else.
    if (numbered || host == "localhost") && !path.contains('/') {
        url.set_path(account);
        return Ok(url.as_str().to_owned());
    }
    Err(format!(
        "names a path that is not account {account}, and perhaps another account's: begin with https://{host} alone, or name \
         an endpoint that holds {account}"
    ))
}

/// What Azure means.
#[derive(Debug)]
struct Azure {
    anonymous: bool,
    /// Of the container.
    url: String,
}

impl Dialect for Azure {
    fn meaning(&self, answer: &Answer) -> Meaning {
        let reason = answer.reason();
        let denied = |denial, advice: &str| Meaning::Denied(denial, format!("{reason}; {advice}"));
        // A HEAD has its code in a header.
        let Some(code) = answer.code.as_deref() else {
            return match answer.status {
                404 if answer.asked == Asked::Head && !answer.has_header_like("x-ms-") => Meaning::Unsaid,
                404 if answer.asked != Asked::Head => {
                    Meaning::Foreign(format!("{} does not know the path, and does not answer like Azure", answer.host))
                }
                _ if answer.is_html() && answer.status < 500 && answer.status != 407 => Meaning::Foreign(html(answer)),
                _ => match Meaning::of_status(answer) {
                    Meaning::Denied(Denial::Rights, _) => denied(Denial::Other, self.rights()),
                    meaning => meaning,
                },
            };
        };
        match code {
            "BlobNotFound" => Meaning::Absent,
            // Also said to nobody in particular of what only is not public.
            "ResourceNotFound" if self.anonymous => denied(Denial::Rights, self.rights()),
            "ResourceNotFound" => Meaning::Absent,
            "ContainerNotFound" => Meaning::NoBucket,
            "ConditionNotMet" | "TargetConditionNotMet" => Meaning::Changed,
            "BlobAlreadyExists" => Meaning::Exists,
            "InvalidRange" => Meaning::PastEnd,
            "AuthenticationFailed" if reason.contains("Signature not valid in the specified time frame") => {
                denied(Denial::Expired, "ask for a new shared access signature")
            }
            "AuthenticationFailed" if reason.contains("header too old") || reason.contains("Request date") => {
                Meaning::Denied(Denial::Clock, reason)
            }
            "ExpiredAuthenticationToken" => denied(Denial::Expired, "sign in again"),
            "InvalidAuthenticationInfo" if reason.contains("expired") || reason.contains("Lifetime") => {
                denied(Denial::Expired, "sign in again")
            }
            "AuthenticationFailed"
            | "InvalidAuthenticationInfo"
            | "KeyBasedAuthenticationNotPermitted"
            | "KeyVaultAccessTokenCannotBeAcquired" => {
                denied(Denial::Credentials, "check which credentials are used, and that they belong to this account")
            }
            "AuthorizationFailure" | "AuthorizationPermissionMismatch" => denied(Denial::Rights, self.rights()),
            "NoAuthenticationInformation"
            | "PublicAccessNotPermitted"
            | "AuthorizationProtocolMismatch"
            | "AuthorizationServiceMismatch"
            | "AuthorizationResourceTypeMismatch"
            | "AuthorizationSourceIPMismatch"
            | "InsufficientAccountPermissions"
            | "AccountIsDisabled" => denied(Denial::Other, self.rights()),
            "BlobArchived" | "BlobBeingRehydrated" => denied(Denial::Archived, "move it to the hot or cool tier first"),
            "BlobUsesCustomerSpecifiedEncryption"
            | "KeyVaultKeyNotFound"
            | "KeyVaultVaultNotFound"
            | "KeyVaultEncryptionKeyNotFound" => denied(Denial::Encryption, "the object's key is needed to read it"),
            "ServerBusy"
            | "InternalError"
            | "OperationTimedOut"
            | "ContainerBeingDeleted"
            | "AccountBeingCreated"
            | "SystemInUse" => Meaning::Busy(reason),
            "UnsupportedHttpVerb" | "UnsupportedHeader" | "APINotImplemented" => Meaning::Unable(reason),
            // 404 with a code that is none of these does not say that the blob is what is missing.
            _ => match Meaning::of_status(answer) {
                // Only the codes above can also mean that there is no such blob.
                Meaning::Denied(Denial::Rights, _) => denied(Denial::Other, self.rights()),
                Meaning::Denied(denial, _) => denied(denial, self.rights()),
                Meaning::Absent => Meaning::Failed(reason),
                meaning => meaning,
            },
        }
    }

    fn place(&self) -> (Option<String>, Option<String>) {
        (Some(self.url.clone()), None)
    }

    /// What a token lacks is said in words only, so each that is refused is asked for anew once.
    fn renews(&self, answer: &Answer, denial: Denial) -> bool {
        denial == Denial::Expired || answer.status == 401
    }

    fn foreign(&self, answer: &Answer) -> Option<String> {
        let named = answer.has_header_like("x-ms-");
        if answer.is_html() && !named {
            return Some(html(answer));
        }
        (!named).then(|| format!("{} sent an answer without x-ms- headers: not a service like Azure", answer.host))
    }
}

impl Azure {
    fn rights(&self) -> &'static str {
        if self.anonymous {
            "requests were not signed: leave out --no-sign-request if the container is not public"
        } else {
            "check what these credentials may do (the role Storage Blob Data Reader, the account's network rules); \
             --no-sign-request for public containers"
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_container_is_named_by_its_account_and_never_by_a_host() {
        let fine = Name { account: "account".to_owned(), container: "box".to_owned() };
        assert_eq!(Name::parse("az://account/box"), Some(fine));
        for url in [
            "az://account",
            "az:///box",
            "az://Account/box",
            "az://account/box/more",
            "az://box@evil.example.org",
            "az://box@evil.example.org/x",
            "abfss://box@account.dfs.core.windows.net",
            "abfss://box@evil.example.org",
        ] {
            assert_eq!(Name::parse(url), None, "{url}");
        }
    }

    #[test]
    fn an_account_is_found_at_an_endpoint() {
        for (endpoint, url) in [
            ("http://127.0.0.1:10000/devstore", "http://127.0.0.1:10000/devstore"),
            ("http://127.0.0.1:10000", "http://127.0.0.1:10000/devstore"),
            ("https://devstore.blob.example.org/", "https://devstore.blob.example.org"),
        ] {
            assert_eq!(at_account(endpoint, "devstore").as_deref(), Ok(url));
        }
        assert!(at_account("ftp://host", "devstore").is_err());
    }

    #[test]
    fn an_account_that_linked_data_lies_in_is_not_asked_for_at_the_endpoint_of_another() {
        for (endpoint, url) in [
            ("https://home.blob.core.windows.net", "https://other.blob.core.windows.net"),
            ("https://home.blob.core.chinacloudapi.cn:1/", "https://other.blob.core.chinacloudapi.cn:1"),
            ("http://127.0.0.1:10000/home", "http://127.0.0.1:10000/other"),
            ("http://localhost:10000/home", "http://localhost:10000/other"),
            ("http://azurite:10000", "http://azurite:10000/other"),
            ("http://proxy.example.org/x/other", "http://proxy.example.org/x/other"),
        ] {
            assert_eq!(at_account(endpoint, "other").as_deref(), Ok(url), "{endpoint}");
        }
        for endpoint in ["https://azurite:10000/home", "https://gate.example.org/azure", "http://127.0.0.1/a/home"] {
            let reason = at_account(endpoint, "other").unwrap_err();
            assert!(reason.contains("account other"), "{endpoint}: {reason}");
        }
    }

    #[test]
    fn only_codes_for_a_lack_of_rights_may_hide_absence() {
        let azure = Azure { anonymous: false, url: String::new() };
        let denial = |status, code: &str| {
            let document = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
            let answer = Answer::new(Asked::Get, "h".to_owned(), status, HeaderMap::new(), document.as_bytes());
            match azure.meaning(&answer) {
                Meaning::Denied(denial, _) => denial,
                meaning => panic!("{code}: {meaning:?}"),
            }
        };
        for code in ["AuthorizationFailure", "AuthorizationPermissionMismatch"] {
            assert_eq!(denial(403, code), Denial::Rights, "{code}");
        }
        for code in ["AccountIsDisabled", "AuthorizationSourceIPMismatch", "InsufficientAccountPermissions", "Odd", ""]
        {
            assert_eq!(denial(403, code), Denial::Other, "{code}");
        }
        assert_eq!(denial(401, "ExpiredAuthenticationToken"), Denial::Expired);
    }

    #[test]
    fn a_connection_string_says_what_variables_say_and_they_win() {
        let mut access = Access::default();
        let text = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc==";
        access.variables.insert("AZURE_STORAGE_CONNECTION_STRING".to_owned(), text.to_owned());
        let said = settings(&access);
        assert_eq!(of(&said, AzureConfigKey::AccessKey).as_deref(), Some("abc=="));
        access.variables.insert("AZURE_STORAGE_KEY".to_owned(), "def==".to_owned());
        assert_eq!(of(&settings(&access), AzureConfigKey::AccessKey).as_deref(), Some("def=="));
    }

    #[test]
    fn a_404_to_a_head_is_absence_only_where_azure_says_it() {
        let azure = Azure { anonymous: false, url: String::new() };
        let meaning =
            |headers| azure.meaning(&Answer::new(Asked::Head, "a.blob.core.windows.net".to_owned(), 404, headers, b""));
        assert_eq!(meaning(HeaderMap::new()), Meaning::Unsaid);
        let named = HeaderMap::from_iter([("x-ms-request-id".parse().unwrap(), "1".parse().unwrap())]);
        assert_eq!(meaning(named), Meaning::Absent);
    }

    #[test]
    fn absence_is_only_what_says_so() {
        let meaning = |anonymous, status, code: &str| {
            let document = format!("<Error><Code>{code}</Code><Message>words</Message></Error>");
            let host = "a.blob.core.windows.net".to_owned();
            Azure { anonymous, url: String::new() }.meaning(&Answer::new(
                Asked::Get,
                host,
                status,
                HeaderMap::new(),
                document.as_bytes(),
            ))
        };
        assert_eq!(meaning(false, 404, "BlobNotFound"), Meaning::Absent);
        assert_eq!(meaning(false, 404, "ContainerNotFound"), Meaning::NoBucket);
        // What is not public does not exist, for those who do not say who they are.
        assert!(matches!(meaning(true, 404, "ResourceNotFound"), Meaning::Denied(Denial::Rights, _)));
        assert!(matches!(meaning(false, 404, "SomethingElse"), Meaning::Failed(_)));
        assert!(matches!(meaning(false, 409, "BlobArchived"), Meaning::Denied(Denial::Archived, _)));
        assert!(matches!(meaning(false, 503, "ServerBusy"), Meaning::Busy(_)));
    }
}
