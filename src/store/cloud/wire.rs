//! The wire: one HTTP client for everything that goes to a cloud, and a note of each raw answer.
//!
//! `object_store` signs and shapes requests and awaits [`Wire`] in the task that asked. So a task-local note, opened by
//! [`listen`], brings back what its errors leave out: status, code and headers of the answer, or what went wrong before
//! there was one. Nothing is retried and no redirect is followed here: that is decided by
//! [`attempts`](super::attempts), which knows the deadline.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use tokio::time::Instant;

use super::answer::{Answer, Asked};
use super::listing::Page;
use super::trouble::{Told, Trouble, TroubleKind, cut, late, only_tls, sentence, trouble, untrusted};
use super::weather::{GivenUp, Weather};
use crate::store::access::Proxies;
use crate::store::counters::Counters;
use crate::store::credentials::Aws;
use crate::store::pace::{Awaited, Waits};
use crate::store::{Access, StoreError};

/// For a request that nobody listens to: longer than any service that works.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a look at what somebody speaks who does not speak HTTP; a handshake takes three times the way there.
const PROBE: Duration = Duration::from_secs(2);
/// To connect, name and handshake included. A lost first packet is sent again after 1 s, and once more after 3 s.
pub const CONNECT: Duration = Duration::from_secs(4);
/// An idle connection is closed before the service does it: S3 and most proxies wait for about a minute, some for 20 s.
const IDLE: Duration = Duration::from_secs(15);
/// Idle connections that are kept: as many as there are requests in flight.
const CONNECTIONS: usize = 64;
/// Largest error document; the services' are below 2 KiB.
const ERROR_BYTES: usize = 64 << 10;
/// Largest page of a listing: 1,000 keys of 1,024 bytes, each byte six of XML at worst, and what stands around them.
const PAGE_BYTES: usize = 16 << 20;

/// What a request was answered, or what happened instead.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Head, and document where it is not an object's bytes.
    Answer(Box<Answer>),
    /// There was no answer.
    Trouble(Trouble),
}

/// The task that asks, and what it hears.
#[derive(Debug)]
struct Asking {
    asked: Asked,
    waits: Waits,
    heard: Mutex<Option<Heard>>,
}

tokio::task_local! {
    static ASKING: Arc<Asking>;
    static AT_MOST: u64;
}

/// Runs `request`, of whose answer no more than `at_most` bytes are kept here, should it have to be read whole to know how
/// long it is.
pub async fn up_to<T>(at_most: u64, request: impl Future<Output = T>) -> T {
    AT_MOST.scope(at_most, request).await
}

/// Runs `request`, which goes through a [`Wire`] in this task, and brings back what was heard last. `waits` bounds the
/// wait for the answer.
pub async fn listen<T>(asked: Asked, waits: Waits, request: impl Future<Output = T>) -> (T, Option<Heard>) {
    let asking = Arc::new(Asking { asked, waits, heard: Mutex::default() });
    let done = ASKING.scope(Arc::clone(&asking), request).await;
    let heard = asking.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    (done, heard)
}

/// What all stores of a mount share: connections, and who asks. Cheap to clone, and each clone uses the same.
#[derive(Clone, Debug)]
pub(in crate::store) struct Line {
    /// Through the proxies that are named.
    pub through: reqwest::Client,
    /// Past them.
    pub direct: reqwest::Client,
    /// Amazon's credentials, once a bucket needs them: a profile may ask a person, or a program, for each search.
    pub aws: Arc<OnceLock<Aws>>,
}

impl Line {
    /// A line as `access` wants it.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for a certificate file or a proxy that cannot be used.
    pub fn new(access: &Access) -> Result<Line, StoreError> {
        let through = client(access)?;
        let direct = match access.proxies == Proxies::default() {
            true => through.clone(),
            false => client(&Access { proxies: Proxies::default(), ..access.clone() })?,
        };
        Ok(Line { through, direct, aws: Arc::default() })
    }
}

/// A client for HTTP as `access` wants it: its certificates, its proxies, no redirects followed.
pub(super) fn client(access: &Access) -> Result<reqwest::Client, StoreError> {
    static PROVIDER: Once = Once::new();
    // One implementation of TLS for the process; whoever comes first is fine.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let refuse = |what: &str, reason: String| StoreError::Unsupported { what: what.to_owned(), reason };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("h5mount/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // With HTTP/2 all requests would share one connection and one congestion window; S3 speaks no other anyway.
        .http1_only()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(CONNECTIONS)
        .tcp_nodelay(true)
        .no_proxy();
    for proxy in proxies(access)? {
        builder = builder.proxy(proxy);
    }
    if let Some(path) = &access.ca_bundle {
        let what = path.display().to_string();
        let pem =
            std::fs::read(path).map_err(|error| refuse(&what, format!("the CA bundle cannot be read: {error}")))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| refuse(&what, format!("not a bundle of PEM certificates: {}", sentence(error))))?;
        if certificates.is_empty() {
            return Err(refuse(&what, "holds no PEM certificate".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| refuse("HTTPS", format!("cannot be set up: {}", sentence(error))))
}

fn proxies(access: &Access) -> Result<Vec<reqwest::Proxy>, StoreError> {
    let named = &access.proxies;
    let exempt = named.exempt.as_deref().and_then(reqwest::NoProxy::from_string);
    type Make = fn(String) -> reqwest::Result<reqwest::Proxy>;
    let kinds: [(&str, &Option<String>, Make); 3] = [
        ("HTTPS_PROXY", &named.https, |url| reqwest::Proxy::https(url)),
        ("HTTP_PROXY", &named.http, |url| reqwest::Proxy::http(url)),
        ("ALL_PROXY", &named.all, |url| reqwest::Proxy::all(url)),
    ];
    let mut proxies = Vec::new();
    for (name, url, make) in kinds {
        let Some(url) = url else { continue };
        let proxy = make(url.clone()).map_err(|error| StoreError::Unsupported {
            what: name.to_owned(),
            reason: format!("not the URL of a proxy: {}", sentence(error)),
        })?;
        proxies.push(proxy.no_proxy(exempt.clone()));
    }
    Ok(proxies)
}

/// `object_store`'s way to HTTP.
#[derive(Clone, Debug)]
pub struct Wire {
    line: Line,
    counters: Arc<Counters>,
    weather: Arc<Weather>,
    /// Whether anybody has answered in HTTP yet. Until then it may be somebody who speaks something else.
    met: Arc<AtomicBool>,
}

impl Wire {
    /// A wire over `line`, whose requests are counted in `counters`.
    pub fn new(line: &Line, counters: Arc<Counters>) -> Wire {
        let weather = Arc::new(Weather::new(Arc::clone(&counters)));
        Wire { line: line.clone(), counters, weather, met: Arc::default() }
    }

    /// Its connections.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// How the service behind it has been of late.
    pub fn weather(&self) -> Arc<Weather> {
        Arc::clone(&self.weather)
    }

    /// The builders of `object_store` want to be told: no retries, and plain HTTP where an endpoint says so.
    pub fn options() -> ClientOptions {
        // Time-outs are kept here, attempt by attempt.
        ClientOptions::new().with_allow_http(true).with_timeout_disabled().with_connect_timeout_disabled()
    }

    /// Sends a request that `object_store` has no words for.
    pub async fn send(&self, request: http::Request<Bytes>) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        self.call(HttpRequest::from_parts(parts, body.into())).await
    }
}

/// No retries below: see [`super::attempts`].
pub fn no_retries() -> object_store::RetryConfig {
    object_store::RetryConfig { max_retries: 0, ..Default::default() }
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asking = ASKING.try_with(Arc::clone).ok();
        let (asked, waits) =
            asking.as_ref().map_or((Asked::Get, Waits::of(PATIENCE)), |asking| (asking.asked, asking.waits));
        let (result, heard) = self.exchange(request, asked, waits).await;
        if let (Some(asking), Some(heard)) = (asking, heard) {
            *asking.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(heard);
        }
        result
    }
}

impl Wire {
    async fn exchange(
        &self,
        request: HttpRequest,
        asked: Asked,
        waits: Waits,
    ) -> (Result<HttpResponse, HttpError>, Option<Heard>) {
        let host = request.uri().authority().map_or_else(String::new, |authority| authority.to_string());
        let fail = |trouble: Trouble, kind| {
            let error = HttpError::new(kind, Told(trouble.reason.clone()));
            (Err(error), Some(Heard::Trouble(trouble)))
        };
        let request = match to_reqwest(request).await {
            Ok(request) => request,
            Err(reason) => {
                let error = HttpError::new(HttpErrorKind::Unknown, Told(reason));
                return (Err(error), None);
            }
        };
        self.counters.sent();
        let unmet = request.url().scheme() == "http" && !self.met.load(Ordering::Relaxed);
        let awaited = match asked {
            Asked::Get | Asked::Part | Asked::Head => Awaited::Head,
            Asked::List | Asked::Write | Asked::WriteIf => Awaited::Other,
        };
        let began = Instant::now();
        let answered = match self.weather.wait(awaited, &waits, self.line.through.execute(request)).await {
            Ok(Ok(answered)) => http::Response::<reqwest::Body>::from(answered),
            Ok(Err(error)) => {
                let trouble = trouble(&host, error);
                if trouble.kind == TroubleKind::Cut && unmet && self.speaks_tls(&host).await {
                    return fail(only_tls(&host), HttpErrorKind::Connect);
                }
                return fail(trouble, HttpErrorKind::Connect);
            }
            Err(given_up) => return fail(late(&host, given_up), HttpErrorKind::Timeout),
        };
        let (parts, body) = answered.into_parts();
        let status = parts.status;
        // Some that speak TLS say so in plain HTTP, in words of their own.
        if status == http::StatusCode::BAD_REQUEST && unmet && self.speaks_tls(&host).await {
            return fail(only_tls(&host), HttpErrorKind::Connect);
        }
        self.met.store(true, Ordering::Relaxed);
        if status.is_success() {
            // A refusal is quick, and says nothing of answers.
            self.weather.note(awaited, began.elapsed());
        }
        // What is not an object's bytes is read here, so that it can be noted.
        let limit = match asked {
            _ if !status.is_success() => ERROR_BYTES,
            Asked::List => PAGE_BYTES,
            _ => {
                let (headers, body) = match self.measured(asked, &host, &parts, body, waits).await {
                    Ok(measured) => measured,
                    Err((trouble, kind)) => return fail(trouble, kind),
                };
                let mut answer = Answer::new(asked, host, status.as_u16(), headers.clone(), b"");
                answer.closes |= parts.version == http::Version::HTTP_10;
                let mut answered = HttpResponse::from_parts(parts, body);
                *answered.headers_mut() = headers;
                return (Ok(answered), Some(Heard::Answer(Box::new(answer))));
            }
        };
        // Lists take as long as there is to do; what is usual for objects says nothing of them.
        let awaited = if asked == Asked::List { Awaited::Other } else { Awaited::Part };
        let document = match self.read(body, limit, waits, awaited).await {
            Ok(document) => document,
            Err(Broken::Late(given_up)) => return fail(late(&host, given_up), HttpErrorKind::Timeout),
            Err(Broken::Cut(error)) => return fail(trouble(&host, error), HttpErrorKind::Interrupted),
            // The head of an error is enough; a page is not.
            Err(Broken::Long) if !status.is_success() => Bytes::new(),
            Err(Broken::Long) => {
                let reason = format!("{host} sent a list of more than {PAGE_BYTES} bytes");
                return fail(Trouble { kind: TroubleKind::Cut, reason }, HttpErrorKind::Decode);
            }
        };
        let mut answer = Answer::new(asked, host, status.as_u16(), parts.headers.clone(), &document);
        let mut passed = document;
        answer.closes |= parts.version == http::Version::HTTP_10;
        if status.is_success() && asked == Asked::List {
            answer.page = Some(Page::parse(&passed));
            if matches!(answer.page, Some(Ok(_))) {
                passed = Bytes::from_static(Page::emptied(&passed));
            }
        }
        (Ok(HttpResponse::from_parts(parts, passed.into())), Some(Heard::Answer(Box::new(answer))))
    }

    /// Headers that say how long the body is, and the body.
    ///
    /// Where no `Content-Length` says it, `Content-Range` does, of a part. Of a whole object nothing may, but its chunks
    /// have an end that no cut looks like: it is read whole here, and its length is what came.
    async fn measured(
        &self,
        asked: Asked,
        host: &str,
        parts: &http::response::Parts,
        body: reqwest::Body,
        waits: Waits,
    ) -> Result<(HeaderMap, HttpResponseBody), (Trouble, HttpErrorKind)> {
        let mut headers = parts.headers.clone();
        let name = host.to_owned();
        let passed = |body: reqwest::Body| HttpResponseBody::new(body.map_err(move |error| cut(&name, error)));
        let unmeasured = |reason: String| {
            let kind = TroubleKind::Unmeasured;
            (Trouble { kind, reason }, HttpErrorKind::Decode)
        };
        let part = parts.status == http::StatusCode::PARTIAL_CONTENT;
        match asked {
            _ if headers.contains_key(header::CONTENT_LENGTH) => Ok((headers, passed(body))),
            Asked::Part => {
                if let Some(length) = part_length(&headers).filter(|_| part) {
                    headers.insert(header::CONTENT_LENGTH, length.into());
                }
                // Anything else is no part, whatever its length.
                Ok((headers, passed(body)))
            }
            Asked::Get if is_chunked(&headers) => {
                let at_most = AT_MOST.try_with(|at_most| *at_most).unwrap_or(PAGE_BYTES as u64);
                let limit = usize::try_from(at_most).unwrap_or(usize::MAX);
                match self.read(body, limit, waits, Awaited::Part).await {
                    Ok(bytes) => {
                        headers.insert(header::CONTENT_LENGTH, bytes.len().into());
                        headers.remove(header::TRANSFER_ENCODING);
                        Ok((headers, bytes.into()))
                    }
                    Err(Broken::Late(given_up)) => Err((late(host, given_up), HttpErrorKind::Timeout)),
                    Err(Broken::Cut(error)) => Err((trouble(host, error), HttpErrorKind::Interrupted)),
                    Err(Broken::Long) => Err(unmeasured(format!(
                        "{host} sends more than the {at_most} bytes that are read, and does not say how many"
                    ))),
                }
            }
            Asked::Get => Err(unmeasured(format!(
                "{host} sends objects without saying how long they are (neither Content-Length nor chunks), so that one that \
                 is cut short would look whole: have the server, or the proxy in between, send Content-Length"
            ))),
            // Of a bucket, a HEAD needs no length.
            Asked::Head | Asked::List | Asked::Write | Asked::WriteIf => Ok((headers, passed(body))),
        }
    }

    /// A whole document, each part in time.
    async fn read(
        &self,
        mut body: reqwest::Body,
        limit: usize,
        waits: Waits,
        awaited: Awaited,
    ) -> Result<Bytes, Broken> {
        let mut document = BytesMut::new();
        while let Some(frame) = self.weather.wait(awaited, &waits, body.frame()).await.map_err(Broken::Late)? {
            let Ok(part) = frame.map_err(Broken::Cut)?.into_data() else { continue };
            if document.len() + part.len() > limit {
                return Err(Broken::Long);
            }
            document.extend_from_slice(&part);
        }
        Ok(document.freeze())
    }
}

impl Wire {
    /// Whether `host`, which did not answer in plain HTTP, does in TLS, trusted or not.
    async fn speaks_tls(&self, host: &str) -> bool {
        let asked = self.line.through.head(format!("https://{host}/")).send();
        match tokio::time::timeout(PROBE, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => untrusted(&error).is_some(),
            Err(_) => false,
        }
    }
}

/// Bytes of the part that an answer says it has.
fn part_length(headers: &HeaderMap) -> Option<u64> {
    let (part, _) = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

/// Whether the body comes in chunks of HTTP, of which the last says that it is.
fn is_chunked(headers: &HeaderMap) -> bool {
    let codings = headers.get(header::TRANSFER_ENCODING).and_then(|codings| codings.to_str().ok());
    codings
        .and_then(|codings| codings.rsplit(',').next())
        .is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
}

async fn to_reqwest(request: HttpRequest) -> Result<reqwest::Request, String> {
    let (parts, body) = request.into_parts();
    // A body of one piece has a length that the service sees; of several, too, once they are one.
    let body = match body.as_bytes() {
        Some(bytes) => bytes.clone(),
        None => body.collect().await.map_err(|error| error.to_string())?.to_bytes(),
    };
    let url = parts.uri.to_string().parse::<reqwest::Url>().map_err(|error| error.to_string())?;
    let mut request = reqwest::Request::new(parts.method, url);
    *request.headers_mut() = parts.headers;
    *request.body_mut() = Some(body.into());
    Ok(request)
}

enum Broken {
    Late(GivenUp),
    Long,
    Cut(reqwest::Error),
}
