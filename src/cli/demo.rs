//! `h5mount demo`: a small store to try things on, made and mounted.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::inspect::{print, print_json};
use super::{Exit, Failed, LogOptions, start_log};
use crate::config;
use crate::demo::{self, FOLDER};
use crate::fetch::FetchSettings;
use crate::fs::{Audience, FsSettings};
use crate::namespace::NamespaceSettings;
use crate::service::{self, KeepSettings, MountSettings};
use crate::source::hdf5::Hdf5Files;
use crate::store::StoreSettings;

/// Flags of `demo`.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct Demo {
    /// An empty directory to mount at; a temporary one where not given
    pub mountpoint: Option<PathBuf>,
    /// Write the store into this directory and keep it, instead of into a temporary one
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Only write the store (needs --store), do not mount it
    #[arg(long, requires = "store")]
    pub no_mount: bool,
    /// Tell as one JSON document where things are, instead of what to try
    #[arg(long)]
    pub json: bool,
}

const NOTES: &str = "\
Examples:
  h5mount demo
      in temporary folders, until Ctrl-C
  h5mount demo --store /tmp/store --no-mount
      only a store to look at

The store holds two files in the schema of HSDS: a netCDF-4 file of weather on a grid, and an HDF5 file with a table, \
strings and links. Ctrl-C unmounts; what was temporary is removed.

JSON, printed when the mount answers: {store, folder, mountpoint (null with --no-mount), files}.";

impl Demo {
    /// Runs it; returns when it was unmounted.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        start_log(log, true)?;
        let temporary = match self.store.is_none() || self.mountpoint.is_none() && !self.no_mount {
            true => Some(Temporary::new().map_err(|error| system("cannot make a temporary directory", &error))?),
            false => None,
        };
        let below = |name: &str| temporary.as_ref().map(|temporary| temporary.0.join(name)).unwrap_or_default();
        let store = self.store.clone().unwrap_or_else(|| below("store"));
        demo::write(&store).map_err(|error| system("cannot write the demo store", &error))?;
        let store = std::fs::canonicalize(&store).map_err(|error| system("cannot find the demo store", &error))?;
        let folder = store.join(FOLDER);
        if self.no_mount {
            self.tell(&store, &folder, None)?;
            return Ok(Exit::Done);
        }
        let mountpoint = self.mountpoint.clone().unwrap_or_else(|| below("mnt"));
        if self.mountpoint.is_none() {
            std::fs::create_dir(&mountpoint).map_err(|error| system("cannot make a mount point", &error))?;
        }
        let mountpoint = std::path::absolute(&mountpoint)
            .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", mountpoint.display())))?;
        let settings = MountSettings {
            place: config::place(&folder.to_string_lossy(), store.to_str())?,
            mountpoint: mountpoint.clone(),
            nonempty: false,
            store: StoreSettings::default(),
            files: Hdf5Files::default(),
            namespace: NamespaceSettings::default(),
            fetch: FetchSettings::default(),
            keep: KeepSettings::default(),
            uid: None,
            gid: None,
            umask: 0o022,
            audience: Audience::Owner,
            deadline: FsSettings::DEADLINE,
        };
        let mut told = Ok(());
        service::run(settings, || told = self.tell(&store, &folder, Some(&mountpoint)))?;
        told.map(|()| Exit::Done)
    }

    fn tell(&self, store: &Path, folder: &Path, mountpoint: Option<&Path>) -> Result<(), Failed> {
        if self.json {
            return print_json(&json!({
                "store": store,
                "folder": folder,
                "mountpoint": mountpoint,
                "files": ["README.txt", "stations.h5", "weather.nc"],
            }));
        }
        let (store, folder) = (quoted(store), quoted(folder));
        let looks = [
            format!("ls -lr {folder}/weather.nc"),
            format!("explain {folder}/weather.nc '/temperature[0, ..., 10:20]'"),
            format!("check {store}"),
        ]
        .map(|command| format!("  h5mount {command}\n"))
        .concat();
        let Some(mountpoint) = mountpoint else {
            return print(&format!("A demo store is at {store}. Try:\n\n{looks}  h5mount {folder} MOUNTPOINT\n"));
        };
        let at = quoted(mountpoint);
        let python = "import h5py; f = h5py.File('weather.nc'); print(f['temperature'][0, 20:24, 45])";
        print(&format!(
            "\
A demo store is at {store}
and mounted at     {at}

Try, in another terminal:

  ls -l {at}
  ncdump -h {at}/weather.nc
  h5dump -H {at}/stations.h5
  h5dump -d /network/stations {at}/stations.h5
  cd {at} && python3 -c \"{python}\"

And without the mount:

{looks}
weather.nc looks larger than it is: its strings lie in windows that are mostly holes
(`du` tells what is there, and cp copies only that).

Ctrl-C ends it.
"
        ))
    }
}

fn system(what: &str, error: &io::Error) -> Failed {
    Failed::new(Exit::System, format!("{what}: {error}"))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let simple = |char: char| char.is_ascii_alphanumeric() || "/._-+".contains(char);
    if text.chars().all(simple) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A directory of our own, removed with what is in it.
struct Temporary(PathBuf);

impl Temporary {
    /// Names tried before giving up: others may have left theirs behind.
    const TRIES: u32 = 100;

    fn new() -> io::Result<Temporary> {
        let mut last = None;
        for number in 0..Self::TRIES {
            let path = std::env::temp_dir().join(format!("h5mount-demo-{}-{number}", std::process::id()));
            // Ours alone, and never one that somebody else put there.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Temporary(path)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("no name is free")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The mount point must be empty: below a mount that did not end there may be what is not ours to remove.
        match std::fs::remove_dir(self.0.join("mnt")) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return tracing::warn!("{} is left behind: {error}", self.0.display()),
        }
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{} is left behind: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_fit_for_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/a-b_1.h5")), "/tmp/a-b_1.h5");
        assert_eq!(quoted(Path::new("/tmp/it's $5")), r"'/tmp/it'\''s $5'");
    }

    #[test]
    fn what_was_temporary_is_removed() {
        let temporary = Temporary::new().unwrap();
        let path = temporary.0.clone();
        demo::write(&path.join("store")).unwrap();
        std::fs::create_dir(path.join("mnt")).unwrap();
        drop(temporary);
        assert!(!path.exists());
    }
}
