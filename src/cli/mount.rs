//! `h5mount mount`: shows a store as a folder of HDF5 files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Exit, Failed, LogArgs, PresentArgs, SourceArgs, exit};
use crate::fetch::FetchSettings;
use crate::fs::Audience;
use crate::namespace::{Freshness, NamespaceSettings};
use crate::service::{self, MountSettings, background};
use crate::telemetry;

/// Flags of `mount`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Mount {
    /// What to show.
    #[command(flatten)]
    pub source: SourceArgs,
    /// An empty directory in which to show it
    pub mountpoint: PathBuf,
    /// Come back to the shell when the mount answers
    #[arg(short, long)]
    pub background: bool,
    /// How files look.
    #[command(flatten)]
    pub present: PresentArgs,
    /// Refuse files that cannot be shown completely, instead of leaving parts out
    #[arg(long)]
    pub strict: bool,
    /// Seconds after which the store is asked again whether a file or folder changed
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub metadata_ttl: Duration,
    /// Nothing in the store changes while it is mounted: never ask again
    #[arg(long, conflicts_with = "metadata_ttl")]
    pub immutable: bool,
    /// Let all users of this machine read it, not only you
    #[arg(long)]
    pub allow_other: bool,
    /// User that files belong to (number; default: you)
    #[arg(long, value_name = "UID")]
    pub uid: Option<u32>,
    /// Group that files belong to (number; default: yours)
    #[arg(long, value_name = "GID")]
    pub gid: Option<u32>,
    /// Bits to take from the modes, which are 444 for files and 555 for folders (octal)
    #[arg(long, value_name = "MODE", default_value = "022", value_parser = octal)]
    pub umask: u16,
    /// This is the copy that runs in the background.
    #[arg(long, hide = true)]
    pub background_copy: bool,
}

const EXAMPLES: &str = "\
Examples:
  h5mount /data/hsds/bucket /mnt/data
      everything in the store, until Ctrl-C
  h5mount --background /data/hsds/bucket/home/ann/run7.h5 ~/run7
      one file: ~/run7/run7.h5
  h5mount --store-root /data/old /data/old/home /mnt/old
      a store of an early HSDS, which has no `db/` folder
  python3 -c 'import h5py; print(list(h5py.File(\"/mnt/data/home/ann/run7.h5\")))'
      any program that reads HDF5 or netCDF-4 reads it

Files are read-only. Before a file is opened, its size may be an estimate in folders of more than 256 files.";

impl Mount {
    /// Runs it; returns when it was unmounted, or, in the background, when it is mounted.
    pub fn run(self, log: &LogArgs) -> Result<Exit, Failed> {
        if self.background && !self.background_copy {
            let arguments = std::env::args_os().skip(1).chain(["--background-copy".into()]);
            return match background::start(arguments) {
                Ok(Ok(())) => Ok(Exit::Done),
                // The copy has said why.
                Ok(Err(code)) => Ok(Exit::Copy(u8::try_from(code).unwrap_or(u8::MAX))),
                Err(error) => Err(Failed::new(exit::Exit::System, format!("cannot go into the background: {error}"))),
            };
        }
        // In the background only what is wrong is told while the shell still waits.
        telemetry::start(log.log_format, self.background && log.log_file.is_none(), log.log_file.as_deref())
            .map_err(|error| Failed::new(Exit::System, format!("cannot write the log: {error}")))?;
        let settings = self.settings()?;
        if self.background_copy {
            background::detach().map_err(service::ServiceError::from)?;
        }
        service::run(settings, || {
            if self.background_copy
                && let Err(error) = background::tell_ready()
            {
                tracing::warn!("cannot tell that the mount is ready: {error}");
            }
        })?;
        Ok(Exit::Done)
    }

    /// Flags to settings. Paths are made absolute, since the copy in the background leaves the working directory.
    fn settings(&self) -> Result<MountSettings, Failed> {
        let place = self.source.place()?;
        let mountpoint = std::path::absolute(&self.mountpoint)
            .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", self.mountpoint.display())))?;
        let freshness = if self.immutable { Freshness::Ever } else { Freshness::For(self.metadata_ttl) };
        let namespace = NamespaceSettings {
            freshness,
            strict: self.strict,
            present: self.present.options(),
            ..NamespaceSettings::default()
        };
        Ok(MountSettings {
            place,
            mountpoint,
            namespace,
            fetch: FetchSettings::default(),
            uid: self.uid,
            gid: self.gid,
            umask: self.umask,
            audience: if self.allow_other { Audience::All } else { Audience::Owner },
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn octal(text: &str) -> Result<u16, String> {
    match u16::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("not an octal mode like 022".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_modes_are_checked() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["-1", "NaN", "1e300", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(octal("027"), Ok(0o27));
        for bad in ["8", "1777", "-1", ""] {
            assert!(octal(bad).is_err(), "{bad}");
        }
    }
}
