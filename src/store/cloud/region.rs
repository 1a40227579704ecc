//! In which region a bucket of S3 is: any endpoint of S3 says so, to anybody, in a header of whatever it answers.

use http::{Method, Request};

use super::answer::{Answer, Asked};
use super::attempts::Attempts;
use super::trouble::TroubleKind;
use super::wire::{Heard, Wire, listen};
use crate::model::location::{Bucket, Key, Location};
use crate::store::StoreError;
use crate::store::retry::Fault;

/// Asks at `url`, the bucket's own, without a signature. `None` where the service does not say: then it has no regions.
///
/// # Errors
/// The service cannot be reached, or there is no such bucket.
pub async fn find(
    wire: &Wire,
    bucket: &Bucket,
    url: &str,
    deadline: std::time::Duration,
) -> Result<Option<String>, StoreError> {
    let key = Key::new("");
    let location = || Location { bucket: bucket.clone(), key: key.clone() };
    let mut attempts = Attempts::new(deadline, deadline);
    let weather = wire.weather();
    loop {
        let request = Request::builder().method(Method::HEAD).uri(url).body(bytes::Bytes::new());
        let request = request.map_err(|error| StoreError::Unsupported {
            what: url.to_owned(),
            reason: format!("not the URL of a bucket: {error}"),
        })?;
        let (_, heard) = listen(Asked::Head, attempts.waits(), wire.send(request)).await;
        let (error, fault) = match heard {
            Some(Heard::Answer(answer)) => match told(&answer) {
                Ok(region) => return Ok(region),
                Err(None) => {
                    let reason = "there is no such bucket: check its name, and the endpoint".to_owned();
                    return Err(StoreError::Failed { location: location(), reason });
                }
                Err(Some(fault)) => (StoreError::Unavailable { location: location(), reason: answer.reason() }, fault),
            },
            Some(Heard::Trouble(trouble)) => {
                let error = trouble.at(bucket, &key);
                match trouble.kind {
                    TroubleKind::Connect => (error, Fault::Unreachable),
                    TroubleKind::Stranger | TroubleKind::Unmeasured => return Err(error),
                    TroubleKind::Late(given_up) => (error, given_up.fault()),
                    TroubleKind::Cut => (error, Fault::Cut),
                }
            }
            None => {
                let reason = format!("{url} cannot be asked");
                return Err(StoreError::Failed { location: location(), reason });
            }
        };
        match attempts.wait(fault, &weather) {
            Some(wait) => {
                if let Some(left) = attempts.wondering() {
                    tracing::warn!("{error}; asked again for up to {} s", left.as_secs());
                }
                tokio::time::sleep(wait).await;
            }
            None => return Err(error),
        }
    }
}

/// The region in an answer; `Err(None)`: no such bucket.
fn told(answer: &Answer) -> Result<Option<String>, Option<Fault>> {
    match (&answer.region, answer.status) {
        (Some(region), _) => Ok(Some(region.clone())),
        (None, 404) => Err(None),
        (None, 429 | 500..=599) => Err(Some(Fault::Busy(answer.retry_after()))),
        (None, _) => Ok(None),
    }
}
