//! How stores are reached: what a person says on the command line, in a file, or in the usual variables of a cloud.
//!
//! Resolved once by `config` and handed to every store of a mount, so that linked buckets are reached the same way.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How stores are reached. Its `Debug` names the variables and tells none of their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// URL of the service where it is not the cloud's own.
    pub endpoint: Option<String>,
    /// Region of the buckets; found by asking where not given.
    pub region: Option<String>,
    /// Whether the bucket is the first segment of the path (`true`) or of the host name; by default the first where an
    /// endpoint is given.
    pub path_style: Option<bool>,
    /// Who asks.
    pub credentials: Credentials,
    /// PEM file of certificates that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The asker pays for requests to buckets that want that (`x-amz-request-payer`).
    pub request_payer: bool,
    /// What linked data may lie in beside buckets of the same kind: `file:`, `http:`, `https:`, or the beginning of URLs.
    pub allow_links: Vec<String>,
    /// In buckets that deny LIST, a 403 may mean that there is no such object: see `docs/clouds.md`.
    pub missing_as_403: bool,
    /// The variables of the environment that clouds' own tools read (`AWS_*`, `AZURE_*`, `GOOGLE_*`, `*_PROXY`, `HOME`),
    /// as they were when the program started.
    pub variables: BTreeMap<String, String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field is thought of here.
        let Access {
            endpoint,
            region,
            path_style,
            credentials,
            ca_bundle,
            request_payer,
            allow_links,
            missing_as_403,
            variables,
        } = self;
        f.debug_struct("Access")
            .field("endpoint", endpoint)
            .field("region", region)
            .field("path_style", path_style)
            .field("credentials", credentials)
            .field("ca_bundle", ca_bundle)
            .field("request_payer", request_payer)
            .field("allow_links", allow_links)
            .field("missing_as_403", missing_as_403)
            .field("variables", &variables.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Access {
    /// How a store of another kind than the one this was said of is reached: service, region and profile are of one kind,
    /// and what is signed for one must never be sent to another's. The variables name each kind's own.
    pub fn of_another_kind(self) -> Access {
        let credentials = match self.credentials {
            Credentials::Profile(_) => Credentials::Found,
            credentials => credentials,
        };
        Access { endpoint: None, region: None, path_style: None, credentials, ..self }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_are_never_printed() {
        let variables = BTreeMap::from([("AWS_SECRET_ACCESS_KEY".to_owned(), "wJalr".to_owned())]);
        let shown = format!("{:?}", Access { variables, ..Access::default() });
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("wJalr"), "{shown}");
    }
}
