//! Holds a store against its promises: the behaviour suite of `h5mount::store::contract` on whatever store a URL names.
//!
//!     contract [OPTION...] URL       file:///dir, s3://bucket, az://account/container, gs://bucket, http(s)://host
//!     contract --seed DIRECTORY      writes the objects that a store must hold which is only read
//!
//!     --endpoint URL --region NAME --no-sign-request --profile NAME --ca-bundle FILE    as for h5mount
//!     --page N     names in one page of a listing
//!
//! Ends with one line: `contract: N held, N left out, N broken`; exit code 1 if anything is broken.

use std::error::Error;
use std::process::ExitCode;

use h5mount::config::access::environment;
use h5mount::config::{AccessOptions, Place};
use h5mount::model::location::Bucket;
use h5mount::store::{Store, StoreSettings, contract};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Small, so that every listing has several.
    let mut settings = StoreSettings { page: 7, ..StoreSettings::default() };
    let (mut url, mut access) = (None, AccessOptions::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--seed" => return seed(&value()?),
            "--endpoint" => access.endpoint = Some(value()?),
            "--region" => access.region = Some(value()?),
            "--profile" => access.profile = Some(value()?),
            "--ca-bundle" => access.ca_bundle = Some(value()?.into()),
            "--page" => settings.page = value()?.parse()?,
            "--no-sign-request" => access.no_sign_request = Some(true),
            _ => url = Some(argument),
        }
    }
    let bucket = Bucket::new(url.ok_or("no URL given")?);
    let kind = Place { bucket: bucket.clone(), path: String::new() }.kind();
    settings.access = access.resolve(kind, environment())?;
    tokio::runtime::Runtime::new()?.block_on(async move {
        let store = Store::open_with(&bucket, settings).await?;
        // What promises no conditional write is only read here.
        let writes = store.capabilities().conditional_put;
        if writes {
            contract::fill(&store).await?;
        }
        let report = contract::check(&store, writes).await;
        for statement in &report.held {
            println!("held: {statement}");
        }
        for statement in &report.left_out {
            println!("left out: {statement}");
        }
        for (statement, reason) in &report.broken {
            println!("BROKEN: {statement}: {reason}");
        }
        let (held, left_out, broken) = (report.held.len(), report.left_out.len(), report.broken.len());
        println!("contract: {held} held, {left_out} left out, {broken} broken");
        Ok(ExitCode::from(u8::from(broken > 0)))
    })
}

fn seed(directory: &str) -> Result<ExitCode, Box<dyn Error>> {
    for (key, bytes) in contract::objects(true) {
        let path = std::path::Path::new(directory).join(key);
        std::fs::create_dir_all(path.parent().ok_or("a key without a folder")?)?;
        std::fs::write(path, bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
