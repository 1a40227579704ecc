//! One connection of a client: requests one after the other, each passed on, with what its fault does to it.
//!
//! Whom it talks to is the server behind the proxy, over a connection of its own that is made anew where that server has closed it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::faults::{Fault, Settings};
use super::head::{Framing, Head, LONGEST, end_of};
use super::{State, control};
use crate::clock;
use crate::ledger::{Entry, Ticket};

/// Read from a connection at a time: a quarter of the chunks that most is read of, so that the proxy is seldom what limits.
const PIECE: usize = 256 << 10;

/// What a client may be connected through: a socket, or TLS on one.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection and the bytes read from it ahead of need.
struct Wire<S> {
    stream: S,
    ahead: BytesMut,
}

impl<S: Stream> Wire<S> {
    fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new() }
    }

    /// The next head; none where the other side has ended the connection.
    async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = end_of(&self.ahead) {
                let head = Head::parse(&self.ahead[..end]);
                let _ = self.ahead.split_to(end);
                return Ok(Some(head));
            }
            if self.ahead.len() > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "a head without end"));
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        // Room that the pieces before have left is taken again.
        self.ahead.reserve(PIECE);
        self.stream.read_buf(&mut self.ahead).await
    }

    /// Some of the next bytes, `most` at most; none at the end.
    async fn piece(&mut self, most: u64) -> io::Result<Bytes> {
        if self.ahead.is_empty() {
            self.more().await?;
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.ahead.len());
        Ok(self.ahead.split_to(length).freeze())
    }

    /// A chunked body up to its end, as it came.
    async fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let line_end = loop {
                if let Some(at) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                    break at;
                }
                if self.more().await? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            };
            let line = String::from_utf8_lossy(&self.ahead[..line_end]).into_owned();
            let length = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            whole.extend(self.ahead.split_to(line_end + 2));
            let mut left = length as u64 + 2;
            while left > 0 {
                let piece = self.piece(left).await?;
                if piece.is_empty() {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                left -= piece.len() as u64;
                whole.extend(piece);
            }
            if length == 0 {
                return Ok(whole);
            }
        }
    }

    /// A whole body, as it came.
    async fn body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        let mut left = match framing {
            Framing::Chunked => return self.chunked().await,
            Framing::Length(length) => length,
            Framing::Close => u64::MAX,
        };
        let mut whole = Vec::new();
        while left > 0 {
            let piece = self.piece(left).await?;
            if piece.is_empty() {
                return if framing == Framing::Close { Ok(whole) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
            left -= piece.len() as u64;
            whole.extend(piece);
        }
        Ok(whole)
    }
}

/// Serves a client until either side ends it, or a fault does.
pub async fn serve(client: impl Stream, upstream: &str, state: &State) -> io::Result<()> {
    let mut client = Wire::new(client);
    let mut server: Option<Wire<TcpStream>> = None;
    while let Some(mut request) = client.head().await? {
        if request.get("expect").is_some() {
            client.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            request.remove("expect");
        }
        let body = client.body(request.request_framing()).await?;
        if control::is_control(request.word(1)) {
            client.stream.write_all(&control::answer(&request, &body, state)).await?;
            continue;
        }
        let settings = state.settings().clone();
        let ticket = state.ledger().arrive(noted(&request));
        if settings.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(settings.delay_ms)).await;
        }
        let fault = state.faults().of_request(&settings);
        if let Some(instead) = fault.and_then(|fault| instead(fault, &settings)) {
            state.ledger().answer(ticket, instead.0, instead.1.len() as u64);
            client.stream.write_all(&instead.1).await?;
            continue;
        }
        let answered = passed_on(&request, &body, upstream, &mut server).await;
        let Ok((answer, framing)) = answered else {
            state.ledger().answer(ticket, 502, 0);
            client.stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await?;
            continue;
        };
        // `passed_on` has left a connection wherever it gives an answer.
        let Some(behind) = server.as_mut() else { return Ok(()) };
        let closes = answer.closes() || framing == Framing::Close;
        let whole = hand_over(ticket, (answer, framing), &settings, behind, &mut client, state).await?;
        if !whole || closes {
            client.stream.shutdown().await?;
            return Ok(());
        }
    }
    Ok(())
}

/// What the ledger keeps of a request: a LIST is what has a query of one.
fn noted(request: &Head) -> Entry {
    let target = request.word(1);
    let lists = ["list-type=", "prefix=", "delimiter="].iter().any(|word| target.contains(word));
    let mut entry = Entry::new(if lists { "LIST" } else { request.word(0) }, "", target);
    entry.range = request.get("range").map(str::to_owned);
    entry
}

/// Sends a request to the server behind and reads the head of its answer.
async fn passed_on(
    request: &Head,
    body: &[u8],
    upstream: &str,
    server: &mut Option<Wire<TcpStream>>,
) -> io::Result<(Head, Framing)> {
    // A connection kept from before may have been closed meanwhile; a fresh one gets the request then.
    for kept in [true, false] {
        let mut wire = match (kept, server.take()) {
            (true, Some(wire)) => wire,
            (true, None) => continue,
            (false, _) => {
                let stream = TcpStream::connect(upstream).await?;
                stream.set_nodelay(true)?;
                Wire::new(stream)
            }
        };
        let sent = async {
            wire.stream.write_all(&request.to_bytes()).await?;
            wire.stream.write_all(body).await
        };
        if sent.await.is_err() {
            continue;
        }
        if let Ok(Some(answer)) = wire.head().await {
            let framing = answer.answer_framing(request.word(0));
            *server = Some(wire);
            return Ok((answer, framing));
        }
    }
    Err(ErrorKind::ConnectionReset.into())
}

/// Gives an answer to the client with what its fault does to it; whether it is whole.
async fn hand_over(
    ticket: Ticket,
    (mut answer, framing): (Head, Framing),
    settings: &Settings,
    server: &mut Wire<TcpStream>,
    client: &mut Wire<impl Stream>,
    state: &State,
) -> io::Result<bool> {
    if settings.date_ahead != 0 {
        answer.set("date", clock::http(clock::moved(SystemTime::now(), settings.date_ahead)));
    }
    let Framing::Length(length) = framing else {
        state.ledger().answer(ticket, answer.status(), 0);
        let body = server.body(framing).await?;
        client.stream.write_all(&answer.to_bytes()).await?;
        client.stream.write_all(&body).await?;
        return Ok(true);
    };
    // Of one byte there is no half.
    let fault = if length > 1 { state.faults().of_body(settings) } else { None };
    let sent = match fault {
        Some(Fault::Cut) if settings.cut_after > 0 => settings.cut_after.min(length - 1),
        Some(Fault::Cut | Fault::Short) => length / 2,
        _ => length,
    };
    // Of a body that is cut, what leaves.
    state.ledger().answer(ticket, answer.status(), sent);
    if fault == Some(Fault::Short) {
        answer.set("content-length", sent.to_string());
    }
    client.stream.write_all(&answer.to_bytes()).await?;
    let (mut done, mut stalled) = (0, fault != Some(Fault::Stall));
    let mut due = Instant::now();
    while done < length {
        let piece = server.piece((length - done).min(PIECE as u64)).await?;
        if piece.is_empty() {
            return Ok(false);
        }
        let allowed = usize::try_from(sent.saturating_sub(done)).unwrap_or(usize::MAX).min(piece.len());
        done += piece.len() as u64;
        let mut now = &piece[..allowed];
        if !stalled && done >= length / 2 {
            stalled = true;
            let (first, second) = now.split_at(now.len() / 2);
            client.stream.write_all(first).await?;
            client.stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(settings.stall_ms)).await;
            now = second;
        }
        if settings.mbps_per_connection > 0 {
            due = super::after(due, piece.len(), settings.mbps_per_connection);
        }
        let mut at = due;
        if settings.mbps_total > 0 {
            at = at.max(state.paced(piece.len(), settings.mbps_total));
        }
        // A timer takes a millisecond even where its time is past.
        if at > Instant::now() {
            tokio::time::sleep_until(at.into()).await;
        }
        client.stream.write_all(now).await?;
    }
    client.stream.flush().await?;
    Ok(fault != Some(Fault::Cut))
}

/// Status and bytes of what a client gets instead of an answer.
fn instead(fault: Fault, settings: &Settings) -> Option<(u16, Vec<u8>)> {
    let (status, kind, body) = match fault {
        Fault::Fail => {
            let code = match settings.fail_status {
                401 => "Unauthorized",
                403 => "AccessDenied",
                404 => "NoSuchKey",
                429 => "TooManyRequests",
                500 => "InternalError",
                _ => "SlowDown",
            };
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
            (settings.fail_status, "application/xml", body)
        }
        Fault::Html => {
            let page = "<!DOCTYPE html><html><body><h1>Sign in to this network</h1></body></html>".to_owned();
            (settings.html_status, "text/html; charset=utf-8", page)
        }
        _ => return None,
    };
    let length = body.len();
    let mut head = format!("HTTP/1.1 {status} Injected\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
    if fault == Fault::Fail && settings.retry_after > 0 {
        head.push_str(&format!("Retry-After: {}\r\n", settings.retry_after));
    }
    Some((status, format!("{head}\r\n{body}").into_bytes()))
}
