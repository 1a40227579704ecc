//! `h5mount mount`: shows a store as a folder of HDF5 files.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failed, start_log, store_settings};
use crate::config::{self, ConfigError, LogOptions, MountOptions};
use crate::fetch::FetchSettings;
use crate::service::{self, MountSettings, background};
use crate::store::StoreSettings;

/// Flags of `mount`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Mount {
    /// What to show, where and how.
    #[command(flatten)]
    pub options: MountOptions,
    /// A file (TOML) that says what flags do not: see packaging/example.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Come back to the shell when the mount answers
    #[arg(short, long)]
    pub background: bool,
    /// This is the copy that runs in the background.
    #[arg(long, hide = true)]
    pub background_copy: bool,
    /// The command line it was parsed from, without the program's name.
    #[arg(skip)]
    pub arguments: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  h5mount /data/hsds/bucket /mnt/data
      everything in the store, until Ctrl-C
  h5mount --background /data/hsds/bucket/home/ann/run7.h5 ~/run7
      one file: ~/run7/run7.h5
  h5mount --store-root /data/old /data/old/home /mnt/old
      a store of an early HSDS, which has no `db/` folder
  h5mount s3://nrel-pds-hsds/nrel /mnt/nrel --no-sign-request
      a public bucket: no account, no credentials
  h5mount s3://lab/home /mnt/lab --endpoint http://minio.example.org:9000 --profile lab
      a server of one's own, with credentials of ~/.aws
  h5mount --config /etc/h5mount/nrel.toml
      as a file says
  python3 -c 'import h5py; print(list(h5py.File(\"/mnt/data/home/ann/run7.h5\")))'
      any program that reads HDF5 or netCDF-4 reads it

Files are read-only. Before a file is opened, its size may be an estimate in folders of more than 256 files.";

impl Mount {
    /// Runs it; returns when it was unmounted, or, in the background, when it is mounted.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        if self.background && !self.background_copy {
            return in_background(self.arguments);
        }
        let (background, copy) = (self.background, self.background_copy);
        let options = self.stated()?;
        // In the background only what is wrong is told while the shell still waits.
        start_log(&log.clone().or(options.log.clone()), background)?;
        let settings = settings(options)?;
        if copy {
            background::detach().map_err(service::ServiceError::from)?;
        }
        service::run(settings, || {
            if copy && let Err(error) = background::tell_ready() {
                tracing::warn!("cannot tell that the mount is ready: {error}");
            }
        })?;
        Ok(Exit::Done)
    }

    /// What flags and file say together.
    pub fn stated(self) -> Result<MountOptions, ConfigError> {
        match &self.config {
            Some(path) => Ok(self.options.or(config::file::read(path)?)),
            None => Ok(self.options),
        }
    }
}

/// Part of the time a program waits that requests to a service in a cloud have with all their repetitions. A reader
/// mostly waits for one of them; the rest is for what comes before and after it.
const BEFORE: f64 = 0.8;

/// Mounts in the background, as this command line says.
pub fn in_background(mut arguments: Vec<OsString>) -> Result<Exit, Failed> {
    // Behind `--` it would be a place.
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    arguments.insert(end, "--background-copy".into());
    match background::start(arguments) {
        Ok(Ok(())) => Ok(Exit::Done),
        // The copy has said why.
        Ok(Err(code)) => Ok(Exit::Copy(u8::try_from(code).unwrap_or(u8::MAX))),
        Err(error) => Err(Failed::new(Exit::System, format!("cannot go into the background: {error}"))),
    }
}

/// What was said, resolved. Paths are made absolute, since the copy in the background leaves the working directory.
pub fn settings(options: MountOptions) -> Result<MountSettings, Failed> {
    let source = options.source.as_deref().ok_or(ConfigError::Missing { what: "SOURCE" })?;
    let mountpoint = options.mountpoint.as_deref().ok_or(ConfigError::Missing { what: "MOUNTPOINT" })?;
    let place = config::place(source, options.store_root.as_deref())?;
    let store = store_settings(&options.clouds, &place)?;
    // What is wrong with a service is to be known before the program that reads is told that time is up.
    let cloud_deadline = store.cloud_deadline.min(options.deadline().mul_f64(BEFORE));
    let store = StoreSettings { cloud_deadline, ..store };
    let mountpoint = std::path::absolute(mountpoint)
        .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", mountpoint.display())))?;
    Ok(MountSettings {
        place,
        mountpoint,
        store,
        namespace: options.namespace(),
        fetch: FetchSettings::default(),
        uid: options.files.uid,
        gid: options.files.gid,
        umask: options.files.umask(),
        audience: options.files.audience(),
        deadline: options.deadline(),
    })
}
