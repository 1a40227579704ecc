//! What goes wrong before there is an answer, as sentences: the errors of the HTTP client and of TLS, told without a URL,
//! which may hold a signature.

use object_store::client::{HttpError, HttpErrorKind};

use super::weather::GivenUp;
use super::wire::CONNECT;
use crate::model::location::{Bucket, Key, Location};
use crate::store::StoreError;
use crate::store::causes::{causes, innermost};

/// Why there was no answer, or only half of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// By cause.
    pub kind: TroubleKind,
    /// One sentence: what happened, and what to do.
    pub reason: String,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// No such host, or no connection to it.
    Connect,
    /// Its certificate is not trusted, or it speaks TLS where plain HTTP was asked for, or the other way round. Asking again
    /// does not help.
    Stranger,
    /// Nothing came in time.
    Late(GivenUp),
    /// The connection ended before the answer did.
    Cut,
    /// It came, but nothing says how long it is, so that one that was cut short would look whole. Asking again does not
    /// help.
    Unmeasured,
}

/// A sentence as an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(pub String);

pub fn late(host: &str, given_up: GivenUp) -> Trouble {
    let reason = format!("{host} did not answer within {} s", given_up.after.as_secs_f32());
    Trouble { kind: TroubleKind::Late(given_up), reason }
}

pub fn only_tls(host: &str) -> Trouble {
    let reason = format!("{host} speaks TLS and was asked in plain HTTP: begin its URL with https://");
    Trouble { kind: TroubleKind::Stranger, reason }
}

pub fn cut(host: &str, error: reqwest::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, Told(trouble(host, error).reason))
}

/// What went wrong between us and `host`.
pub fn trouble(host: &str, error: reqwest::Error) -> Trouble {
    // The URL may hold a signature.
    let error = &error.without_url();
    if let Some(why) = untrusted(error) {
        let reason = format!(
            "the certificate of {host} is not trusted ({why}): name the file of its authority with --ca-bundle, or set \
             this machine's clock if the certificate seems too new or too old"
        );
        return Trouble { kind: TroubleKind::Stranger, reason };
    }
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => {
            let reason =
                format!("{host} does not speak TLS: begin its URL with http://, if it may be asked in plain HTTP");
            return Trouble { kind: TroubleKind::Stranger, reason };
        }
        Some(error @ (rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_))) => {
            let reason = format!("{host} and this program find no way to speak TLS with each other ({error})");
            return Trouble { kind: TroubleKind::Stranger, reason };
        }
        _ => {}
    }
    let detail = innermost(error);
    if error.is_connect() {
        let reason =
            format!("no connection to {host} ({detail}): check the network, the endpoint and the proxy variables");
        return Trouble { kind: TroubleKind::Connect, reason };
    }
    if error.is_timeout() {
        let kind = TroubleKind::Late(GivenUp { after: CONNECT, guess: false });
        return Trouble { kind, reason: format!("{host} did not answer in time") };
    }
    Trouble { kind: TroubleKind::Cut, reason: format!("{host} broke off the connection ({detail})") }
}

/// Why a certificate is not trusted, where that is what happened.
pub fn untrusted(error: &reqwest::Error) -> Option<String> {
    causes(error).find_map(|cause| match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(reason)) => Some(format!("{reason:?}")),
        _ => None,
    })
}

/// An error of the client as one sentence without its URL, which may hold a signature.
pub fn sentence(error: reqwest::Error) -> String {
    innermost(&error.without_url())
}

impl Trouble {
    /// What it means for the object at `key`.
    pub fn at(&self, bucket: &Bucket, key: &Key) -> StoreError {
        let location = Location { bucket: bucket.clone(), key: key.clone() };
        let reason = self.reason.clone();
        match self.kind {
            TroubleKind::Connect | TroubleKind::Stranger => StoreError::Unreachable { location, reason },
            TroubleKind::Late(given_up) => StoreError::Timeout { location, seconds: given_up.after.as_secs() },
            TroubleKind::Cut => StoreError::Garbled { location, reason },
            TroubleKind::Unmeasured => StoreError::Failed { location, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Access;
    use crate::store::cloud::wire::client;

    #[tokio::test]
    async fn no_trouble_tells_a_url() {
        let client = client(&Access::default()).unwrap();
        // Nothing listens at port 1; and what is no URL of a service is refused before a name is looked for.
        for url in ["http://127.0.0.1:1/x?X-Amz-Signature=secret", "ftp://127.0.0.1/x?X-Amz-Signature=secret"] {
            for tell in [|error| trouble("host", error).reason, sentence as fn(reqwest::Error) -> String] {
                let error = client.get(url).send().await.unwrap_err();
                let told = tell(error);
                assert!(!told.is_empty() && !told.contains("secret"), "{told}");
            }
        }
    }
}
