//! `h5mount unmount`: ends a mount.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failed, LogArgs};
use crate::service::ServiceError;
use crate::service::mountpoint;

/// Flags of `unmount`.
#[derive(Debug, Args)]
pub struct Unmount {
    /// Where it is mounted
    pub mountpoint: PathBuf,
    /// Also when programs still use it: they keep what they have open, and the name is free at once
    #[arg(long)]
    pub force: bool,
}

impl Unmount {
    /// Runs it.
    pub fn run(self, _log: &LogArgs) -> Result<Exit, Failed> {
        mountpoint::unmount(&self.mountpoint, self.force).map_err(ServiceError::from)?;
        Ok(Exit::Done)
    }
}
