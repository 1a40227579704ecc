//! Files of a web server: read by path, never listed. `http(s)://host[:port]` is the store, its paths are the keys.
//!
//! Servers promise little, so every answer is looked at: one that sends a whole file where part of it was asked for, a
//! compressed one, or a page for people is refused by name, and whether a file is still the one that was first read is
//! seen from the answer, whatever the server makes of `If-Match`. A file without an entity tag is known by its time and
//! length ([`identity`]).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{Method, StatusCode, header};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
};
use object_store::http::{HttpBuilder, HttpStore};
use object_store::path::Path;
use object_store::{
    Attribute, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
};

use super::Service;
use super::answer::{Answer, Asked, Dialect, Meaning, html};
use super::trouble::Told;
use super::wire::{Wire, no_retries};
use crate::model::location::Bucket;
use crate::store::{Access, Capabilities, Credentials, Denial, StoreError};

/// Redirects of one request that are followed: a catalogue sends to a mirror, that to its disk, and nobody needs more.
const REDIRECTS: usize = 5;

/// The server of a URL.
///
/// # Errors
/// [`StoreError::Unsupported`] for what is not one.
pub fn open(bucket: &Bucket, access: &Access, wire: &Wire) -> Result<Service, StoreError> {
    let refuse = |what: &str, reason: String| StoreError::Unsupported { what: what.to_owned(), reason };
    let Some(url) = root(bucket.as_str()) else {
        return Err(refuse(bucket.as_str(), "not a web server: http(s)://host[:port]/path/of/a/file".to_owned()));
    };
    if let Credentials::Profile(profile) = &access.web.credentials {
        return Err(refuse(profile, "web servers are asked without credentials; profiles are for s3://…".to_owned()));
    }
    let store = HttpBuilder::new()
        .with_url(url)
        .with_client_options(Wire::options())
        .with_http_connector(Following(wire.clone()))
        .with_retry(no_retries())
        .build()
        .map_err(|error| refuse(bucket.as_str(), super::attempts::told(&error)))?;
    Ok(Service {
        objects: Arc::new(Files(store)),
        pages: None,
        capabilities: Capabilities {
            conditional_get: true,
            conditional_put: false,
            listing: false,
            ranges: true,
            directories: false,
            // Who copies a file onto a server writes it in place, as often as not.
            atomic_put: false,
        },
        dialect: Arc::new(Web),
        renew: None,
        elsewhere: None,
    })
}

/// URL of a server.
fn root(name: &str) -> Option<reqwest::Url> {
    let url = reqwest::Url::parse(name).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    (plain && nobody && url.has_host()).then_some(url)
}

/// A wire that follows redirects, to other hosts too: nothing secret is sent along.
#[derive(Clone, Debug)]
struct Following(Wire);

impl HttpConnector for Following {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Following {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return self.0.call(request).await;
        }
        let (head, _) = request.into_parts();
        let mut url = head.uri.clone();
        for followed in 0.. {
            let mut next = HttpRequest::new(HttpRequestBody::empty());
            *next.method_mut() = head.method.clone();
            *next.headers_mut() = head.headers.clone();
            *next.uri_mut() = url.clone();
            let answer = self.0.call(next).await?;
            match target(&url, &answer) {
                Some(target) if followed < REDIRECTS => url = target,
                _ => return Ok(answer),
            }
        }
        unreachable!("the loop returns after the last redirect")
    }
}

/// Where an answer sends to, if it may be followed: never from HTTPS to HTTP, and not to a folder, which is a page.
fn target(from: &http::Uri, answer: &HttpResponse) -> Option<http::Uri> {
    let moved = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !moved.contains(&answer.status()) {
        return None;
    }
    let base = reqwest::Url::parse(&from.to_string()).ok()?;
    let to = base.join(answer.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    let downgraded = base.scheme() == "https" && to.scheme() != "https";
    let folder = to.path().ends_with('/') && !base.path().ends_with('/');
    let web = matches!(to.scheme(), "http" | "https");
    (web && !downgraded && !folder).then(|| to.as_str().parse().ok()).flatten()
}

/// What a file is known by: its entity tag, else time and length.
fn identity(meta: &ObjectMeta) -> Option<String> {
    let seconds = meta.last_modified.timestamp();
    let dated = || (seconds > 0).then(|| format!("W/\"{seconds:x}-{:x}\"", meta.size));
    meta.e_tag.clone().filter(|tag| !tag.is_empty()).or_else(dated)
}

/// The files of a server, each answer looked at.
#[derive(Debug)]
struct Files(HttpStore);

impl std::fmt::Display for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait::async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Files {
    async fn get_opts(&self, path: &Path, mut options: GetOptions) -> object_store::Result<GetResult> {
        let wanted = options.if_match.take();
        // A weak tag never passes `If-Match`, and our own means nothing to the server.
        options.if_match = wanted.clone().filter(|tag| !tag.starts_with("W/"));
        let mut found = self.0.get_opts(path, options).await?;
        if let Some(coding) =
            found.attributes.get(&Attribute::ContentEncoding).filter(|coding| coding.as_ref() != "identity")
        {
            let reason =
                format!("the server sends it compressed ({}), so that bytes cannot be counted", coding.as_ref());
            return Err(object_store::Error::NotSupported { source: Box::new(Told(reason)) });
        }
        found.meta.e_tag = identity(&found.meta);
        if wanted.is_some() && wanted != found.meta.e_tag {
            let source = Box::new(Told("another version is there".to_owned()));
            return Err(object_store::Error::Precondition { path: path.to_string(), source });
        }
        Ok(found)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.0.get_ranges(path, ranges).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> object_store::Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        Box::pin(futures::stream::iter([Err(read_only())]))
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

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> object_store::Result<()> {
        Err(read_only())
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> object_store::Result<()> {
        Err(read_only())
    }
}

fn read_only() -> object_store::Error {
    object_store::Error::NotSupported { source: Box::new(Told("web servers are read only".to_owned())) }
}

/// What web servers mean.
#[derive(Debug)]
struct Web;

impl Dialect for Web {
    fn meaning(&self, answer: &Answer) -> Meaning {
        match answer.status {
            // There is no error document to tell a server's own 404 by; pages for people are the rule.
            404 | 410 => Meaning::Absent,
            // A folder: what it sends to is an index, no file. Any other redirect was followed already.
            301 | 302 | 303 | 307 | 308 => match answer.header("location") {
                Some(to) if to.split(['?', '#']).next().is_some_and(|path| path.ends_with('/')) => Meaning::Absent,
                _ => Meaning::Failed(format!(
                    "{} sends on to {}: more than {REDIRECTS} times, or to where a file is not asked for",
                    answer.host,
                    answer.target(),
                )),
            },
            405 | 501 => Meaning::Unable(format!("{} does not know this kind of request", answer.host)),
            _ => match Meaning::of_status(answer) {
                Meaning::Denied(denial, reason) => {
                    // Most have no codes. What has one is a bucket behind a web server, and then this one means it.
                    let other = answer.code.as_deref().is_some_and(|code| code != "AccessDenied");
                    let denial = if denial == Denial::Rights && other { Denial::Other } else { denial };
                    Meaning::Denied(denial, format!("{reason}; web servers are asked without credentials"))
                }
                meaning => meaning,
            },
        }
    }

    fn foreign(&self, answer: &Answer) -> Option<String> {
        (answer.is_html() && answer.asked != Asked::Write).then(|| {
            format!("{}. Or it is the index of a folder: web servers cannot be listed, name a file", html(answer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_server() {
        assert_eq!(root("http://127.0.0.1:8000").unwrap().as_str(), "http://127.0.0.1:8000/");
        for name in ["http://", "http://user:secret@host", "http://host?x", "host", "http://host:port", "https://h/a"] {
            assert!(root(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_redirect_is_followed_to_a_file_and_never_to_less_secrecy() {
        let to = |from: &str, location: &str| {
            let answer = http::Response::builder().status(302).header("location", location);
            let answer = answer.body(object_store::client::HttpResponseBody::from(Bytes::new())).unwrap();
            target(&from.parse().unwrap(), &answer).map(|to| to.to_string())
        };
        assert_eq!(to("http://h/a/b", "/c").as_deref(), Some("http://h/c"));
        assert_eq!(to("http://h/a/b", "c%20d").as_deref(), Some("http://h/a/c%20d"));
        assert_eq!(to("http://h/a", "https://other/x?sig=1").as_deref(), Some("https://other/x?sig=1"));
        for (from, location) in
            [("https://h/a", "http://h/a"), ("http://h/a", "/a/"), ("http://h/a", "file:///etc/passwd")]
        {
            assert_eq!(to(from, location), None, "{from} {location}");
        }
    }

    #[test]
    fn a_file_without_an_entity_tag_is_known_by_time_and_length() {
        let mut meta = ObjectMeta {
            location: Path::from("x"),
            last_modified: Default::default(),
            size: 5,
            e_tag: None,
            version: None,
        };
        assert_eq!(identity(&meta), None);
        meta.last_modified += std::time::Duration::from_secs(16);
        assert_eq!(identity(&meta).as_deref(), Some("W/\"10-5\""));
        meta.e_tag = Some("\"tag\"".to_owned());
        assert_eq!(identity(&meta).as_deref(), Some("\"tag\""));
    }
}
