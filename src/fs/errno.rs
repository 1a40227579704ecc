//! Error numbers: the only place that knows which one a failure becomes.

use fuser::Errno;

use crate::namespace::{Cause, NamespaceError};

/// A failed kernel request.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The namespace said why.
    Namespace(NamespaceError),
    /// The kernel asked for an inode it had forgotten.
    UnknownInode,
    /// The kernel used a handle that is not open.
    UnknownHandle,
    /// The name leads to another version by now; the kernel looks it up again and retries.
    Superseded,
    /// A directory was needed.
    NotADirectory,
    /// A file was needed.
    IsADirectory,
    /// Nothing there to find: no data after this offset, or an offset outside the file.
    NoSuchOffset,
    /// Arguments that no program should pass.
    Invalid,
    /// No such extended attribute.
    NoAttribute,
    /// The buffer offered for an extended attribute is too small.
    BufferTooSmall,
    /// Not answered within the deadline.
    Deadline,
}

impl From<NamespaceError> for Failure {
    fn from(error: NamespaceError) -> Self {
        Failure::Namespace(error)
    }
}

/// What every attempt to change something is answered.
pub(super) const READ_ONLY: Errno = Errno::EROFS;
/// Of a request that only a device or a terminal understands; programs ask it of any file to see whether it is one.
pub(super) const NO_DEVICE: Errno = Errno::ENOTTY;
/// Of a request that is left to the kernel, which then answers by itself and does not ask again.
pub(super) const NOT_OURS: Errno = Errno::ENOSYS;

impl Failure {
    /// The number the program sees.
    pub(super) fn errno(&self) -> Errno {
        match self {
            Failure::Namespace(error) => match error.cause() {
                Cause::Absent => Errno::ENOENT,
                Cause::NotAFolder => Errno::ENOTDIR,
                Cause::IsAFolder => Errno::EISDIR,
                Cause::Denied => Errno::EACCES,
                Cause::Changed => Errno::ESTALE,
                Cause::TimedOut => Errno::ETIMEDOUT,
                Cause::Broken => Errno::EIO,
            },
            Failure::UnknownInode | Failure::Superseded => Errno::ESTALE,
            Failure::UnknownHandle => Errno::EBADF,
            Failure::NotADirectory => Errno::ENOTDIR,
            Failure::IsADirectory => Errno::EISDIR,
            Failure::NoSuchOffset => Errno::ENXIO,
            Failure::Invalid => Errno::EINVAL,
            Failure::NoAttribute => Errno::ENODATA,
            Failure::BufferTooSmall => Errno::ERANGE,
            Failure::Deadline => Errno::ETIMEDOUT,
        }
    }

    /// What the line is about: lines about the same are not written for every request.
    pub(super) fn subject(&self, request: &'static str) -> String {
        match self {
            Failure::Namespace(error) => error.subject(),
            other => format!("{request} {other:?}"),
        }
    }

    /// Why, for the log; `None` for what is an everyday answer and no fault.
    pub(super) fn log_line(&self) -> Option<String> {
        match self {
            Failure::Namespace(error) if error.is_not_found() => None,
            Failure::Namespace(error) => Some(match error.remedy() {
                Some(remedy) => format!("{error}; {remedy}"),
                None => error.to_string(),
            }),
            Failure::UnknownInode => Some("the kernel asked for an inode it had forgotten".to_owned()),
            Failure::UnknownHandle => Some("the kernel used a handle that is not open".to_owned()),
            Failure::Deadline => Some(
                "not answered within --request-timeout: what the store was asked for takes longer; the lines before this \
                 may say why, and h5mount doctor looks at the service"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
