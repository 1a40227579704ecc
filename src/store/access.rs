//! How stores are reached: what a person says on the command line, in a file, or in the usual variables of a cloud.
//!
//! Resolved once by `config` and handed to every store of a mount, so that linked buckets are reached the same way.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// How stores are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
