//! An S3 server in memory, for tests.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use h5mount_lab::s3::bucket::{Bucket, Object};
use h5mount_lab::s3::{Settings, State, serve};
use tokio::net::TcpListener;

/// An S3 server in memory, for tests: prints its address as the first line, and serves until it is ended.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(default_value = "127.0.0.1:0")]
    address: String,
    /// A bucket made of the files below a folder: BUCKET=FOLDER.
    #[arg(long, value_parser = pair)]
    tree: Vec<(String, PathBuf)>,
    /// One object: BUCKET/KEY=FILE.
    #[arg(long, value_parser = pair)]
    load: Vec<(String, PathBuf)>,
    /// Milliseconds before each answer.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("NAME=PATH expected")?;
    Ok((name.to_owned(), path.into()))
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let state = Arc::new(State::default());
    *state.settings() = Settings { delay_ms: arguments.delay_ms, ..Settings::default() };
    for (name, folder) in arguments.tree {
        let mut bucket = Bucket::default();
        let loaded = bucket.load_folder(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        eprintln!("{name}: {loaded} objects");
        state.holdings().buckets.insert(name, bucket);
    }
    for (place, file) in arguments.load {
        let (bucket, key) = place.split_once('/').ok_or("BUCKET/KEY=FILE expected")?;
        let object = Object::of_file(&file, &std::fs::metadata(&file)?)?;
        state.holdings().buckets.entry(bucket.to_owned()).or_default().objects.insert(key.to_owned(), object);
    }
    let listener = TcpListener::bind(&arguments.address).await?;
    println!("{}", listener.local_addr()?);
    serve(listener, state).await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mems3: {error}");
            ExitCode::FAILURE
        }
    }
}
