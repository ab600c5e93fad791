//! A server that answers what a test says and remembers what it was asked: for what a real one can't be made to do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a header; the name is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

type Answer = dyn Fn(&Asked) -> (u16, String) + Send + Sync;

/// A running stand-in. It answers until the test's process ends.
pub struct StandIn {
    /// Base address, as `http://127.0.0.1:40123`.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (asked, answer): (_, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let remembered = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (remembered, answer) = (Arc::clone(&remembered), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &remembered, &*answer));
            }
        });
        Ok(Self { url, asked })
    }

    /// What it was asked until now at a path.
    #[must_use]
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().map(|asked| asked.clone()).unwrap_or_default();
        asked.into_iter().filter(|asked| asked.path == path).collect()
    }
}

/// Answers one request and closes.
fn serve(stream: &TcpStream, remembered: &Mutex<Vec<Asked>>, answer: &Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { path, headers, body: Vec::new() };
    let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    let (status, body) = answer(&asked);
    remembered.lock().ok()?.push(asked);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).ok()
}
