//! Watches one connection: when it may be idle no longer, and when it has taken too long with a head.
//!
//! Apart because the limits must hold alike for HTTP/1, HTTP/2 and what has not yet said what it speaks, and none of the
//! libraries has all of them. The judge is pure: it is told the time. [`Watched`] tells it what moves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that must leave between two looks for an answer to count as on its way; less is small talk of the protocol.
const MOVING_BYTES: u64 = 1024;

/// What happens on a connection, in milliseconds since it was taken; 0 means never.
#[derive(Debug)]
pub struct Activity {
    born: Instant,
    running: AtomicU32,
    /// When the last request ended.
    ended_ms: AtomicU64,
    /// When the head that is under way began.
    head_ms: AtomicU64,
    written: AtomicU64,
    is_known: AtomicBool,
    is_http2: AtomicBool,
}

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look again after this time.
    Go(Duration),
    /// It has been idle: end it when nothing is under way.
    Idle,
    /// No request came in time: cut it.
    Cut,
}

/// How long is too long.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a head, and for the first one from the connection's beginning, with TLS's handshake.
    pub head: Duration,
    /// Between requests.
    pub idle: Duration,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            running: AtomicU32::new(0),
            ended_ms: AtomicU64::new(0),
            head_ms: AtomicU64::new(0),
            written: AtomicU64::new(0),
            is_known: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
        }
    }
}

impl Activity {
    /// A request began; it runs until the guard is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>, is_http2: bool) -> Request {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.head_ms.store(0, Ordering::Relaxed);
        self.is_http2.store(is_http2, Ordering::Relaxed);
        self.is_known.store(true, Ordering::Relaxed);
        Request(Arc::clone(self))
    }

    /// Looks at the connection now; `written` is what the last look saw.
    pub fn judge(&self, patience: Patience, written: &mut u64) -> Verdict {
        self.judge_at(self.now_ms(), patience, written)
    }

    fn judge_at(&self, now_ms: u64, patience: Patience, written: &mut u64) -> Verdict {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let left = |since: u64, limit: Duration| ms(limit).saturating_sub(now_ms.saturating_sub(since));
        if !self.is_known.load(Ordering::Relaxed) {
            return match left(0, patience.head) {
                0 => Verdict::Cut,
                left => Verdict::Go(Duration::from_millis(left)),
            };
        }
        let total = self.written.load(Ordering::Relaxed);
        let moved = total.saturating_sub(std::mem::replace(written, total));
        if self.running.load(Ordering::Relaxed) > 0 || moved >= MOVING_BYTES {
            self.ended_ms.fetch_max(if moved >= MOVING_BYTES { now_ms } else { 0 }, Ordering::Relaxed);
            return Verdict::Go(patience.head.min(patience.idle));
        }
        let head = self.head_ms.load(Ordering::Relaxed);
        let head_left =
            if head == 0 || self.is_http2.load(Ordering::Relaxed) { u64::MAX } else { left(head, patience.head) };
        let idle_left = left(self.ended_ms.load(Ordering::Relaxed), patience.idle);
        match (head_left, idle_left) {
            (0, _) => Verdict::Cut,
            (_, 0) => Verdict::Idle,
            // A head may begin while this sleeps, so it looks again soon enough for one.
            (head, idle) => Verdict::Go(Duration::from_millis(head.min(idle)).min(patience.head)),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct Request(Arc<Activity>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.ended_ms.store(self.0.now_ms(), Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that tells what moves on it.
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    /// Watches `stream`.
    pub fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let activity = &self.activity;
        if buffer.filled().len() > before
            && activity.running.load(Ordering::Relaxed) == 0
            && activity.head_ms.load(Ordering::Relaxed) == 0
        {
            activity.head_ms.store(activity.now_ms(), Ordering::Relaxed);
        }
        read
    }
}

impl<S> Watched<S> {
    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.activity.written.fetch_add(u64::try_from(*bytes).unwrap_or_default(), Ordering::Relaxed);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(60) };

    fn go(s: u64) -> Verdict {
        Verdict::Go(Duration::from_secs(s))
    }

    #[test]
    fn a_connection_that_says_nothing_whole_is_cut() {
        let activity = Arc::new(Activity::default());
        let judge = |s: u64| activity.judge_at(s * 1_000, PATIENCE, &mut 0);
        assert_eq!((judge(4), judge(10)), (go(6), Verdict::Cut));
    }

    #[test]
    fn after_a_request_it_may_be_idle_but_not_dribble_a_head() {
        for (is_http2, head_s, now_s, expected) in [
            (false, None, 50, go(10)),
            (false, None, 61, Verdict::Idle),
            (false, Some(20), 25, go(5)),
            (false, Some(20), 30, Verdict::Cut),
            (true, Some(20), 30, go(10)),
            (true, Some(20), 61, Verdict::Idle),
        ] {
            let activity = Arc::new(Activity::default());
            drop(activity.begin(is_http2));
            activity.ended_ms.store(1, Ordering::Relaxed);
            activity.head_ms.store(head_s.unwrap_or(0) * 1_000, Ordering::Relaxed);
            assert_eq!(activity.judge_at(now_s * 1_000, PATIENCE, &mut 0), expected, "{head_s:?} {now_s}");
        }
    }

    #[test]
    fn what_runs_or_moves_is_not_idle() {
        let activity = Arc::new(Activity::default());
        let request = activity.begin(false);
        let mut seen = 0;
        assert_eq!(activity.judge_at(500_000, PATIENCE, &mut seen), go(10));
        drop(request);
        activity.ended_ms.store(1, Ordering::Relaxed);
        for (written, now_s, expected) in [(5_000, 600, go(10)), (5_010, 650, go(10)), (5_020, 661, Verdict::Idle)] {
            activity.written.store(written, Ordering::Relaxed);
            assert_eq!(activity.judge_at(now_s * 1_000, PATIENCE, &mut seen), expected, "{written} {now_s}");
        }
    }
}
