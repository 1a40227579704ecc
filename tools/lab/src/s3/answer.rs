//! Answers: the XML and the headers that S3 gives.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, ETAG};

use super::rules::Refusal;

/// An answer with all of its body.
pub type Answer = Response<Full<Bytes>>;

/// An answer; headers that HTTP does not allow are a fault of whoever stored them.
pub fn with(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut builder = Response::builder().status(status).header("x-amz-request-id", "mems3");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into())).unwrap_or_else(|error| {
        let mut answer = Response::new(Full::new(error.to_string().into()));
        *answer.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}

/// An XML document.
pub fn xml(body: String) -> Answer {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    with(200, &[(CONTENT_TYPE.as_str(), "application/xml")], body)
}

/// No body; for a write the ETag of what was written.
pub fn empty(status: u16, etag: Option<&str>) -> Answer {
    let quoted = etag.map(|etag| format!("\"{etag}\""));
    let headers: Vec<(&str, &str)> = quoted.iter().map(|etag| (ETAG.as_str(), etag.as_str())).collect();
    with(status, &headers, "")
}

/// JSON, for `control`.
pub fn json(status: u16, value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => with(status, &[(CONTENT_TYPE.as_str(), "application/json")], body),
        Err(error) => with(500, &[], error.to_string()),
    }
}

/// A refusal by its code.
pub fn refused(code: &str) -> Answer {
    refusal(&Refusal::of(code), &[], "")
}

/// A refusal, with headers and elements that go with it.
pub fn refusal(refusal: &Refusal, headers: &[(&str, &str)], elements: &str) -> Answer {
    let Refusal { status, code, message } = refusal;
    let mut all = vec![(CONTENT_TYPE.as_str(), "application/xml")];
    all.extend_from_slice(headers);
    let (code, message) = (escaped(code), escaped(message));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{elements}\
         <RequestId>mems3</RequestId></Error>"
    );
    with(*status, &all, body)
}

/// Text as it stands between tags.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The texts of all elements of a name in a document that a client sent.
pub fn texts_of(document: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    document
        .split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(text, _)| text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .collect()
}
