//! Who may import whom, checked against what cargo says of the workspace.
//!
//! A crate ends where a fact stops being known: only `store` knows arrow and ClickHouse, only `queue` knows Kafka, only
//! `edge-worker` knows `worker`. A new line in a table here is a design decision and its own commit, together with
//! `ARCHITECTURE.md`.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Finding;
use crate::process::{cargo, output};
use crate::work::Work;

/// Which of our crates each of our crates may import. Development dependencies are free, because tests may import
/// anything.
const OURS: [(&str, &[&str]); 14] = [
    ("protocol", &[]),
    ("collector", &["protocol"]),
    ("processor", &["protocol"]),
    ("query", &["protocol"]),
    ("queue", &["protocol"]),
    ("store", &["protocol", "query"]),
    ("charts", &["protocol"]),
    ("sdk-wasm", &["protocol"]),
    ("edge-worker", &["protocol", "collector"]),
    ("server", &["protocol", "collector", "queue", "processor", "store", "query", "charts"]),
    ("tests", ANY),
    ("fuzz", ANY),
    ("xtask", &[]),
    ("xtask-bindgen", &[]),
];
const ANY: &[&str] = &["*"];

/// Which of our crates may import a foreign crate that must be known in one place only. A name that ends in `*` stands
/// for all that begin like it.
const THEIRS: [(&str, &[&str]); 13] = [
    ("arrow*", &["store"]),
    ("parquet", &["store"]),
    ("datafusion*", &["store"]),
    ("clickhouse", &["store"]),
    ("rdkafka", &["queue"]),
    ("worker", &["edge-worker"]),
    ("plotters*", &["charts"]),
    ("web-sys", &["charts", "edge-worker", "sdk-wasm"]),
    ("gloo-*", &["charts", "sdk-wasm"]),
    ("axum", &["server"]),
    ("rusqlite", &["server"]),
    ("anyhow", &["server", "xtask", "xtask-bindgen"]),
    ("wasm-bindgen-cli-support", &["xtask-bindgen"]),
];

/// Crates without clock, randomness, I/O and async, and what they therefore never need.
const PURE: [&str; 4] = ["protocol", "collector", "processor", "query"];
const IMPURE: [&str; 10] =
    ["tokio", "futures", "rand", "getrandom", "fastrand", "hyper", "ureq", "reqwest", "mio", "async-trait"];

/// The packages of the workspace, as cargo describes them.
#[derive(Debug)]
pub(crate) struct Metadata {
    packages: Vec<Value>,
}

/// An integration test of some package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestTarget {
    /// The package it belongs to.
    pub(crate) package: String,
    /// The target's name, unique enough to be asked for by `--test`.
    pub(crate) name: String,
}

impl TestTarget {
    /// Whether it is a target of the package `tests` whose name begins with one of `names`.
    pub(crate) fn is_among(&self, names: &[&str]) -> bool {
        self.package == "tests" && names.iter().any(|name| self.name.starts_with(name))
    }
}

impl Metadata {
    /// Asks cargo, without resolving: only declared edges are wanted.
    pub(crate) fn read(work: &Work) -> Result<Self> {
        let text = output(cargo(&work.root).args(["metadata", "--no-deps", "--format-version", "1"]))
            .context("asking cargo for the workspace")?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("cargo metadata is not JSON")?;
        let packages = value.get("packages").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Self { packages })
    }

    /// One line per edge that the tables do not allow.
    pub(crate) fn broken_rules(&self) -> Vec<String> {
        let mut found = Vec::new();
        for package in &self.packages {
            let name = text(package, "name");
            let Some((_, allowed)) = OURS.iter().find(|(ours, _)| *ours == name) else {
                found.push(format!("Cargo.toml:1 the crate {name} has no line in the import table of xtask"));
                continue;
            };
            for dependency in list(package, "dependencies") {
                let to = text(dependency, "name");
                // Development dependencies are free: `kind` is "dev" there, "build" or null elsewhere.
                if text(dependency, "kind") == "dev" || *allowed == ANY {
                    continue;
                }
                if let Some(rule) = broken_edge(name, allowed, to) {
                    found.push(format!("{name}/Cargo.toml:1 {rule}"));
                }
            }
        }
        found
    }

    /// The integration tests of all packages.
    pub(crate) fn integration_tests(&self) -> Vec<TestTarget> {
        let targets = self.targets("test");
        targets.into_iter().map(|(package, name)| TestTarget { package, name }).collect()
    }

    /// The examples that measure: those whose name begins with `bench`.
    pub(crate) fn benches(&self) -> Vec<(String, String)> {
        self.targets("example").into_iter().filter(|(_, name)| name.starts_with("bench")).collect()
    }

    fn targets(&self, kind: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for package in &self.packages {
            for target in list(package, "targets") {
                if list(target, "kind").iter().any(|word| word.as_str() == Some(kind)) {
                    found.push((text(package, "name").to_owned(), text(target, "name").to_owned()));
                }
            }
        }
        found
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Why `from` must not import `to`.
fn broken_edge(from: &str, allowed: &[&str], to: &str) -> Option<String> {
    if OURS.iter().any(|(ours, _)| *ours == to) && !allowed.contains(&to) {
        return Some(format!("{from} must not import {to}"));
    }
    if PURE.contains(&from) && IMPURE.contains(&to) {
        return Some(format!("{from} is pure and must not import {to}"));
    }
    let matches = |pattern: &str| pattern.strip_suffix('*').map_or(pattern == to, |start| to.starts_with(start));
    let (_, owners) = THEIRS.iter().find(|(pattern, _)| matches(pattern))?;
    (!owners.contains(&from)).then(|| format!("only {} may import {to}", owners.join(" and ")))
}

/// The bindings generator must have exactly the version of the library inside the modules.
pub(super) fn bindgen_pins(lock: &str) -> Vec<Finding> {
    let versions = |name: &str| -> Vec<(usize, &str)> {
        let wanted = format!("name = \"{name}\"");
        let lines: Vec<&str> = lock.lines().collect();
        let pairs = lines.iter().zip(lines.iter().skip(1));
        (1..).zip(pairs).filter(|(_, (line, _))| **line == wanted).map(|(at, (_, version))| (at, *version)).collect()
    };
    let library = versions("wasm-bindgen");
    if let Some((line, _)) = library.get(1) {
        return vec![Finding::new(*line, "there is more than one version of wasm-bindgen")];
    }
    let Some((_, wanted)) = library.first() else { return Vec::new() };
    versions("wasm-bindgen-cli-support")
        .into_iter()
        .filter(|(_, version)| version != wanted)
        .map(|(line, _)| Finding::new(line, "wasm-bindgen-cli-support differs from wasm-bindgen"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Metadata, TestTarget, bindgen_pins};

    #[track_caller]
    fn check(package: &str, dependency: &str, kind: Option<&str>, rule: Option<&str>) {
        let text = json!({"packages": [{
            "name": package, "targets": [], "dependencies": [{"name": dependency, "kind": kind}],
        }]})
        .to_string();
        let found = Metadata::parse(&text).unwrap().broken_rules();
        assert_eq!(found.first().map(String::as_str), rule, "{package} -> {dependency}");
    }

    #[test]
    fn only_edges_of_the_table_are_allowed() {
        check("store", "query", None, None);
        check("query", "store", None, Some("query/Cargo.toml:1 query must not import store"));
        check("query", "store", Some("dev"), None);
        check("query", "store", Some("build"), Some("query/Cargo.toml:1 query must not import store"));
        check("xtask", "protocol", None, Some("xtask/Cargo.toml:1 xtask must not import protocol"));
        check("tests", "server", None, None);
    }

    #[test]
    fn what_one_crate_knows_no_other_may_import() {
        check("store", "arrow-schema", None, None);
        check("server", "arrow-schema", None, Some("server/Cargo.toml:1 only store may import arrow-schema"));
        check("collector", "tokio", None, Some("collector/Cargo.toml:1 collector is pure and must not import tokio"));
    }

    #[test]
    fn a_new_crate_needs_a_line_in_the_table() {
        check(
            "helpers",
            "serde",
            None,
            Some("Cargo.toml:1 the crate helpers has no line in the import table of xtask"),
        );
    }

    #[test]
    fn targets_are_found_by_kind() {
        let text = json!({"packages": [{"name": "tests", "dependencies": [], "targets": [
            {"name": "crash", "kind": ["test"]}, {"name": "bench_append", "kind": ["example"]},
            {"name": "tests", "kind": ["lib"]},
        ]}]});
        let metadata = Metadata::parse(&text.to_string()).unwrap();
        let crash = TestTarget { package: "tests".to_owned(), name: "crash".to_owned() };
        assert!(crash.is_among(&["crash"]));
        assert_eq!(metadata.integration_tests(), [crash]);
        assert_eq!(metadata.benches(), [("tests".to_owned(), "bench_append".to_owned())]);
    }

    #[test]
    fn the_bindings_generator_must_fit_the_library() {
        let lock = |library: &str, tool: &str| {
            format!(
                "name = \"wasm-bindgen\"\nversion = \"{library}\"\n\nname = \"wasm-bindgen-cli-support\"\nversion = \"{tool}\"\n"
            )
        };
        assert_eq!(bindgen_pins(&lock("0.2.130", "0.2.130")), []);
        assert_eq!(bindgen_pins(&lock("0.2.130", "0.2.131")).first().map(|found| found.line), Some(4));
    }
}
