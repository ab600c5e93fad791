//! Reads bodies of requests within bounds of size, time and memory.
//!
//! Apart because a stranger decides how long a body is and how slowly it comes; nothing here knows what it holds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::http::{Version, header};
use http_body_util::BodyExt;
use protocol::{ErrorCode, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::Server;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than allowed.
    TooLarge,
    /// It did not arrive in time, or the sender hung up.
    Broken,
    /// Other bodies take all the memory there is for them.
    NoRoom,
}

/// Bodies beyond their limit are read on up to this many bytes, so that the sender sees the refusal and not a broken
/// connection.
const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that are set aside for a body that says it is so long, when it begins to arrive.
const DECLARED_BYTES_MAX: usize = 32 * 1024;

/// A body and the room in memory that it takes, which is given back when it is dropped.
#[derive(Debug, Default)]
pub struct Received {
    /// The body.
    pub bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

/// Bytes of one permit of [`Server::bodies`].
const ROOM_BYTES: usize = 16 * 1024;

/// How many times larger events are unpacked, at the most usually. What becomes even larger is counted when it is there.
const USUAL_RATIO: usize = 16;

/// Permits for bodies of so many bytes together.
#[must_use]
pub fn room_for_bodies(bytes: usize) -> Semaphore {
    Semaphore::new((bytes / ROOM_BYTES).clamp(1, Semaphore::MAX_PERMITS))
}

/// Reads a body of at most `bytes_max` within the configured time, as long as all bodies together find room in memory.
///
/// # Errors
/// When it is larger, late or broken off, or there is no room.
pub async fn read_body(body: Body, bytes_max: usize, server: &Server) -> Result<Received, BodyError> {
    let reading = async {
        let (mut body, mut received) = (body, Received::default());
        let declared = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
        let pause_max = Duration::from_millis(server.config.http.body_pause_ms_max);
        while let Some(frame) = tokio::time::timeout(pause_max, body.frame()).await.map_err(|_| BodyError::Broken)? {
            let Ok(frame) = frame else { return Err(BodyError::Broken) };
            let Some(data) = frame.data_ref() else { continue };
            if received.bytes.len() + data.len() > bytes_max {
                drop(received);
                discard(body).await;
                return Err(BodyError::TooLarge);
            }
            if received.take_room(server, data.len()).is_none() {
                drop(received);
                discard(body).await;
                return Err(BodyError::NoRoom);
            }
            if received.bytes.is_empty() {
                // Once rather than by doubling; not for who has sent nothing yet, and not all that somebody declares.
                received.bytes.reserve_exact(declared.min(DECLARED_BYTES_MAX).max(data.len()));
            }
            received.bytes.extend_from_slice(data);
        }
        Ok(received)
    };
    let limit = Duration::from_millis(server.config.http.body_ms_max);
    tokio::time::timeout(limit, reading).await.unwrap_or(Err(BodyError::Broken))
}

impl Received {
    /// Takes room for what the body becomes beside itself, as far as it has none yet.
    ///
    /// # Errors
    /// When all bodies together leave no room.
    pub fn reserve(&mut self, server: &Server, more: usize) -> Result<(), BodyError> {
        self.take_room(server, more).ok_or(BodyError::NoRoom)
    }

    /// As [`Received::reserve`], for a compressed body that is about to be unpacked to `bytes_max` at most.
    ///
    /// # Errors
    /// As [`Received::reserve`].
    pub fn reserve_unpacked(&mut self, server: &Server, parts: &Parts, bytes_max: usize) -> Result<(), BodyError> {
        let encoding = parts.headers.get(header::CONTENT_ENCODING);
        if encoding.is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Ok(());
        }
        self.reserve(server, self.bytes.len().saturating_mul(USUAL_RATIO).min(bytes_max))
    }

    /// Takes room for `more` bytes; none when there is none.
    fn take_room(&mut self, server: &Server, more: usize) -> Option<()> {
        let needed = (self.bytes.len() + more).div_ceil(ROOM_BYTES);
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(needed.saturating_sub(held)).ok()?;
        let taken = Arc::clone(&server.bodies).try_acquire_many_owned(missing).ok()?;
        match &mut self.room {
            Some(room) => room.merge(taken),
            None => self.room = Some(taken),
        }
        Some(())
    }
}

/// How long the rest of a body is thrown away for; after that the connection may break.
const DISCARD_MAX: Duration = Duration::from_secs(5);

/// Reads the body of a request that is refused unread and throws it away, so that a sender who is still writing gets the
/// reply and not a broken connection. Bounded in bytes and time.
pub async fn discard(body: Body) {
    discard_up_to(body, DRAIN_BYTES_MAX).await;
}

/// Whether the sender of a request that is refused unread waits for `100 Continue` and has sent no body. Over HTTP/2 a body
/// that is not read resets the stream, and with it the answer, so there it is always read.
#[must_use]
pub fn is_unsent(parts: &Parts) -> bool {
    parts.version < Version::HTTP_2 && parts.headers.contains_key(header::EXPECT)
}

/// Bytes of a body that are thrown away of one who is sent away because there is too much to do; a longer one is not worth
/// its reading, and its connection breaks.
const SENT_AWAY_BYTES_MAX: usize = 256 * 1024;

/// As [`discard`], for who is sent away under overload.
pub async fn discard_little(body: impl hyper::body::Body) {
    discard_up_to(body, SENT_AWAY_BYTES_MAX).await;
}

async fn discard_up_to(body: impl hyper::body::Body, bytes_max: usize) {
    let reading = async {
        let (mut frames, mut left) = (std::pin::pin!(body), bytes_max);
        while let Some(Ok(frame)) = frames.frame().await {
            let bytes = frame.data_ref().map_or(0, hyper::body::Buf::remaining);
            let Some(rest) = left.checked_sub(bytes) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(DISCARD_MAX, reading).await;
}

impl BodyError {
    /// What the caller is told.
    #[must_use]
    pub fn refusal(self, bytes_max: usize) -> Refusal {
        match self {
            Self::TooLarge => Refusal::new(
                ErrorCode::EventTooLarge,
                format!("the body is larger than the limit of {bytes_max} bytes"),
            ),
            Self::Broken => Refusal::new(ErrorCode::RequestTimeout, "the body did not arrive whole in time"),
            Self::NoRoom => Refusal::new(ErrorCode::Unavailable, "too many bodies are on their way"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    #[test]
    fn only_before_http_2_is_a_body_left_unread() {
        for (version, expects, unsent) in [
            (Version::HTTP_10, true, true),
            (Version::HTTP_11, true, true),
            (Version::HTTP_11, false, false),
            (Version::HTTP_2, true, false),
            (Version::HTTP_2, false, false),
        ] {
            let mut request = Request::builder().version(version);
            if expects {
                request = request.header(header::EXPECT, "100-continue");
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_unsent(&parts), unsent, "{version:?}");
        }
    }
}
