//! The endpoint that ECS and EKS give a container, named by variables of its environment.
//!
//! Asked by ourselves: `aws-config` reads these variables from the process only, and they are part of
//! [`Access`](crate::store::Access), like every other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use serde::Deserialize;

use super::transport::Transport;

/// Where ECS answers.
const ECS: &str = "http://169.254.170.2";
/// Addresses that may be asked in plain HTTP: ECS and EKS; besides these only the machine itself.
const KNOWN: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];
/// How long an endpoint on the same machine may take; it may have to ask STS itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A container's endpoint.
#[derive(Clone, Debug)]
pub(super) struct Container {
    url: String,
    token: Option<Token>,
    transport: Transport,
}

/// What the endpoint wants to see.
#[derive(Clone)]
enum Token {
    Value(String),
    /// Read anew for each request: EKS renews it.
    File(String),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Token::Value(_) => "Value(…)",
            Token::File(_) => "File(…)",
        })
    }
}

/// What the endpoint answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Container {
    /// The endpoint these variables name, if any does.
    pub fn named_by(variables: &BTreeMap<String, String>, transport: &Transport) -> Option<Container> {
        let of = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let url = match of("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            Some(path) => format!("{ECS}/{}", path.trim_start_matches('/')),
            None => of("AWS_CONTAINER_CREDENTIALS_FULL_URI")?,
        };
        let token = of("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(Token::File);
        let token = token.or_else(|| of("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Token::Value));
        Some(Container { url, token, transport: transport.clone() })
    }

    async fn ask(&self) -> provider::Result {
        let uri: http::Uri = self.url.parse().map_err(|error| self.wrong(&format!("{error}")))?;
        if !may_be_asked(&uri) {
            return Err(
                self.wrong("only https, this machine and the endpoints of ECS and EKS are asked for credentials")
            );
        }
        let mut request = http::Request::get(uri).header(http::header::ACCEPT, "application/json");
        if let Some(token) = &self.token {
            let token = match token {
                Token::Value(value) => value.clone(),
                Token::File(path) => std::fs::read_to_string(path)
                    .map_err(|error| self.wrong(&format!("its token file {path}: {error}")))?,
            };
            request = request.header(http::header::AUTHORIZATION, token.trim_end());
        }
        let request = request.body(Bytes::new()).map_err(|error| self.wrong(&error.to_string()))?;
        let answer = self.transport.send(request, PATIENCE).await.map_err(CredentialsError::provider_error)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(CredentialsError::provider_error(format!("{} answers {status}", self.shown())));
        }
        // Not serde's own words: they may quote what was read, and that is a secret.
        let answer: Answer = serde_json::from_slice(answer.body())
            .map_err(|_| CredentialsError::provider_error(format!("{} answers no credentials", self.shown())))?;
        let until = match &answer.expiration {
            None => None,
            Some(text) => Some(
                DateTime::from_str(text, Format::DateTimeWithOffset)
                    .map_err(|error| error.to_string())
                    .and_then(|time| time.try_into().map_err(|error| format!("{error}")))
                    .map_err(|error| CredentialsError::provider_error(format!("{}: {error}", self.shown())))?,
            ),
        };
        let Answer { access_key_id, secret_access_key, token, .. } = answer;
        Ok(Credentials::new(access_key_id, secret_access_key, token, until, "container"))
    }

    /// Where it is asked: the path may be what authorises whoever asks.
    fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default())
    }

    fn wrong(&self, reason: &str) -> CredentialsError {
        CredentialsError::invalid_configuration(format!("{}: {reason}", self.shown()))
    }
}

impl ProvideCredentials for Container {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.ask())
    }
}

/// Whether a token may be sent there, and credentials believed that come from there.
fn may_be_asked(uri: &http::Uri) -> bool {
    if uri.scheme_str() == Some("https") {
        return true;
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let near = |address: IpAddr| address.is_loopback() || KNOWN.contains(&address);
    uri.scheme_str() == Some("http") && (host == "localhost" || host.parse().is_ok_and(near))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_asked_of_the_machine_and_its_platform_only() {
        for url in
            ["http://127.0.0.1:8/x", "http://169.254.170.23/v1", "http://[fd00:ec2::23]/v1", "https://any.host/x"]
        {
            assert!(may_be_asked(&url.parse().unwrap()), "{url}");
        }
        for url in ["http://169.254.169.254/x", "http://10.0.0.1/x", "http://host/x", "ftp://localhost/x", "/x"] {
            assert!(!may_be_asked(&url.parse().unwrap()), "{url}");
        }
    }
}
