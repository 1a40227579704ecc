//! Telling the service manager (sd_notify): when the mount answers, what it does, when it ends. Started by anything else,
//! the program tells nobody.

use sd_notify::NotifyState;

/// The mount answers.
pub fn ready(what: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(what)]);
}

/// It is not there yet; this is what is being waited for.
pub fn status(what: &str) {
    tell(&[NotifyState::Status(what)]);
}

/// It is being ended.
pub fn stopping(why: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(why)]);
}

/// Without a socket in the environment this does nothing. A manager that cannot be told will say so itself.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("cannot tell the service manager: {error}");
    }
}
