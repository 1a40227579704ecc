//! `h5mount unmount`: ends a mount.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failed, LogOptions};
use crate::config::{self, ConfigError};
use crate::service::ServiceError;
use crate::service::mountpoint::{self, MountpointError};

const EXAMPLES: &str = "\
Examples:
  h5mount unmount /mnt/data
  h5mount unmount --config /etc/h5mount/nrel.toml
      where that file says it is mounted";

/// Flags of `unmount`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Unmount {
    /// Where it is mounted
    #[arg(required_unless_present = "config")]
    pub mountpoint: Option<PathBuf>,
    /// The file that says where it is mounted
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Also when programs still use it: they keep what they have open, and the name is free at once
    #[arg(long)]
    pub force: bool,
    /// All is well where nothing is mounted
    #[arg(long)]
    pub if_mounted: bool,
}

impl Unmount {
    /// Runs it.
    pub fn run(self, _log: &LogOptions) -> Result<Exit, Failed> {
        let named = match (self.mountpoint, &self.config) {
            (Some(path), _) => Some(path),
            (None, Some(file)) => config::file::read(file)?.mountpoint,
            (None, None) => None,
        };
        let path = named.ok_or(ConfigError::Missing { what: "MOUNTPOINT" })?;
        match mountpoint::unmount(&path, self.force) {
            Err(MountpointError::NotOurs { .. } | MountpointError::Nowhere { .. }) if self.if_mounted => Ok(Exit::Done),
            result => Ok(result.map(|()| Exit::Done).map_err(ServiceError::from)?),
        }
    }
}
