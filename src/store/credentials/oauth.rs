//! Tokens that a service gives for what is known of the asker, as OAuth 2.0 has it: Azure's and Google's sign-in, and the
//! metadata services of their machines. All of them answer `access_token` and its end in one of two ways.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::Value;

use super::Fault;
use super::fault::sentence;
use super::transport::Transport;

/// How long a service that gives tokens may take; it answers within a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// A token.
pub(super) struct Token {
    pub secret: String,
    pub until: Option<SystemTime>,
}

/// A request with `words` in its URL.
pub(super) fn query(url: &str, words: &[(&str, &str)]) -> Result<http::request::Builder, Fault> {
    let mut url = parsed(url)?;
    if !words.is_empty() {
        url.query_pairs_mut().extend_pairs(words);
    }
    Ok(http::Request::get(url.as_str()).header(http::header::ACCEPT, "application/json"))
}

/// A request with `words` as a form.
pub(super) fn form(url: &str, words: &[(&str, &str)]) -> Result<http::Request<Bytes>, Fault> {
    let url = parsed(url)?;
    let mut form = url.clone();
    form.set_query(None);
    form.query_pairs_mut().extend_pairs(words);
    let body = form.query().unwrap_or_default().to_owned();
    http::Request::post(url.as_str())
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(body))
        .map_err(|error| Fault::refused(error.to_string()))
}

fn parsed(url: &str) -> Result<reqwest::Url, Fault> {
    let web = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    web.ok_or_else(|| Fault::refused(format!("{url} is no URL of a service that gives tokens")))
}

/// Asks for a token. `remedy` is what to do where it is refused.
pub(super) async fn ask(transport: &Transport, request: http::Request<Bytes>, remedy: &str) -> Result<Token, Fault> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let answer = transport.send(request, PATIENCE).await;
    let answer = answer.map_err(|error| Fault::unreachable(format!("{host} gives no token: {}", sentence(&error))))?;
    let (status, document) = (answer.status(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null));
    if status.is_success() {
        // Not the words of the parser: they may quote what was read, and that is a secret.
        let nothing = || Fault::unreachable(format!("{host} answers without a token"));
        return token(&document, SystemTime::now()).ok_or_else(nothing);
    }
    let word = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    let told = word("error_description").or_else(|| word("error")).unwrap_or_else(|| format!("HTTP {status}"));
    // Azure's machines say 410 while their identity is being updated.
    let moment = status.is_server_error() || matches!(status.as_u16(), 408 | 410 | 429);
    match moment {
        true => Err(Fault::unreachable(format!("{host} gives no token: {told}"))),
        false => Err(Fault::refused(format!("{host} gives no token: {told}; {remedy}"))),
    }
}

/// The token in an answer that came at `now`.
pub(super) fn token(document: &Value, now: SystemTime) -> Option<Token> {
    let secret = document.get("access_token")?.as_str().filter(|secret| !secret.is_empty())?.to_owned();
    // Numbers, or the same as text.
    let seconds = |name: &str| {
        let value = document.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).map(Duration::from_secs)
    };
    let lasts = seconds("expires_in").and_then(|lasts| now.checked_add(lasts));
    let until = lasts.or_else(|| UNIX_EPOCH.checked_add(seconds("expires_on")?));
    Some(Token { secret, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_as_its_answer_says_in_one_of_two_ways() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let until = |text: &str| token(&serde_json::from_str(text).unwrap(), now).map(|token| token.until);
        let at = |seconds| Some(Some(UNIX_EPOCH + Duration::from_secs(seconds)));
        assert_eq!(until(r#"{"access_token": "t", "expires_in": 60}"#), at(1060));
        assert_eq!(until(r#"{"access_token": "t", "expires_on": "5000"}"#), at(5000));
        assert_eq!(until(r#"{"access_token": "t", "expires_in": "60", "expires_on": "5000"}"#), at(1060));
        assert_eq!(until(r#"{"access_token": "t"}"#), Some(None));
        for none in [r#"{"access_token": ""}"#, r#"{"token": "t"}"#, "[]"] {
            assert_eq!(until(none), None, "{none}");
        }
    }

    #[test]
    fn a_form_is_encoded_and_not_part_of_the_url() {
        let request = form("https://host/tenant/token", &[("client_secret", "a b&c=d"), ("scope", "x")]).unwrap();
        assert_eq!(request.uri(), "https://host/tenant/token");
        assert_eq!(&request.body()[..], b"client_secret=a+b%26c%3Dd&scope=x");
        assert!(form("ftp://host", &[]).is_err());
    }
}
