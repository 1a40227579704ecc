//! `aws-config` asks for credentials over HTTP; this lets it use the client that every other request goes through.
//!
//! So certificates and proxies hold for STS and SSO as for the store. What answers on the machine itself (its metadata
//! service, a container's endpoint) is asked directly: no proxy could reach it in this machine's stead.

use std::net::IpAddr;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::BytesMut;

use crate::store::cloud::wire::Line;

/// Largest answer: credentials are a few kilobytes.
const LARGEST: usize = 1 << 20;
/// Where a request names no time-out of its own: STS and SSO answer within a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests for credentials.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    through: reqwest::Client,
    direct: reqwest::Client,
}

impl Transport {
    /// Over the connections of the stores.
    pub fn new(line: &Line) -> Transport {
        Transport { through: line.through.clone(), direct: line.direct.clone() }
    }

    /// One request and its whole answer, within `patience`.
    pub async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        patience: Duration,
    ) -> Result<http::Response<bytes::Bytes>, ConnectorError> {
        let client = if is_near(request.uri()) { &self.direct } else { &self.through };
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))
            .map_err(|error| ConnectorError::user(error.into()))?;
        let exchange = async {
            let mut answer = client.execute(request).await.map_err(failed)?;
            let mut body = BytesMut::new();
            while let Some(part) = answer.chunk().await.map_err(failed)? {
                if body.len() + part.len() > LARGEST {
                    return Err(ConnectorError::other("an answer longer than any credentials".into(), None));
                }
                body.extend_from_slice(&part);
            }
            let mut whole = http::Response::new(body.freeze());
            *whole.status_mut() = answer.status();
            *whole.headers_mut() = std::mem::take(answer.headers_mut());
            Ok(whole)
        };
        let seconds = patience.as_secs_f32();
        let late = |_| ConnectorError::timeout(format!("no answer within {seconds} s").into());
        tokio::time::timeout(patience, exchange).await.map_err(late)?
    }
}

/// Whether this is an address of the machine or of its link, where metadata services are.
fn is_near(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        // fd00:ec2::/32 is where Amazon puts its services.
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.segments()[..2] == [0xfd00, 0xec2],
        Err(_) => host == "localhost",
    }
}

fn failed(error: reqwest::Error) -> ConnectorError {
    // Without the URL: it may hold a token.
    let error = error.without_url();
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}

impl HttpClient for Transport {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let limits = [settings.connect_timeout(), settings.read_timeout()];
        let patience = limits.into_iter().flatten().reduce(|one, other| one + other).unwrap_or(PATIENCE);
        SharedHttpConnector::new(Connector { transport: self.clone(), patience })
    }
}

#[derive(Debug)]
struct Connector {
    transport: Transport,
    patience: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (transport, patience) = (self.transport.clone(), self.patience);
        HttpConnectorFuture::new(async move {
            let user = |reason: &'static str| ConnectorError::user(reason.into());
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let (parts, body) = request.into_parts();
            let body = body.bytes().map(bytes::Bytes::copy_from_slice);
            let body = body.ok_or_else(|| user("requests for credentials are sent whole"))?;
            let answer = transport.send(http::Request::from_parts(parts, body), patience).await?;
            HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
