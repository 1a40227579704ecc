//! The places where AWS credentials are looked for, in the order of Amazon's own tools: the environment, a profile of
//! `~/.aws` (keys, SSO, roles, `credential_process`), a web identity, the container's endpoint, the machine's role.
//!
//! Which of them have anything is read from [`Access::variables`], not from the process. Two things `aws-config` takes
//! from the process all the same, since it lets nobody else say them: `HOME` when it looks for `~/.aws/sso/cache`, and
//! the endpoints of STS and SSO (`AWS_ENDPOINT_URL_STS` and its like). In the program both are the same.
//!
//! A named profile (`--profile`) is asked alone: whoever names one does not mean the keys that lie in the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_config::Region;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::timeout::TimeoutConfig;
use object_store::aws::AwsCredential;

use super::container::Container;
use super::fault::{Fault, sentence};
use super::renewing::{Found, Search};
use super::transport::Transport;
use crate::store::access::profile_file;
use crate::store::causes::causes;
use crate::store::{Access, Credentials};

/// A request to STS or SSO with its repetitions: three of the [`Transport`]'s patience, and the pauses between them.
const REQUESTS: Duration = Duration::from_secs(20);
/// How long the metadata service may take. On a machine without one nothing answers, and everybody waits this long; on
/// one that has it the answer comes within milliseconds.
const MACHINE: Duration = Duration::from_secs(1);
/// Requests to the metadata service that fail with a fault of its own; one that is not there is asked once.
const MACHINE_ATTEMPTS: u32 = 3;
/// What sessions are called where nobody says it.
const SESSION: &str = "h5mount";

/// Where to look.
#[derive(Debug)]
pub(super) struct Places {
    variables: BTreeMap<String, String>,
    /// The only place to look at.
    profile: Option<String>,
    region: Region,
    transport: Transport,
    /// Whether this machine has given its role before: then it has a metadata service, and silence is an outage.
    has_role: AtomicBool,
}

/// One of the places.
struct Place {
    /// What it is called in `doctor` and in errors.
    name: String,
    provider: Arc<dyn ProvideCredentials>,
    kind: Kind,
}

/// What it means when a place has nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somebody pointed at it: an error.
    Chosen,
    /// It is looked at in passing, and says clearly that it has nothing.
    Usual,
    /// The metadata service: a machine that has none is silent, in one way or another.
    Machine,
}

/// Keys in the environment.
#[derive(Clone, Debug)]
struct Environment(BTreeMap<String, String>);

impl Environment {
    fn keys(&self) -> provider::Result {
        let of = |name: &str| self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let Some(id) = of("AWS_ACCESS_KEY_ID") else {
            return Err(CredentialsError::not_loaded("AWS_ACCESS_KEY_ID is not set"));
        };
        let secret = of("AWS_SECRET_ACCESS_KEY").ok_or_else(|| {
            CredentialsError::invalid_configuration("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not")
        })?;
        Ok(Keys::new(id, secret, of("AWS_SESSION_TOKEN").map(str::to_owned), None, "environment"))
    }
}

impl ProvideCredentials for Environment {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.keys())
    }
}

impl Places {
    /// The places that `access` names.
    pub fn new(access: &Access, region: &str, transport: Transport) -> Places {
        let profile = match &access.s3.credentials {
            Credentials::Profile(name) => Some(name.clone()),
            Credentials::Found | Credentials::Anonymous => None,
        };
        let region = Region::new(region.to_owned());
        Places { variables: access.variables.clone(), profile, region, transport, has_role: AtomicBool::new(false) }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn configuration(&self) -> ProviderConfig {
        let limits = TimeoutConfig::builder().operation_timeout(REQUESTS).build();
        ProviderConfig::without_region()
            .with_region(Some(self.region.clone()))
            .with_http_client(self.transport.clone())
            .with_timeout_config(limits)
    }

    /// The places in their order. Made anew for each search, since what is made keeps what it has read.
    fn all(&self) -> Result<Vec<Place>, Fault> {
        let profile = self.profile()?;
        if self.profile.is_some() {
            return Ok(vec![profile]);
        }
        let environment = Environment(self.variables.clone());
        let mut places = vec![
            Place {
                name: "AWS_ACCESS_KEY_ID in the environment".to_owned(),
                provider: Arc::new(environment),
                kind: Kind::Usual,
            },
            profile,
        ];
        places.extend(self.web_identity());
        if let Some(container) = Container::named_by(&self.variables, &self.transport) {
            let name = "the container's endpoint (AWS_CONTAINER_CREDENTIALS_…_URI)".to_owned();
            places.push(Place { name, provider: Arc::new(container), kind: Kind::Chosen });
        }
        places.extend(self.machine()?);
        Ok(places)
    }

    /// A profile of `~/.aws`.
    #[allow(deprecated)] // The types have moved to a crate that is not published for use.
    fn profile(&self) -> Result<Place, Fault> {
        use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};

        let chosen = self.profile.as_deref().or_else(|| self.variable("AWS_PROFILE"));
        let name = chosen.unwrap_or("default");
        let mut files = ProfileFiles::builder();
        let mut paths = Vec::new();
        for (kind, variable, file) in [
            (ProfileFileKind::Config, "AWS_CONFIG_FILE", "config"),
            (ProfileFileKind::Credentials, "AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ] {
            let Some(path) = profile_file(&self.variables, variable, file) else { continue };
            paths.push(path.display().to_string());
            if path.is_file() {
                files = files.with_file(kind, path);
            } else {
                // None at all would mean the usual ones of the process.
                files = files.with_contents(kind, "");
            }
        }
        if paths.is_empty() {
            files = files.with_contents(ProfileFileKind::Config, "");
        }
        let mut provider = ProfileFileCredentialsProvider::builder()
            .configure(&self.configuration())
            .profile_files(files.build())
            .profile_name(name)
            .with_custom_provider("Environment", Environment(self.variables.clone()));
        if let Some(container) = Container::named_by(&self.variables, &self.transport) {
            provider = provider.with_custom_provider("EcsContainer", container);
        }
        if let Some(machine) = self.machine()? {
            provider = provider.with_custom_provider("Ec2InstanceMetadata", machine.provider);
        }
        let place = if paths.is_empty() { "HOME/.aws (HOME is not set)".to_owned() } else { paths.join(" and ") };
        Ok(Place {
            name: format!("profile `{name}` of {place}"),
            provider: Arc::new(provider.build()),
            kind: if chosen.is_some() { Kind::Chosen } else { Kind::Usual },
        })
    }

    /// A token that STS takes for a role, as Kubernetes gives it to a pod.
    fn web_identity(&self) -> Option<Place> {
        let file = self.variable("AWS_WEB_IDENTITY_TOKEN_FILE")?;
        let role = self.variable("AWS_ROLE_ARN")?;
        let provider = WebIdentityTokenCredentialsProvider::builder().configure(&self.configuration());
        let provider = provider.static_configuration(StaticConfiguration {
            web_identity_token_file: PathBuf::from(file),
            role_arn: role.to_owned(),
            session_name: self.variable("AWS_ROLE_SESSION_NAME").unwrap_or(SESSION).to_owned(),
        });
        let name = format!("AWS_WEB_IDENTITY_TOKEN_FILE for the role {role}");
        Some(Place { name, provider: Arc::new(provider.build()), kind: Kind::Chosen })
    }

    /// The role of the machine, from its metadata service. `None` where that is switched off.
    fn machine(&self) -> Result<Option<Place>, Fault> {
        if self.variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let mut client = imds::Client::builder()
            .configure(&self.configuration())
            .max_attempts(MACHINE_ATTEMPTS)
            .connect_timeout(MACHINE)
            .read_timeout(MACHINE)
            .operation_attempt_timeout(MACHINE)
            .operation_timeout(MACHINE * MACHINE_ATTEMPTS);
        let wrong = |what: &str| Fault::refused(format!("AWS_EC2_METADATA_SERVICE_{what} is set to something else"));
        if let Some(endpoint) = self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            client = client.endpoint(endpoint).map_err(|_| wrong("ENDPOINT is to be a URL, and"))?;
        } else if let Some(mode) = self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") {
            client = client.endpoint_mode(mode.parse().map_err(|_| wrong("ENDPOINT_MODE is to be IPv4 or IPv6, and"))?);
        }
        let provider = ImdsCredentialsProvider::builder().configure(&self.configuration()).imds_client(client.build());
        let name = "the role of this machine (its metadata service)".to_owned();
        Ok(Some(Place { name, provider: Arc::new(provider.build()), kind: Kind::Machine }))
    }
}

#[async_trait::async_trait]
impl Search for Places {
    type Credential = AwsCredential;

    async fn find(&self) -> Result<Found<AwsCredential>, Fault> {
        let mut tried = Vec::new();
        for place in self.all()? {
            match place.provider.provide_credentials().await {
                Ok(keys) => {
                    if place.kind == Kind::Machine {
                        self.has_role.store(true, Ordering::Relaxed);
                    }
                    let credential = AwsCredential {
                        key_id: keys.access_key_id().to_owned(),
                        secret_key: keys.secret_access_key().to_owned(),
                        token: keys.session_token().map(str::to_owned),
                    };
                    let who = format!("access key {}", credential.key_id);
                    let (from, until) = (place.name, keys.expiry());
                    return Ok(Found { credential: Arc::new(credential), who, from, until });
                }
                Err(CredentialsError::CredentialsNotLoaded(_)) if place.kind == Kind::Usual => tried.push(place.name),
                Err(error) if place.kind == Kind::Machine => {
                    let configured = matches!(error, CredentialsError::InvalidConfiguration(_));
                    if configured {
                        return Err(fault(&place.name, &error));
                    }
                    if self.has_role.load(Ordering::Relaxed) {
                        return Err(Fault::unreachable(format!("{}: {}", place.name, sentence(&error))));
                    }
                    tried.push(format!("{}: {}", place.name, sentence(&error)));
                }
                Err(error) => return Err(fault(&place.name, &error)),
            }
        }
        Err(Fault::refused(format!(
            "no credentials found. Looked at: {}. A public bucket? Pass --no-sign-request. Otherwise run `aws configure` \
             or `aws sso login`, or name a profile with --profile",
            tried.join("; ")
        )))
    }
}

/// Why a place that was meant to have credentials has none.
fn fault(place: &str, error: &CredentialsError) -> Fault {
    let cut = causes(error).any(|cause| cause.is::<ConnectorError>());
    // The words of the outer ones say only that there are none; what stands below says why.
    let below = causes(error).find(|cause| !cause.is::<CredentialsError>());
    let why = below.map_or_else(|| sentence(error), sentence);
    let reason = format!("no credentials from {place}: {}", why.trim_end_matches('.'));
    if cut || matches!(error, CredentialsError::ProviderTimedOut(_)) {
        return Fault::unreachable(reason);
    }
    Fault::refused(format!(
        "{reason}. Sign in again (for SSO: `aws sso login`) or correct the profile; for a public bucket pass --no-sign-request"
    ))
}
