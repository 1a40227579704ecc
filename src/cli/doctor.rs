//! `h5mount doctor`: what is needed to mount and to read a store, and what of it is missing.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::inspect::{Columns, plain, print, print_json, run};
use super::{Exit, Failed, store_settings};
use crate::config::{self, AccessOptions, LogOptions};
use crate::doctor::{Finding, Verdict, machine, place};

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct Doctor {
    /// What to look at; only this machine where not given.
    #[arg(help = config::mount::SOURCE)]
    pub source: Option<String>,
    /// Take SOURCE and how it is reached from this file of a mount, where nothing else is said
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the store begins.
    #[arg(long, value_name = "DIR-OR-PREFIX", help = config::mount::STORE_ROOT)]
    pub store_root: Option<String>,
    /// How its cloud is reached.
    #[command(flatten)]
    pub access: AccessOptions,
    /// Try also what writing will need: writes a small object beside SOURCE, and removes it
    #[arg(long)]
    pub write: bool,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

const NOTES: &str = "\
Examples:
  h5mount doctor                                  can this machine mount?
  h5mount doctor s3://nrel-pds-hsds/nrel --no-sign-request
  h5mount doctor --json /data/hsds/bucket
  h5mount doctor --config /etc/h5mount/weather.toml

Each line says ok, warn, fail or skip (not looked at). Exits 1 if anything failed.

JSON: {source (null where none was given), findings, failed}. A finding has topic, verdict, said, and remedy where there \
is something to do.";

impl Doctor {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        let file = match &self.config {
            Some(path) => config::file::read(path)?,
            None => config::MountOptions::default(),
        };
        let source = self.source.or(file.source);
        let store_root = self.store_root.or(file.store_root);
        let access = self.access.or(file.clouds);
        if self.write && source.is_none() {
            return Err(config::ConfigError::Missing { what: "SOURCE" }.into());
        }
        run(log, async {
            let mut findings = machine::findings();
            let mut shown = None;
            if let Some(source) = &source {
                match config::place(source, store_root.as_deref()) {
                    Ok(place) => {
                        shown = Some(place.to_string());
                        let settings = store_settings(&access, &place)?;
                        let scratch = self.write.then(|| place::scratch(&place));
                        if let Some(key) = &scratch {
                            eprintln!("h5mount: writing and removing {}/{key}", place.bucket.as_str());
                        }
                        findings.extend(place::findings(&place, settings, scratch).await);
                    }
                    Err(error) => {
                        let failed = Failed::from(error);
                        if failed.exit == Exit::Usage {
                            return Err(failed);
                        }
                        shown = Some(source.clone());
                        findings.push(Finding::fail("SOURCE", failed.message, "look for a mistake in its name"));
                    }
                }
            }
            let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
            match self.json {
                true => print_json(&json!({"source": shown, "findings": findings, "failed": failed}))?,
                false => print(&text(&findings))?,
            }
            Ok(if failed { Exit::Faults } else { Exit::Done })
        })
    }
}

fn text(findings: &[Finding]) -> String {
    let mut columns = Columns::new(&[]);
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "skip",
        };
        columns.row([verdict.to_owned(), finding.topic.to_owned(), plain(&finding.said)]);
        if let Some(remedy) = &finding.remedy {
            columns.row([String::new(), String::new(), format!("→ {}", plain(remedy))]);
        }
    }
    columns.to_string()
}
