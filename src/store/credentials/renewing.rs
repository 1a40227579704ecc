//! Credentials that are looked for when they are first needed, kept while they hold, and renewed before they end.
//!
//! - One search at a time: everybody who waits gets the outcome of the same one.
//! - Well before the end a search runs beside the requests, which go on with what there is; close to the end they wait.
//! - What the service called expired is forgotten, and so is what a search finds that began before. A new search may find
//!   the same again, where nobody wrote anything newer.
//! - A failure is told to those who wait for it and not kept: the next request searches again.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use object_store::CredentialProvider;
use tokio::time::Instant;

use super::{Described, Fault, Renew};
use crate::store::Denial;

/// How long before their end credentials are renewed beside the requests. The machine's role has new ones five minutes
/// before the old end; earlier there is nothing to be had.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// How long before their end nobody is given them any more. A request is signed anew each time it is
/// repeated, and one signature is good for minutes: what is left to bridge are clocks that differ, and a slow answer.
const LEAST: Duration = Duration::from_secs(60);
/// Between two searches beside the requests: a place that has nothing newer yet is asked ten times in five minutes.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest search: somebody may have to confirm a sign-in that a `credential_process` began.
const LONGEST: Duration = Duration::from_secs(60);

/// Credentials of one cloud, whose they are and where they come from.
#[derive(Debug)]
pub(super) struct Found<C> {
    pub credential: Arc<C>,
    /// The public part of them.
    pub who: String,
    pub from: String,
    pub until: Option<SystemTime>,
}

impl<C> Clone for Found<C> {
    fn clone(&self) -> Self {
        let Found { credential, who, from, until } = self;
        Found { credential: Arc::clone(credential), who: who.clone(), from: from.clone(), until: *until }
    }
}

/// Where credentials are looked for.
#[async_trait::async_trait]
pub(super) trait Search: Send + Sync + std::fmt::Debug {
    /// What a request is signed with.
    type Credential;

    /// Looks everywhere anew: nothing of an earlier search is remembered.
    async fn find(&self) -> Result<Found<Self::Credential>, Fault>;
}

/// What can be handed to any thread, as credentials are.
pub(super) trait Shareable: std::fmt::Debug + Send + Sync + 'static {}
impl<C: std::fmt::Debug + Send + Sync + 'static> Shareable for C {}

/// Credentials that renew themselves.
#[derive(Debug)]
pub(super) struct Renewing<C> {
    search: Arc<dyn Search<Credential = C>>,
    state: Arc<Mutex<State<C>>>,
}

#[derive(Debug)]
struct State<C> {
    held: Option<Held<C>>,
    /// The search that is under way.
    running: Option<Running<C>>,
    /// When the last one began.
    began: Option<Instant>,
    /// When what was held was last called expired.
    expired: Option<Instant>,
    /// Number of the last one.
    number: u64,
}

#[derive(Debug)]
struct Held<C> {
    found: Found<C>,
    /// When they were found, which tells how long a life they have.
    since: SystemTime,
}

type Running<C> = Shared<BoxFuture<'static, Result<Found<C>, Fault>>>;

/// How good what is held is.
enum Life {
    Fresh,
    /// Good, but soon to end.
    Ageing,
    Over,
}

impl<C> Held<C> {
    fn life(&self, now: SystemTime) -> Life {
        let Some(until) = self.found.until else { return Life::Fresh };
        let left = until.duration_since(now).unwrap_or_default();
        // Of credentials that live for minutes only, a part of the life: they would never be fresh otherwise.
        let whole = until.duration_since(self.since).unwrap_or_default();
        if left > AHEAD.min(whole / 4) {
            Life::Fresh
        } else if left > LEAST.min(whole / 8) {
            Life::Ageing
        } else {
            Life::Over
        }
    }
}

impl<C: Shareable> Renewing<C> {
    /// Credentials from wherever `search` finds them.
    pub fn new(search: Arc<dyn Search<Credential = C>>) -> Renewing<C> {
        let state = State { held: None, running: None, began: None, expired: None, number: 0 };
        Renewing { search, state: Arc::new(Mutex::new(state)) }
    }

    /// Credentials that hold for a while.
    async fn current(&self) -> Result<Found<C>, Fault> {
        let running = {
            let mut state = lock(&self.state);
            match state.held.as_ref().map(|held| (held, held.life(SystemTime::now()))) {
                Some((held, Life::Fresh)) => return Ok(held.found.clone()),
                Some((held, Life::Ageing)) => {
                    let found = held.found.clone();
                    if state.running.is_none() && state.began.is_none_or(|began| began.elapsed() >= PAUSE) {
                        let _runs_by_itself = self.begin(&mut state);
                    }
                    return Ok(found);
                }
                _ => match &state.running {
                    Some(running) => running.clone(),
                    None => self.begin(&mut state),
                },
            }
        };
        running.await
    }

    /// Begins a search, in a task of its own: whoever waits may give up.
    fn begin(&self, state: &mut State<C>) -> Running<C> {
        state.number += 1;
        state.began = Some(Instant::now());
        let (number, search, shared) = (state.number, Arc::clone(&self.search), Arc::clone(&self.state));
        let task = tokio::spawn(async move {
            // A search that panics has failed like any other, and leaves nothing running.
            let find = AssertUnwindSafe(search.find()).catch_unwind();
            let find = find.map(|found| found.unwrap_or_else(|_| Err(Fault::unreachable("the search broke down"))));
            let outcome = tokio::time::timeout(LONGEST, find).await;
            let outcome = outcome.unwrap_or_else(|_| {
                let seconds = LONGEST.as_secs();
                Err(Fault::unreachable(format!("no credentials within {seconds} s; a credential_process may hang")))
            });
            let outcome = outcome.and_then(still_good);
            let mut state = lock(&shared);
            // Otherwise what it was begun for was expired meanwhile, and another search runs.
            if state.number == number {
                state.running = None;
                match &outcome {
                    Ok(found) => state.held = Some(Held { found: found.clone(), since: SystemTime::now() }),
                    Err(fault) if state.held.is_some() => tracing::warn!(%fault, "credentials were not renewed yet"),
                    Err(_) => {}
                }
            }
            outcome
        });
        let running = task
            .map(|done| {
                done.unwrap_or_else(|stopped| Err(Fault::unreachable(format!("the search stopped: {stopped}"))))
            })
            .boxed()
            .shared();
        state.running = Some(running.clone());
        running
    }
}

#[cfg(test)]
impl<C> Renewing<C> {
    /// Makes the last search seem long ago.
    pub fn forget_pause(&self) {
        lock(&self.state).began = None;
    }

    /// Makes what is held seem near its end, and the last search long ago.
    pub fn age(&self) {
        let mut state = lock(&self.state);
        let now = SystemTime::now();
        if let Some(held) = &mut state.held {
            // A life of three hours, of which as much is left as a renewal beside the requests takes.
            held.since = now - Duration::from_secs(3 * 3600);
            held.found.until = Some(now + (AHEAD + LEAST) / 2);
        }
        state.began = None;
    }
}

/// Refuses what is over already: a service would say so too, but not where it came from.
fn still_good<C>(found: Found<C>) -> Result<Found<C>, Fault> {
    if found.until.is_none_or(|until| until > SystemTime::now()) {
        return Ok(found);
    }
    let reason = format!(
        "what {} gives has expired; sign in again (for example `aws sso login`), or check the clock",
        found.from
    );
    Err(Fault::Refused { denial: Denial::Expired, reason })
}

fn lock<C>(state: &Mutex<State<C>>) -> MutexGuard<'_, State<C>> {
    // Nothing between locking and unlocking leaves the state half changed.
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[async_trait::async_trait]
impl<C: Shareable> CredentialProvider for Renewing<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        Ok(self.current().await?.credential)
    }
}

#[async_trait::async_trait]
impl<C: Shareable> Renew for Renewing<C> {
    /// Of 64 requests that fail together, in whichever of the buckets that share the credentials, the first begins a search and
    /// the others wait for it, or have what it found.
    fn expire(&self, asked: Instant) -> bool {
        let mut state = lock(&self.state);
        if state.expired.is_some_and(|expired| expired >= asked) {
            return true;
        }
        if let Some(held) = state.held.take() {
            tracing::info!(from = held.found.from, "the service takes these credentials no more; asking for new ones");
            state.expired = Some(Instant::now());
            state.running = None;
            // Whatever a search that is under way finds is not kept.
            state.number += 1;
        }
        true
    }

    async fn describe(&self) -> Result<Described, Fault> {
        let Found { who, from, until, .. } = self.current().await?;
        Ok(Described { who, from, until })
    }
}
