//! Exit codes: what a script learns from a command that ended.

use std::process::ExitCode;

use crate::config::ConfigError;
use crate::service::ServiceError;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It did, and found faults (`check`, `doctor`), or could not look at all of it (`info`, `explain`).
    Faults,
    /// What was typed means nothing.
    Usage,
    /// The store, or what was asked for in it, cannot be read.
    Source,
    /// It could not be mounted or unmounted.
    Mount,
    /// The system refuses something every program needs.
    System,
    /// With the code of the copy that was to run in the background.
    Copy(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Faults => 1,
            Exit::Usage => 2,
            Exit::Source => 3,
            Exit::Mount => 4,
            Exit::System => 5,
            Exit::Copy(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl From<&ServiceError> for Exit {
    fn from(error: &ServiceError) -> Exit {
        match error {
            ServiceError::Store(_) | ServiceError::Source(_) | ServiceError::NotFound { .. } => Exit::Source,
            ServiceError::CacheDir { .. } => Exit::Usage,
            ServiceError::Mountpoint(_)
            | ServiceError::Mount(_)
            | ServiceError::Silent { .. }
            | ServiceError::Stopped { .. } => Exit::Mount,
            ServiceError::System(_) => Exit::System,
        }
    }
}

/// A command that could not do its work: its exit code, and what the user reads.
#[derive(Debug)]
pub struct Failed {
    /// The code.
    pub exit: Exit,
    /// The object, the reason and what to do, in one line.
    pub message: String,
}

impl Failed {
    /// With this code and this message.
    pub fn new(exit: Exit, message: impl ToString) -> Self {
        Failed { exit, message: message.to_string() }
    }
}

impl From<ServiceError> for Failed {
    fn from(error: ServiceError) -> Self {
        Failed::new(Exit::from(&error), error)
    }
}

impl From<ConfigError> for Failed {
    fn from(error: ConfigError) -> Self {
        let exit = match error {
            ConfigError::Scheme { .. }
            | ConfigError::Url { .. }
            | ConfigError::Value { .. }
            | ConfigError::Unreadable { .. }
            | ConfigError::File { .. }
            | ConfigError::Missing { .. } => Exit::Usage,
            ConfigError::Source { .. }
            | ConfigError::NoStore { .. }
            | ConfigError::Outside { .. }
            | ConfigError::Store(_) => Exit::Source,
        };
        Failed::new(exit, error)
    }
}
