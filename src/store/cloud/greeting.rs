//! One question that any service answers to anybody, without a signature: whether it is reached at all, and what its
//! answer tells beside.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};

use super::answer::Asked;
use super::s3;
use super::wire::{Heard, Wire, listen};
use crate::model::location::{Bucket, Key};
use crate::store::{Access, StoreError};

/// What an answer tells, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Who answered: host and port.
    pub host: String,
    /// The service's region for the bucket, where it says so.
    pub region: Option<String>,
    /// Seconds by which the clock of this machine is ahead of the service's.
    pub clock_ahead: Option<i64>,
}

/// Asks the service of `bucket`, once.
///
/// # Errors
/// [`StoreError::Unreachable`] and its like: no such host, no connection, no trusted certificate, no answer.
pub async fn greet(bucket: &Bucket, access: &Access, patience: Duration) -> Result<Greeting, StoreError> {
    let wire = Wire::new(access, Arc::default())?;
    let refuse = |reason: String| StoreError::Unsupported { what: bucket.as_str().to_owned(), reason };
    let (scheme, rest) = bucket.as_str().split_once("://").unwrap_or_default();
    let url = match (scheme, &access.endpoint) {
        ("s3", _) => s3::address(bucket, access, &wire, patience)?,
        ("http" | "https", _) => bucket.as_str().to_owned(),
        ("az" | "gs", Some(endpoint)) => endpoint.clone(),
        ("az", None) => format!("https://{}.blob.core.windows.net", rest.split('/').next().unwrap_or_default()),
        ("gs", None) => "https://storage.googleapis.com".to_owned(),
        _ => return Err(refuse("not in a cloud".to_owned())),
    };
    let request = Request::builder().method(Method::HEAD).uri(&url).body(bytes::Bytes::new());
    let request = request.map_err(|error| refuse(format!("{url} is not the URL of a service: {error}")))?;
    match listen(Asked::Head, patience, wire.send(request)).await.1 {
        Some(Heard::Answer(answer)) => {
            Ok(Greeting { clock_ahead: answer.clock_ahead(), region: answer.region.clone(), host: answer.host })
        }
        Some(Heard::Trouble(trouble)) => Err(trouble.at(bucket, &Key::new(""), patience)),
        None => Err(refuse(format!("{url} cannot be asked"))),
    }
}
