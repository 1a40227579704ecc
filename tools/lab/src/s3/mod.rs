//! An S3 in memory: strict about conditions, regions and who asks, and honest about what it was asked.
//!
//! A request goes one way: `request` takes it apart, the `ledger` notes it, this file decides who may (bucket there, signer known,
//! clock right, region right, no of the `rules` against it), then `listing`, `objects` or `multipart` carry it out on what `bucket`
//! holds, and `answer` writes what S3 would write. Paths that begin with `/__` are the test's own way in: `control`.

mod answer;
pub mod bucket;
mod control;
mod listing;
mod multipart;
mod objects;
mod request;
pub mod rules;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{DATE, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub use self::control::Settings;

use self::answer::{Answer, escaped};
use self::bucket::Holdings;

use self::request::Request;
use self::rules::{Refusal, Rules};
use crate::clock;
use crate::ledger::{Entry, GIVEN_UP, Ledger, Ticket};

/// S3 refuses requests signed longer ago, or later, than this.
const SKEW: i64 = 15 * 60;

/// All that the connections of a server share.
#[derive(Debug, Default)]
pub struct State {
    holdings: Mutex<Holdings>,
    rules: Mutex<Rules>,
    ledger: Mutex<Ledger>,
    settings: Mutex<Settings>,
}

/// A lock whose holder panicked still guards what it guards: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What it holds.
    pub fn holdings(&self) -> MutexGuard<'_, Holdings> {
        lock(&self.holdings)
    }

    /// Whom it refuses.
    pub fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.rules)
    }

    /// What it was asked.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// How it behaves.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        // What fails is one connection (or there are too many of them): the next may do.
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = connection.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(received(request, &state).await) }
            });
            // A client that hangs up ends its own connection, and there is nobody to tell.
            let _ = hyper::server::conn::http1::Builder::new()
                .max_buf_size(1 << 20)
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

/// One request, from its arrival to its answer.
async fn received(incoming: hyper::Request<Incoming>, state: &State) -> Answer {
    let (parts, body) = incoming.into_parts();
    let path = parts.uri.path().to_owned();
    if control::is_control(&path) {
        let Ok(body) = body.collect().await else { return answer::refused("IncompleteBody") };
        return control::answer(parts.method.as_str(), &path, &body.to_bytes(), state);
    }
    let request = Request::of(&parts);
    let mut entry = Entry::new(request.verb(), &request.bucket, request.about());
    (entry.range, entry.condition) = (request.header("range").map(str::to_owned), request.condition());
    let mut under_way = UnderWay { state, ticket: Some(state.ledger().arrive(entry)) };
    let Settings { delay_ms, clock_ahead, .. } = *state.settings();
    let body = body.collect().await.ok().and_then(|body| objects::plain_body(&request, body.to_bytes()));
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    let mut answer = match body {
        Some(body) => refused(&request, state).unwrap_or_else(|| carried_out(&request, body, state)),
        None => answer::refused("IncompleteBody"),
    };
    let date = clock::http(clock::moved(SystemTime::now(), clock_ahead));
    if let Ok(date) = HeaderValue::from_str(&date) {
        answer.headers_mut().insert(DATE, date);
    }
    let bytes = if request.method == "HEAD" { 0 } else { answer.body().size_hint().lower() };
    under_way.ends(answer.status().as_u16(), bytes);
    answer
}

/// A request that is under way: where its client hangs up before it is answered, the ledger is told all the same.
struct UnderWay<'a> {
    state: &'a State,
    ticket: Option<Ticket>,
}

impl UnderWay<'_> {
    fn ends(&mut self, status: u16, bytes: u64) {
        if let Some(ticket) = self.ticket.take() {
            self.state.ledger().answer(ticket, status, bytes);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.ends(GIVEN_UP, 0);
    }
}

/// Whether, and how, a request is turned away before anything is done.
fn refused(request: &Request, state: &State) -> Option<Answer> {
    if request.bucket.is_empty() || (request.method == "PUT" && request.key.is_empty()) {
        return None;
    }
    let (region, public) = match state.holdings().buckets.get(&request.bucket) {
        Some(bucket) => (bucket.region.clone(), bucket.public),
        None => return Some(answer::refused("NoSuchBucket")),
    };
    let header = [("x-amz-bucket-region", region.as_str())];
    let refuse = |code: &str| Some(answer::refusal(&Refusal::of(code), &header, ""));
    match &request.signer {
        None if !public => return refuse("AccessDenied"),
        None => {}
        Some(Err(())) => return refuse("AuthorizationHeaderMalformed"),
        Some(Ok(signer)) => {
            let Settings { access_keys, clock_ahead, .. } = state.settings().clone();
            if !access_keys.is_empty() && !access_keys.contains(&signer.access_key) {
                return refuse("InvalidAccessKeyId");
            }
            let now = clock::seconds(SystemTime::now()) + clock_ahead;
            if signer.signed_at.is_none_or(|signed| (signed - now).abs() > SKEW) {
                return refuse("RequestTimeTooSkewed");
            }
            if signer.region != region {
                let bucket = escaped(&request.bucket);
                let place = format!("<Endpoint>{bucket}.s3.{region}.amazonaws.com</Endpoint><Bucket>{bucket}</Bucket>");
                return Some(answer::refusal(&Refusal::of("PermanentRedirect"), &header, &place));
            }
        }
    }
    let refusal = state.rules().refusal(request)?;
    Some(answer::refusal(&refusal, &header, ""))
}

/// Does what the request asks for.
fn carried_out(request: &Request, body: Bytes, state: &State) -> Answer {
    let mut holdings = state.holdings();
    if request.bucket.is_empty() {
        let names = holdings.buckets.keys().map(|name| format!("<Bucket><Name>{}</Name></Bucket>", escaped(name)));
        let names: String = names.collect();
        return answer::xml(format!("<ListAllMyBucketsResult><Buckets>{names}</Buckets></ListAllMyBucketsResult>"));
    }
    if request.key.is_empty() {
        return of_bucket(request, &body, state, &mut holdings);
    }
    match (request.method.as_str(), request.asks("uploadId"), request.asks("uploads")) {
        ("GET" | "HEAD", false, false) => match holdings.object(&request.bucket, &request.key) {
            Some(object) => {
                let object = object.clone();
                drop(holdings);
                objects::read(request, &object)
            }
            None if state.rules().hides_absence(&request.bucket) => answer::refused("AccessDenied"),
            None => answer::refused("NoSuchKey"),
        },
        ("PUT", false, _) => objects::write(request, body, &mut holdings),
        ("DELETE", false, _) => objects::delete(request, &mut holdings),
        ("POST", false, true) => multipart::begin(request, &mut holdings),
        ("PUT", true, _) => multipart::part(request, body, &mut holdings),
        ("POST", true, _) => multipart::complete(request, &body, &mut holdings),
        ("DELETE", true, _) => multipart::abort(request, &mut holdings),
        _ => answer::refused("NotImplemented"),
    }
}

/// What is asked about, or done to, a whole bucket.
fn of_bucket(request: &Request, body: &[u8], state: &State, holdings: &mut Holdings) -> Answer {
    match request.method.as_str() {
        "PUT" => {
            holdings.buckets.entry(request.bucket.clone()).or_default();
            answer::empty(200, None)
        }
        "DELETE" => {
            holdings.buckets.remove(&request.bucket);
            answer::empty(204, None)
        }
        "POST" if request.asks("delete") => {
            let keys = answer::texts_of(&String::from_utf8_lossy(body), "Key");
            let mut deleted = String::new();
            if let Some(bucket) = holdings.buckets.get_mut(&request.bucket) {
                for key in keys {
                    bucket.objects.remove(&key);
                    deleted.push_str(&format!("<Deleted><Key>{}</Key></Deleted>", escaped(&key)));
                }
            }
            answer::xml(format!("<DeleteResult>{deleted}</DeleteResult>"))
        }
        "HEAD" | "GET" => {
            let Some(bucket) = holdings.buckets.get(&request.bucket) else { return answer::refused("NoSuchBucket") };
            if request.method == "HEAD" {
                return answer::with(200, &[("x-amz-bucket-region", &bucket.region)], "");
            }
            if request.asks("location") {
                return answer::xml(format!("<LocationConstraint>{}</LocationConstraint>", escaped(&bucket.region)));
            }
            listing::answer(request, &bucket.objects, state.settings().page)
        }
        _ => answer::refused("NotImplemented"),
    }
}
