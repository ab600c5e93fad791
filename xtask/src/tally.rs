//! Counts tests in the output of the programs that run them.
//!
//! Three forms are understood: libtest's `test result:` lines, the TAP summary of `node --test` (`# pass 3`), and our own
//! plain line `3 passed, 0 failed`. What counts as a test is the program's decision; here is only arithmetic.

/// How many tests passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that ran and did not.
    pub(crate) failed: u64,
    /// Tests that did not run.
    pub(crate) skipped: u64,
}

impl Tally {
    /// One check that either held or did not.
    pub(crate) fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), skipped: 0 }
    }

    /// Sums two tallies.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    /// Counts in a program's output. A program that failed without naming a failed test is one failure, one that
    /// succeeded without counting is one success.
    pub(crate) fn of_output(lines: &[String], ok: bool) -> Self {
        let sum = lines.iter().filter_map(|line| counts(line)).fold(Self::default(), Self::and);
        match sum {
            Self { failed: 0, .. } if !ok => sum.and(Self::one(false)),
            Self { passed: 0, failed: 0, skipped: 0 } => Self::one(true),
            _ => sum,
        }
    }

    /// `12 passed, 0 failed`, and the skipped ones where there are any.
    pub(crate) fn text(self) -> String {
        let mut text = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            text.push_str(&format!(", {} skipped", self.skipped));
        }
        text
    }
}

/// What one line counts, if it is a line that counts.
fn counts(line: &str) -> Option<Tally> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("test result:") {
        let (_, rest) = rest.split_once(". ")?;
        return by_words(rest, ';');
    }
    if let Some(rest) = line.strip_prefix("# ") {
        let (word, number) = rest.split_once(' ')?;
        let number: u64 = number.trim().parse().ok()?;
        return match word {
            "pass" => Some(Tally { passed: number, ..Tally::default() }),
            "fail" | "cancelled" => Some(Tally { failed: number, ..Tally::default() }),
            "skipped" | "todo" => Some(Tally { skipped: number, ..Tally::default() }),
            _ => None,
        };
    }
    if line.contains(" passed, ") && line.contains(" failed") {
        return by_words(line, ',');
    }
    None
}

/// `3 passed; 1 failed; 0 ignored; …`
fn by_words(text: &str, separator: char) -> Option<Tally> {
    let mut tally = Tally::default();
    let mut seen = false;
    for part in text.split(separator) {
        let Some((number, word)) = part.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match word.split(' ').next() {
            Some("passed") => (tally.passed, seen) = (number, true),
            Some("failed") => tally.failed = number,
            Some("ignored" | "skipped") => tally.skipped = number,
            _ => {}
        }
    }
    seen.then_some(tally)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[track_caller]
    fn check(output: &str, ok: bool, counts: [u64; 3]) {
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        let Tally { passed, failed, skipped } = Tally::of_output(&lines, ok);
        assert_eq!([passed, failed, skipped], counts, "{output}");
    }

    #[test]
    fn every_form_of_summary_is_counted() {
        check(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.1s",
            true,
            [12, 0, 1],
        );
        check("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured", false, [2, 1, 0]);
        check("TAP version 13\n# tests 4\n# pass 3\n# fail 1\n# skipped 0\n# duration_ms 12", false, [3, 1, 0]);
        check("ok - a click arrives\n5 passed, 0 failed", true, [5, 0, 0]);
        check("5 passed, 0 failed, 2 skipped", true, [5, 0, 2]);
    }

    #[test]
    fn several_programs_are_summed() {
        let line = "test result: ok. 2 passed; 0 failed; 0 ignored";
        check(&format!("{line}\n{line}\n{line}"), true, [6, 0, 0]);
    }

    #[test]
    fn a_program_that_breaks_is_a_failure_even_when_nothing_was_counted() {
        check("error: could not compile", false, [0, 1, 0]);
        check("test result: ok. 2 passed; 0 failed; 0 ignored\nsegmentation fault", false, [2, 1, 0]);
        check("all fine", true, [1, 0, 0]);
    }
}
