//! `cargo xtask tidy`: the rules of the house that a machine can check.
//!
//! Each broken rule is one line, `file:line rule`. The rules themselves live in the modules below, as functions from
//! text to findings, so that tests can show them bad examples; here the tree is walked. It is also a test of this crate.

pub(crate) mod imports;
mod prose;
mod purity;
mod rust;
mod scan;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::fingerprint::files_below;
use crate::process::{output, program};
use crate::work::Work;

/// A file of more lines is better split.
const FILE_LINES_SOFT: usize = 400;
/// A file of more lines fails.
const FILE_LINES_MAX: usize = 800;
/// The files that an event can be followed through must be readable in one sitting.
const SPINE_LINES_MAX: usize = 150;
/// See DESIGN: the walk of one event.
const SPINE: [&str; 8] = [
    "npm/sdk/src/index.ts",
    "sdk-wasm/src/lib.rs",
    "edge-worker/src/lib.rs",
    "server/src/ingest.rs",
    "server/src/process.rs",
    "server/src/query.rs",
    "charts/src/lib.rs",
    "npm/charts/src/index.ts",
];
/// Folders that hold nothing written by hand.
const SKIPPED: [&str; 8] = [".git", "artifacts", "build", "corpus", "dist", "node_modules", "results", "target"];
/// What a reader and a build rely on; without lock files a build is a matter of luck.
const NEEDED_FILES: [&str; 7] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "package-lock.json",
    "tests/package-lock.json",
];
/// Longer titles are cut in lists of commits.
const COMMIT_TITLE_CHARS_MAX: usize = 72;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// What is wrong, as a sentence without a full stop.
    pub(crate) rule: String,
}

impl Finding {
    /// A finding at a line.
    pub(crate) fn new(line: usize, rule: impl Into<String>) -> Self {
        Self { line, rule: rule.into() }
    }
}

/// What a walk of the tree found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Broken rules: `file:line rule`.
    pub(crate) failures: Vec<String>,
    /// What is worth a look but breaks nothing.
    pub(crate) warnings: Vec<String>,
    file_lines: Vec<usize>,
    test_lines: usize,
}

impl Report {
    fn add(&mut self, file: &str, findings: Vec<Finding>) {
        self.failures.extend(findings.into_iter().map(|found| format!("{file}:{} {}", found.line, found.rule)));
    }

    /// The numbers of the tree in one line.
    fn numbers(&self) -> String {
        let lines: usize = self.file_lines.iter().sum();
        let share = (self.test_lines * 100).checked_div(lines).unwrap_or(0);
        format!("{} Rust files, {lines} lines, {share} % of them tests", self.file_lines.len())
    }
}

/// `cargo xtask tidy`
pub(crate) fn command(work: &Work) -> Result<bool> {
    let report = failures(work)?;
    for line in &report.failures {
        println!("{line}");
    }
    for line in &report.warnings {
        println!("warning: {line}");
    }
    println!("{}", report.numbers());
    println!("tidy: {} broken rules", report.failures.len());
    Ok(report.failures.is_empty())
}

/// Walks the tree and checks everything.
pub(crate) fn failures(work: &Work) -> Result<Report> {
    let mut report = Report::default();
    let metadata = imports::Metadata::read(work)?;
    report.failures.extend(metadata.broken_rules());
    for name in NEEDED_FILES {
        if !work.root.join(name).is_file() {
            report.failures.push(format!("{name}:1 the file is missing"));
        }
    }
    // Outside a repository there is no commit to judge.
    let title = output(program("git", &work.root).args(["log", "-1", "--format=%s"])).unwrap_or_default();
    report.failures.extend(commit_title(&title));
    if let Ok(lock) = fs::read_to_string(work.root.join("Cargo.lock")) {
        report.add("Cargo.lock", imports::bindgen_pins(&lock));
    }
    for path in files_below(&work.root, &SKIPPED)? {
        let name = work.show(&path);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => rust_file(&mut report, &name, &read(&path)?, is_test_file(&path)),
            Some("ts" | "js" | "mjs") => script_file(&mut report, &name, &read(&path)?),
            Some("md") => report.add(&name, prose::check(&name, &read(&path)?)),
            _ => {}
        }
    }
    report.failures.extend(ninth_tenth(&mut report.file_lines));
    Ok(report)
}

/// The last commit's title fits into a list.
fn commit_title(title: &str) -> Option<String> {
    let chars = title.chars().count();
    (chars > COMMIT_TITLE_CHARS_MAX)
        .then(|| format!("commit:1 the title has {chars} characters; it has at most {COMMIT_TITLE_CHARS_MAX}"))
}

/// Nine of ten Rust files keep the soft limit.
fn ninth_tenth(file_lines: &mut [usize]) -> Option<String> {
    file_lines.sort_unstable();
    let lines = *file_lines.get(file_lines.len() * 9 / 10)?;
    (lines > FILE_LINES_SOFT).then(|| {
        format!("Cargo.toml:1 one in ten Rust files has {lines} lines or more; at most {FILE_LINES_SOFT} are fine")
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn rust_file(report: &mut Report, name: &str, text: &str, is_test: bool) {
    let code = scan::code_only(text);
    let kept = scan::without_tests(&code);
    let lines = text.lines().count();
    report.file_lines.push(lines);
    report.test_lines += if is_test { lines } else { scan::lines_removed(&code, &kept) };
    length(report, name, lines);
    report.add(name, rust::module_doc(text));
    report.add(name, rust::function_lengths(&code));
    if purity::is_pure(name) && !is_test {
        report.add(name, purity::check(&kept));
    }
}

fn script_file(report: &mut Report, name: &str, text: &str) {
    length(report, name, text.lines().count());
    if !has_header(text) {
        report.add(name, vec![Finding::new(1, "the file does not open with a comment that says what it decides")]);
    }
}

/// The first line, after an interpreter line, is a comment.
fn has_header(text: &str) -> bool {
    let first = text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
    first.is_none_or(|line| line.starts_with("//") || line.starts_with("/*"))
}

fn length(report: &mut Report, name: &str, lines: usize) {
    if SPINE.contains(&name) && lines > SPINE_LINES_MAX {
        let rule = format!("{lines} lines; a spine file has at most {SPINE_LINES_MAX}");
        report.add(name, vec![Finding::new(lines, rule)]);
    }
    if lines > FILE_LINES_MAX {
        report.add(name, vec![Finding::new(lines, format!("{lines} lines; a file has at most {FILE_LINES_MAX}"))]);
    } else if lines > FILE_LINES_SOFT {
        report.warnings.push(format!("{name} has {lines} lines; more than {FILE_LINES_SOFT} are better split"));
    }
}

/// Whether a Rust file is only compiled for tests, benches and examples.
fn is_test_file(path: &Path) -> bool {
    let in_folder = path
        .components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches" | "examples" | "fuzz_targets")));
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    in_folder || name == "tests" || name.ends_with("_tests")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Report, commit_title, failures, has_header, is_test_file, length, ninth_tenth};
    use crate::work::Work;

    #[test]
    fn the_tree_is_tidy() {
        let report = failures(&Work::find().unwrap()).unwrap();
        assert!(report.failures.is_empty(), "\n{}", report.failures.join("\n"));
    }

    #[test]
    fn long_files_fail_and_longish_ones_warn() {
        for (name, lines, failed, warned) in [
            ("a/src/b.rs", 400, 0, 0),
            ("a/src/b.rs", 401, 0, 1),
            ("a/src/b.rs", 801, 1, 0),
            ("server/src/ingest.rs", 151, 1, 0),
        ] {
            let mut report = Report::default();
            length(&mut report, name, lines);
            assert_eq!((report.failures.len(), report.warnings.len()), (failed, warned), "{name} {lines}");
        }
    }

    #[test]
    fn nine_of_ten_files_keep_the_soft_limit() {
        assert_eq!(ninth_tenth(&mut [800, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), None);
        assert!(ninth_tenth(&mut [401, 500, 1, 1, 1, 1, 1, 1, 1, 1]).is_some());
    }

    #[test]
    fn a_commit_s_title_fits_into_a_list() {
        assert_eq!(commit_title(&"x".repeat(72)), None);
        assert!(commit_title(&"x".repeat(73)).is_some());
    }

    #[test]
    fn scripts_need_a_header() {
        for (text, good) in [
            ("// Draws.\nlet a;\n", true),
            ("/** Draws. */\n", true),
            ("#!/usr/bin/env node\n// Draws.\n", true),
            ("import x from 'y';\n// Draws.\n", false),
        ] {
            assert_eq!(has_header(text), good, "{text}");
        }
    }

    #[test]
    fn test_files_are_known_by_name_and_folder() {
        for (path, is_test) in
            [("queue/tests/faults.rs", true), ("queue/src/tests.rs", true), ("queue/src/log.rs", false)]
        {
            assert_eq!(is_test_file(Path::new(path)), is_test, "{path}");
        }
    }
}
