//! A proxy that stands before any HTTP/1.1 server and does what networks and services do: delay, slow down, fail, cut, stall, lie
//! about lengths, answer with HTML, be away.
//!
//! `faults` counts which request suffers what, `connection` does it, `head` reads and writes heads of messages, and `control` is the
//! test's way in. The listener is here.

pub mod connection;
mod control;
pub mod faults;
mod head;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::faults::{Faults, Settings};
use crate::ledger::Ledger;

/// All that the connections of a proxy share.
#[derive(Debug)]
pub struct State {
    settings: Mutex<Settings>,
    faults: Mutex<Faults>,
    ledger: Mutex<Ledger>,
    connections: AtomicU64,
    /// When the next byte may leave, all connections together.
    due: Mutex<Instant>,
    /// Until when nobody is served.
    away: watch::Sender<Option<Instant>>,
}

/// A lock whose holder panicked still guards what it guards: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// A proxy that begins so.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Mutex::new(settings),
            faults: Mutex::default(),
            ledger: Mutex::default(),
            connections: AtomicU64::new(0),
            due: Mutex::new(Instant::now()),
            away: watch::Sender::new(None),
        }
    }

    /// What it does.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    /// What it has done.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// What passed through it.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Ends every connection, and refuses new ones for so long.
    pub fn leave(&self, time: Duration) {
        self.away.send_replace(Some(Instant::now() + time));
    }

    /// When so many bytes may leave, all connections together.
    fn paced(&self, bytes: usize, mbps: u64) -> Instant {
        let mut all = lock(&self.due);
        *all = after(*all, bytes, mbps);
        *all
    }
}

/// Time that a stream may make up for after it was late. Timers end at whole milliseconds, and late by some more where a
/// machine is busy: without this every piece would lose that, and a limited stream would stay far below its limit.
const MADE_UP: Duration = Duration::from_millis(10);

/// When so many bytes have left at a rate in megabytes a second, where those before had at `due`.
fn after(due: Instant, bytes: usize, mbps: u64) -> Instant {
    let lasts = Duration::from_nanos((bytes as u64 * 1000).checked_div(mbps).unwrap_or(0));
    due.max(Instant::now() - MADE_UP) + lasts
}

/// Serves until the process ends, at an address that stays the same while the proxy is away.
///
/// # Errors
/// Where the address cannot be taken again.
pub async fn serve(
    mut listener: TcpListener,
    upstream: String,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut away = state.away.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => accept(connection, upstream.clone(), tls.clone(), state.clone()),
                // Too many open files, most likely: some are closed soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            _ = away.changed() => {
                let until = *away.borrow_and_update();
                if let Some(until) = until {
                    drop(listener);
                    tokio::time::sleep_until(until.into()).await;
                    listener = bind_again(address).await?;
                }
            }
        }
    }
}

/// Takes an address again that this process has just given up; another may have it for a moment.
async fn bind_again(address: SocketAddr) -> io::Result<TcpListener> {
    for _ in 0..100 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return Ok(listener);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    TcpListener::bind(address).await
}

/// Serves one connection in a task of its own, until it ends or the proxy leaves.
fn accept(connection: TcpStream, upstream: String, tls: Option<TlsAcceptor>, state: Arc<State>) {
    state.connections.fetch_add(1, Ordering::Relaxed);
    let _ = connection.set_nodelay(true);
    let mut away = state.away.subscribe();
    tokio::spawn(async move {
        let served = async {
            match tls {
                Some(tls) => connection::serve(tls.accept(connection).await?, &upstream, &state).await,
                None => connection::serve(connection, &upstream, &state).await,
            }
        };
        // Whatever ends a connection is its client's to notice.
        tokio::select! { _ = served => {} _ = away.changed() => {} }
    });
}
