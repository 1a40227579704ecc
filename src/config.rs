//! What was typed, written in a file or set in the environment becomes one resolved settings struct per room: here, once,
//! and nowhere else. The command line knows words, the rooms know values.
//!
//! [`place`](mod@place) says what SOURCE means, [`access`] how its cloud is reached and [`profile`] what a profile of
//! Amazon's says of that, [`mount`] what else there is to say of a mount, [`memory`] how much it may use, [`keep`] what is
//! kept for later, [`file`](mod@file) reads that from a file, and [`log`] says where lines go when nobody
//! says it. Above stands `cli`.

pub mod access;
pub mod file;
pub mod keep;
pub mod log;
pub mod memory;
pub mod mount;
pub mod place;
pub mod profile;
pub mod size;

pub use access::AccessOptions;
pub use keep::{IndexPlace, KeepOptions};
pub use mount::{LogOptions, MountOptions};
pub use place::{Place, place};

use crate::store::StoreError;

/// Why what was typed cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not there.
    #[error("{path}: {error}")]
    Source {
        /// As typed.
        path: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// A kind of URL that is not known.
    #[error(
        "{url}: cannot read from {scheme}://; a store is a path, or a URL that begins with file, s3, gs, az, abfs, abfss, \
         http or https"
    )]
    Scheme {
        /// As typed.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A URL that is none, or one of the parts it has is missing.
    #[error("{url}: {reason}")]
    Url {
        /// As typed.
        url: String,
        /// What is wrong with it, and how it should look.
        reason: String,
    },
    /// No store around it.
    #[error(
        "{path}: not in an HSDS store: neither it nor a folder above it holds `db/`, and no HDF5 file was found in it. Name \
         the store's top folder with --store-root (stores written by HSDS before version 0.5 need that, and so do folders of \
         HDF5 files that are not found at once: name the folder itself)"
    )]
    NoStore {
        /// As typed.
        path: String,
    },
    /// The store's root is elsewhere.
    #[error("{path}: not inside the store root {root}")]
    Outside {
        /// As typed.
        path: String,
        /// As typed.
        root: String,
    },
    /// A setting whose value means nothing.
    #[error("{name} {value}: {reason}")]
    Value {
        /// Flag or variable.
        name: String,
        /// As typed; never a secret.
        value: String,
        /// What it should be.
        reason: String,
    },
    /// A file of settings that cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which.
        path: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// A file of settings that says what it must not.
    #[error("{path}, line {line}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Neither a flag nor a file says it.
    #[error("no {what}: name it on the command line, or for a mount in a file (--config)")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// The store cannot be named.
    #[error(transparent)]
    Store(#[from] StoreError),
}
