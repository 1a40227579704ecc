//! Commands and flags as typed; one file per command.
