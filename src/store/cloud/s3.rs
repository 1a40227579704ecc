//! Buckets of S3, Amazon's and others': where to ask, as whom, and what the answers mean.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};

use super::answer::{Answer, Asked, Dialect, Meaning, html};
use super::wire::{Wire, no_retries};
use super::{CAPABILITIES, Elsewhere, Service, region};
use crate::model::location::Bucket;
use crate::store::{Access, Credentials, Denial, StoreError, credentials};

/// What services that have no regions take for one, and where Amazon is asked first.
const FIRST_REGION: &str = "us-east-1";

/// How a bucket is reached, in whichever region.
#[derive(Clone, Debug)]
struct Door {
    bucket: Bucket,
    /// The bucket's name.
    name: String,
    access: Access,
    /// URL of a service that is not Amazon's own, without a trailing `/`.
    endpoint: Option<String>,
    wire: Wire,
    deadline: Duration,
}

/// The bucket of `s3://name`.
///
/// # Errors
/// [`StoreError::Unsupported`] for what cannot be a bucket or an endpoint; what asking for its region failed of.
pub async fn open(bucket: &Bucket, access: &Access, wire: &Wire, deadline: Duration) -> Result<Service, StoreError> {
    let door = Door::new(bucket, access, wire, deadline)?;
    match (access.s3.region.clone(), &door.endpoint) {
        (Some(region), _) => door.service(&region),
        // Most have no regions and take any; one that has says so when it is asked for an object.
        (None, Some(_)) => door.service(FIRST_REGION),
        (None, None) => door.open(None).await,
    }
}

impl Door {
    fn new(bucket: &Bucket, access: &Access, wire: &Wire, deadline: Duration) -> Result<Door, StoreError> {
        let refuse = |what: &str, reason: &str| {
            Err(StoreError::Unsupported { what: what.to_owned(), reason: reason.to_owned() })
        };
        let name = bucket.as_str().strip_prefix("s3://").unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return refuse(bucket.as_str(), "not the name of a bucket: s3://BUCKET");
        }
        let mut door = Door {
            bucket: bucket.clone(),
            name: name.to_owned(),
            access: access.clone(),
            endpoint: access.s3.endpoint.clone(),
            wire: wire.clone(),
            deadline,
        };
        if let Some(endpoint) = &mut door.endpoint {
            let url = endpoint.trim_end_matches('/').to_owned();
            let parsed = reqwest::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let Some(parsed) = parsed else {
                return refuse(endpoint, "not the URL of a service: https://host[:port]");
            };
            // Some services lie below a path. But one that ends with the bucket would be asked for an object of its name, and
            // some take that for an empty list.
            if super::names_bucket(&parsed, name) {
                return refuse(endpoint, super::BUCKET_TWICE);
            }
            *endpoint = url;
        }
        Ok(door)
    }

    fn anonymous(&self) -> bool {
        self.access.s3.credentials == Credentials::Anonymous
    }

    /// URL of the bucket.
    fn url(&self, region: &str) -> String {
        let name = &self.name;
        // A name with dots matches no certificate as part of a host; the others are not host names at all.
        let hostlike = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let in_path = self.access.s3.path_style.unwrap_or(self.endpoint.is_some() || !hostlike);
        match &self.endpoint {
            Some(endpoint) if in_path => format!("{endpoint}/{name}"),
            Some(endpoint) => {
                let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
                format!("{scheme}://{name}.{host}")
            }
            None if in_path => format!("https://s3.{region}.{}/{name}", domain(region)),
            None => format!("https://{name}.s3.{region}.{}", domain(region)),
        }
    }

    /// The bucket in `region`. Nothing is asked yet.
    fn service(&self, region: &str) -> Result<Service, StoreError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.name)
            .with_region(region)
            // The whole URL is ours; `object_store` has one domain for all regions.
            .with_endpoint(self.url(region))
            .with_virtual_hosted_style_request(true)
            .with_client_options(Wire::options())
            .with_http_connector(self.wire.clone())
            .with_retry(no_retries())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // Deletes one by one need no further permission and no XML.
            .with_disable_bulk_delete(true)
            .with_request_payer(self.access.request_payer);
        let mut renew = None;
        builder = if self.anonymous() {
            builder.with_skip_signature(true)
        } else {
            let (provider, renewing) = credentials::aws(&self.access, region, self.wire.line());
            renew = Some(renewing);
            builder.with_credentials(provider)
        };
        let store = builder.build().map_err(|error| StoreError::Unsupported {
            what: self.bucket.as_str().to_owned(),
            reason: super::attempts::told(&error),
        })?;
        let store = Arc::new(store);
        Ok(Service {
            objects: Arc::clone(&store) as _,
            pages: Some(store),
            capabilities: CAPABILITIES,
            dialect: Arc::new(S3 {
                anonymous: self.anonymous(),
                payer: self.access.request_payer,
                url: self.url(region),
                region: region.to_owned(),
            }),
            renew,
            elsewhere: Some(Arc::new(self.clone())),
        })
    }
}

#[async_trait::async_trait]
impl Elsewhere for Door {
    async fn open(&self, region: Option<&str>) -> Result<Service, StoreError> {
        let region = match region {
            Some(region) => region.to_owned(),
            None => {
                let first = self.access.s3.region.as_deref().unwrap_or(FIRST_REGION);
                let found = region::find(&self.wire, &self.bucket, &self.url(first), self.deadline).await?;
                found.unwrap_or_else(|| FIRST_REGION.to_owned())
            }
        };
        tracing::info!(bucket = self.bucket.as_str(), region, "the bucket's region");
        self.service(&region)
    }
}

/// Amazon's domain in a region.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// What S3 means.
#[derive(Debug)]
struct S3 {
    anonymous: bool,
    payer: bool,
    url: String,
    region: String,
}

impl Dialect for S3 {
    fn meaning(&self, answer: &Answer) -> Meaning {
        let Some(code) = answer.code.as_deref() else { return self.bare(answer) };
        let reason = answer.reason();
        let denied = |denial, advice: &str| Meaning::Denied(denial, format!("{reason}; {advice}"));
        match code {
            "NoSuchKey" | "NoSuchVersion" => Meaning::Absent,
            "NoSuchBucket" => Meaning::NoBucket,
            "PreconditionFailed" => Meaning::Changed,
            "InvalidRange" => Meaning::PastEnd,
            // Refused for the object's key, not for the object.
            "AccessDenied" if reason.contains("kms:") => {
                denied(Denial::Encryption, "ask for the right to decrypt with the object's key")
            }
            "AccessDenied" => denied(Denial::Rights, self.rights()),
            "ExpiredToken" | "TokenRefreshRequired" | "RequestExpired" | "ExpiredTokenException" => {
                denied(Denial::Expired, "sign in again")
            }
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "InvalidSecurity"
            | "NotSignedUp"
            | "MissingSecurityHeader"
            | "CredentialsNotSupported"
            | "InvalidClientTokenId"
            | "UnauthorizedAccess" => {
                denied(Denial::Credentials, "check which credentials are used, and that they belong to this service")
            }
            "RequestTimeTooSkewed" => Meaning::Denied(Denial::Clock, skewed(answer)),
            "InvalidObjectState" => denied(Denial::Archived, "restore it from the archive first"),
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "Redirect"
            | "IllegalLocationConstraintException"
            | "IncorrectEndpoint" => Meaning::Elsewhere(answer.region.clone()),
            "AuthorizationHeaderMalformed" if answer.region.is_some() => Meaning::Elsewhere(answer.region.clone()),
            "SlowDown"
            | "ServiceUnavailable"
            | "InternalError"
            | "RequestLimitExceeded"
            | "RequestTimeout"
            | "Busy"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "BandwidthLimitExceeded"
            | "OperationAborted"
            | "ConditionalRequestConflict"
            | "ServerBusy" => Meaning::Busy(reason),
            "NotImplemented" | "MethodNotAllowed" => Meaning::Unable(reason),
            _ if code.starts_with("KMS.") => {
                denied(Denial::Encryption, "the key that the object is encrypted with is disabled, or not yours to use")
            }
            _ => match Meaning::of_status(answer) {
                // Only the one code can also mean that there is no such object.
                Meaning::Denied(Denial::Rights, _) => denied(Denial::Other, self.rights()),
                Meaning::Denied(denial, _) => denied(denial, self.rights()),
                Meaning::Foreign(_) if answer.region.is_some() => Meaning::Elsewhere(answer.region.clone()),
                meaning => meaning,
            },
        }
    }

    fn foreign(&self, answer: &Answer) -> Option<String> {
        if is_page(answer) {
            return Some(html(answer));
        }
        let object = matches!(answer.asked, Asked::Get | Asked::Part | Asked::Head);
        let unnamed = object && answer.header("etag").is_none_or(str::is_empty);
        unnamed.then(|| format!("{} sent an answer without an ETag: not a service like S3", answer.host))
    }

    fn place(&self) -> (Option<String>, Option<String>) {
        (Some(self.url.clone()), Some(self.region.clone()))
    }
}

impl S3 {
    /// An answer without an error document: a HEAD, or not S3 at all.
    fn bare(&self, answer: &Answer) -> Meaning {
        let other = answer.region.as_ref().is_some_and(|region| *region != self.region);
        match answer.status {
            301 | 307 if answer.region.is_some() => Meaning::Elsewhere(answer.region.clone()),
            // It names the region with every answer, also with that to an expired token.
            400 if other => Meaning::Elsewhere(answer.region.clone()),
            301 | 307 if answer.header("location").is_none() => Meaning::Elsewhere(None),
            // S3 says with a HEAD neither that a token has expired nor why it refuses.
            400 | 403 if answer.asked == Asked::Head => Meaning::Unsaid,
            // Anybody in between can say that, and only S3 numbers what it says.
            404 if answer.asked == Asked::Head && !answer.has_header_like("x-amz-") => Meaning::Unsaid,
            404 if answer.asked != Asked::Head && !is_page(answer) => {
                Meaning::Foreign(format!("{} does not know the path, and does not answer like S3", answer.host))
            }
            _ if is_page(answer) && answer.status < 500 && answer.status != 407 => Meaning::Foreign(html(answer)),
            _ => match Meaning::of_status(answer) {
                Meaning::Denied(Denial::Rights, _) => {
                    Meaning::Denied(Denial::Other, format!("{}; {}", answer.status_line(), self.rights()))
                }
                meaning => meaning,
            },
        }
    }

    /// What to do about a lack of rights.
    fn rights(&self) -> &'static str {
        match (self.anonymous, self.payer) {
            (true, _) => "requests were not signed: leave out --no-sign-request if the bucket is not public",
            (false, false) => {
                "check what these credentials may do; --request-payer where the bucket's owner does not pay, \
                 --no-sign-request for public buckets"
            }
            (false, true) => "check what these credentials may do; --no-sign-request for public buckets",
        }
    }
}

/// Whether it is a page for people. Some services call everything HTML that has no type of its own, but they are
/// services: they give each request a number.
fn is_page(answer: &Answer) -> bool {
    answer.is_html() && !answer.has_header_like("x-amz-") && answer.header("content-length") != Some("0")
}

/// How wrong the clock is.
fn skewed(answer: &Answer) -> String {
    match answer.clock_ahead() {
        Some(0) | None => {
            "the service does not accept the time of requests; check the clock of this machine".to_owned()
        }
        Some(ahead) => {
            let way = if ahead > 0 { "ahead" } else { "behind" };
            format!("it is {} s {way} of the service's; set the clock (timedatectl set-ntp true)", ahead.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Line;
    use super::*;
    use crate::store::access::Reach;

    fn url(name: &str, access: Access, region: &str) -> String {
        let wire = Wire::new(&Line::new(&Access::default()).unwrap(), Arc::default());
        let bucket = Bucket::new(format!("s3://{name}"));
        Door::new(&bucket, &access, &wire, Duration::from_secs(1)).unwrap().url(region)
    }

    #[test]
    fn an_endpoint_may_have_a_path_but_not_the_buckets() {
        let wire = Wire::new(&Line::new(&Access::default()).unwrap(), Default::default());
        let url = |endpoint: &str| {
            let s3 = Reach { endpoint: Some(endpoint.to_owned()), ..Reach::default() };
            let access = Access { s3, ..Access::default() };
            let door = Door::new(&Bucket::new("s3://box"), &access, &wire, Duration::ZERO);
            door.map(|door| door.url("r")).map_err(|error| error.to_string())
        };
        assert_eq!(url("https://h/storage/v1/s3").as_deref(), Ok("https://h/storage/v1/s3/box"));
        assert_eq!(url("https://h/boxes/").as_deref(), Ok("https://h/boxes/box"));
        for endpoint in ["https://h/box", "http://h:9000/x/box/"] {
            let error = url(endpoint).unwrap_err();
            assert!(error.contains("leave the bucket out of --endpoint"), "{error}");
        }
    }

    #[test]
    fn the_url_of_a_bucket_follows_from_its_name_region_and_endpoint() {
        let own = Access::default;
        assert_eq!(url("nrel-pds", own(), "us-west-2"), "https://nrel-pds.s3.us-west-2.amazonaws.com");
        assert_eq!(url("a.dotted.name", own(), "us-west-2"), "https://s3.us-west-2.amazonaws.com/a.dotted.name");
        assert_eq!(url("Old_Name", own(), "us-east-1"), "https://s3.us-east-1.amazonaws.com/Old_Name");
        assert_eq!(url("b", own(), "cn-north-1"), "https://b.s3.cn-north-1.amazonaws.com.cn");
        let at = |endpoint: &str, path_style| {
            let s3 = Reach { endpoint: Some(endpoint.to_owned()), path_style, ..Reach::default() };
            Access { s3, ..Access::default() }
        };
        assert_eq!(url("b", at("http://minio:9000/", None), "x"), "http://minio:9000/b");
        assert_eq!(url("b", at("https://s3.example", Some(false)), "x"), "https://b.s3.example");
        let s3 = Reach { path_style: Some(true), ..Reach::default() };
        let styled = Access { s3, ..Access::default() };
        assert_eq!(url("b", styled, "eu-west-1"), "https://s3.eu-west-1.amazonaws.com/b");
    }
}
