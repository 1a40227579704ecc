//! How stores are reached: what a person says on the command line, in a file, or in the usual variables of a cloud.
//!
//! Resolved once by `config` and handed to every store of a mount, so that linked buckets are reached the same way.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::model::location::Bucket;

/// How stores are reached. Its `Debug` names the variables and tells none of their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Buckets of S3.
    pub s3: Reach,
    /// Containers of Azure.
    pub azure: Reach,
    /// Buckets of Google.
    pub google: Reach,
    /// Web servers.
    pub web: Reach,
    /// PEM file of certificates that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// What requests go through.
    pub proxies: Proxies,
    /// The asker pays for requests to buckets that want that (`x-amz-request-payer`).
    pub request_payer: bool,
    /// What linked data may lie in beside buckets of the same kind: `file:`, `http:`, `https:`, or the beginning of URLs.
    pub allow_links: Vec<String>,
    /// In buckets that deny LIST, a 403 may mean that there is no such object: see `docs/clouds.md`.
    pub missing_as_403: bool,
    /// The variables that name places of credentials (`AWS_*`, `AZURE_*`, `GOOGLE_*`, `HOME`), as they were when the
    /// program started. What else variables say is in the other fields.
    pub variables: BTreeMap<String, String>,
}

/// How one kind of service is reached. What is said of one kind, and signed for it, never goes to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// URL of the service where it is not the cloud's own, without a trailing `/`.
    pub endpoint: Option<String>,
    /// Region of the buckets; found by asking where not given.
    pub region: Option<String>,
    /// Whether the bucket is the first segment of the path (`true`) or of the host name; by default the first where an
    /// endpoint is given.
    pub path_style: Option<bool>,
    /// Who asks.
    pub credentials: Credentials,
}

/// URLs of proxies, each perhaps with a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `https:`.
    pub https: Option<String>,
    /// For `http:`.
    pub http: Option<String>,
    /// For what none is named for.
    pub all: Option<String>,
    /// Hosts that are asked without one, as in `NO_PROXY`.
    pub exempt: Option<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proxies { https, http, all, exempt } = self;
        let named = [("https", https), ("http", http), ("all", all)];
        let names: Vec<&str> = named.into_iter().filter(|(_, url)| url.is_some()).map(|(name, _)| name).collect();
        f.debug_struct("Proxies").field("for", &names).field("exempt", exempt).finish()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field is thought of here.
        let Access {
            s3,
            azure,
            google,
            web,
            ca_bundle,
            proxies,
            request_payer,
            allow_links,
            missing_as_403,
            variables,
        } = self;
        f.debug_struct("Access")
            .field("s3", s3)
            .field("azure", azure)
            .field("google", google)
            .field("web", web)
            .field("ca_bundle", ca_bundle)
            .field("proxies", proxies)
            .field("request_payer", request_payer)
            .field("allow_links", allow_links)
            .field("missing_as_403", missing_as_403)
            .field("variables", &variables.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Access {
    /// How the service of `bucket` is reached.
    pub fn of(&self, bucket: &Bucket) -> &Reach {
        match bucket.as_str().split_once("://").map(|(scheme, _)| scheme) {
            Some("s3") => &self.s3,
            Some("az") => &self.azure,
            Some("gs") => &self.google,
            _ => &self.web,
        }
    }
}

/// A file of `~/.aws`: where `variable` says it is, else that called `name` in the home directory.
pub fn profile_file(variables: &BTreeMap<String, String>, variable: &str, name: &str) -> Option<PathBuf> {
    let of = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let home = of("HOME").map(Path::new);
    match of(variable) {
        Some(path) => match (path.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => Some(home.join(rest)),
            _ => Some(PathBuf::from(path)),
        },
        None => Some(home?.join(".aws").join(name)),
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Whoever the usual places name: the environment, profiles, the machine's role.
    #[default]
    Found,
    /// This profile of `~/.aws`.
    Profile(String),
    /// Nobody: requests are not signed.
    Anonymous,
}

/// Where a store in a cloud is asked for, as far as that is known by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// URL of the bucket.
    pub url: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// By how many seconds the clock of this machine is ahead of the service's, at the last answer.
    pub clock_ahead: Option<i64>,
    /// The service ends each connection after one request.
    pub reconnects: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_are_never_printed() {
        let variables = BTreeMap::from([("AWS_SECRET_ACCESS_KEY".to_owned(), "wJalr".to_owned())]);
        let proxies = Proxies { https: Some("http://me:wJalr@proxy".to_owned()), ..Proxies::default() };
        let shown = format!("{:?}", Access { variables, proxies, ..Access::default() });
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("wJalr"), "{shown}");
    }
}
