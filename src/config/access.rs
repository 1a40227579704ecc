//! How clouds are reached: flags and keys of a file, then the usual variables of the environment, become one
//! [`Access`]. What is said by a flag beats the file, and both beat the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::place::Kind;
use super::{ConfigError, profile};
use crate::store::access::{Proxies, Reach};
use crate::store::{Access, Credentials};

/// Heading of these flags in `--help`.
const CLOUDS: &str = "Clouds";

/// How a cloud is reached, as typed or written in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessOptions {
    /// The service, where it is not the cloud's own: http://HOST:PORT
    #[arg(long, help_heading = CLOUDS, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket (default: asked for)
    #[arg(long, help_heading = CLOUDS, value_name = "NAME")]
    pub region: Option<String>,
    /// Name the bucket in the path of requests, not in the host (default: yes with --endpoint, else no)
    #[arg(long, help_heading = CLOUDS, value_name = "BOOL", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub path_style: Option<bool>,
    /// Sign no request: for public buckets. Beats all credentials
    #[arg(long, help_heading = CLOUDS, value_name = "BOOL", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub no_sign_request: Option<bool>,
    /// Credentials of this profile in ~/.aws
    #[arg(long, help_heading = CLOUDS, value_name = "NAME")]
    pub profile: Option<String>,
    /// Certificates (PEM) that are trusted beside the system's
    #[arg(long, help_heading = CLOUDS, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// Pay for the requests, as some buckets want
    #[arg(long, help_heading = CLOUDS, value_name = "BOOL", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub request_payer: Option<bool>,
    /// Follow links of the data to here too, beside buckets of the same cloud: `file:`, `http:`, `https:`, or what URLs
    /// begin with. May be given several times
    #[arg(long, help_heading = CLOUDS, value_name = "SCHEME-OR-URL")]
    pub allow_links: Vec<String>,
    /// The bucket denies listing: take a refused chunk for one that was never written, where tests say that it is so
    #[arg(long = "missing-as-403", help_heading = CLOUDS, value_name = "BOOL", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[serde(rename = "missing-as-403")]
    pub missing_as_403: Option<bool>,
}

impl AccessOptions {
    /// These where they say something, else `other`.
    pub fn or(self, other: AccessOptions) -> AccessOptions {
        AccessOptions {
            endpoint: self.endpoint.or(other.endpoint),
            region: self.region.or(other.region),
            path_style: self.path_style.or(other.path_style),
            // Who asks is one choice of two words: whoever makes it, makes it whole.
            no_sign_request: self.no_sign_request.or(other.no_sign_request.filter(|_| self.profile.is_none())),
            profile: self.profile.or(other.profile),
            ca_bundle: self.ca_bundle.or(other.ca_bundle),
            request_payer: self.request_payer.or(other.request_payer),
            allow_links: if self.allow_links.is_empty() { other.allow_links } else { self.allow_links },
            missing_as_403: self.missing_as_403.or(other.missing_as_403),
        }
    }

    /// What they come to where the store that is shown is of this kind, with the variables of [`environment`]. Other kinds
    /// are reached as their own variables say: endpoint, region and profile are said of one kind only.
    pub fn resolve(self, kind: Kind, variables: BTreeMap<String, String>) -> Result<Access, ConfigError> {
        let variable = |names: &[&str]| names.iter().find_map(|name| variables.get(*name)).cloned();
        let typed = Typed {
            endpoint: self.endpoint.map(|url| checked_endpoint("--endpoint", &url)).transpose()?,
            region: self.region,
            path_style: self.path_style,
            profile: self.profile,
            no_sign_request: self.no_sign_request,
        };
        let of = |other: Kind| if other == kind { typed.clone() } else { typed.of_another_kind() };
        let ca_bundle = self.ca_bundle.or_else(|| variable(&["AWS_CA_BUNDLE"]).map(PathBuf::from));
        // Absolute, since the copy in the background leaves the working directory.
        let ca_bundle = ca_bundle.map(|path| std::path::absolute(&path).unwrap_or(path));
        let payer = || variable(&["AWS_REQUEST_PAYER"]).is_some_and(|word| word.eq_ignore_ascii_case("requester"));
        let needed = |reach: Result<Reach, ConfigError>, other: Kind| match reach {
            // What a variable says wrongly of a kind that may never be asked keeps nobody from the others; it is told
            // when a link leads there, since it is no URL.
            Err(error) if other != kind => Ok(Reach { endpoint: Some(error.to_string()), ..Reach::default() }),
            reach => reach,
        };
        Ok(Access {
            s3: needed(of(Kind::S3).s3(&variables), Kind::S3)?,
            azure: needed(of(Kind::Azure).azure(&variables), Kind::Azure)?,
            google: needed(of(Kind::Google).google(&variables), Kind::Google)?,
            web: of(Kind::Http).reach(None, None, false),
            ca_bundle,
            proxies: proxies(&variables),
            request_payer: self.request_payer.unwrap_or_else(payer),
            allow_links: self.allow_links.iter().map(|word| checked_link(word)).collect::<Result<_, _>>()?,
            missing_as_403: self.missing_as_403.unwrap_or(false),
            variables,
        })
    }
}

/// What flags and files say of one kind of service.
#[derive(Clone, Default)]
struct Typed {
    /// Checked.
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    profile: Option<String>,
    no_sign_request: Option<bool>,
}

impl Typed {
    fn of_another_kind(&self) -> Typed {
        Typed { no_sign_request: self.no_sign_request, ..Typed::default() }
    }

    /// With what else says where the service is, and whether variables want nothing to be signed.
    fn reach(self, endpoint: Option<String>, region: Option<String>, unsigned: bool) -> Reach {
        let credentials = match (self.no_sign_request, self.profile) {
            (Some(true), _) => Credentials::Anonymous,
            (_, Some(profile)) => Credentials::Profile(profile),
            (None, None) if unsigned => Credentials::Anonymous,
            (_, None) => Credentials::Found,
        };
        let (endpoint, region) = (self.endpoint.or(endpoint), self.region.or(region));
        Reach { endpoint, region, path_style: self.path_style, credentials }
    }

    fn s3(self, variables: &BTreeMap<String, String>) -> Result<Reach, ConfigError> {
        let profile = profile::read(self.profile.as_deref(), variables);
        let needed = self.no_sign_request != Some(true);
        if let (Some(name), Some(others), true) = (&self.profile, &profile.others, needed) {
            let others = others.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let others = if others.is_empty() { "they hold none".to_owned() } else { format!("they hold: {others}") };
            return Err(ConfigError::Value {
                name: "--profile".to_owned(),
                value: name.clone(),
                reason: format!("no such profile in {}; {others}", profile::files(variables)),
            });
        }
        let region = first(variables, &["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, region)| region.to_owned());
        let ignored = switched_on(variables, &["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]) || profile.ignores_endpoints;
        let named = first(variables, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        let endpoint = match (named, &profile.endpoint) {
            _ if ignored || self.endpoint.is_some() => None,
            (Some((name, url)), _) => Some(checked_endpoint(name, url)?),
            (None, Some(url)) => {
                Some(checked_endpoint(&format!("endpoint_url of the profile `{}`", profile.name), url)?)
            }
            (None, None) => None,
        };
        let unsigned = switched_on(variables, &["AWS_NO_SIGN_REQUEST", "AWS_SKIP_SIGNATURE"]);
        Ok(self.reach(endpoint, region.or(profile.region), unsigned))
    }

    fn azure(self, variables: &BTreeMap<String, String>) -> Result<Reach, ConfigError> {
        const CONNECTION: &str = "AZURE_STORAGE_CONNECTION_STRING";
        let in_connection = || {
            let parts = variables.get(CONNECTION)?.split(';').filter_map(|part| part.split_once('='));
            let mut named = parts.filter(|(name, _)| name.trim().eq_ignore_ascii_case("blobendpoint"));
            named.next().map(|(_, url)| (CONNECTION, url.trim()))
        };
        let endpoints = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
        let named = first(variables, &endpoints).or_else(in_connection).filter(|_| self.endpoint.is_none());
        let endpoint = named.map(|(name, url)| checked_endpoint(name, url)).transpose()?;
        Ok(self.reach(endpoint, None, switched_on(variables, &["AZURE_SKIP_SIGNATURE"])))
    }

    fn google(self, variables: &BTreeMap<String, String>) -> Result<Reach, ConfigError> {
        let named = first(variables, &["STORAGE_EMULATOR_HOST", "GOOGLE_BASE_URL"]).filter(|_| self.endpoint.is_none());
        // Emulators take no credentials, and a real token must not be sent to one in plain HTTP.
        let emulated = named.is_some_and(|(name, _)| name == "STORAGE_EMULATOR_HOST");
        let endpoint = match named {
            // Google's libraries take a host as well as a URL.
            Some((name, host)) if !host.contains("://") => Some(checked_endpoint(name, &format!("http://{host}"))?),
            Some((name, url)) => Some(checked_endpoint(name, url)?),
            None => None,
        };
        let reach = self.reach(endpoint, None, switched_on(variables, &["GOOGLE_SKIP_SIGNATURE"]));
        let credentials = match reach.credentials {
            Credentials::Found if emulated => Credentials::Anonymous,
            credentials => credentials,
        };
        Ok(Reach { credentials, ..reach })
    }
}

/// The first of these variables that says something.
fn first<'a>(variables: &'a BTreeMap<String, String>, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
    let filled =
        |name: &&'static str| Some((*name, variables.get(*name)?.as_str())).filter(|(_, text)| !text.is_empty());
    names.iter().find_map(filled)
}

fn switched_on(variables: &BTreeMap<String, String>, names: &[&'static str]) -> bool {
    first(variables, names).is_some_and(|(_, word)| is_yes(word))
}

/// The proxies of the usual variables; the small letters win, as with curl.
fn proxies(variables: &BTreeMap<String, String>) -> Proxies {
    let of =
        |small: &'static str, large: &'static str| first(variables, &[small, large]).map(|(_, url)| url.to_owned());
    Proxies {
        https: of("https_proxy", "HTTPS_PROXY"),
        http: of("http_proxy", "HTTP_PROXY"),
        all: of("all_proxy", "ALL_PROXY"),
        exempt: of("no_proxy", "NO_PROXY"),
    }
}

/// Words that switch something on, in variables of several clouds' tools.
fn is_yes(word: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| word.eq_ignore_ascii_case(yes))
}

fn checked_endpoint(name: &str, url: &str) -> Result<String, ConfigError> {
    let host = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme)).unwrap_or_default();
    let value = |value: &str, reason: &str| ConfigError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    if host.contains('@') {
        return Err(value("(not shown)", "a URL here takes no user and password; see --profile"));
    }
    if host.is_empty() || host.starts_with('/') || host.contains(['?', '#', ' ']) {
        // What follows `?` may be a signature.
        let url = url.split(['?', '#']).next().unwrap_or_default();
        return Err(value(url, "no URL of a service; it looks like http://HOST:PORT, without anything behind"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn checked_link(word: &str) -> Result<String, ConfigError> {
    match word.trim_end_matches(':') {
        scheme @ ("file" | "http" | "https" | "s3" | "gs" | "az") => Ok(format!("{scheme}:")),
        _ if word.contains("://") => Ok(word.to_owned()),
        _ => Err(ConfigError::Value {
            name: "--allow-links".to_owned(),
            value: word.to_owned(),
            reason: "neither a scheme (file:, http:, https:) nor what a URL begins with".to_owned(),
        }),
    }
}

/// The variables that tools of clouds read, as they are now. Empty ones say nothing.
pub fn environment() -> BTreeMap<String, String> {
    let all =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    // From the user database where the variable is not set.
    with_home(relevant(all), std::env::home_dir)
}

/// Services of the system and mounts of fstab are started without `HOME`, where profiles and sign-ins lie.
fn with_home(
    mut variables: BTreeMap<String, String>,
    home: impl FnOnce() -> Option<PathBuf>,
) -> BTreeMap<String, String> {
    if !variables.contains_key("HOME")
        && let Some(home) = home().and_then(|home| home.into_os_string().into_string().ok()).filter(|it| !it.is_empty())
    {
        variables.insert("HOME".to_owned(), home);
    }
    variables
}

fn relevant(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    /// Names that begin with none of the clouds' own words: the home of `~/.aws`, Google's emulator and metadata
    /// service, Azure's identity of a machine.
    const OTHERS: [&str; 7] = [
        "HOME",
        "STORAGE_EMULATOR_HOST",
        "GCE_METADATA_HOST",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
        "MSI_ENDPOINT",
        "MSI_SECRET",
    ];
    let is_ours = |name: &str| {
        ["AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"].iter().any(|word| name.starts_with(word))
            || name.to_ascii_uppercase().ends_with("_PROXY")
            || OTHERS.contains(&name)
    };
    variables.filter(|(name, value)| is_ours(name) && !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::location::Bucket;

    fn variables(words: &[(&str, &str)]) -> BTreeMap<String, String> {
        relevant(words.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    #[test]
    fn only_what_clouds_read_is_taken_from_the_environment() {
        let all = [("AWS_REGION", "r"), ("no_proxy", "x"), ("HTTPS_PROXY", "p"), ("HOME", "/h"), ("PATH", "/bin")];
        let names: Vec<String> = variables(&[&all[..], &[("AWS_PROFILE", "")]].concat()).into_keys().collect();
        assert_eq!(names, ["AWS_REGION", "HOME", "HTTPS_PROXY", "no_proxy"]);
    }

    #[test]
    fn a_home_is_known_where_no_variable_names_it() {
        let home = |words: &[(&str, &str)], database: Option<&str>| {
            with_home(variables(words), || database.map(PathBuf::from)).remove("HOME")
        };
        assert_eq!(home(&[], Some("/root")).as_deref(), Some("/root"));
        assert_eq!(home(&[("HOME", "")], Some("/root")).as_deref(), Some("/root"));
        assert_eq!(home(&[("HOME", "/h")], Some("/root")).as_deref(), Some("/h"));
        assert_eq!((home(&[], None), home(&[], Some(""))), (None, None));
    }

    #[test]
    fn an_emulator_of_google_is_named_by_its_host_and_told_no_token() {
        let words = [("STORAGE_EMULATOR_HOST", "localhost:4443"), ("GOOGLE_BEARER_TOKEN", "real")];
        let google = |options: AccessOptions, words: &[(&str, &str)]| {
            options.resolve(Kind::Google, variables(words)).unwrap().google
        };
        let reach = google(AccessOptions::default(), &words);
        assert_eq!(reach.endpoint.as_deref(), Some("http://localhost:4443"));
        assert_eq!(reach.credentials, Credentials::Anonymous);
        let url = [("STORAGE_EMULATOR_HOST", "https://emulator:1/")];
        assert_eq!(google(AccessOptions::default(), &url).endpoint.as_deref(), Some("https://emulator:1"));
        // Who types another endpoint does not mean the emulator.
        let typed = AccessOptions { endpoint: Some("https://typed".to_owned()), ..AccessOptions::default() };
        let reach = google(typed, &words);
        assert_eq!((reach.endpoint.as_deref(), reach.credentials), (Some("https://typed"), Credentials::Found));
    }

    #[test]
    fn a_profile_says_where_s3_is_unless_a_variable_or_a_flag_does() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let text = "[profile work]\nregion = eu-north-1\nendpoint_url = http://of-the-profile:9000/\n\
                    [profile bad]\nendpoint_url = nowhere\n";
        std::fs::write(home.path().join(".aws/config"), text).unwrap();
        let home = home.path().to_str().unwrap();
        let resolved = |profile: &str, words: &[(&str, &str)]| {
            let options = AccessOptions { profile: Some(profile.to_owned()), ..AccessOptions::default() };
            let s3 = options.resolve(Kind::S3, variables(&[&[("HOME", home)], words].concat()))?.s3;
            Ok::<_, ConfigError>((s3.endpoint, s3.region))
        };
        let said = |endpoint: &str, region: &str| (Some(endpoint.to_owned()), Some(region.to_owned()));
        assert_eq!(resolved("work", &[]).unwrap(), said("http://of-the-profile:9000", "eu-north-1"));
        let words = [("AWS_ENDPOINT_URL", "http://of-the-variable"), ("AWS_REGION", "r")];
        assert_eq!(resolved("work", &words).unwrap(), said("http://of-the-variable", "r"));
        let ignored = [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
        assert_eq!(resolved("work", &ignored).unwrap(), (None, Some("eu-north-1".to_owned())));
        let error = resolved("bad", &[]).unwrap_err().to_string();
        assert!(error.contains("profile `bad`") && error.contains("nowhere"), "{error}");
        let error = resolved("nope", &[]).unwrap_err().to_string();
        for words in ["--profile nope: no such profile in", ".aws/config and", ".aws/credentials; they hold: bad, work"]
        {
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn a_connection_string_says_where_azure_is_and_a_variable_beats_it() {
        let text = "AccountName=a;AccountKey=abc==;BlobEndpoint=http://h/a";
        let mut words = vec![("AZURE_STORAGE_CONNECTION_STRING", text)];
        let endpoint = |words: &[(&str, &str)]| {
            AccessOptions::default().resolve(Kind::Azure, variables(words)).unwrap().azure.endpoint
        };
        assert_eq!(endpoint(&words).as_deref(), Some("http://h/a"));
        words.push(("AZURE_STORAGE_ENDPOINT", "http://other/"));
        assert_eq!(endpoint(&words).as_deref(), Some("http://other"));
    }

    #[test]
    fn small_letters_win_among_the_names_of_proxies() {
        let words = [("HTTP_PROXY", "http://large"), ("http_proxy", "http://small"), ("NO_PROXY", "h")];
        let found = AccessOptions::default().resolve(Kind::Disk, variables(&words)).unwrap().proxies;
        let of = |url: &str| Some(url.to_owned());
        assert_eq!(found, Proxies { http: of("http://small"), exempt: of("h"), ..Proxies::default() });
    }

    #[test]
    fn a_bad_endpoint_is_reported_by_the_variable_that_holds_it() {
        let error = AccessOptions::default().resolve(Kind::S3, variables(&[("AWS_ENDPOINT_URL", "host")])).unwrap_err();
        assert!(error.to_string().contains("AWS_ENDPOINT_URL") && !error.to_string().contains("_S3"), "{error}");
        // It keeps nobody from a store of another kind.
        let access =
            AccessOptions::default().resolve(Kind::Google, variables(&[("AWS_ENDPOINT_URL", "host")])).unwrap();
        assert!(access.s3.endpoint.unwrap().contains("AWS_ENDPOINT_URL host"));
    }

    #[test]
    fn flags_beat_the_environment() {
        let variables = variables(&[
            ("AWS_ENDPOINT_URL", "http://general:1"),
            ("AWS_ENDPOINT_URL_S3", "http://special:1/"),
            ("AWS_REGION", "from-variable"),
            ("AWS_REQUEST_PAYER", "requester"),
            ("AWS_NO_SIGN_REQUEST", "YES"),
        ]);
        let found = AccessOptions::default().resolve(Kind::S3, variables.clone()).unwrap();
        assert_eq!(found.s3.endpoint.as_deref(), Some("http://special:1"));
        assert_eq!(found.s3.region.as_deref(), Some("from-variable"));
        assert_eq!((&found.s3.credentials, found.request_payer), (&Credentials::Anonymous, true));
        // Where the store that is shown is of another kind, a linked bucket of this one is reached in the same way.
        assert_eq!(AccessOptions::default().resolve(Kind::Disk, variables.clone()).unwrap(), found);
        let options = AccessOptions {
            endpoint: Some("https://typed".to_owned()),
            region: Some("typed".to_owned()),
            request_payer: Some(false),
            no_sign_request: Some(false),
            ..AccessOptions::default()
        };
        let typed = options.clone().resolve(Kind::S3, variables.clone()).unwrap();
        assert_eq!(typed.s3.endpoint.as_deref(), Some("https://typed"));
        assert_eq!(typed.s3.region.as_deref(), Some("typed"));
        assert_eq!((typed.s3.credentials, typed.request_payer), (Credentials::Found, false));
        // Nothing of it is said of another cloud, but that nothing is to be signed, or that it is.
        assert_eq!((typed.google, typed.azure), (Reach::default(), Reach::default()));
        let google = options.resolve(Kind::Google, variables).unwrap();
        assert_eq!(google.s3.endpoint.as_deref(), Some("http://special:1"));
        assert_eq!(google.google.endpoint.as_deref(), Some("https://typed"));
    }

    #[test]
    fn no_sign_request_beats_every_credential() {
        let all = variables(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_PROFILE", "p")]);
        let options = AccessOptions {
            no_sign_request: Some(true),
            profile: Some("typed".to_owned()),
            ..AccessOptions::default()
        };
        let access = options.resolve(Kind::S3, all).unwrap();
        for bucket in ["s3://b", "az://a/b", "gs://b", "https://h"] {
            assert_eq!(access.of(&Bucket::new(bucket)).credentials, Credentials::Anonymous, "{bucket}");
        }
    }

    #[test]
    fn flags_beat_the_file() {
        let text = "endpoint = 'http://file'\nno-sign-request = true\nallow-links = ['http:']\nmissing-as-403 = true\n";
        let file: AccessOptions = toml::from_str(text).unwrap();
        let typed = AccessOptions {
            endpoint: Some("http://typed".to_owned()),
            profile: Some("me".to_owned()),
            ..AccessOptions::default()
        };
        let both = typed.or(file.clone());
        assert_eq!((both.endpoint.as_deref(), both.missing_as_403), (Some("http://typed"), Some(true)));
        // A profile that was typed is not signed away by a word in the file.
        assert_eq!((both.no_sign_request, both.profile.as_deref()), (None, Some("me")));
        assert_eq!(AccessOptions::default().or(file.clone()), file);
        assert!(toml::from_str::<AccessOptions>("endpiont = 'x'").is_err());
    }

    #[test]
    fn what_means_nothing_is_refused_and_a_password_not_shown() {
        let with = |options: AccessOptions| options.resolve(Kind::S3, BTreeMap::new());
        for endpoint in ["host:9000", "ftp://host", "http://", "http://me:secret@host", "http://h?x"] {
            let options = AccessOptions { endpoint: Some(endpoint.to_owned()), ..AccessOptions::default() };
            let error = with(options).unwrap_err().to_string();
            assert!(error.contains("--endpoint") && !error.contains("secret"), "{error}");
        }
        let links = |words: &[&str]| {
            let allow_links = words.iter().map(|word| word.to_string()).collect();
            with(AccessOptions { allow_links, ..AccessOptions::default() }).map(|access| access.allow_links)
        };
        assert_eq!(links(&["http", "file:", "s3://b/x"]).unwrap(), ["http:", "file:", "s3://b/x"]);
        assert!(matches!(links(&["example.org"]), Err(ConfigError::Value { .. })));
    }
}
