//! Starts the built `rivulet` binary on a folder of its own and talks to it over real HTTP.
//!
//! It must be a process of its own: what survives `kill -9` can't be shown from inside.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// How long a server may take to listen, recovery of its log included.
const START_MAX: Duration = Duration::from_secs(60);

/// A folder under the system's temporary one, removed at the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one; `name` helps to recognise it.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("rivulet-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // RIVULET_KEEP=1 leaves it for a look at what a failed test left behind.
        if std::env::var_os("RIVULET_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A project and its keys, as `rivulet project create --json` prints them.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's id.
    pub id: String,
    /// Opens everything.
    pub master_key: String,
    /// Asks.
    pub read_key: String,
    /// Appends.
    pub write_key: String,
}

/// The `rivulet` binary under test: `RIVULET_BIN`, or the one cargo built beside this test.
///
/// # Errors
/// When there is none; the message says how to build it.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("RIVULET_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let built = test.ancestors().nth(2).map(|dir| dir.join("rivulet")).filter(|path| path.is_file());
    built.context("there is no rivulet binary: run `cargo build -p server`, or set RIVULET_BIN")
}

/// Makes a project in `data` through the command line.
///
/// # Errors
/// When the command fails.
pub fn create_project(data: &Path) -> anyhow::Result<Project> {
    let output = Command::new(binary()?).args(["project", "create", "test", "--json", "--data"]).arg(data).output()?;
    ensure!(output.status.success(), "project create: {}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout)?;
    let field = |name: &str| made.get(name).and_then(Value::as_str).map(str::to_owned).context(name.to_owned());
    Ok(Project {
        id: field("project_id")?,
        master_key: field("master_key")?,
        read_key: field("read_key")?,
        write_key: field("write_key")?,
    })
}

/// A running server. Dropping it kills the process as `kill -9` does.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Base address, as `http://127.0.0.1:40123`.
    pub url: String,
}

impl Server {
    /// Starts a server on `data` and a free port, and waits until it listens. `variables` are settings
    /// (`RIVULET_QUERY_…`).
    ///
    /// # Errors
    /// When it ends, or does not listen in time; its last words are in the message.
    pub fn start(data: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let errors = data.join("stderr.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&errors)?;
        // Only the settings of this test: the suite sets variables for others (RIVULET_WEB).
        let settings = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("RIVULET_"));
        let mut command = Command::new(binary()?);
        for name in settings {
            command.env_remove(name);
        }
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        // The first line says where it listens; when the process ends instead, there is none.
        BufReader::new(stdout).read_line(&mut line)?;
        let Some((_, url)) = line.trim().split_once("listens on ") else {
            let _ = child.wait();
            let words = std::fs::read_to_string(&errors).unwrap_or_default();
            let last: Vec<_> = words.lines().rev().take(5).collect();
            bail!("the server did not start: {last:?}");
        };
        let server = Self { child, url: url.to_owned() };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < START_MAX {
            if ureq::get(format!("{}/ready", self.url)).call().is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server is not ready after {} s", START_MAX.as_secs())
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would end its memory: `SIGKILL`, no warning.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP client that hands over every status.
#[must_use]
pub fn client() -> ureq::Agent {
    let timeout = Some(Duration::from_secs(60));
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(timeout).build().into()
}

/// Posts JSON text and gives status and body.
///
/// # Errors
/// When there is no complete answer.
pub fn post(client: &ureq::Agent, url: &str, key: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut response = client.post(url).header("Authorization", key).content_type("application/json").send(body)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok((status, body))
}

/// Asks a query and gives its `result`.
///
/// # Errors
/// When the answer is not a 200.
pub fn ask(
    client: &ureq::Agent,
    server: &Server,
    project: &Project,
    analysis: &str,
    params: &Value,
) -> anyhow::Result<Value> {
    let url = format!("{}/3.0/projects/{}/queries/{analysis}", server.url, project.id);
    let (status, body) = post(client, &url, &project.read_key, params.to_string().as_bytes())?;
    ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
    let mut answer: Value = serde_json::from_slice(&body)?;
    Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())
}
