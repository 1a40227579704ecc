//! Questions about a service rather than about objects, for whoever finds out why a store cannot be read: is it reached,
//! and as whom is it asked?

use std::time::Duration;

use super::cloud::greeting;
use super::credentials;
use super::rooted::parts;
use super::{Access, Credentials, StoreError};
use crate::model::location::{Bucket, Key, Location};

pub use super::cloud::greeting::Greeting;
pub use super::credentials::Described;

/// Whether the service of a store in a cloud is reached, and what it says of itself.
///
/// # Errors
/// Why it is not reached.
pub async fn greet(root: &Bucket, access: &Access, patience: Duration) -> Result<Greeting, StoreError> {
    greeting::greet(&parts(root).0, access, patience).await
}

/// Who asks. `None` where requests are not signed, or by means that tell nothing of themselves.
///
/// # Errors
/// Why there are no credentials.
pub async fn who(root: &Bucket, access: &Access, region: &str) -> Option<Result<Described, StoreError>> {
    if access.credentials == Credentials::Anonymous || !root.as_str().starts_with("s3:") {
        return None;
    }
    let location = Location { bucket: parts(root).0, key: Key::new("") };
    let renew = match credentials::aws(access, region) {
        Ok((_, renew)) => renew,
        Err(error) => return Some(Err(error)),
    };
    Some(renew.describe().await.map_err(|fault| fault.at(location)))
}
