//! Policies: which requests are refused, and how.
//!
//! A rule says whom it meets (bucket, prefix and suffix of the key, action, signer) and with which code they are answered. Rules are
//! set while the server runs, by `control`; [`Rules::refusal`] is asked before a request is carried out.

use serde::{Deserialize, Serialize};

use super::request::Request;

/// What a request does, as policies speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Reads an object or its head.
    Get,
    /// Lists a bucket.
    List,
    /// Writes an object.
    Put,
    /// Deletes an object.
    Delete,
}

impl Action {
    /// The action of a request; none where it asks about a bucket.
    pub fn of(request: &Request) -> Option<Self> {
        match request.method.as_str() {
            _ if request.is_list() => Some(Self::List),
            "GET" | "HEAD" if !request.key.is_empty() => Some(Self::Get),
            "PUT" | "POST" if !request.key.is_empty() => Some(Self::Put),
            "DELETE" if !request.key.is_empty() => Some(Self::Delete),
            _ => None,
        }
    }
}

/// One rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The bucket; every one where absent.
    pub bucket: Option<String>,
    /// What the key (or the prefix of a listing) begins with.
    pub prefix: String,
    /// And ends with.
    pub suffix: String,
    /// Actions; every one where empty.
    pub actions: Vec<Action>,
    /// Only requests that bear this session token.
    pub token: Option<String>,
    /// Only requests signed with this access key.
    pub access_key: Option<String>,
    /// The code of the refusal: `AccessDenied`, `InvalidObjectState`, …
    pub code: String,
    /// Its status, where it is not the code's usual one.
    pub status: Option<u16>,
    /// Its message, where it is not the code's usual one.
    pub message: Option<String>,
    /// How many requests it refuses before it lapses.
    pub times: Option<u64>,
}

impl Rule {
    fn meets(&self, request: &Request) -> bool {
        let signer = request.signer.as_ref().and_then(|signer| signer.as_ref().ok());
        let about = request.about();
        self.times != Some(0)
            && self.bucket.as_ref().is_none_or(|bucket| *bucket == request.bucket)
            && about.starts_with(&self.prefix)
            && about.ends_with(&self.suffix)
            && (self.actions.is_empty() || Action::of(request).is_some_and(|action| self.actions.contains(&action)))
            && self.token.as_ref().is_none_or(|token| signer.and_then(|s| s.token.as_ref()) == Some(token))
            && self.access_key.as_ref().is_none_or(|key| signer.map(|s| &s.access_key) == Some(key))
    }

    /// Whether it keeps the bucket from being listed at all, so that a key that is missing must not be told from one that is denied.
    fn hides(&self, bucket: &str) -> bool {
        self.code == "AccessDenied"
            && self.actions.contains(&Action::List)
            && self.prefix.is_empty()
            && self.bucket.as_ref().is_none_or(|name| name == bucket)
    }
}

/// How a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// S3's code.
    pub code: String,
    /// A sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal by code alone, with the status and the sentence that S3 gives with it.
    pub fn of(code: &str) -> Self {
        let (status, message) = usual(code);
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }
}

/// All rules, the first that meets a request refuses it.
#[derive(Debug, Default)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
    /// Whether, and how, a request is refused.
    pub fn refusal(&mut self, request: &Request) -> Option<Refusal> {
        let rule = self.0.iter_mut().find(|rule| rule.meets(request))?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        let mut refusal = Refusal::of(&rule.code);
        refusal.status = rule.status.unwrap_or(refusal.status);
        refusal.message = rule.message.clone().unwrap_or(refusal.message);
        Some(refusal)
    }

    /// Whether a missing key of this bucket is answered like a denied one.
    pub fn hides_absence(&self, bucket: &str) -> bool {
        self.0.iter().any(|rule| rule.hides(bucket))
    }
}

/// Status and sentence of a code.
fn usual(code: &str) -> (u16, &'static str) {
    match code {
        "AccessDenied" => (403, "Access Denied"),
        "InvalidAccessKeyId" => (403, "The AWS Access Key Id you provided does not exist in our records."),
        "SignatureDoesNotMatch" => {
            (403, "The request signature we calculated does not match the signature you provided.")
        }
        "RequestTimeTooSkewed" => (403, "The difference between the request time and the server's time is too large."),
        "InvalidObjectState" => (403, "The operation is not valid for the object's storage class"),
        "KMS.DisabledException" => (400, "The key that this object was encrypted with is disabled."),
        "KMS.KMSInvalidStateException" => (400, "The key that this object was encrypted with is pending deletion."),
        "ExpiredToken" => (400, "The provided token has expired."),
        "InvalidToken" => (400, "The provided token is malformed or otherwise invalid."),
        "AuthorizationHeaderMalformed" => (400, "The authorization header is malformed."),
        "PermanentRedirect" => {
            (301, "The bucket you are attempting to access must be addressed using the specified endpoint.")
        }
        "NoSuchKey" => (404, "The specified key does not exist."),
        "NoSuchBucket" => (404, "The specified bucket does not exist"),
        "NoSuchUpload" => (404, "The specified upload does not exist."),
        "PreconditionFailed" => (412, "At least one of the pre-conditions you specified did not hold"),
        "InvalidRange" => (416, "The requested range is not satisfiable"),
        "SlowDown" => (503, "Please reduce your request rate."),
        "ServiceUnavailable" => (503, "Service is unable to handle request."),
        "InternalError" => (500, "We encountered an internal error. Please try again."),
        "NotImplemented" => (501, "A header you provided implies functionality that is not implemented"),
        _ => (400, "The request is refused."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> Request {
        Request::of(&hyper::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0)
    }

    fn rules(json: &str) -> Rules {
        Rules(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_rule_meets_what_it_names() {
        let mut rules = rules(r#"[{"bucket": "b", "prefix": "db/", "actions": ["get"], "code": "AccessDenied"}]"#);
        assert_eq!(rules.refusal(&request("GET", "/b/db/x")).unwrap(), Refusal::of("AccessDenied"));
        assert!(rules.refusal(&request("HEAD", "/b/db/x")).is_some());
        for other in ["/b/x", "/c/db/x", "/b?list-type=2&prefix=db/"] {
            assert!(rules.refusal(&request("GET", other)).is_none(), "{other}");
        }
        assert!(rules.refusal(&request("PUT", "/b/db/x")).is_none());
        assert!(!rules.hides_absence("b"));
    }

    #[test]
    fn a_bucket_that_may_not_be_listed_hides_what_is_absent() {
        let mut rules = rules(r#"[{"bucket": "b", "actions": ["list"], "code": "AccessDenied"}]"#);
        assert!(rules.refusal(&request("GET", "/b?list-type=2&prefix=x")).is_some());
        assert!(rules.hides_absence("b") && !rules.hides_absence("c"));
    }

    #[test]
    fn a_rule_lapses_after_its_times() {
        let mut rules = rules(r#"[{"code": "ExpiredToken", "times": 1, "status": 403}]"#);
        assert_eq!(rules.refusal(&request("GET", "/b/x")).unwrap().status, 403);
        assert!(rules.refusal(&request("GET", "/b/x")).is_none());
    }
}
