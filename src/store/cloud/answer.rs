//! What a service answered, and what that means: the line between HTTP and causes.
//!
//! [`wire`](super::wire) notes an [`Answer`] for each request, since the errors of `object_store` do not carry the
//! service's code. Each kind of service then says through its [`Dialect`] what the answer means.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::header::{self, HeaderMap};

use super::listing::Page;
use super::xml;
use crate::store::Denial;

/// What kind of request was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An object, whole.
    Get,
    /// Part of an object.
    Part,
    /// An object without its bytes.
    Head,
    /// A page of keys.
    List,
    /// An object is written, or deleted.
    Write,
    /// The same, on a condition.
    WriteIf,
}

/// The answer to one request, without the bytes of an object.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked.
    pub asked: Asked,
    /// Host that was asked, with its port where it is not the usual one.
    pub host: String,
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// Of an error: the service's own code (`AccessDenied`, `SlowDown` …).
    pub code: Option<String>,
    /// Of an error: the service's words.
    pub message: Option<String>,
    /// Where the bucket is, as far as the service says.
    pub region: Option<String>,
    /// Of a listing: what it lists. `object_store` is given an empty one: see [`super::listing`].
    pub page: Option<Result<Page, String>>,
    /// When the answer came, by the clock of this machine.
    pub received: SystemTime,
    /// The connection ends with it, so that the next request needs a new one.
    pub closes: bool,
}

impl Answer {
    /// An answer of which nothing but head and error document is known.
    pub fn new(asked: Asked, host: String, status: u16, headers: HeaderMap, document: &[u8]) -> Answer {
        let error = xml::first_texts(document);
        let of = |name: &str| error.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut answer = Answer {
            asked,
            host,
            status,
            headers,
            code: of("Code"),
            message: of("Message"),
            region: of("Region"),
            page: None,
            received: SystemTime::now(),
            closes: false,
        };
        answer.closes = answer.header("connection").is_some_and(|word| word.eq_ignore_ascii_case("close"));
        if answer.code.is_none() {
            answer.code = answer.header("x-ms-error-code").map(str::to_owned);
        }
        if let Some(region) = answer.header("x-amz-bucket-region").map(str::to_owned) {
            answer.region = Some(region);
        }
        answer
    }

    /// A header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether it has a header that begins so, as services sign their answers.
    pub fn has_header_like(&self, beginning: &str) -> bool {
        self.headers.keys().any(|name| name.as_str().starts_with(beginning))
    }

    /// Where it sends to, for a sentence: without a query, which may hold a signature.
    pub fn target(&self) -> &str {
        let target = self.header(header::LOCATION.as_str()).unwrap_or("nowhere");
        target.split(['?', '#']).next().unwrap_or_default()
    }

    /// Whether the request was granted.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it says that the part it sends ends before it begins: Azurite does so where Azure refuses a range past
    /// the end (`bytes 36-35/36`, `bytes 0--1/0`).
    pub fn is_empty_part(&self) -> bool {
        let part = || self.header(header::CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split_once('/');
        let ends = part().and_then(|(part, _)| part.split_once('-'));
        let number = |text: &str| text.trim().parse::<i64>().ok();
        ends.and_then(|(start, end)| Some(number(end)? < number(start)?)).unwrap_or(false)
    }

    /// What may be the MD5 of the whole object: the entity tag, as S3 and Google make it of what was uploaded in one piece
    /// and is not encrypted with a key of its own.
    pub fn digest(&self) -> Option<[u8; 16]> {
        let own_key = self.header("x-amz-server-side-encryption").is_some_and(|how| how.starts_with("aws:kms"))
            || self.header("x-amz-server-side-encryption-customer-algorithm").is_some();
        let tag = self.header(header::ETAG.as_str()).filter(|_| !own_key)?;
        let digits = tag.strip_prefix('"')?.strip_suffix('"').filter(|digits| digits.len() == 32)?;
        let plain = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(digits, 16).ok().filter(|_| plain).map(u128::to_be_bytes)
    }

    /// Whether it is a page for people, as proxies and sign-in pages send.
    pub fn is_html(&self) -> bool {
        // Some servers call nothing at all a page: the answer to a write, or to a HEAD.
        let kind = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let empty = self.status == 204 || self.header(header::CONTENT_LENGTH.as_str()) == Some("0");
        kind.to_ascii_lowercase().starts_with("text/html") && !empty
    }

    /// How long the service wants us to wait: seconds or a date.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.header(header::RETRY_AFTER.as_str())?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        http_date(text)?.duration_since(self.received).ok()
    }

    /// How far the clock of this machine is from the service's: seconds ahead of it.
    pub fn clock_ahead(&self) -> Option<i64> {
        let theirs = http_date(self.header(header::DATE.as_str())?)?;
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Some(match self.received.duration_since(theirs) {
            Ok(ahead) => seconds(ahead),
            Err(behind) => -seconds(behind.duration()),
        })
    }

    /// The service's words, or the status where it has none.
    pub fn reason(&self) -> String {
        match (&self.code, &self.message) {
            (Some(code), Some(message)) if code != message => format!("{code}: {message}"),
            (Some(text), _) | (None, Some(text)) => text.clone(),
            (None, None) => self.status_line(),
        }
    }

    /// `HTTP 503 Service Unavailable`.
    pub fn status_line(&self) -> String {
        let status = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        format!("HTTP {} {}", self.status, status.unwrap_or("")).trim_end().to_owned()
    }
}

/// A time as headers have it.
pub fn http_date(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(DateTime::from_str(text, Format::HttpDate).ok()?).ok()
}

/// What an answer that is no success means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// There is no such object. Only where the service says just that.
    Absent,
    /// There is no such bucket.
    NoBucket,
    /// Refused, and what to do about it.
    Denied(Denial, String),
    /// The bucket is in another region: this one, where the answer says which.
    Elsewhere(Option<String>),
    /// Not now.
    Busy(String),
    /// The object is not the one that was asked for, or there is none although one was asked for.
    Changed,
    /// There is an object already.
    Exists,
    /// The range begins past the object's end.
    PastEnd,
    /// Too little was said: the same request as a GET of one byte has an error document.
    Unsaid,
    /// Not an answer of this kind of service.
    Foreign(String),
    /// The service was not reached: a proxy stands between.
    Barred(String),
    /// The service cannot do this at all.
    Unable(String),
    /// Anything else.
    Failed(String),
}

/// What the answers of one kind of service mean.
pub trait Dialect: Send + Sync + std::fmt::Debug {
    /// What `answer`, which is no success, means.
    fn meaning(&self, answer: &Answer) -> Meaning;

    /// Whether a success comes from such a service at all, and if not, what it looks like.
    fn foreign(&self, answer: &Answer) -> Option<String>;

    /// Whether a refusal for the reason of `denial` may be over with new credentials.
    fn renews(&self, _answer: &Answer, denial: Denial) -> bool {
        denial == Denial::Expired
    }

    /// URL and region that are asked, for whoever wants to know.
    fn place(&self) -> (Option<String>, Option<String>) {
        (None, None)
    }
}

impl Meaning {
    /// What HTTP itself says, for whatever a kind of service has no code of its own.
    pub fn of_status(answer: &Answer) -> Meaning {
        match answer.status {
            // Only a service's own error document, or its answer to a HEAD, means absence. Whether a HEAD was answered by
            // the service at all is for each kind to say first.
            404 | 410 if answer.asked == Asked::Head => Meaning::Absent,
            304 | 412 => Meaning::Changed,
            409 if answer.asked == Asked::WriteIf => Meaning::Exists,
            416 => Meaning::PastEnd,
            401 | 403 => Meaning::Denied(
                if answer.status == 401 { Denial::Credentials } else { Denial::Rights },
                answer.reason(),
            ),
            407 => Meaning::Barred("the proxy wants a user and password: set them in HTTPS_PROXY".to_owned()),
            301 | 302 | 303 | 307 | 308 => Meaning::Foreign(format!(
                "{} answers with a redirect to {}: a sign-in page or another service",
                answer.host,
                answer.target(),
            )),
            408 | 425 | 429 | 500 | 502 | 503 | 504 | 509 | 529 => Meaning::Busy(answer.reason()),
            501 => Meaning::Unable(answer.reason()),
            _ => Meaning::Failed(format!("{} ({})", answer.reason(), answer.status_line())),
        }
    }
}

/// The sentence for a page for people where data should be.
pub fn html(answer: &Answer) -> String {
    format!(
        "{} answered with a web page (text/html): a proxy or a sign-in page stands between; sign in with a browser, or set \
         HTTPS_PROXY and NO_PROXY",
        answer.host
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(host: &str, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        Answer::new(Asked::Get, host.to_owned(), 307, headers.collect(), b"")
    }

    #[test]
    fn the_signature_of_a_redirect_is_not_told() {
        let redirect = answer("h", &[("location", "https://other/x.h5?X-Amz-Signature=secret#part")]);
        let Meaning::Foreign(reason) = Meaning::of_status(&redirect) else { panic!("a redirect is foreign") };
        assert!(reason.contains("https://other/x.h5:") && !reason.contains("secret"), "{reason}");
        assert_eq!(answer("h", &[]).target(), "nowhere");
    }
}
