//! What can be said of a mount: the same words as flags and as keys of a file, each of which may be left out.
//!
//! Flags beat the file, word by word ([`MountOptions::or`]); what neither says has a default, here or in the settings of
//! the room that it is for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::access::AccessOptions;
use super::keep::KeepOptions;
use super::memory;
use super::size::Size;
use crate::cache::CacheSettings;
use crate::fetch::FetchSettings;
use crate::fs::{Audience, FsSettings};
use crate::layout::{FilterPresentation, PresentOptions};
use crate::namespace::{Freshness, NamespaceSettings};
use crate::source::hdf5::Hdf5Files;
use crate::telemetry::LogFormat;

/// Help of SOURCE.
pub const SOURCE: &str = "A store, a folder or one file in it: a path, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, \
az://ACCOUNT/CONTAINER/FOLDER, abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER or http(s)://HOST/FILE";
/// Help of `--store-root`.
pub const STORE_ROOT: &str = "Top folder of the store: a path; in a cloud a prefix of the bucket, or its URL (default: \
the nearest folder that holds `db/`, or a folder of HDF5 files itself; in a cloud the bucket)";

/// All that can be said of a mount.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MountOptions {
    /// What to show.
    #[arg(help = SOURCE, required_unless_present = "config")]
    pub source: Option<String>,
    /// An empty directory in which to show it
    #[arg(required_unless_present = "config")]
    pub mountpoint: Option<PathBuf>,
    /// Mount also over a directory that holds something, which is hidden meanwhile
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    pub nonempty: Option<bool>,
    /// Where the store begins.
    #[arg(long, value_name = "DIR-OR-PREFIX", help = STORE_ROOT)]
    pub store_root: Option<String>,
    /// How files look, and whose they are.
    #[command(flatten)]
    pub files: FileOptions,
    /// How often and how long the store is asked.
    #[command(flatten)]
    pub requests: RequestOptions,
    /// What is kept of what was read.
    #[command(flatten)]
    pub cache: CacheOptions,
    /// How its cloud is reached.
    #[command(flatten)]
    pub clouds: AccessOptions,
    /// What is kept for later.
    #[command(flatten)]
    pub keep: KeepOptions,
    /// Where log lines go. On the command line these are flags of every command.
    #[arg(skip)]
    pub log: LogOptions,
}

/// How files look, and whose they are.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileOptions {
    /// What files say of compression; data are decompressed here, ahead of the reader, in any case but `stored`
    /// (default: declared)
    #[arg(long, value_enum)]
    pub filters: Option<Filters>,
    /// How HDF5 and netCDF-4 files that lie in the store are shown (default: auto)
    #[arg(long, value_enum)]
    pub hdf5: Option<Hdf5>,
    /// Refuse files that cannot be shown completely, instead of leaving parts out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    pub strict: Option<bool>,
    /// Let all users of this machine read it, not only you
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    pub allow_other: Option<bool>,
    /// User that files belong to (name or number; default: you)
    #[arg(long, value_name = "USER", value_parser = user)]
    #[serde(deserialize_with = "who::user")]
    pub uid: Option<u32>,
    /// Group that files belong to (name or number; default: yours)
    #[arg(long, value_name = "GROUP", value_parser = group)]
    #[serde(deserialize_with = "who::group")]
    pub gid: Option<u32>,
    /// Bits to take from the modes, which are 444 for files and 555 for folders (octal; default: 022)
    #[arg(long, value_name = "MODE")]
    pub umask: Option<Umask>,
}

/// How often and how long the store is asked.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RequestOptions {
    /// Seconds after which the store is asked again whether a file or folder changed (default: 5)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub metadata_ttl: Option<Seconds>,
    /// Nothing in the store changes, neither while it is mounted nor since what is in the disk cache: never ask again
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true, conflicts_with = "metadata_ttl")]
    pub immutable: Option<bool>,
    /// Seconds after which a program that reads gets an error (ETIMEDOUT) instead of waiting on (default: 300)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub request_timeout: Option<Seconds>,
}

/// What is kept of what was read.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CacheOptions {
    /// Memory for all that is read, kept and fetched ahead (default: a quarter of the machine's or the control group's, at
    /// most 1GiB; at least 32M)
    #[arg(long, value_name = "SIZE", value_parser = memory::said)]
    #[serde(deserialize_with = "memory::read")]
    pub memory_limit: Option<Size>,
}

/// How log lines look, and where they go.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogOptions {
    /// How log lines look (default: text); RUST_LOG=h5mount=debug tells more
    #[arg(long, value_enum, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Write log lines to this file instead of standard error (mounts in the background keep a log by themselves)
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

/// What files say of compression.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filters {
    /// Gzip, shuffle and fletcher32 are named where the store uses them, and skipped chunk by chunk
    Declared,
    /// No filter is named
    Hidden,
    /// Bytes as they are stored, for the program to decompress
    Stored,
}

/// How HDF5 files that lie in the store are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hdf5 {
    /// Laid out anew, with all metadata in front, unless they are so already or hold what only they can say
    Auto,
    /// Laid out anew; what cannot be is left out
    Relayout,
    /// As they are stored
    Raw,
}

impl MountOptions {
    /// These where they say something, else `other`.
    pub fn or(self, other: MountOptions) -> MountOptions {
        let (files, requests) = (self.files, self.requests);
        // How fresh is one choice of two words: whoever makes it, makes it whole.
        let immutable = requests.immutable.or(other.requests.immutable.filter(|_| requests.metadata_ttl.is_none()));
        MountOptions {
            source: self.source.or(other.source),
            mountpoint: self.mountpoint.or(other.mountpoint),
            nonempty: self.nonempty.or(other.nonempty),
            store_root: self.store_root.or(other.store_root),
            files: FileOptions {
                filters: files.filters.or(other.files.filters),
                hdf5: files.hdf5.or(other.files.hdf5),
                strict: files.strict.or(other.files.strict),
                allow_other: files.allow_other.or(other.files.allow_other),
                uid: files.uid.or(other.files.uid),
                gid: files.gid.or(other.files.gid),
                umask: files.umask.or(other.files.umask),
            },
            requests: RequestOptions {
                metadata_ttl: requests.metadata_ttl.or(other.requests.metadata_ttl),
                immutable,
                request_timeout: requests.request_timeout.or(other.requests.request_timeout),
            },
            cache: CacheOptions { memory_limit: self.cache.memory_limit.or(other.cache.memory_limit) },
            clouds: self.clouds.or(other.clouds),
            keep: self.keep.or(other.keep),
            log: self.log.or(other.log),
        }
    }

    /// How the tree behaves.
    pub fn namespace(&self) -> NamespaceSettings {
        let default = NamespaceSettings::default();
        let freshness = match (self.requests.immutable, self.requests.metadata_ttl) {
            (Some(true), _) => Freshness::Ever,
            (_, Some(Seconds(time))) => Freshness::For(time),
            _ => default.freshness,
        };
        let eighth = self.memory() / 8;
        NamespaceSettings {
            freshness,
            strict: self.files.strict.unwrap_or(default.strict),
            present: self.files.present(),
            windows_bytes: default.windows_bytes.min(eighth),
            versions_bytes: default.versions_bytes.min(eighth),
            ..default
        }
    }

    /// How chunks are fetched.
    pub fn fetch(&self) -> FetchSettings {
        let default = FetchSettings::default();
        let bytes = CacheSettings::of_memory(self.memory());
        FetchSettings { cache: CacheSettings { bytes, ..default.cache }, ..default }
    }

    /// Bytes of memory for everything that grows.
    pub fn memory(&self) -> u64 {
        memory::limit(self.cache.memory_limit)
    }

    /// After how long a request of the kernel is given up.
    pub fn deadline(&self) -> Duration {
        self.requests.request_timeout.map_or(FsSettings::DEADLINE, |Seconds(time)| time)
    }
}

impl FileOptions {
    /// As `umask` is on most machines: others may read, and nobody but the owner might write.
    const UMASK: u16 = 0o022;

    /// The layout's options.
    pub fn present(&self) -> PresentOptions {
        let filters = match self.filters {
            None | Some(Filters::Declared) => FilterPresentation::Declared,
            Some(Filters::Hidden) => FilterPresentation::Hidden,
            Some(Filters::Stored) => FilterPresentation::Stored,
        };
        PresentOptions { filters }
    }

    /// How HDF5 files that lie in the store are shown.
    pub fn hdf5(&self) -> Hdf5Files {
        match self.hdf5 {
            None | Some(Hdf5::Auto) => Hdf5Files::Auto,
            Some(Hdf5::Relayout) => Hdf5Files::Relayout,
            Some(Hdf5::Raw) => Hdf5Files::Raw,
        }
    }

    /// Bits taken from the modes.
    pub fn umask(&self) -> u16 {
        self.umask.map_or(Self::UMASK, |Umask(bits)| bits)
    }

    /// Who may use the mount.
    pub fn audience(&self) -> Audience {
        if self.allow_other == Some(true) { Audience::All } else { Audience::Owner }
    }
}

impl LogOptions {
    /// These where they say something, else `other`.
    pub fn or(self, other: LogOptions) -> LogOptions {
        LogOptions { log_format: self.log_format.or(other.log_format), log_file: self.log_file.or(other.log_file) }
    }
}

/// A time in seconds, perhaps with a fraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seconds(pub Duration);

impl Seconds {
    fn of(seconds: f64) -> Result<Seconds, String> {
        if seconds < 0.0 {
            return Err("a time is not negative".to_owned());
        }
        Duration::try_from_secs_f64(seconds).map(Seconds).map_err(|error| error.to_string())
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seconds, String> {
        Seconds::of(text.parse().map_err(|_| "not a number of seconds".to_owned())?)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
        Seconds::of(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A user of this machine, by name or number.
fn user(text: &str) -> Result<u32, String> {
    let by_name = || nix::unistd::User::from_name(text).ok().flatten().map(|user| user.uid.as_raw());
    text.parse().ok().or_else(by_name).ok_or_else(|| "no user of this machine, and no number".to_owned())
}

/// A group of this machine, by name or number.
fn group(text: &str) -> Result<u32, String> {
    let by_name = || nix::unistd::Group::from_name(text).ok().flatten().map(|group| group.gid.as_raw());
    text.parse().ok().or_else(by_name).ok_or_else(|| "no group of this machine, and no number".to_owned())
}

/// The same in a file, where a number is one.
mod who {
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "not a name or a number")]
    enum Word {
        Number(u32),
        Name(String),
    }

    fn of<'de, D: Deserializer<'de>>(
        deserializer: D,
        find: impl Fn(&str) -> Result<u32, String>,
    ) -> Result<Option<u32>, D::Error> {
        match Word::deserialize(deserializer)? {
            Word::Number(number) => Ok(Some(number)),
            Word::Name(name) => find(&name).map(Some).map_err(serde::de::Error::custom),
        }
    }

    pub fn user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        of(deserializer, super::user)
    }

    pub fn group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        of(deserializer, super::group)
    }
}

/// Bits taken from modes, written in octal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Umask(pub u16);

impl FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Umask, String> {
        match u16::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Umask(mode)),
            _ => Err("not an octal mode like \"022\"".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Umask {
    /// Only as text: of a number nobody knows in which base it was meant.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Umask, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_modes_are_checked() {
        assert_eq!("0.5".parse(), Ok(Seconds(Duration::from_millis(500))));
        for bad in ["-1", "NaN", "1e300", "soon"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
        assert_eq!("027".parse(), Ok(Umask(0o27)));
        for bad in ["8", "1777", "-1", ""] {
            assert!(bad.parse::<Umask>().is_err(), "{bad}");
        }
    }

    #[test]
    fn users_and_groups_have_names_or_numbers() {
        assert_eq!((user("root"), user("7"), group("root")), (Ok(0), Ok(7), Ok(0)));
        assert!(user("nobody of that name").is_err() && group("-1").is_err());
        let file = |text: &str| toml::from_str::<MountOptions>(&format!("[files]\n{text}\n"));
        let read = file("uid = 'root'\ngid = 7").unwrap();
        assert_eq!((read.files.uid, read.files.gid), (Some(0), Some(7)));
        for bad in ["uid = 'nobody of that name'", "gid = -1", "uid = true"] {
            assert!(file(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_beat_the_file_word_by_word() {
        let file: MountOptions = toml::from_str(
            "source = 's3://b'\nmountpoint = '/mnt/b'\n[files]\nuid = 7\nstrict = true\n[requests]\nimmutable = true\n\
             request-timeout = 1.5\n[log]\nlog-format = 'json'\n",
        )
        .unwrap();
        let typed = MountOptions {
            mountpoint: Some("/mnt/typed".into()),
            files: FileOptions { strict: Some(false), ..FileOptions::default() },
            requests: RequestOptions { metadata_ttl: Some(Seconds(Duration::from_secs(1))), ..Default::default() },
            ..MountOptions::default()
        };
        let both = typed.or(file);
        assert_eq!((both.source.as_deref(), both.files.uid), (Some("s3://b"), Some(7)));
        assert_eq!(both.mountpoint, Some("/mnt/typed".into()));
        assert_eq!(both.log.log_format, Some(LogFormat::Json));
        assert!(!both.namespace().strict);
        // A time that was typed is not made for ever by a word in the file.
        assert_eq!(both.namespace().freshness, Freshness::For(Duration::from_secs(1)));
        assert_eq!(both.deadline(), Duration::from_millis(1500));
    }
}
