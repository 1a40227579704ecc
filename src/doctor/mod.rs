//! Finds out why a store cannot be mounted or read, and what to do: looks at the machine, then at the service, then at
//! the store, and says of each thing whether it is well.
//!
//! A room of its own, since it mounts nothing and shows nothing: `service` builds the house, this one only knocks at doors.
//! Every probe gives a [`Finding`]; `cli` prints them. Below stand `store` and `source`.

mod data;
pub mod machine;
pub mod place;

use serde::Serialize;

/// How it is with something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Well.
    Ok,
    /// It works, though not as it could.
    Warn,
    /// It does not work.
    Fail,
    /// Not looked at, for the reason given.
    Skip,
}

/// What a probe found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub topic: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub said: String,
    /// What to do; absent where there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(topic: &'static str, said: impl Into<String>) -> Finding {
        Finding { topic, verdict: Verdict::Ok, said: said.into(), remedy: None }
    }

    fn skip(topic: &'static str, said: impl Into<String>) -> Finding {
        Finding { topic, verdict: Verdict::Skip, said: said.into(), remedy: None }
    }

    fn warn(topic: &'static str, said: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { topic, verdict: Verdict::Warn, said: said.into(), remedy: Some(remedy.into()) }
    }

    /// Something that does not work, and what to do.
    pub fn fail(topic: &'static str, said: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { topic, verdict: Verdict::Fail, said: said.into(), remedy: Some(remedy.into()) }
    }
}
