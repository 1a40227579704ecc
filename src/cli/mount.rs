//! `h5mount mount`: shows a store as a folder of HDF5 files.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failed, start_log, store_settings};
use crate::config::{self, ConfigError, LogOptions, MountOptions};
use crate::service::{self, KeepSettings, MountSettings, allocator, background};
use crate::store::StoreSettings;
use crate::telemetry::{self, Kept, Output};

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

In the background log lines go, unless --log-file says otherwise, to $XDG_STATE_HOME/h5mount/ (~/.local/state/h5mount/), \
root's to /var/log/h5mount/, in a file named after MOUNTPOINT; it is put aside as .old when it has 8 MiB.

Files are read-only. Before a file is opened, its size may be an estimate in folders of more than 256 files.";

impl Mount {
    /// Runs it; returns when it was unmounted, or, in the background, when it is mounted.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        if self.background && !self.background_copy {
            let started = in_background(self.arguments)?;
            if let Some(log) = &started.log {
                eprintln!("h5mount: mounted; its log is {log}");
            }
            return Ok(started.exit);
        }
        let (background, copy) = (self.background, self.background_copy);
        let options = self.stated()?;
        // Before anything is looked at that would be looked at twice.
        allocator::set_up();
        let log = log.clone().or(options.log.clone());
        let settings = settings(options.clone())?;
        let kept = if copy { begin_kept(&log, &options)? } else { None };
        if kept.is_none() {
            // In the background only what is wrong is told while the shell still waits.
            start_log(&log, background)?;
        }
        if copy {
            background::detach().map_err(service::ServiceError::from)?;
        }
        let ended = service::run(settings, || {
            if copy && let Err(error) = background::tell_ready(kept.as_deref()) {
                tracing::warn!("cannot tell that the mount is ready: {error}");
            }
        });
        // A mount that was never made says why where it was started, and leaves no log in which nothing stands.
        if let Some(log) = kept.filter(|log| ended.is_err() && std::fs::metadata(log).is_ok_and(|log| log.len() == 0)) {
            let _ = std::fs::remove_file(log);
        }
        ended?;
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

/// In the copy: begins to log where logs are kept, if nobody named a file. The file, where there is one.
fn begin_kept(log: &LogOptions, options: &MountOptions) -> Result<Option<PathBuf>, Failed> {
    let Some(mountpoint) = options.mountpoint.as_deref().filter(|_| log.log_file.is_none()) else { return Ok(None) };
    let mountpoint = std::path::absolute(mountpoint).unwrap_or_else(|_| mountpoint.to_owned());
    let Some(path) = config::log::kept(&mountpoint, &config::log::Person::here()) else { return Ok(None) };
    let kept = match Kept::open(path.clone()) {
        Ok(kept) => kept,
        // A mount without a log is better than none.
        Err(error) => {
            eprintln!("h5mount: {}: cannot write the log: {error}; none is kept (see --log-file)", path.display());
            return Ok(None);
        }
    };
    telemetry::start(log.log_format.unwrap_or_default(), false, Output::Kept(kept))
        .map_err(|error| Failed::new(Exit::System, format!("{}: cannot write the log: {error}", path.display())))?;
    Ok(Some(path))
}

/// What came of starting the copy in the background.
pub struct Started {
    /// How it ended, if it did not mount.
    pub exit: Exit,
    /// Where it keeps its log, if nobody named a file.
    pub log: Option<String>,
}

/// Mounts in the background, as this command line says.
pub fn in_background(mut arguments: Vec<OsString>) -> Result<Started, Failed> {
    // Behind `--` it would be a place.
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    arguments.insert(end, "--background-copy".into());
    match background::start(arguments) {
        Ok(Ok(log)) => Ok(Started { exit: Exit::Done, log }),
        // The copy has said why.
        Ok(Err(code)) => Ok(Started { exit: Exit::Copy(u8::try_from(code).unwrap_or(u8::MAX)), log: None }),
        Err(error) => Err(Failed::new(Exit::System, format!("cannot go into the background: {error}"))),
    }
}

/// What was said, resolved. Paths are made absolute, since the copy in the background leaves the working directory.
pub fn settings(options: MountOptions) -> Result<MountSettings, Failed> {
    let source = options.source.as_deref().ok_or(ConfigError::Missing { what: "SOURCE" })?;
    let mountpoint = options.mountpoint.as_deref().ok_or(ConfigError::Missing { what: "MOUNTPOINT" })?;
    let place = config::place(source, options.store_root.as_deref())?;
    let store = store_settings(&options.clouds, &place)?;
    if options.deadline().is_zero() {
        return Err(Failed::from(ConfigError::Value {
            name: "--request-timeout".to_owned(),
            value: "0".to_owned(),
            reason: "every read would fail at once; give more seconds, as many as you like, to wait longer".to_owned(),
        }));
    }
    // What is wrong with a service is to be known before the program that reads is told that time is up.
    let cloud_deadline = store.cloud_deadline.min(options.deadline().mul_f64(BEFORE));
    let store = StoreSettings { cloud_deadline, ..store };
    let mountpoint = std::path::absolute(mountpoint)
        .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", mountpoint.display())))?;
    let disk = options.keep.disk(&mountpoint, config::keep::service_directory(), &store.access)?;
    let keep = KeepSettings { disk, index: options.keep.index()? };
    Ok(MountSettings {
        place,
        mountpoint,
        nonempty: options.nonempty.unwrap_or(false),
        store,
        files: options.files.hdf5(),
        namespace: options.namespace(),
        fetch: options.fetch(),
        keep,
        uid: options.files.uid,
        gid: options.files.gid,
        umask: options.files.umask(),
        audience: options.files.audience(),
        deadline: options.deadline(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::mount::{RequestOptions, Seconds};

    #[test]
    fn no_time_at_all_is_no_timeout() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("db")).unwrap();
        let resolved = |seconds| {
            let requests = RequestOptions { request_timeout: Some(Seconds(seconds)), ..RequestOptions::default() };
            let (source, mountpoint) = (dir.path().to_str().map(str::to_owned), Some("/mnt".into()));
            settings(MountOptions { source, mountpoint, requests, ..MountOptions::default() })
        };
        assert!(resolved(Duration::from_millis(1)).is_ok());
        let refused = resolved(Duration::ZERO).err().unwrap();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.message.contains("--request-timeout 0"), "{}", refused.message);
    }
}
