//! Logs: what is written where, as text for people or JSON for machines.
//!
//! `RUST_LOG` chooses what is told (`RUST_LOG=h5mount=debug`); without it, warnings, errors and the few lines that say
//! what was mounted.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is told where RUST_LOG does not say: our own lines, and others' only when something is wrong.
const DEFAULT: &str = "warn,h5mount=info";

/// Begins to log, to `file` or else to standard error. Called once.
pub fn start(format: LogFormat, quiet: bool, file: Option<&Path>) -> io::Result<()> {
    let default = if quiet { "warn" } else { DEFAULT };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let (writer, colour) = match file {
        Some(path) => {
            let file = File::options().create(true).append(true).open(path)?;
            (BoxMakeWriter::new(Arc::new(file)), false)
        }
        None => (BoxMakeWriter::new(io::stderr), io::IsTerminal::is_terminal(&io::stderr())),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    // A second start (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}
