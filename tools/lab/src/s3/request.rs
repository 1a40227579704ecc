//! A request as S3 understands it: bucket, key, query, conditions, and who asks for which region.
//!
//! Signatures are parsed and their scope is believed: what is tested is what a client does when it is refused.

use std::collections::BTreeMap;

use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

/// Who signed, as the request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signer {
    /// The access key.
    pub access_key: String,
    /// The region that the signature is for.
    pub region: String,
    /// The session token.
    pub token: Option<String>,
    /// When it was signed, in seconds since the epoch.
    pub signed_at: Option<i64>,
}

/// A request without its body.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, HEAD, PUT, POST, DELETE.
    pub method: String,
    /// The bucket; empty for the service itself.
    pub bucket: String,
    /// The key; empty for the bucket itself.
    pub key: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// Headers, names in small letters.
    pub headers: BTreeMap<String, String>,
    /// Nobody where the request is not signed; an error where the signature cannot be read.
    pub signer: Option<Result<Signer, ()>>,
}

impl Request {
    /// Reads the head of a request.
    pub fn of(parts: &Parts) -> Self {
        let path = decoded(parts.uri.path());
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query: BTreeMap<String, String> = parts
            .uri
            .query()
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(&value.replace('+', " "))))
            .collect();
        let headers: BTreeMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let signer = signer(&headers, &query);
        let method = parts.method.as_str().to_owned();
        Self { method, bucket: bucket.to_owned(), key: key.to_owned(), query, headers, signer }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Whether the query names this, with or without a value.
    pub fn asks(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }

    /// Whether it lists a bucket's objects.
    pub fn is_list(&self) -> bool {
        self.method == "GET" && !self.bucket.is_empty() && self.key.is_empty() && !self.asks("location")
    }

    /// The method as the ledger counts it.
    pub fn verb(&self) -> &str {
        if self.is_list() { "LIST" } else { &self.method }
    }

    /// What the request is about: its key, or the prefix that it lists.
    pub fn about(&self) -> &str {
        if self.is_list() { self.query.get("prefix").map_or("", String::as_str) } else { &self.key }
    }

    /// The range and the condition, for the ledger.
    pub fn condition(&self) -> Option<String> {
        ["if-match", "if-none-match"].iter().find_map(|name| Some(format!("{name}: {}", self.header(name)?)))
    }
}

/// Percent-decoded text; what is not UTF-8 is replaced.
pub fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The scope of a signature in a header or, for a signed URL, in the query.
fn signer(headers: &BTreeMap<String, String>, query: &BTreeMap<String, String>) -> Option<Result<Signer, ()>> {
    let (scope, date, token) = match (headers.get("authorization"), query.get("X-Amz-Credential")) {
        (Some(header), _) => {
            let scope = header
                .strip_prefix("AWS4-HMAC-SHA256 ")
                .and_then(|rest| rest.split(',').find_map(|part| part.trim().strip_prefix("Credential=")));
            let Some(scope) = scope else { return Some(Err(())) };
            (scope, headers.get("x-amz-date"), headers.get("x-amz-security-token"))
        }
        (None, Some(scope)) => (scope.as_str(), query.get("X-Amz-Date"), query.get("X-Amz-Security-Token")),
        (None, None) => return None,
    };
    // The access key may hold slashes; the four words after it may not.
    let parts: Vec<&str> = scope.rsplitn(5, '/').collect();
    let &["aws4_request", "s3", region, _, access_key] = parts.as_slice() else { return Some(Err(())) };
    Some(Ok(Signer {
        access_key: access_key.to_owned(),
        region: region.to_owned(),
        token: token.cloned(),
        signed_at: date.and_then(|date| crate::clock::parse_compact(date)),
    }))
}

/// Bytes that a `Range` header asks for, of an object of this length: `None` where it is to be ignored.
///
/// # Errors
/// Where no byte of the range exists.
pub fn range_of(header: Option<&str>, length: u64) -> Result<Option<std::ops::Range<u64>>, ()> {
    let Some((first, last)) = header.and_then(|text| text.strip_prefix("bytes=")).and_then(|text| text.split_once('-'))
    else {
        return Ok(None);
    };
    let range = match (first.trim().parse::<u64>().ok(), last.trim().parse::<u64>().ok()) {
        (Some(first), Some(last)) if last < first => return Ok(None),
        (Some(first), Some(last)) => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.trim().is_empty() => first..length,
        (None, Some(count)) if first.trim().is_empty() => length.saturating_sub(count)..length,
        _ => return Ok(None),
    };
    if range.start >= length || range.is_empty() { Err(()) } else { Ok(Some(range)) }
}

/// Whether an `If-Match` or `If-None-Match` value names this ETag.
pub fn names(condition: &str, etag: &str) -> bool {
    condition.trim() == "*" || condition.split(',').any(|one| one.trim().trim_matches('"') == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = hyper::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        Request::of(&builder.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn paths_and_queries_are_taken_apart() {
        let found = request("GET", "/b/a%20b/c%2Bd?x=1+2&y", &[]);
        assert_eq!((found.bucket.as_str(), found.key.as_str()), ("b", "a b/c+d"));
        assert_eq!((found.query["x"].as_str(), found.asks("y"), found.signer.is_none()), ("1 2", true, true));
        let list = request("GET", "/b?list-type=2&prefix=p%2F", &[]);
        assert_eq!((list.verb(), list.about()), ("LIST", "p/"));
        assert_eq!(request("GET", "/", &[]).verb(), "GET");
    }

    #[test]
    fn the_scope_of_a_signature_is_read() {
        let scope =
            "AWS4-HMAC-SHA256 Credential=A/K/20260131/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let headers = [("authorization", scope), ("x-amz-date", "20260131T080000Z"), ("x-amz-security-token", "T")];
        let signer = request("GET", "/b/k", &headers).signer.unwrap().unwrap();
        assert_eq!((signer.access_key.as_str(), signer.region.as_str()), ("A/K", "eu-west-1"));
        assert_eq!((signer.token.as_deref(), signer.signed_at), (Some("T"), Some(1_769_846_400)));
        assert_eq!(request("GET", "/b/k", &[("authorization", "Bearer x")]).signer, Some(Err(())));
        let signed = request("GET", "/b/k?X-Amz-Credential=AK%2F20260131%2Fr%2Fs3%2Faws4_request", &[]);
        assert_eq!(signed.signer.unwrap().unwrap().region, "r");
    }

    #[test]
    fn ranges_of_every_form() {
        assert_eq!(range_of(Some("bytes=2-4"), 10), Ok(Some(2..5)));
        assert_eq!(range_of(Some("bytes=2-"), 10), Ok(Some(2..10)));
        assert_eq!(range_of(Some("bytes=-3"), 10), Ok(Some(7..10)));
        assert_eq!(range_of(Some("bytes=-30"), 10), Ok(Some(0..10)));
        assert_eq!(range_of(Some("bytes=8-99"), 10), Ok(Some(8..10)));
        assert_eq!(range_of(Some("bytes=10-"), 10), Err(()));
        assert_eq!(range_of(Some("bytes=-0"), 10), Err(()));
        for ignored in ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=1-2,4-5"] {
            assert_eq!(range_of(Some(ignored), 10), Ok(None), "{ignored}");
        }
    }
}
