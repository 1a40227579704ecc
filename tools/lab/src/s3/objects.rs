//! What is done to one object: read it, write it, copy it, delete it, each under its conditions.

use bytes::{Bytes, BytesMut};
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};

use super::answer::{self, Answer};
use super::bucket::{Holdings, Object};
use super::request::{Request, decoded, names, range_of};
use crate::clock;

/// Answers GET and HEAD of an object.
pub fn read(request: &Request, object: &Object) -> Answer {
    if request.header("if-match").is_some_and(|condition| !names(condition, &object.etag)) {
        return answer::refused("PreconditionFailed");
    }
    let etag = format!("\"{}\"", object.etag);
    let modified = clock::http(object.modified);
    let mut headers = vec![
        (ETAG.as_str(), etag.as_str()),
        (LAST_MODIFIED.as_str(), modified.as_str()),
        (ACCEPT_RANGES.as_str(), "bytes"),
    ];
    if request.header("if-none-match").is_some_and(|condition| names(condition, &object.etag)) {
        return answer::with(304, &headers, "");
    }
    if object.storage_class != "STANDARD" {
        headers.push(("x-amz-storage-class", &object.storage_class));
        if request.method == "GET" && matches!(object.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE") {
            return answer::refused("InvalidObjectState");
        }
    }
    headers.extend(object.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let length = object.len();
    let Ok(range) = range_of(request.header("range"), length) else {
        let refusal = super::rules::Refusal::of("InvalidRange");
        return answer::refusal(&refusal, &[(CONTENT_RANGE.as_str(), &format!("bytes */{length}"))], "");
    };
    let place = range.as_ref().map(|range| format!("bytes {}-{}/{length}", range.start, range.end - 1));
    if let Some(place) = &place {
        headers.push((CONTENT_RANGE.as_str(), place));
    }
    let status = if place.is_some() { 206 } else { 200 };
    let range = range.unwrap_or(0..length);
    if request.method == "HEAD" {
        let shown = (range.end - range.start).to_string();
        headers.push((CONTENT_LENGTH.as_str(), &shown));
        return answer::with(status, &headers, "");
    }
    match object.read(range) {
        Ok(data) => answer::with(status, &headers, data),
        Err(error) => answer::with(500, &[], error.to_string()),
    }
}

/// Writes an object from a body or as a copy.
pub fn write(request: &Request, body: Bytes, holdings: &mut Holdings) -> Answer {
    let current = holdings.object(&request.bucket, &request.key);
    if let Some(code) = broken_condition(request, current) {
        return answer::refused(code);
    }
    let (data, is_copy) = match copied(request, holdings) {
        Copied::No => (body, false),
        Copied::Bytes(data) => (data, true),
        Copied::Missing => return answer::refused("NoSuchKey"),
    };
    let object = Object::new(data, kept_headers(request));
    let (etag, modified) = (object.etag.clone(), object.modified);
    let Some(bucket) = holdings.buckets.get_mut(&request.bucket) else { return answer::refused("NoSuchBucket") };
    bucket.objects.insert(request.key.clone(), object);
    if is_copy { copy_result("CopyObjectResult", &etag, modified) } else { answer::empty(200, Some(&etag)) }
}

/// Deletes an object; one that is not there is deleted already.
pub fn delete(request: &Request, holdings: &mut Holdings) -> Answer {
    let current = holdings.object(&request.bucket, &request.key);
    if let Some(code) = broken_condition(request, current) {
        return answer::refused(code);
    }
    if let Some(bucket) = holdings.buckets.get_mut(&request.bucket) {
        bucket.objects.remove(&request.key);
    }
    answer::empty(204, None)
}

/// The code with which a write is refused whose condition does not hold.
pub fn broken_condition(request: &Request, current: Option<&Object>) -> Option<&'static str> {
    let etag = current.map(|object| object.etag.as_str());
    match (request.header("if-match"), etag) {
        (Some(_), None) => return Some("NoSuchKey"),
        (Some(condition), Some(etag)) if !names(condition, etag) => return Some("PreconditionFailed"),
        _ => {}
    }
    match (request.header("if-none-match"), etag) {
        (Some(condition), Some(etag)) if names(condition, etag) => Some("PreconditionFailed"),
        _ => None,
    }
}

/// What `x-amz-copy-source` leads to.
pub enum Copied {
    /// The request is no copy.
    No,
    /// These bytes.
    Bytes(Bytes),
    /// Nothing.
    Missing,
}

/// The bytes that a request copies.
pub fn copied(request: &Request, holdings: &Holdings) -> Copied {
    let Some(source) = request.header("x-amz-copy-source").map(decoded) else { return Copied::No };
    let source = source.trim_start_matches('/');
    let Some(object) = source.split_once('/').and_then(|(bucket, key)| holdings.object(bucket, key)) else {
        return Copied::Missing;
    };
    let Ok(range) = range_of(request.header("x-amz-copy-source-range"), object.len()) else { return Copied::Missing };
    object.read(range.unwrap_or(0..object.len())).map_or(Copied::Missing, Copied::Bytes)
}

/// What a copy is answered with.
pub fn copy_result(name: &str, etag: &str, modified: std::time::SystemTime) -> Answer {
    let modified = clock::iso(modified);
    answer::xml(format!("<{name}><LastModified>{modified}</LastModified><ETag>&quot;{etag}&quot;</ETag></{name}>"))
}

/// Headers that are given back with the object.
pub fn kept_headers(request: &Request) -> Vec<(String, String)> {
    let kept = |name: &str| name == "content-type" || name.starts_with("x-amz-meta-");
    request.headers.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A body as it is meant: S3's own chunked encoding is taken off.
pub fn plain_body(request: &Request, body: Bytes) -> Option<Bytes> {
    let streamed = request.header("x-amz-content-sha256").is_some_and(|value| value.starts_with("STREAMING-"));
    let chunked = request.header("content-encoding").is_some_and(|value| value.contains("aws-chunked"));
    if streamed || chunked { without_chunks(body) } else { Some(body) }
}

fn without_chunks(mut rest: Bytes) -> Option<Bytes> {
    let mut plain = BytesMut::with_capacity(rest.len());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = rest.slice(end + 2..);
        if length == 0 {
            return Some(plain.freeze());
        }
        if rest.len() < length.checked_add(2)? {
            return None;
        }
        plain.extend_from_slice(&rest[..length]);
        rest = rest.slice(length + 2..);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_bodies_are_put_together() {
        let body =
            Bytes::from_static(b"3;chunk-signature=0\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n");
        assert_eq!(without_chunks(body).unwrap(), "abcde");
        for broken in ["3\r\nab", "zz\r\n", "ffffffffffffffff\r\nab", "3"] {
            assert_eq!(without_chunks(Bytes::from(broken)), None, "{broken}");
        }
    }
}
