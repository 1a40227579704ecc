//! One request and all its attempts: what failed for a moment is asked again, within one deadline.
//!
//! [`retry`](crate::store::retry) decides how long to wait; here the waiting is done, credentials are renewed, and a
//! bucket that is in another region is opened there. No place among the requests in flight is held between two attempts,
//! unless the second follows at once, and the clock of a request stands still while it waits for one; a search for
//! credentials is part of the attempt that needs them, and holds one.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::answer::{Answer, Asked, Meaning};
use super::trouble::{Told, Trouble, TroubleKind};
use super::weather::Weather;
use super::wire::{Heard, listen};
use super::{Cloud, Service};
use crate::model::location::Key;
use crate::store::causes::{causes, innermost};
use crate::store::pace::Waits;
use crate::store::permits::{Away, Permit, Stands};
use crate::store::retry::{self, Fault, Step};
use crate::store::{Denial, FLOW, StoreError, credentials};

/// Between two warnings of one store: when a service is away, every reader fails of it.
const WARNINGS: Duration = Duration::from_secs(10);

/// After this long people wonder whether a program hangs.
const WONDER: Duration = Duration::from_secs(5);

/// An attempt that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What to tell if it was the last.
    pub error: StoreError,
    /// What may help.
    pub then: Then,
    /// The answer was a bare status.
    pub unsaid: bool,
    /// More of the object is there than before.
    pub gained: bool,
}

/// What may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Stop,
    /// To ask again.
    Again(Fault),
    /// New credentials.
    Renew,
    /// The region where the bucket is.
    Elsewhere(Option<String>),
}

impl Failure {
    /// One that nothing helps against.
    pub fn last(error: StoreError) -> Failure {
        Failure { error, then: Then::Stop, unsaid: false, gained: false }
    }

    /// One that may be over at once.
    pub fn damaged(error: StoreError) -> Failure {
        Failure { error, then: Then::Again(Fault::Cut), unsaid: false, gained: false }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::last(error)
    }
}

/// The clock of one request.
#[derive(Debug)]
pub struct Attempts {
    /// When it began, as if it had never waited for its turn.
    began: Instant,
    deadline: Duration,
    /// The deadline of requests to a service that is known, to which single attempts are in proportion.
    known: Duration,
    /// Attempts that failed so far.
    pub failed: u32,
    /// The same, since one brought anything.
    in_vain: u32,
    /// How many of them were given up because nothing came, ...
    stuck: u32,
    /// ... and with certainty.
    late: u32,
    /// Whether it was said that this takes long.
    said: bool,
}

impl Attempts {
    /// A request that begins now.
    pub fn new(deadline: Duration, known: Duration) -> Attempts {
        let began = Instant::now();
        Attempts { began, deadline, known, failed: 0, in_vain: 0, stuck: 0, late: 0, said: false }
    }

    /// How long the next answer is waited for.
    pub fn waits(&self) -> Waits {
        Waits::after(self.stuck, self.late, self.deadline.saturating_sub(self.began.elapsed()), self.known)
    }

    /// How long to wait before the next attempt; `None`: give up.
    pub fn wait(&mut self, fault: Fault, weather: &Weather) -> Option<Duration> {
        self.stuck += u32::from(matches!(fault, Fault::Stuck | Fault::Late));
        self.late += u32::from(fault == Fault::Late);
        let first = weather.first(fault);
        let step = retry::next(self.in_vain, fault, first, self.began.elapsed(), self.deadline, fastrand::f64());
        self.failed += 1;
        self.in_vain += 1;
        match step {
            Step::Wait(wait) => Some(wait),
            Step::Stop => None,
        }
    }

    /// For how long yet it will be asked again, once, when somebody who waits begins to wonder.
    pub fn wondering(&mut self) -> Option<Duration> {
        let now = self.began.elapsed();
        let wonders = !self.said && now >= WONDER.min(self.deadline / 2);
        self.said |= wonders;
        wonders.then(|| self.deadline.saturating_sub(now))
    }
}

impl Cloud {
    /// Makes a request until it is answered or may not be asked again. `request` is given the service of the moment
    /// and how long the answer is waited for.
    pub async fn ask<'a, T>(
        &'a self,
        key: &'a Key,
        mut permit: Option<Permit>,
        request: impl Fn(Arc<Service>, Waits) -> BoxFuture<'a, Result<T, Failure>> + Send,
    ) -> Result<T, StoreError> {
        let mut attempts = Attempts::new(self.deadline(), self.deadline);
        let (mut renewed, mut moved, mut told) = (false, false, None::<StoreError>);
        loop {
            let service = self.service();
            let asked_at = Instant::now();
            // While bytes flow nothing else ends an attempt.
            let flow = self.deadline.saturating_mul(FLOW).saturating_sub(attempts.began.elapsed());
            let attempt = request(Arc::clone(&service), attempts.waits());
            let Ok(answer) = tokio::time::timeout(flow, attempt).await else {
                let error = StoreError::Timeout { location: self.location(key), seconds: flow.as_secs() };
                return Err(self.gave_up(error, &attempts));
            };
            self.note_answer(answer.as_ref().err(), permit.as_ref());
            let failure = match answer {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            match failure.then {
                Then::Renew if !renewed && service.renew.as_ref().is_some_and(|renew| renew.expire(asked_at)) => {
                    renewed = true;
                    self.counters.retried();
                }
                Then::Elsewhere(region) if !moved => {
                    moved = true;
                    let away = permit.take().map(Permit::away);
                    self.relocate(&service, region.as_deref()).await?;
                    permit = self.back(key, away, &mut attempts, None).await?;
                    self.counters.retried();
                }
                Then::Again(fault) => {
                    // Others may have been answered since it began.
                    attempts.deadline = self.deadline();
                    if failure.gained {
                        attempts.in_vain = 0;
                    }
                    // The last attempt is often cut short by the deadline: what an earlier one was told says more.
                    let error = match (fault, told.take()) {
                        (Fault::Late | Fault::Stuck, Some(told)) => told,
                        _ => failure.error,
                    };
                    let Some(wait) = attempts.wait(fault, &self.weather) else {
                        return Err(self.gave_up(error, &attempts));
                    };
                    let attempt = attempts.failed;
                    tracing::debug!(%key, attempt, ?wait, %error, "asked again after a while");
                    if let Some(left) = attempts.wondering() {
                        self.warn(format_args!("{error}; asked again for up to {} s", left.as_secs()));
                    }
                    told = Some(error).filter(|error| !matches!(error, StoreError::Timeout { .. }));
                    match permit.as_mut().filter(|held| wait <= self.weather.brief() && held.stays()) {
                        Some(held) => {
                            tokio::time::sleep(wait).await;
                            held.anew();
                        }
                        None => {
                            let away = permit.take().map(Permit::away);
                            tokio::time::sleep(wait).await;
                            permit = self.back(key, away, &mut attempts, told.as_ref()).await?;
                        }
                    }
                    self.counters.retried();
                }
                _ => return Err(failure.error),
            }
        }
    }

    /// For how long a request is repeated, as far as the service is known by now.
    fn deadline(&self) -> Duration {
        if self.met.load(Ordering::Relaxed) { self.deadline } else { self.first_deadline.min(self.deadline) }
    }

    /// What an attempt says of the service: that it answers, or that it has too much to do.
    fn note_answer(&self, failure: Option<&Failure>, permit: Option<&Permit>) {
        let busy = match failure.map(|failure| &failure.then) {
            Some(Then::Again(Fault::Busy(_))) => true,
            Some(Then::Again(_)) => return,
            _ => false,
        };
        if busy {
            // A service that says so is there.
            self.meet();
        } else {
            self.weather.answered();
        }
        if let Some(permit) = permit {
            permit.answered(busy);
        }
    }

    /// A place among the requests in flight again; the request's clock stands still meanwhile. `None` where none is needed.
    async fn back(
        &self,
        key: &Key,
        away: Option<Away>,
        attempts: &mut Attempts,
        told: Option<&StoreError>,
    ) -> Result<Option<Permit>, StoreError> {
        let Some(away) = away else { return Ok(None) };
        let left_at = Instant::now();
        match away.back().await {
            Ok(permit) => {
                attempts.began += left_at.elapsed();
                Ok(Some(permit))
            }
            Err(Stands(seconds)) => {
                let late = || StoreError::Timeout { location: self.location(key), seconds: seconds.as_secs() };
                Err(self.gave_up(told.cloned().unwrap_or_else(late), attempts))
            }
        }
    }

    /// Opens the bucket in another region, unless another request did so meanwhile.
    async fn relocate(&self, service: &Arc<Service>, region: Option<&str>) -> Result<(), StoreError> {
        let Some(elsewhere) = service.elsewhere.as_ref().filter(|_| Arc::ptr_eq(service, &self.service())) else {
            return Ok(());
        };
        let opened = Arc::new(elsewhere.open(region).await?);
        let mut current = self.service.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if Arc::ptr_eq(service, &current) {
            *current = opened;
        }
        Ok(())
    }

    fn gave_up(&self, error: StoreError, attempts: &Attempts) -> StoreError {
        let (tried, seconds) = (attempts.failed, attempts.began.elapsed().as_secs());
        let error = match error {
            StoreError::Timeout { location, .. } => StoreError::Timeout { location, seconds },
            error => error,
        };
        self.warn(format_args!("{error}; given up after {tried} attempts in {seconds} s"));
        error
    }

    /// Says what is wrong, not for every reader anew.
    fn warn(&self, what: fmt::Arguments<'_>) {
        let mut warned = self.warned.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if warned.is_none_or(|then| then.elapsed() >= WARNINGS) {
            *warned = Some(Instant::now());
            tracing::warn!("{what}");
        } else {
            tracing::debug!("{what}");
        }
    }

    /// One attempt: what `object_store` made of the answer, and the answer, or why not.
    pub async fn hear<T>(
        &self,
        service: &Service,
        asked: Asked,
        key: &Key,
        waits: Waits,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<(T, Answer), Failure> {
        let (made, heard) = listen(asked, waits, request).await;
        if let Some(Heard::Answer(answer)) = &heard {
            let mut ahead = self.clock_ahead.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *ahead = answer.clock_ahead().or(*ahead);
            self.reconnects.store(answer.closes, Ordering::Relaxed);
        }
        let location = || self.location(key);
        match (made, heard) {
            (made, Some(Heard::Answer(answer))) if answer.is_success() => {
                let foreign = service.dialect.foreign(&answer);
                if let Some(reason) = foreign {
                    let error = StoreError::Garbled { location: location(), reason };
                    return Err(Failure { then: self.after_a_stranger(asked), ..Failure::damaged(error) });
                }
                self.meet();
                match made {
                    Ok(made) => {
                        self.prove();
                        Ok((made, *answer))
                    }
                    Err(_) if asked == Asked::Part && answer.status == 200 => Err(Failure::last(StoreError::Failed {
                        location: location(),
                        reason: format!(
                            "{} sends whole objects where part of one is asked for: it, or a proxy in between, does not \
                             know ranges",
                            answer.host
                        ),
                    })),
                    // What a HEAD does not say of an object's length, a part of it does.
                    Err(_) if asked == Asked::Head && answer.header("content-length").is_none() => {
                        let reason = format!("{} does not say how long objects are (no Content-Length)", answer.host);
                        let error = StoreError::Failed { location: location(), reason };
                        Err(Failure { unsaid: true, ..Failure::last(error) })
                    }
                    Err(_) if asked == Asked::Part && answer.is_empty_part() => {
                        self.prove();
                        Err(Failure::last(StoreError::Range { location: location(), start: 0, end: 0 }))
                    }
                    // Azure deletes in batches, and says in the answer to the batch what became of each object.
                    Err(object_store::Error::NotFound { .. }) => {
                        self.prove();
                        Err(Failure::last(StoreError::NotFound { location: location() }))
                    }
                    // Found out by reading the answer, where the service itself does not look at conditions.
                    Err(object_store::Error::Precondition { .. }) => {
                        Err(Failure::last(StoreError::Changed { location: location() }))
                    }
                    Err(error @ object_store::Error::NotSupported { .. }) => {
                        Err(Failure::last(StoreError::Failed { location: location(), reason: told(&error) }))
                    }
                    Err(error) => {
                        let reason = told(&error);
                        let failure = Failure::damaged(StoreError::Garbled { location: location(), reason });
                        // It may have been written.
                        Err(if asked == Asked::WriteIf { Failure { then: Then::Stop, ..failure } } else { failure })
                    }
                }
            }
            (_, Some(Heard::Answer(answer))) => Err(self.refused(service, asked, key, &answer)),
            (_, Some(Heard::Trouble(trouble))) => Err(self.unheard(asked, key, &trouble)),
            (Err(error), None) => Err(self.unasked(key, &error)),
            (Ok(_), None) => {
                let reason = "an answer that nobody sent".to_owned();
                Err(Failure::last(StoreError::Failed { location: location(), reason }))
            }
        }
    }

    /// What helps where somebody else answered in the service's stead. A service that has answered before is behind a proxy
    /// that has trouble for a moment; one that nobody has met is not there, and whoever has just named it waits to be told.
    fn after_a_stranger(&self, asked: Asked) -> Then {
        let just_named = self.first_deadline < Duration::MAX;
        // A write on a condition may have been done behind the stranger, and would then meet itself.
        match asked == Asked::WriteIf || just_named && !self.met.load(Ordering::Relaxed) {
            true => Then::Stop,
            false => Then::Again(Fault::Cut),
        }
    }

    /// What a refusal means.
    fn refused(&self, service: &Service, asked: Asked, key: &Key, answer: &Answer) -> Failure {
        let location = self.location(key);
        let meaning = service.dialect.meaning(answer);
        if !matches!(meaning, Meaning::Foreign(_) | Meaning::Barred(_)) {
            self.meet();
        }
        if meaning == Meaning::Absent && asked != Asked::Head {
            self.prove();
        }
        let unsaid = meaning == Meaning::Unsaid;
        let (error, then) = match meaning {
            Meaning::Absent => (StoreError::NotFound { location }, Then::Stop),
            Meaning::NoBucket => {
                let reason = "there is no such bucket: check its name, and the endpoint".to_owned();
                (StoreError::Failed { location, reason }, Then::Stop)
            }
            Meaning::Denied(denial, reason) => {
                let then = if service.dialect.renews(answer, denial) { Then::Renew } else { Then::Stop };
                (StoreError::Forbidden { location, denial, code: answer.code.as_deref().map(Box::from), reason }, then)
            }
            Meaning::Elsewhere(region) => {
                let place = region.as_deref().unwrap_or("another region");
                let reason =
                    format!("the bucket is in {place}, not where it was asked for: set --region and --endpoint");
                (StoreError::Failed { location, reason }, Then::Elsewhere(region))
            }
            Meaning::Busy(reason) => {
                // A service that broke down may have written before; one that is too busy has not begun.
                let may_be_done = asked == Asked::WriteIf && answer.status >= 500 && answer.status != 503;
                let again = Then::Again(Fault::Busy(answer.retry_after()));
                (StoreError::Unavailable { location, reason }, if may_be_done { Then::Stop } else { again })
            }
            Meaning::Changed => (StoreError::Changed { location }, Then::Stop),
            Meaning::Exists => (StoreError::Exists { location }, Then::Stop),
            Meaning::PastEnd => (StoreError::Range { location, start: 0, end: 0 }, Then::Stop),
            Meaning::Unsaid => {
                let reason = answer.status_line();
                (StoreError::Forbidden { location, denial: Denial::Other, code: None, reason }, Then::Stop)
            }
            Meaning::Foreign(reason) => (StoreError::Garbled { location, reason }, self.after_a_stranger(asked)),
            Meaning::Barred(reason) => (StoreError::Unreachable { location, reason }, Then::Stop),
            Meaning::Unable(reason) | Meaning::Failed(reason) => (StoreError::Failed { location, reason }, Then::Stop),
        };
        Failure { error, then, unsaid, gained: false }
    }

    fn unheard(&self, asked: Asked, key: &Key, trouble: &Trouble) -> Failure {
        let then = match trouble.kind {
            TroubleKind::Connect => Then::Again(Fault::Unreachable),
            TroubleKind::Stranger | TroubleKind::Unmeasured => Then::Stop,
            // Whether it was done is not known, and done twice it would fail of itself.
            TroubleKind::Late(_) | TroubleKind::Cut if asked == Asked::WriteIf => Then::Stop,
            TroubleKind::Late(given_up) => Then::Again(given_up.fault()),
            TroubleKind::Cut => Then::Again(Fault::Cut),
        };
        Failure { error: trouble.at(&self.bucket, key), then, unsaid: false, gained: false }
    }

    /// Nothing was sent, as there is nobody to send it as.
    fn unasked(&self, key: &Key, error: &object_store::Error) -> Failure {
        let location = self.location(key);
        if let Some(fault) = credentials::Fault::within(error) {
            let error = fault.clone().at(location);
            // A place that has credentials may be away for a moment like any other.
            let then = if error.is_transient() { Then::Again(Fault::Unreachable) } else { Then::Stop };
            return Failure { error, then, unsaid: false, gained: false };
        }
        Failure::last(match error {
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
                StoreError::Unsupported { what: location.to_string(), reason: error.to_string() }
            }
            _ => StoreError::Forbidden { location, denial: Denial::Credentials, code: None, reason: told(error) },
        })
    }
}

/// The sentence in an error of `object_store`: ours, where one of ours caused it.
pub fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let ours = causes(error).find_map(|cause| cause.downcast_ref::<Told>());
    ours.map_or_else(|| innermost(error), |told| told.0.clone())
}
