//! Configuration: one TOML file, `RIVULET_…` variables over it, flags over both.
//!
//! It is read once, by `main`, and handed down as values. Defaults run on a laptop without a file. A name that is not
//! known is an error, so that a misspelt setting can't be ignored. `docs/reference/configuration.md` lists every
//! field.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use protocol::limits::{Limits, QueryLimits};
use serde::Deserialize;

use crate::caller::Network;
use crate::gate::GateSettings;
use crate::limits::RateSettings;
use crate::tls::TlsSettings;

/// Begins the name of every variable that changes a setting.
const VARIABLE_PREFIX: &str = "RIVULET_";

/// Everything `rivulet serve` can be told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the log, the segments and the metadata. Made when missing.
    pub data: PathBuf,
    /// Address and port. Change it to listen beyond this machine.
    pub listen: SocketAddr,
    /// What this process does.
    pub roles: Vec<Role>,
    /// Folder of static files served beside the API; none by default.
    pub web: Option<PathBuf>,
    /// The log.
    pub queue: queue::Options,
    /// The columns.
    pub store: store::Options,
    /// What one request may hold.
    pub limits: Limits,
    /// What one query may cost.
    pub query: QuerySettings,
    /// How long requests may take.
    pub http: HttpSettings,
    /// Certificate and key; plain HTTP without.
    pub tls: TlsSettings,
    /// What one key and one address may send.
    pub rates: RateSettings,
    /// How many writes are under way at once.
    pub gate: GateSettings,
    /// Where places of addresses are looked up.
    pub places: PlaceSettings,
    /// What the edge needs to hand batches over.
    pub edge: EdgeSettings,
    /// How keys are kept.
    pub keys: KeySettings,
}

/// What a process does. All of them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes events and puts them in the log.
    Collect,
    /// Turns the log into columns.
    Process,
    /// Answers queries.
    Query,
}

/// Limits and sharing of queries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySettings {
    /// Queries that run at once; further ones wait. Never on the threads that take events.
    pub running_max: usize,
    /// Queries that wait; one more is answered 503 with `Retry-After`.
    pub waiting_max: usize,
    /// What one query may cost.
    pub limits: QueryLimits,
}

/// How long a request may take and how many there may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Milliseconds for a whole body to arrive.
    pub body_ms_max: u64,
    /// Milliseconds in which a body must go on arriving.
    pub body_pause_ms_max: u64,
    /// Milliseconds for the head of a request to arrive; the connection is closed then. TLS's handshake is limited alike.
    pub header_ms_max: u64,
    /// Milliseconds for a whole request, from its head to its answer; 503 then. Longer than a query may run.
    pub request_ms_max: u64,
    /// Milliseconds that a connection may be idle between requests. Longer than the proxy in front keeps one.
    pub idle_ms_max: u64,
    /// Connections at once; further ones wait to be taken.
    pub connections_max: usize,
    /// Bytes of all bodies together that are in memory; one more is answered 503.
    pub bodies_bytes_max: usize,
    /// Milliseconds that running requests get when the server is told to stop.
    pub drain_ms: u64,
    /// Networks of proxies whose `X-Forwarded-For` is believed (`["10.0.0.0/8"]`). Empty: the peer is the caller.
    pub trusted_proxies: Vec<Network>,
}

/// Where places of addresses are looked up.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceSettings {
    /// File of the MaxMind DB form with cities, such as GeoLite2 City; it is read into memory. None: no place is known.
    pub database: Option<PathBuf>,
}

/// The signed route that a Cloudflare worker appends through.
#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeSettings {
    /// Secrets of which one must have signed an append; two while one is being replaced. Empty: the route is closed. A
    /// text or a list of texts.
    #[serde(deserialize_with = "secrets")]
    pub append_secrets: Vec<String>,
}

/// Under which secret keys are sealed, so that they can be shown again.
#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct KeySettings {
    /// File of the secret: 64 hex digits, readable by its owner only, made when missing; none: `sealing.key` in the data
    /// folder. Keep it out of backups of that folder.
    pub secret_file: Option<PathBuf>,
    /// The secret itself, for who gives it by `RIVULET_KEYS_SECRET`; the file is not looked at then.
    pub secret: Option<String>,
}

impl std::fmt::Debug for KeySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = if self.secret.is_some() { "given" } else { "in the file" };
        write!(f, "KeySettings {{ secret_file: {:?}, secret: {secret} }}", self.secret_file)
    }
}

/// Reads secrets without ever repeating one in an error.
fn secrets<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let wrong = || serde::de::Error::custom("append_secrets is a text or a list of texts");
    match toml::Value::deserialize(deserializer).map_err(|_| wrong())? {
        toml::Value::String(one) => Ok(vec![one]),
        toml::Value::Array(several) => {
            several.into_iter().map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}

impl std::fmt::Debug for EdgeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EdgeSettings {{ append_secrets: {} of them }}", self.append_secrets.len())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            roles: vec![Role::Collect, Role::Process, Role::Query],
            web: None,
            queue: queue::Options::default(),
            store: store::Options::default(),
            limits: Limits::default(),
            query: QuerySettings::default(),
            http: HttpSettings::default(),
            tls: TlsSettings::default(),
            rates: RateSettings::default(),
            gate: GateSettings::default(),
            places: PlaceSettings::default(),
            edge: EdgeSettings::default(),
            keys: KeySettings::default(),
        }
    }
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self { running_max: 2, waiting_max: 64, limits: QueryLimits::default() }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_ms_max: 30_000,
            body_pause_ms_max: 10_000,
            header_ms_max: 10_000,
            request_ms_max: 360_000,
            idle_ms_max: 75_000,
            connections_max: 10_000,
            bodies_bytes_max: 48 * 1024 * 1024,
            drain_ms: 10_000,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Config {
    /// Reads `file`, if one is named, and lays the variables over it.
    ///
    /// `RIVULET_LISTEN` sets `listen`; `RIVULET_QUEUE_LINGER_MS` sets `linger_ms` of `[queue]`. Values are read as
    /// TOML, and as plain text where that fails.
    ///
    /// # Errors
    /// When the file can't be read, or a name or value is not allowed; the message says which.
    pub fn read(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut table = match file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("can't read the configuration {}", file.display()))?
                .parse::<toml::Table>()
                .with_context(|| format!("{} is not TOML", file.display()))?,
            None => toml::Table::new(),
        };
        for (name, value) in variables {
            if let Some(path) = name.strip_prefix(VARIABLE_PREFIX) {
                set(&mut table, &path.to_lowercase(), &value);
            }
        }
        let config: Self = table.try_into().map_err(|error: toml::de::Error| {
            // Its own words run over several lines.
            anyhow::anyhow!("the configuration is not valid: {}", error.to_string().trim().replace('\n', ", "))
        })?;
        Ok(config)
    }

    /// Refuses values with which a server could not work, rather than let them show later.
    ///
    /// # Errors
    /// With the setting and what it must be.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.roles.is_empty(), "roles is empty: name at least one of collect, process, query");
        anyhow::ensure!(self.http.connections_max > 0, "http.connections_max is 0: no request could come in");
        anyhow::ensure!(self.query.running_max > 0, "query.running_max is 0: at least one query must be able to run");
        self.tls.files()?;
        anyhow::ensure!(
            self.http.request_ms_max > self.query.limits.run_ms_max,
            "http.request_ms_max is {}: it must be longer than query.limits.run_ms_max, {}",
            self.http.request_ms_max,
            self.query.limits.run_ms_max
        );
        anyhow::ensure!(self.gate.writes_max > 0, "gate.writes_max is 0: no event could come in");
        anyhow::ensure!(self.rates.burst_s > 0, "rates.burst_s is 0: no event could come in");
        if let Some(web) = &self.web {
            anyhow::ensure!(web.is_dir(), "web: there is no folder {}", web.display());
        }
        let body_bytes_max = self.limits.body_bytes_max.max(self.limits.batch_bytes_max);
        let needed = body_bytes_max.saturating_add(self.limits.events_max.saturating_mul(RECORD_EVENT_BYTES));
        anyhow::ensure!(
            u64::try_from(needed).is_ok_and(|needed| needed <= self.queue.record_bytes_max),
            "queue.record_bytes_max is {}, but a body at its limit needs {needed} bytes in the log: raise it, or lower \
             limits.body_bytes_max or limits.events_max",
            self.queue.record_bytes_max
        );
        Ok(())
    }
}

/// Bytes that an event takes in a record beside its properties, at most: id, time and the collection's name.
const RECORD_EVENT_BYTES: usize = 500;

/// Sections whose fields a variable can name, the longest first.
const SECTIONS: &[&[&str]] = &[
    &["query", "limits"],
    &["queue"],
    &["store"],
    &["limits"],
    &["query"],
    &["http"],
    &["tls"],
    &["rates"],
    &["gate"],
    &["places"],
    &["edge"],
    &["keys"],
];
/// Fields outside every section. Other variables with our prefix (keys for the command line, paths for tests) are not
/// settings and are left alone.
const FIELDS: &[&str] = &["data", "listen", "roles", "web"];

/// Sets the field that `name` (lower case, without prefix) means.
fn set(table: &mut toml::Table, name: &str, value: &str) {
    let mut path: Vec<&str> = Vec::new();
    for section in SECTIONS {
        if let Some(field) = name.strip_prefix(&section.join("_")).and_then(|rest| rest.strip_prefix('_')) {
            path.extend(*section);
            path.push(field);
            break;
        }
    }
    if path.is_empty() && FIELDS.contains(&name) {
        path.push(name);
    }
    let Some((field, sections)) = path.split_last() else { return };
    let mut at = table;
    for section in sections {
        let next = at.entry(*section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let toml::Value::Table(next) = next else { return };
        at = next;
    }
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut parsed| parsed.remove("v"));
    at.insert((*field).to_owned(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::read(None, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn variables_set_fields_of_sections() {
        let config = read(&[
            ("RIVULET_LISTEN", "127.0.0.1:9"),
            ("RIVULET_QUERY_RUNNING_MAX", "7"),
            ("RIVULET_QUERY_LIMITS_GROUPS_MAX", "8"),
            ("RIVULET_LIMITS_DEPTH_MAX", "9"),
            ("RIVULET_EDGE_APPEND_SECRETS", "[\"a\", \"b\"]"),
            ("RIVULET_WRITE_KEY", "not a setting"),
            ("HOME", "/"),
        ])
        .unwrap();
        assert_eq!(config.listen.port(), 9);
        assert_eq!(config.query.running_max, 7);
        assert_eq!(config.query.limits.groups_max, 8);
        assert_eq!(config.limits.depth_max, 9);
        assert_eq!(config.edge.append_secrets, ["a", "b"]);
    }

    #[test]
    fn a_name_that_is_not_known_is_an_error_that_says_so() {
        let error = read(&[("RIVULET_QUERY_RUNNING", "7")]).unwrap_err();
        assert!(format!("{error:#}").contains("running"), "{error:#}");
    }

    #[test]
    fn values_that_could_not_work_are_refused_by_name() {
        Config::default().check().unwrap();
        for (name, value, said) in [
            ("RIVULET_ROLES", "[]", "roles"),
            ("RIVULET_QUERY_RUNNING_MAX", "0", "running_max"),
            ("RIVULET_WEB", "/nowhere/at/all", "web"),
            ("RIVULET_QUEUE_RECORD_BYTES_MAX", "1000", "record_bytes_max"),
        ] {
            let error = read(&[(name, value)]).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = read(&[("RIVULET_EDGE_APPEND_SECRETS", "[\"hush-hush\"]")]).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        let config = read(&[("RIVULET_KEYS_SECRET", "hush-hush")]).unwrap();
        assert_eq!(config.keys.secret.as_deref(), Some("hush-hush"));
        assert!(!format!("{config:?}").contains("hush"));
        assert_eq!(read(&[("RIVULET_EDGE_APPEND_SECRETS", "hush-hush")]).unwrap().edge.append_secrets, ["hush-hush"]);
        let error = read(&[("RIVULET_EDGE_APPEND_SECRETS", "1234321")]).unwrap_err();
        assert!(!format!("{error:#}").contains("1234321"), "{error:#}");
    }

    #[test]
    fn the_documented_sample_is_valid_and_shows_the_defaults() {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/rivulet.toml");
        let config = Config::read(Some(Path::new(sample)), std::iter::empty()).unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
        // A setting that is not in the sample has its default, too.
        let text = std::fs::read_to_string(sample).unwrap();
        let shown = format!("{config:?}");
        let names = shown.split([' ', '{', '}', '(', ')', ',']).filter_map(|word| word.strip_suffix(':'));
        for name in names.filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')) {
            assert!(text.contains(name), "{name} is not in the sample");
        }
        for section in text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']')) {
            let path: Vec<_> = section.split('.').collect();
            assert!(SECTIONS.contains(&path.as_slice()), "no variable can name a field of [{section}]");
        }
    }
}
