//! Rules about our Markdown: one sentence per line, a short README that shows its first command early.

use super::Finding;

/// A README longer than this is a book.
const README_LINES_MAX: usize = 120;
/// Whoever opens the README must see what to type without scrolling.
const FIRST_COMMAND_LINE_MAX: usize = 20;
/// Short forms whose full stop ends no sentence.
const SHORT_FORMS: [&str; 5] = ["e.g.", "i.e.", "etc.", "vs.", "No."];

/// Checks one Markdown file.
pub(super) fn check(name: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut in_code = false;
    let mut first_command = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            first_command = first_command.or(Some(number));
        } else if !line.trim_start().starts_with('|') && has_two_sentences(line) {
            found.push(Finding::new(number, "two sentences in one line; Markdown has one sentence per line"));
        }
    }
    if name == "README.md" {
        let lines = text.lines().count();
        if lines > README_LINES_MAX {
            found.push(Finding::new(lines, format!("{lines} lines; the README has at most {README_LINES_MAX}")));
        }
        let at = first_command.unwrap_or(lines);
        if first_command.is_none_or(|line| line > FIRST_COMMAND_LINE_MAX) {
            let rule = format!("the README's first command stands by line {FIRST_COMMAND_LINE_MAX}");
            found.push(Finding::new(at, rule));
        }
    }
    found
}

/// A sentence ends and another begins with a capital.
fn has_two_sentences(line: &str) -> bool {
    let line = without_code(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    // The number of a list item ends no sentence.
    let skip = usize::from(words.first().is_some_and(|word| word.trim_end_matches('.').parse::<u32>().is_ok()));
    words.iter().skip(skip).zip(words.iter().skip(skip + 1)).any(|(word, next)| {
        let ends = word.ends_with(['.', '!', '?']) || word.ends_with(".)") || word.ends_with(".**");
        let begins = next.trim_start_matches(['*', '_', '[', '(', '`']).starts_with(char::is_uppercase);
        ends && begins && !SHORT_FORMS.contains(word)
    })
}

/// Inline code is not prose.
fn without_code(line: &str) -> String {
    line.split('`').enumerate().map(|(at, part)| if at % 2 == 0 { part } else { "code" }).collect()
}

#[cfg(test)]
mod tests {
    use super::{check, has_two_sentences};

    #[test]
    fn two_sentences_in_a_line_are_found() {
        for (line, found) in [
            ("It counts. It also sums.", true),
            ("- It counts! *It* also sums.", true),
            ("1. It counts.", false),
            ("Databases, e.g. ClickHouse, are welcome.", false),
            ("Version 1.2 counts.", false),
            ("Run `a. B` to count.", false),
        ] {
            assert_eq!(has_two_sentences(line), found, "{line}");
        }
    }

    #[test]
    fn the_readme_shows_its_first_command_early() {
        let good = "# Name\n\n```sh\ncargo xtask up\n```\n";
        assert_eq!(check("README.md", good), []);
        let late = format!("{}{good}", "text\n".repeat(20));
        assert_eq!(check("README.md", &late).len(), 1);
        assert_eq!(check("docs/start.md", &late), []);
    }

    #[test]
    fn code_may_say_what_it_wants() {
        assert_eq!(check("docs/a.md", "```\nOne. Two.\n```\n| a. B |\n"), []);
    }
}
