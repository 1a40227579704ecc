//! Buckets of Google Cloud Storage, through its XML interface: where to ask, as whom, and what the answers mean.
//!
//! Google binds writes to generations, which are numbers, and reads to entity tags. [`Store`](crate::store::Store) knows
//! entity tags only, so a write bound to one first asks which [`Generation`](Generations) has it.

use std::sync::Arc;

use futures::stream::BoxStream;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, StaticCredentialProvider, UpdateVersion,
};

use super::answer::{Answer, Asked, Dialect, Meaning, html};
use super::trouble::Told;
use super::wire::{Line, Wire, no_retries};
use super::{CAPABILITIES, Service};
use crate::model::location::Bucket;
use crate::store::credentials::google::{Way, tokens};
use crate::store::credentials::{Fixed, Platform, Renew};
use crate::store::{Access, Credentials, Denial, StoreError};

/// Where Google keeps buckets.
const HOST: &str = "https://storage.googleapis.com";

/// The bucket of `gs://name`.
///
/// # Errors
/// [`StoreError::Unsupported`] for what cannot be a bucket or an endpoint, or a file of credentials that cannot be read;
/// [`StoreError::Forbidden`] where nobody says who asks.
pub async fn open(bucket: &Bucket, access: &Access, wire: &Wire) -> Result<Service, StoreError> {
    let refuse = |what: &str, reason: String| StoreError::Unsupported { what: what.to_owned(), reason };
    let name = bucket.as_str().strip_prefix("gs://").unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(refuse(bucket.as_str(), "not the name of a bucket: gs://BUCKET".to_owned()));
    }
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(name)
        .with_client_options(Wire::options())
        .with_http_connector(wire.clone())
        .with_retry(no_retries());
    if let Some(endpoint) = &access.google.endpoint {
        let Some(url) = reqwest::Url::parse(endpoint).ok().filter(reqwest::Url::has_host) else {
            return Err(refuse(endpoint, "not the URL of a service: https://host[:port]".to_owned()));
        };
        if super::names_bucket(&url, name) {
            return Err(refuse(endpoint, super::BUCKET_TWICE.to_owned()));
        }
        builder = builder.with_base_url(endpoint);
    }
    let anonymous = access.google.credentials == Credentials::Anonymous;
    let mut renew = None;
    if let Credentials::Profile(profile) = &access.google.credentials {
        return Err(refuse(
            profile,
            "profiles are for s3://…; Google's credentials come from GOOGLE_… or gcloud".to_owned(),
        ));
    }
    if anonymous {
        // Credentials that are never sent keep `object_store` from looking for others.
        builder = builder.with_skip_signature(true).with_credentials(bearer(String::new()));
    } else {
        let (with, renewing) = found(builder, access, bucket, wire.line()).await?;
        (builder, renew) = (with, Some(renewing));
    }
    let endpoint = access.google.endpoint.as_deref().unwrap_or(HOST);
    let store = builder.build().map_err(|error| refuse(bucket.as_str(), super::attempts::told(&error)))?;
    let store = Arc::new(store);
    Ok(Service {
        objects: Arc::new(Generations(Arc::clone(&store))),
        pages: Some(store),
        capabilities: CAPABILITIES,
        dialect: Arc::new(Gcs { anonymous, url: format!("{endpoint}/{name}") }),
        renew,
        elsewhere: None,
    })
}

fn bearer(bearer: String) -> Arc<StaticCredentialProvider<GcpCredential>> {
    Arc::new(StaticCredentialProvider::new(GcpCredential { bearer }))
}

/// Who asks, by the places that Google's own libraries look at, in their order.
async fn found(
    builder: GoogleCloudStorageBuilder,
    access: &Access,
    bucket: &Bucket,
    line: &Line,
) -> Result<(GoogleCloudStorageBuilder, Arc<dyn Renew>), StoreError> {
    let variable = |name: &str| access.variables.get(name).filter(|value| !value.is_empty()).cloned();
    if let Some(token) = variable("GOOGLE_BEARER_TOKEN").or_else(|| variable("GOOGLE_OAUTH_ACCESS_TOKEN")) {
        let from = "a bearer token of the environment".to_owned();
        let renew = Arc::new(Fixed { who: "an account of Google".to_owned(), from });
        return Ok((builder.with_credentials(bearer(token)), renew));
    }
    let (way, from) = way(&builder, access, bucket, line).await?;
    // The key of an account may name another service, which the store is to be built with.
    let builder = match &way {
        Way::Account(account) => (**account).clone(),
        Way::SignedIn(_) | Way::Machine => builder,
    };
    let (provider, renew) = tokens(way, &from, access, line);
    Ok((builder.with_credentials(provider), renew))
}

/// The way to a token, and the name of the place that shows it.
async fn way(
    builder: &GoogleCloudStorageBuilder,
    access: &Access,
    bucket: &Bucket,
    line: &Line,
) -> Result<(Way, String), StoreError> {
    let variable = |name: &str| access.variables.get(name).filter(|value| !value.is_empty()).cloned();
    let account = |builder| Way::Account(Box::new(builder));
    if let Some(key) = variable("GOOGLE_SERVICE_ACCOUNT_KEY") {
        let from = "GOOGLE_SERVICE_ACCOUNT_KEY".to_owned();
        return Ok((account(builder.clone().with_service_account_key(key)), from));
    }
    for name in ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"] {
        if let Some(path) = variable(name) {
            let from = format!("the service account in {path}");
            return Ok((account(builder.clone().with_service_account_path(&path)), from));
        }
    }
    let of_file = |path: String, from: String| {
        let unreadable = |reason| StoreError::Unsupported { what: bucket.as_str().to_owned(), reason };
        Ok((Way::of_file(&path, builder.clone()).map_err(unreadable)?, from))
    };
    if let Some(path) = variable("GOOGLE_APPLICATION_CREDENTIALS") {
        let from = format!("GOOGLE_APPLICATION_CREDENTIALS ({path})");
        return of_file(path, from);
    }
    if let Some(home) = variable("HOME") {
        let path = format!("{home}/.config/gcloud/application_default_credentials.json");
        if std::path::Path::new(&path).is_file() {
            let from = format!("gcloud's {path}");
            return of_file(path, from);
        }
    }
    if Platform::Google.is_here(access, line).await {
        return Ok((Way::Machine, "this machine's service account".to_owned()));
    }
    Err(Platform::Google.nothing_found(bucket))
}

/// The store, with writes bound to an entity tag made of writes bound to a generation.
#[derive(Debug)]
struct Generations(Arc<GoogleCloudStorage>);

impl std::fmt::Display for Generations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait::async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Generations {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if let PutMode::Update(UpdateVersion { e_tag: Some(wanted), version: None }) = &options.mode {
            let there = self.0.get_opts(path, GetOptions { head: true, ..GetOptions::default() }).await?.meta;
            if there.e_tag.as_ref() != Some(wanted) {
                let source = Box::new(Told("another version is there".to_owned()));
                return Err(object_store::Error::Precondition { path: path.to_string(), source });
            }
            options.mode = PutMode::Update(UpdateVersion { e_tag: there.e_tag, version: there.version });
        }
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(path, options).await
    }

    async fn get_ranges(
        &self,
        path: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> object_store::Result<Vec<bytes::Bytes>> {
        self.0.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// What Google means.
#[derive(Debug)]
struct Gcs {
    anonymous: bool,
    /// Of the bucket.
    url: String,
}

impl Dialect for Gcs {
    fn meaning(&self, answer: &Answer) -> Meaning {
        let reason = answer.reason();
        let denied = |denial, advice: &str| Meaning::Denied(denial, format!("{reason}; {advice}"));
        let Some(code) = answer.code.as_deref() else {
            return match answer.status {
                // Which generation is there was asked by a HEAD, on the way to writing.
                404 if answer.asked == Asked::WriteIf && is_named(answer) => Meaning::Absent,
                404 if answer.asked == Asked::Head && !is_named(answer) => Meaning::Unsaid,
                404 if answer.asked != Asked::Head => {
                    Meaning::Foreign(format!("{} does not know the path, and does not answer like Google", answer.host))
                }
                _ if answer.is_html() && answer.status < 500 && answer.status != 407 => Meaning::Foreign(html(answer)),
                // Google says with a HEAD not why it refuses.
                403 if answer.asked == Asked::Head => Meaning::Unsaid,
                _ => match Meaning::of_status(answer) {
                    Meaning::Denied(Denial::Rights, _) => denied(Denial::Other, self.rights()),
                    Meaning::Denied(denial, _) => denied(denial, self.rights()),
                    meaning => meaning,
                },
            };
        };
        match code {
            "NoSuchKey" => Meaning::Absent,
            "NoSuchBucket" => Meaning::NoBucket,
            "PreconditionFailed" => Meaning::Changed,
            "InvalidRange" => Meaning::PastEnd,
            "AccessDenied" if reason.contains("Cloud KMS") || reason.contains("cryptoKey") => {
                denied(Denial::Encryption, "the key that the object is encrypted with is not yours to use")
            }
            // What it says of an object that is not there, to whom it would not list.
            "AccessDenied" | "Forbidden" => denied(Denial::Rights, self.rights()),
            "AccountProblem" | "InvalidSecurity" => denied(Denial::Other, self.rights()),
            "UserProjectMissing" | "UserProjectAccountProblem" | "UserProjectInconsistent" => denied(
                Denial::Other,
                "the bucket's owner does not pay for requests, and no other project can be named here",
            ),
            "ExpiredToken" => denied(Denial::Expired, "sign in again"),
            "AuthenticationRequired"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "NotSignedUp"
            | "InvalidAccessKeyId" => denied(Denial::Credentials, "sign in again, or check which credentials are used"),
            "RequestTimeTooSkewed" => Meaning::Denied(Denial::Clock, reason),
            "SlowDown" | "ServiceUnavailable" | "InternalError" | "BackendError" | "RateLimitExceeded"
            | "RequestTimeout" | "TooManyRequests" => Meaning::Busy(reason),
            "MethodNotAllowed" | "NotImplemented" => Meaning::Unable(reason),
            _ if code.contains("KeyDisabled") || code.contains("CloudKms") || code.contains("EncryptionKey") => {
                denied(Denial::Encryption, "the key that the object is encrypted with is disabled, or not yours to use")
            }
            _ => match Meaning::of_status(answer) {
                Meaning::Denied(Denial::Rights, _) => denied(Denial::Other, self.rights()),
                Meaning::Denied(denial, _) => denied(denial, self.rights()),
                meaning => meaning,
            },
        }
    }

    fn place(&self) -> (Option<String>, Option<String>) {
        (Some(self.url.clone()), None)
    }

    /// Of a token that has ended Google says what it says of any that it does not know.
    fn renews(&self, answer: &Answer, denial: Denial) -> bool {
        denial == Denial::Expired || answer.status == 401
    }

    fn foreign(&self, answer: &Answer) -> Option<String> {
        let named = answer.has_header_like("x-goog-");
        if answer.is_html() && !named {
            return Some(html(answer));
        }
        let object = matches!(answer.asked, Asked::Get | Asked::Part | Asked::Head);
        (object && !named)
            .then(|| format!("{} sent an answer without x-goog- headers: not a service like Google's", answer.host))
    }
}

/// Whether only Google answers so. Errors have no `x-goog-` headers, but the number of who took the request.
fn is_named(answer: &Answer) -> bool {
    answer.has_header_like("x-goog-") || answer.has_header_like("x-guploader-")
}

impl Gcs {
    fn rights(&self) -> &'static str {
        if self.anonymous {
            "requests were not signed: leave out --no-sign-request if the bucket is not public"
        } else {
            "check what these credentials may do (the role Storage Object Viewer); --no-sign-request for public buckets"
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn only_codes_for_a_lack_of_rights_may_hide_absence() {
        let google = Gcs { anonymous: false, url: String::new() };
        let meaning = |asked, document: &str| {
            google.meaning(&Answer::new(asked, "h".to_owned(), 403, HeaderMap::new(), document.as_bytes()))
        };
        let denial = |code: &str, message: &str| {
            let document = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            match meaning(Asked::Get, &document) {
                Meaning::Denied(denial, _) => denial,
                meaning => panic!("{code}: {meaning:?}"),
            }
        };
        assert_eq!(denial("AccessDenied", "x does not have storage.objects.list access"), Denial::Rights);
        assert_eq!(denial("AccessDenied", "Permission denied on Cloud KMS key"), Denial::Encryption);
        assert_eq!(denial("ExpiredToken", "m"), Denial::Expired);
        for code in ["AccountProblem", "InvalidSecurity", "UserProjectMissing", "Odd", ""] {
            assert_eq!(denial(code, "m"), Denial::Other, "{code}");
        }
        // The reason is asked for.
        assert_eq!(meaning(Asked::Head, ""), Meaning::Unsaid);
    }

    #[test]
    fn a_404_is_absence_only_where_google_says_it_of_the_object() {
        let google = Gcs { anonymous: false, url: String::new() };
        let meaning = |header: Option<&'static str>| {
            let headers = HeaderMap::from_iter(header.map(|name| (name.parse().unwrap(), "1".parse().unwrap())));
            google.meaning(&Answer::new(Asked::Head, "storage.googleapis.com".to_owned(), 404, headers, b""))
        };
        assert_eq!(meaning(Some("x-guploader-uploadid")), Meaning::Absent);
        assert_eq!(meaning(Some("x-goog-hash")), Meaning::Absent);
        assert_eq!(meaning(None), Meaning::Unsaid);
    }
}
