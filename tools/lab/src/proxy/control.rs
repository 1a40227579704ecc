//! The proxy's own paths: what it does next, and what passed through it.
//!
//! | request | does |
//! |---|---|
//! | `GET /__stats` | sums of the ledger, and the faults injected |
//! | `GET /__log` | the ledger, one JSON object a line |
//! | `POST /__reset` | forgets both, and begins every count anew |
//! | `PUT /__settings` | sets any of [`Settings`](super::faults::Settings), the rest to what it is by default |
//! | `PUT /__away` | `{"ms": N}`: ends all connections and refuses new ones for so long |

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::State;
use super::faults::Fault;
use super::head::Head;
use crate::ledger::Sums;

/// What `/__stats` tells.
#[derive(Serialize)]
struct Stats {
    #[serde(flatten)]
    sums: Sums,
    connections: u64,
    faults: BTreeMap<Fault, u64>,
}

/// How long to be away.
#[derive(Deserialize)]
struct Away {
    ms: u64,
}

/// Whether a path is one of these.
pub fn is_control(path: &str) -> bool {
    path.starts_with("/__")
}

/// Carries a request to one of these paths out, and gives the answer's bytes.
pub fn answer(request: &Head, body: &[u8], state: &State) -> Vec<u8> {
    let (status, body) = match carried_out(request, body, state) {
        Ok(body) => ("200 OK", body),
        Err(error) => ("400 Bad Request", error),
    };
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn carried_out(request: &Head, body: &[u8], state: &State) -> Result<String, String> {
    let said = |error: serde_json::Error| error.to_string();
    match (request.word(0), request.word(1)) {
        ("GET", "/__stats") => {
            let stats = Stats {
                sums: state.ledger().sums(),
                connections: state.connections(),
                faults: state.faults().injected.clone(),
            };
            serde_json::to_string(&stats).map_err(said)
        }
        ("GET", "/__log") => {
            let ledger = state.ledger();
            let lines = ledger.entries().iter().filter_map(|entry| serde_json::to_string(entry).ok());
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        ("POST", "/__reset") => {
            state.ledger().reset();
            *state.faults() = super::faults::Faults::default();
            Ok("{}".to_owned())
        }
        ("PUT", "/__settings") => {
            *state.settings() = serde_json::from_slice(body).map_err(said)?;
            Ok("{}".to_owned())
        }
        ("PUT", "/__away") => {
            let Away { ms } = serde_json::from_slice(body).map_err(said)?;
            state.leave(Duration::from_millis(ms));
            Ok("{}".to_owned())
        }
        (method, path) => Err(format!("no {method} {path} here")),
    }
}
