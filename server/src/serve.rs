//! Starts the parts in order, serves until told to stop, and stops them in the reverse order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use protocol::Offset;
use queue::Log;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::balance;
use crate::body::room_for_bodies;
use crate::caller::Callers;
use crate::config::{Config, Role};
use crate::door::Door;
use crate::http::{Server, now};
use crate::ledger::{Ledger, Saved};
use crate::listen::listen;
use crate::logs::open_log;
use crate::metadata::Metadata;
use crate::process::Process;
use crate::quarantine::Quarantine;
use crate::routes::router;
use crate::shed::Shed;
use crate::telemetry::Telemetry;

/// How often it is looked whether a part has failed.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// A server that listens. Dropping it does not stop it; [`Running::stop`] does.
pub struct Running {
    /// Where it listens; the port is the real one when 0 was asked for.
    pub address: std::net::SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    stopping: Arc<AtomicBool>,
    shutdown: tokio::sync::watch::Sender<bool>,
    server: Arc<Server>,
    serving: tokio::task::JoinHandle<()>,
    log: Arc<Log>,
    processing: Option<std::thread::JoinHandle<anyhow::Result<()>>>,
    drain: Duration,
}

/// Opens everything in the data folder and starts to listen.
///
/// # Errors
/// When a part can't be opened or the address is taken; nothing is left running then.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    config.check()?;
    let append_secrets = append_secrets(&config)?;
    // Before anything is made, because a taken port is the most likely mistake.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}: choose another with --listen", config.listen))?;
    let tls = config.tls.start()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let data = config.data.clone();
    std::fs::create_dir_all(&data).with_context(|| format!("can't make the data folder {}", data.display()))?;
    let address = listener.local_addr().context("the listener has no address")?;
    let metadata = Metadata::open_with(&data, &config.keys)?;
    let callers = Callers::open(&config)?;
    let telemetry = Arc::new(Telemetry::default());
    let has = |role: Role| config.roles.contains(&role);
    let store = if has(Role::Process) || has(Role::Query) {
        let dir = data.join("store");
        let store = store::Store::open(&dir, config.store.clone()).context("can't open the store")?;
        tracing::info!(dir = %dir.display(), recovery = ?store.recovery(), "store open");
        Some(Arc::new(store))
    } else {
        None
    };
    let saved = Saved::read(&data)?;
    let floor = store.as_ref().map_or(Offset(0), |store| store.committed()).max(saved.counted());
    let log = Arc::new(open_log(&data.join("log"), &config.queue, floor)?);

    let known = store.as_deref().map(balance::known).unwrap_or_default();
    let (ledger, place) = Ledger::open(&data, &log, saved, known)?;
    let ledger = Arc::new(ledger);

    let quarantine = has(Role::Process).then(|| Quarantine::open(&data, &config.queue)).transpose()?.map(Arc::new);

    let stopping = Arc::new(AtomicBool::new(false));
    let processing = match (&store, &quarantine) {
        (Some(store), Some(quarantine)) => {
            let parts = (Arc::clone(&log), Arc::clone(store), Arc::clone(quarantine), Arc::clone(&telemetry));
            let process = Process::open(parts, (Arc::clone(&ledger), place), &config)?;
            Some(spawn_processing(process, Arc::clone(&stopping))?)
        }
        _ => None,
    };
    let (shutdown, told) = tokio::sync::watch::channel(false);
    let drain = Duration::from_millis(config.http.drain_ms);
    let server = Arc::new(Server {
        queries: Arc::new(Semaphore::new(config.query.running_max)),
        queries_waiting: AtomicUsize::new(0),
        door: Door::new(&config),
        bodies: Arc::new(room_for_bodies(config.http.bodies_bytes_max)),
        log: has(Role::Collect).then(|| Arc::clone(&log)),
        ledger,
        quarantine,
        replaying: tokio::sync::Mutex::default(),
        deleting: Arc::default(),
        store: has(Role::Query).then_some(store).flatten(),
        append_secrets,
        metadata,
        callers,
        telemetry,
        config,
    });
    let settings = server.config.http.clone();
    let parts = (router(Arc::clone(&server)), Some(Shed::new(Arc::clone(&server))));
    let serving = tokio::spawn(listen(listener, tls, parts, settings, told));
    tracing::info!(%address, scheme, "listening");
    Ok(Running { scheme, address, stopping, shutdown, server, serving, log, processing, drain })
}

fn append_secrets(config: &Config) -> anyhow::Result<Vec<collector::append::Secret>> {
    let parsed = config.edge.append_secrets.iter().map(|text| text.parse());
    parsed.collect::<Result<_, _>>().context("edge.append_secrets")
}

fn spawn_processing(
    process: Process,
    stopping: Arc<AtomicBool>,
) -> anyhow::Result<std::thread::JoinHandle<anyhow::Result<()>>> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("process".to_owned())
        .spawn(move || {
            let ended = process.run(&stopping, &runtime);
            if let Err(error) = &ended {
                tracing::error!(
                    error = format!("{error:#}"),
                    "processing stopped; the log keeps what was acknowledged"
                );
            }
            ended
        })
        .context("can't start the processing thread")
}

impl Running {
    /// Waits until a part has ended that can't be mended while running: the processing thread, or the log after a failed
    /// sync. The process must end then, to be started again from the log.
    async fn broken(&self) {
        loop {
            let has_ended = self.processing.as_ref().is_some_and(std::thread::JoinHandle::is_finished);
            let (log, server) = (Arc::clone(&self.log), Arc::clone(&self.server));
            let failure = tokio::task::spawn_blocking(move || {
                // Events or not: the first call of a day destroys the salt of the day before.
                let _ = server.metadata.salt(now());
                log.state().failure
            });
            let failure = failure.await.ok().flatten();
            if let Some(reason) = &failure {
                tracing::error!(%reason, "the log has failed");
            }
            if has_ended || failure.is_some() {
                return;
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    /// Stops to listen, lets running requests end within the configured time, and makes rows durable.
    ///
    /// # Errors
    /// When the last flush failed; the log still holds those events.
    pub async fn stop(self) -> anyhow::Result<()> {
        let _ = self.shutdown.send(true);
        let abort = self.serving.abort_handle();
        if tokio::time::timeout(self.drain, self.serving).await.is_err() {
            tracing::warn!("requests were still running after {} ms", self.drain.as_millis());
            abort.abort();
        }
        self.stopping.store(true, Ordering::Relaxed);
        match self.processing {
            Some(thread) => tokio::task::spawn_blocking(move || thread.join())
                .await
                .context("the processing thread can't be joined")?
                .map_err(|_| anyhow::anyhow!("the processing thread ended abnormally"))?,
            None => Ok(()),
        }
    }
}

/// Serves until interrupted (`SIGINT`, `SIGTERM`).
///
/// # Errors
/// As [`start`] and [`Running::stop`].
pub async fn serve(config: Config) -> anyhow::Result<()> {
    crate::trace::hide_panics();
    let running = start(config).await?;
    println!("rivulet listens on {}://{}", running.scheme, running.address);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("can't listen for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("can't listen for SIGINT")?,
        _ = terminate.recv() => {}
        () = running.broken() => {
            running.stop().await?;
            anyhow::bail!("a part has failed that only a restart can mend; the log of this program says which");
        }
    }
    tracing::info!("stopping");
    running.stop().await
}
