//! Commands and flags as typed; one file per command.
//!
//! A command is a struct of its flags with a `run`. To add one: its file, a `mod` line, and a line in [`Command`].
//! Below stand `config` (what was typed becomes settings) and `service` (which opens and mounts stores).

pub mod advise;
pub mod check;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod index;
pub mod info;
pub mod inspect;
pub mod ls;
pub mod mount;
pub mod mount_helper;
pub mod paths;
pub mod stored;
pub mod unmount;
pub mod warm;
pub mod wording;

use std::ffi::{OsStr, OsString};

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use exit::{Exit, Failed};

use crate::config::{self, AccessOptions, ConfigError, LogOptions, Place};
use crate::service::KeepSettings;
use crate::store::StoreSettings;
use crate::telemetry::{self, Output};

/// Shows datasets that HSDS keeps in an object store as ordinary HDF5 files.
#[derive(Debug, Parser)]
#[command(name = "h5mount", version, max_term_width = 100, after_help = AFTER, override_usage = USAGE)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub log: LogOptions,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const USAGE: &str = "h5mount [mount] [OPTIONS] SOURCE MOUNTPOINT\n       h5mount COMMAND [OPTIONS] ...";

const AFTER: &str = "\
`mount` is what is done when no command is named:

  h5mount /data/hsds/bucket /mnt/data            mount everything in a store
  h5mount /data/hsds/bucket/home/ann /mnt/ann    mount one folder of it
  h5mount --background STORE /mnt/data           come back when it is mounted
  h5mount s3://nrel-pds-hsds/nrel /mnt/nrel --no-sign-request
                                                 a folder of a public bucket
  h5dump -H /mnt/data/home/ann/run7.h5           any HDF5 program reads it
  h5mount unmount /mnt/data                      end it (or press Ctrl-C)

`h5mount mount --help` explains every flag. Errors are a line of text on standard error, with --json too.
Exit codes:
0 done, 1 faults found, 2 usage, 3 source, 4 mount, 5 system.";

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a store as a folder of HDF5 files (the default)
    Mount(mount::Mount),
    /// End a mount, also one whose program has died
    Unmount(unmount::Unmount),
    /// List a folder of a store, or the groups and datasets of a file, without mounting
    Ls(ls::Ls),
    /// Count what a store, a folder or a file holds: objects, chunks, bytes, problems
    Info(info::Info),
    /// Read and decode everything, and name what cannot be; exits 1 if anything
    Check(check::Check),
    /// Make a small store, mount it, and tell what to try
    Demo(demo::Demo),
    /// Write what describes each file as one object, from which it opens in one step
    Index(index::Index),
    /// Judge how a file is laid out: what reading it from far away costs, and what would mend it
    Advise(advise::Advise),
    /// Tell which chunks and objects of the store a read touches
    Explain(explain::Explain),
    /// Fetch what a job will need of a file in a mount, many chunks at a time
    Warm(warm::Warm),
    /// Look at this machine, the network, the credentials and a store, and tell what is missing
    Doctor(doctor::Doctor),
}

impl Command {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        match self {
            Command::Mount(command) => command.run(log),
            Command::Unmount(command) => command.run(log),
            Command::Ls(command) => command.run(log),
            Command::Info(command) => command.run(log),
            Command::Check(command) => command.run(log),
            Command::Demo(command) => command.run(log),
            Command::Index(command) => command.run(log),
            Command::Advise(command) => command.run(log),
            Command::Explain(command) => command.run(log),
            Command::Warm(command) => command.run(log),
            Command::Doctor(command) => command.run(log),
        }
    }
}

/// SOURCE, as every command that reads a store takes it.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// What to read.
    #[arg(help = config::mount::SOURCE)]
    pub source: String,
    /// Where the store begins.
    #[arg(long, value_name = "DIR-OR-PREFIX", help = config::mount::STORE_ROOT)]
    pub store_root: Option<String>,
    /// How its cloud is reached.
    #[command(flatten)]
    pub access: AccessOptions,
    /// Where indexes of files lie.
    #[arg(long, value_name = "DIR|URL", help = config::keep::INDEX_DIR)]
    pub index_dir: Option<String>,
}

impl SourceArgs {
    /// The place it means.
    pub fn place(&self) -> Result<Place, ConfigError> {
        config::place(&self.source, self.store_root.as_deref())
    }

    /// What was kept earlier and may be used.
    pub fn keep(&self) -> Result<KeepSettings, ConfigError> {
        let index = self.index_dir.as_deref().map(config::keep::index_place).transpose()?;
        Ok(KeepSettings { index, ..KeepSettings::default() })
    }

    /// How the store of `place` is asked.
    pub fn store(&self, place: &Place) -> Result<StoreSettings, ConfigError> {
        store_settings(&self.access, place)
    }
}

/// How the store of `place` is asked.
fn store_settings(options: &AccessOptions, place: &Place) -> Result<StoreSettings, ConfigError> {
    let access = options.clone().resolve(place.kind(), config::access::environment())?;
    Ok(StoreSettings { access, ..StoreSettings::default() })
}

/// Begins to log. `quiet`: only what is wrong.
fn start_log(log: &LogOptions, quiet: bool) -> Result<(), Failed> {
    let (quiet, output) = match &log.log_file {
        Some(path) => (false, Output::File(path)),
        None => (quiet, Output::Terminal),
    };
    telemetry::start(log.log_format.unwrap_or_default(), quiet, output).map_err(|error| {
        let path = log.log_file.as_deref().unwrap_or(std::path::Path::new("-"));
        Failed::new(Exit::System, format!("{}: cannot write the log: {error}", path.display()))
    })
}

/// Parses a command line (the program's name first); `mount` is put in where no command is named.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(at) = missing_command(&arguments) {
        arguments.insert(at, OsString::from("mount"));
    }
    let mut cli = Cli::try_parse_from(&arguments)?;
    if let Command::Mount(mount) = &mut cli.command {
        mount.arguments = arguments.split_off(1);
    }
    Ok(cli)
}

/// Where `mount` has to be put in, if the command line names no command.
fn missing_command(arguments: &[OsString]) -> Option<usize> {
    let program = Cli::command();
    let mut rest = arguments.iter().enumerate().skip(1);
    let first = arguments.get(1)?;
    while let Some((_, argument)) = rest.next() {
        let text = argument.to_str().unwrap_or("");
        if matches!(text, "-h" | "--help" | "-V" | "--version") && argument == first {
            return None;
        }
        if program.find_subcommand(text).is_some() {
            return None;
        }
        // Help, and what looks like a command and is no place: of these clap says more than a store that is not there.
        let word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
        if text == "help" || argument == first && word && !std::path::Path::new(text).exists() {
            return None;
        }
        let ours = ["--log-format", "--log-file"];
        if ours.contains(&text) {
            // The flag's value is no command.
            rest.next();
        } else if !ours.iter().any(|flag| text.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))) {
            return Some(1);
        }
    }
    // Nothing but flags of every command: clap says what is missing.
    (first == OsStr::new("")).then_some(1)
}

/// Parses, runs, and says why where it fails.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_some_and(|program| mount_helper::is_meant(program)) {
        return mount_helper::main(arguments.skip(1));
    }
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            // Help that cannot be printed has nobody who reads it.
            let _ = error.print();
            return if asked { Exit::Done } else { Exit::Usage };
        }
    };
    match cli.command.run(&cli.log) {
        Ok(exit) => exit,
        Err(failed) => {
            eprintln!("h5mount: {}", failed.message);
            failed.exit
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn mount_is_the_default_command() {
        for line in [
            "h5mount /store /mnt",
            "h5mount mount /store /mnt",
            "h5mount --background /store /mnt",
            "h5mount --log-format json mount /store /mnt",
            "h5mount --log-format=json /store /mnt",
            "h5mount --log-file mount /store /mnt",
        ] {
            let Command::Mount(mount) = parsed(line).unwrap().command else { panic!("{line}") };
            assert_eq!(
                (mount.options.source.as_deref(), mount.options.mountpoint.as_deref()),
                (Some("/store"), Some(Path::new("/mnt"))),
                "{line}"
            );
        }
        assert!(matches!(parsed("h5mount unmount /mnt").unwrap().command, Command::Unmount(_)));
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for line in ["h5mount", "h5mount /store", "h5mount --no-such-flag /store /mnt", "h5mount --filters x a b"] {
            assert!(parsed(line).unwrap_err().use_stderr() || line == "h5mount", "{line}");
        }
        for line in ["h5mount --help", "h5mount help", "h5mount help ls"] {
            assert!(!parsed(line).unwrap_err().use_stderr(), "{line}");
        }
        let mistyped = parsed("h5mount chekc x").unwrap_err().to_string();
        assert!(mistyped.contains("unrecognized subcommand 'chekc'") && mistyped.contains("'check'"), "{mistyped}");
        let negative = parsed("h5mount mount --metadata-ttl -1 a b").unwrap_err().to_string();
        assert!(negative.contains("not negative"), "{negative}");
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
