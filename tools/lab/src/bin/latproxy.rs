//! A proxy that injects faults, for tests.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use h5mount_lab::proxy::faults::Settings;
use h5mount_lab::proxy::{State, serve};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A proxy that injects faults, for tests: prints its address as the first line, and serves until it is ended.
#[derive(Parser)]
struct Arguments {
    /// The server behind: HOST:PORT.
    upstream: String,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: String,
    /// What it does from the beginning, as JSON.
    #[arg(long, default_value = "{}")]
    settings: String,
    /// Speaks TLS with these certificates (PEM).
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long)]
    key: Option<PathBuf>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn acceptor(certificate: &PathBuf, key: &PathBuf) -> Outcome<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn run(arguments: Arguments) -> Outcome<()> {
    let settings: Settings = serde_json::from_str(&arguments.settings)?;
    let tls = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        _ => None,
    };
    let listener = TcpListener::bind(&arguments.address).await?;
    println!("{}", listener.local_addr()?);
    serve(listener, arguments.upstream, tls, Arc::new(State::new(settings))).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latproxy: {error}");
            ExitCode::FAILURE
        }
    }
}
