//! TLS by configuration: a certificate and its key from two PEM files, read again when they change.
//!
//! Apart because it alone knows rustls. A renewed certificate is taken without a restart; one that can't be read leaves the
//! old one in use and says so. Connections that are open keep what they began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where certificate and key are; both or none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The certificate and those that lead to its root, PEM.
    pub cert_file: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub key_file: Option<PathBuf>,
}

/// How often the files are looked at, beside at `SIGHUP`.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What takes TLS connections, as the files say now.
pub type Acceptor = watch::Receiver<TlsAcceptor>;

impl TlsSettings {
    /// The two files, or none for plain HTTP.
    ///
    /// # Errors
    /// When only one is named.
    pub fn files(&self) -> anyhow::Result<Option<(&Path, &Path)>> {
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            _ => anyhow::bail!("tls.cert_file and tls.key_file are set together or not at all"),
        }
    }

    /// Reads the files and goes on reading them when they change; none without TLS. The task ends with the last receiver.
    ///
    /// # Errors
    /// When they can't be read or don't belong together.
    pub fn start(&self) -> anyhow::Result<Option<Acceptor>> {
        let Some((cert, key)) = self.files()? else { return Ok(None) };
        let (cert, key) = (cert.to_owned(), key.to_owned());
        let seen = changed_at(&cert, &key);
        let (sender, receiver) = watch::channel(acceptor(&cert, &key)?);
        tokio::spawn(reload(cert, key, seen, sender));
        Ok(Some(receiver))
    }
}

async fn reload(cert: PathBuf, key: PathBuf, mut seen: [Option<SystemTime>; 2], sender: watch::Sender<TlsAcceptor>) {
    let Ok(mut hangups) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else { return };
    loop {
        let told = tokio::select! {
            () = sender.closed() => return,
            _ = hangups.recv() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let (cert, key) = (cert.clone(), key.clone());
        let read = tokio::task::spawn_blocking(move || {
            let now = changed_at(&cert, &key);
            (told || now != seen).then(|| (now, acceptor(&cert, &key)))
        });
        match read.await {
            Ok(Some((now, Ok(acceptor)))) => {
                seen = now;
                tracing::info!("the certificate was read again");
                let _ = sender.send(acceptor);
            }
            // Half written, perhaps: the next look tries again.
            Ok(Some((_, Err(error)))) => {
                tracing::error!(error = format!("{error:#}"), "the new certificate can't be used; the old one stays");
            }
            Ok(None) | Err(_) => {}
        }
    }
}

fn changed_at(cert: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [cert, key].map(|file| std::fs::metadata(file).and_then(|found| found.modified()).ok())
}

fn acceptor(cert: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let certs = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.cert_file: can't read {}", cert.display()))?;
    anyhow::ensure!(!certs.is_empty(), "tls.cert_file: there is no certificate in {}", cert.display());
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("tls.key_file: there is no private key to read in {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("tls")?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .context("tls: certificate and key don't belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    /// Self-signed, for `localhost`, valid for a hundred years; made by `openssl req -x509` for these tests only.
    const PEMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");

    fn files(name: &str) -> TlsSettings {
        let file = |end: &str| Some(PathBuf::from(format!("{PEMS}/{name}.{end}.pem")));
        TlsSettings { cert_file: file("cert"), key_file: file("key") }
    }

    async fn connect(
        address: std::net::SocketAddr,
        trusted: &str,
        protocol: &[u8],
    ) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_file_iter(format!("{PEMS}/{trusted}.cert.pem")).unwrap() {
            roots.add(cert.unwrap()).unwrap();
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = tokio::net::TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    #[tokio::test]
    async fn both_protocols_are_spoken_under_tls_and_a_new_certificate_is_taken() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let get =
            axum::routing::get(|request: axum::extract::Request| async move { format!("{:?}", request.version()) });
        let router = axum::Router::new().route("/", get);
        let (stop, told) = watch::channel(false);
        let acceptor_of = |name: &str| {
            let settings = files(name);
            acceptor(&settings.cert_file.unwrap(), &settings.key_file.unwrap()).unwrap()
        };
        let (change, tls) = watch::channel(acceptor_of("one"));
        let settings = crate::config::HttpSettings::default();
        let listening = tokio::spawn(crate::listen::listen(listener, Some(tls), (router, None), settings, told));

        for (protocol, version) in [(&b"h2"[..], "HTTP/2.0"), (b"http/1.1", "HTTP/1.1")] {
            let stream = connect(address, "one", protocol).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
            let request =
                hyper::Request::get("https://localhost/").header("host", "localhost").body(Empty::<&[u8]>::new());
            let answer = if version == "HTTP/2.0" {
                let shake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
                let (mut sender, connection) = shake.await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request.unwrap()).await.unwrap()
            } else {
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request.unwrap()).await.unwrap()
            };
            assert!(answer.headers().contains_key(crate::trace::REQUEST_ID));
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), version);
        }

        assert!(connect(address, "two", b"h2").await.is_err());
        change.send(acceptor_of("two")).unwrap();
        assert!(connect(address, "two", b"h2").await.is_ok());
        stop.send(true).unwrap();
        listening.await.unwrap();
    }

    #[tokio::test]
    async fn files_that_cannot_work_are_named() {
        let lone = TlsSettings { cert_file: files("one").cert_file, key_file: None };
        let mixed = TlsSettings { cert_file: files("one").cert_file, key_file: files("two").key_file };
        let missing = TlsSettings { cert_file: Some("/nowhere".into()), ..files("one") };
        let empty = TlsSettings { cert_file: files("one").key_file, ..files("one") };
        for (settings, said) in
            [(lone, "together"), (mixed, "belong together"), (missing, "/nowhere"), (empty, "there is no certificate")]
        {
            let error = format!("{:#}", settings.start().err().unwrap());
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
