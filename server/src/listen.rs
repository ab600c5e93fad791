//! Takes connections and hands their requests to the router: HTTP/1.1 and HTTP/2, plain or under TLS, with the limits that
//! keep a stranger from holding one for ever.
//!
//! Apart because `axum::serve` sets no time-out on the head of a request, no bound on connections and knows no TLS. How long
//! a connection may be silent is judged in `watch.rs`; what every request gets (an id, a line in the log) is in `trace.rs`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::config::HttpSettings;
use crate::shed::Shed;
use crate::tls::Acceptor;
use crate::trace::Tracer;
use crate::watch::{Activity, Patience, Verdict, Watched};

/// The address at the other end of a request's connection; an extension of every request.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No address in a log.
        f.write_str("Peer(…)")
    }
}

/// How long to wait after a connection could not be taken (too many open files, say) before the next.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long an idle connection gets to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// Bytes of a head, and of what is read ahead of a body, per connection of HTTP/1. A pixel's target has up to 20,000.
const HTTP1_BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// Bytes of all headers of a request of HTTP/2.
const HTTP2_HEADERS_BYTES_MAX: u32 = 64 * 1024;
/// Requests at once on one connection of HTTP/2.
const HTTP2_STREAMS_MAX: u32 = 128;
/// Bytes of bodies that may be on their way on one stream and on one connection of HTTP/2 before they are read.
const HTTP2_STREAM_BYTES_MAX: u32 = 256 * 1024;
const HTTP2_CONNECTION_BYTES_MAX: u32 = 1024 * 1024;
/// Connections at once, whatever is configured: what a semaphore can count.
const CONNECTIONS_MAX: u32 = u32::MAX >> 3;

/// What every connection needs.
struct Shared {
    http: Builder<TokioExecutor>,
    patience: Patience,
    tracer: Arc<Tracer>,
    shed: Option<Arc<Shed>>,
    router: Router,
}

/// Serves until `told` says so, then lets running requests end.
pub async fn listen(
    listener: TcpListener,
    tls: Option<Acceptor>,
    (router, shed): (Router, Option<Shed>),
    settings: HttpSettings,
    mut told: watch::Receiver<bool>,
) {
    let places_all = u32::try_from(settings.connections_max).unwrap_or(CONNECTIONS_MAX).min(CONNECTIONS_MAX);
    let places = Arc::new(Semaphore::new(usize::try_from(places_all).unwrap_or(1)));
    let shared = Arc::new(Shared {
        http: builder(),
        patience: Patience {
            head: Duration::from_millis(settings.header_ms_max),
            idle: Duration::from_millis(settings.idle_ms_max),
        },
        tracer: Arc::new(Tracer::new(Duration::from_millis(settings.request_ms_max))),
        shed: shed.map(Arc::new),
        router,
    });
    loop {
        // A place before a connection: what finds none waits in the system's queue.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = told.wait_for(|told| *told) => break,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        // Small answers leave at once.
        let _ = stream.set_nodelay(true);
        let (shared, told) = (Arc::clone(&shared), told.clone());
        let acceptor = tls.as_ref().map(|tls| tls.borrow().clone());
        tokio::spawn(async move {
            let activity = Arc::new(Activity::default());
            let peer = Peer(peer.ip());
            match acceptor {
                None => serve(&shared, stream, peer, activity, told).await,
                Some(acceptor) => {
                    // The time that the handshake takes is taken from the first head's.
                    if let Ok(Ok(stream)) = tokio::time::timeout(shared.patience.head, acceptor.accept(stream)).await {
                        serve(&shared, stream, peer, activity, told).await;
                    }
                }
            }
            drop(place);
        });
    }
    drop(listener);
    // All places are free when all connections have ended.
    let _ = places.acquire_many(places_all).await;
}

fn builder() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HTTP2_HEADERS_BYTES_MAX)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .initial_stream_window_size(HTTP2_STREAM_BYTES_MAX)
        .initial_connection_window_size(HTTP2_CONNECTION_BYTES_MAX);
    http
}

/// Serves one connection until it ends, is idle or too slow, or the server stops.
async fn serve<S>(shared: &Shared, stream: S, peer: Peer, activity: Arc<Activity>, mut told: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let inner = TowerToHyperService::new(shared.router.clone());
    let (begun, tracer) = (Arc::clone(&activity), Arc::clone(&shared.tracer));
    let shed = shared.shed.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let running = begun.begin(request.version() == hyper::Version::HTTP_2);
        let note = tracer.note(&request);
        let away = shed.as_ref().and_then(|shed| Some((Arc::clone(shed), shed.turns_away(&request)?)));
        let way = match away {
            Some((shed, form)) => Err((shed, form, request)),
            None => {
                request.extensions_mut().insert(peer);
                Ok(inner.call(request))
            }
        };
        async move {
            let answer = match way {
                Ok(answer) => note.answer(answer).await,
                Err((shed, form, request)) => Ok(note.sign(shed.answer(form, request).await).await),
            };
            drop(running);
            answer
        }
    });
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let mut connection = std::pin::pin!(shared.http.serve_connection(stream, service));
    let (mut written, mut look_after) = (0, shared.patience.head);
    let (mut is_leaving, mut is_ending) = (false, false);
    loop {
        tokio::select! {
            // An error is the peer's: it hung up, or was not speaking HTTP.
            _ = connection.as_mut() => return,
            _ = told.wait_for(|told| *told), if !is_leaving => {
                is_leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(look_after) => match activity.judge(shared.patience, &mut written) {
                Verdict::Go(after) => look_after = after,
                Verdict::Cut => return,
                // It was asked to end and has not.
                Verdict::Idle if is_ending => return,
                Verdict::Idle => {
                    (is_ending, look_after) = (true, GOODBYE);
                    connection.as_mut().graceful_shutdown();
                }
            },
        }
    }
}
