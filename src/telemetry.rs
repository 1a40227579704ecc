//! Logs: what is written where, as text for people or JSON for machines.
//!
//! `RUST_LOG` chooses what is told (`RUST_LOG=h5mount=debug`); without it, warnings, errors and the few lines that say
//! what was mounted.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

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

/// Where log lines go.
#[derive(Debug)]
pub enum Output<'a> {
    /// Standard error.
    Terminal,
    /// A file that somebody named, and cares for.
    File(&'a Path),
    /// A file that nobody cares for.
    Kept(Kept),
}

/// What is told where RUST_LOG does not say: our own lines, and others' only when something is wrong. What `aws_config` warns
/// of, our errors tell in words; it shows values, and in them what a `credential_process` printed.
const DEFAULT: &str = "warn,h5mount=info,aws_config=error";
/// The same where only what is wrong is wanted.
const QUIET: &str = "warn,aws_config=error";

/// Begins to log. Called once.
pub fn start(format: LogFormat, quiet: bool, output: Output<'_>) -> io::Result<()> {
    let default = EnvFilter::new(if quiet { QUIET } else { DEFAULT });
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let (filter, misunderstood) = match asked.as_str() {
        "" => (default, None),
        words => match EnvFilter::try_new(words) {
            Ok(filter) => (filter, None),
            Err(error) => (default, Some(error)),
        },
    };
    let (writer, colour) = match output {
        Output::Terminal => (BoxMakeWriter::new(io::stderr), io::IsTerminal::is_terminal(&io::stderr())),
        Output::File(path) => {
            let file = File::options().create(true).append(true).open(path)?;
            (BoxMakeWriter::new(Arc::new(file)), false)
        }
        Output::Kept(kept) => (BoxMakeWriter::new(Mutex::new(kept)), false),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    // A second start (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    if let Some(error) = misunderstood {
        tracing::warn!("RUST_LOG={asked} is not understood ({error}) and is left out; write it like h5mount=debug");
    }
    Ok(())
}

/// A log that nobody cares for, and that therefore must not fill the disk: when it is full it is put aside, in place of
/// the one that was put aside before.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: File,
    /// Bytes in it.
    len: u64,
    /// Bytes it may have.
    limit: u64,
}

impl Kept {
    /// Some 50,000 lines: weeks of a store that fails, since repeated causes are told once in a while only.
    const LIMIT: u64 = 8 << 20;

    /// The log at `path`, continued where there is one. The folder around it is made.
    pub fn open(path: PathBuf) -> io::Result<Kept> {
        Kept::with_limit(path, Self::LIMIT)
    }

    fn with_limit(path: PathBuf, limit: u64) -> io::Result<Kept> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        let file = begin(&path)?;
        let len = file.metadata()?.len();
        Ok(Kept { path, file, len, limit })
    }
}

/// Names of objects may be nobody's business but the owner's and the administrators'.
fn begin(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o640).open(path)
}

impl Write for Kept {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.len > 0 && self.len.saturating_add(line.len() as u64) > self.limit {
            std::fs::rename(&self.path, self.path.with_extension("log.old"))?;
            self.file = begin(&self.path)?;
            self.len = 0;
        }
        let written = self.file.write(line)?;
        self.len = self.len.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_nobody_cares_for_stays_small_and_keeps_its_newest_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/mnt.log");
        let mut log = Kept::with_limit(path.clone(), 100).unwrap();
        for number in 0..50 {
            writeln!(log, "line {number:03}").unwrap();
        }
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let (old, new) = (read(&path.with_extension("log.old")), read(&path));
        assert!(old.len() <= 100 && new.len() <= 100);
        assert!(old.ends_with("line 043\n") && new.starts_with("line 044\n") && new.ends_with("line 049\n"), "{new}");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
        // A new mount at the same place goes on with it, within the same limit.
        let mut again = Kept::with_limit(path.clone(), 100).unwrap();
        for number in 0..6 {
            writeln!(again, "more {number:03}").unwrap();
        }
        assert!(read(&path).len() <= 100 && read(&path.with_extension("log.old")).contains("line 049\n"));
    }
}
