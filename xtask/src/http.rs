//! Asks our own server for one page over plain HTTP, enough to see whether it is ready.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long one question may take. The server is on this machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The status of `GET path` on this machine's `port`, or `None` when nobody answers.
pub(crate) fn status(port: u16, path: &str) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head).ok()?;
    // `HTTP/1.1 200`
    std::str::from_utf8(&head).ok()?.get(9..12)?.parse().ok()
}

/// Whether somebody could listen on this machine's `port` now.
pub(crate) fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::{port_is_free, status};

    #[test]
    fn the_status_is_read_and_a_used_port_is_seen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0_u8; 64];
            let count = stream.read(&mut seen).unwrap();
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
            (String::from_utf8_lossy(&seen[..count]).starts_with("GET /ready HTTP/1.1"), listener)
        });
        assert_eq!(status(port, "/ready"), Some(503));
        let (asked_for_the_path, listener) = server.join().unwrap();
        assert!(asked_for_the_path);
        assert!(!port_is_free(port));
        drop(listener);
        assert_eq!(status(port, "/ready"), None);
    }
}
