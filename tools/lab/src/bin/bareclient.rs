//! A client with nothing around it, for the benchmark: what the object store itself gives, so many requests at a time.

use std::io::BufRead;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore};

/// Fetches objects and forgets them, for the benchmark: prints seconds, requests and bytes as JSON.
///
/// What to fetch comes on standard input, one line each: KEY, or KEY and the two ends of a range, separated by tabs.
#[derive(Parser)]
struct Arguments {
    /// URL of the service.
    endpoint: String,
    /// The bucket.
    bucket: String,
    /// Requests at a time.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// One thing to fetch.
struct Wanted {
    key: Path,
    range: Option<Range<u64>>,
}

fn wanted(line: &str) -> Outcome<Wanted> {
    let mut parts = line.split('\t');
    let key = Path::parse(parts.next().unwrap_or_default())?;
    let range = match (parts.next(), parts.next()) {
        (Some(start), Some(end)) => Some(start.parse()?..end.parse()?),
        _ => None,
    };
    Ok(Wanted { key, range })
}

/// Fetches one thing; how many bytes it has. The body is dropped piece by piece, as nothing could be faster.
async fn fetch(store: Arc<AmazonS3>, wanted: Wanted) -> Outcome<u64> {
    let options = GetOptions { range: wanted.range.map(GetRange::Bounded), ..GetOptions::default() };
    let mut body = store.get_opts(&wanted.key, options).await?.into_stream();
    let mut bytes = 0;
    while let Some(piece) = body.try_next().await? {
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}

async fn run(arguments: Arguments) -> Outcome<()> {
    let lines = std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
    let all = lines.iter().map(|line| wanted(line)).collect::<Outcome<Vec<_>>>()?;
    let store = AmazonS3Builder::new()
        .with_endpoint(&arguments.endpoint)
        .with_bucket_name(&arguments.bucket)
        .with_region("us-east-1")
        .with_skip_signature(true)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .build()?;
    let (store, requests) = (Arc::new(store), all.len());
    let begun = Instant::now();
    // Each request is a task of its own, so that all cores take part.
    let bytes: u64 = stream::iter(all)
        .map(|wanted| {
            let task = tokio::spawn(fetch(store.clone(), wanted));
            async move { task.await? }
        })
        .buffer_unordered(arguments.in_flight)
        .try_fold(0, async |sum, bytes| Ok(sum + bytes))
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({"seconds": seconds, "requests": requests, "bytes": bytes}));
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    // reqwest takes the provider that the process has chosen, even where nothing is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bareclient: {error}");
            ExitCode::FAILURE
        }
    }
}
