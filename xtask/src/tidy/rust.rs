//! Rules about the shape of a Rust file: its opening words and the length of its functions.

use super::Finding;

/// More lines than that do not fit on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// The file says what it decides before anything else.
pub(super) fn module_doc(text: &str) -> Vec<Finding> {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    match first {
        Some(line) if line.starts_with("//!") => Vec::new(),
        _ => vec![Finding::new(1, "the file does not open with //! that says what it decides")],
    }
}

/// No function is longer than a screen, its signature counted. Takes code without comments and texts.
pub(super) fn function_lengths(code: &str) -> Vec<Finding> {
    let letters: Vec<char> = code.chars().collect();
    let mut found = Vec::new();
    let mut line = 1;
    for (at, letter) in letters.iter().enumerate() {
        if *letter == '\n' {
            line += 1;
        }
        let Some(name) = function_at(&letters, at) else { continue };
        let lines = body_lines(&letters, at);
        if lines > FUNCTION_LINES_MAX {
            let rule = format!("fn {name} has {lines} lines; a function has at most {FUNCTION_LINES_MAX}");
            found.push(Finding::new(line, rule));
        }
    }
    found
}

/// The name of the function whose `fn` is at `at`. `None` for anything else, such as the type `fn(u8)`.
fn function_at(letters: &[char], at: usize) -> Option<String> {
    let is_name = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    let word: String = letters.get(at..at + 3)?.iter().collect();
    if word != "fn " && word != "fn\n" {
        return None;
    }
    if at.checked_sub(1).and_then(|before| letters.get(before)).is_some_and(is_name) {
        return None;
    }
    let rest = letters.get(at + 3..)?;
    let name: String =
        rest.iter().skip_while(|letter| letter.is_whitespace()).take_while(|letter| is_name(letter)).collect();
    (!name.is_empty()).then_some(name)
}

/// Lines from `fn` to the brace that closes the body; 0 for a function without one.
fn body_lines(letters: &[char], start: usize) -> usize {
    let (mut round, mut curly, mut lines) = (0_i32, 0_i32, 1);
    for letter in letters.iter().skip(start) {
        match letter {
            '\n' => lines += 1,
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            '{' => curly += 1,
            '}' => {
                curly -= 1;
                if curly == 0 {
                    return lines;
                }
            }
            ';' if round == 0 && curly == 0 => return 0,
            _ => {}
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::{function_lengths, module_doc};
    use crate::tidy::Finding;
    use crate::tidy::scan::code_only;

    fn function(lines: usize) -> String {
        format!("struct A;\n\npub fn long(\n    a: [u8; 2],\n) {{\n{}}}\n", "    x();\n".repeat(lines - 4))
    }

    #[test]
    fn a_function_of_71_lines_is_found_at_its_line() {
        assert_eq!(function_lengths(&function(70)), []);
        let rule = "fn long has 71 lines; a function has at most 70";
        assert_eq!(function_lengths(&function(71)), [Finding::new(3, rule)]);
    }

    #[test]
    fn braces_in_texts_and_functions_without_bodies_do_not_confuse() {
        let source =
            format!("trait T {{ fn a(&self) -> [u8; 4]; }}\nfn b() {{ f(\"{{\", '{{'); }}\n{}", "\n".repeat(90));
        assert_eq!(function_lengths(&code_only(&source)), []);
    }

    #[test]
    fn a_function_type_is_not_a_function() {
        let source = format!("type F = fn(u8) -> u8;\nstruct S {{\n{}}}\n", "    f: fn(u8),\n".repeat(90));
        assert_eq!(function_lengths(&source), []);
    }

    #[test]
    fn a_file_must_open_with_its_purpose() {
        for (text, good) in [
            ("//! Decides.\n", true),
            ("#![no_main]\n//! Decides.\n", true),
            ("// Decides.\n", false),
            ("use a;\n//! Decides.\n", false),
            ("", false),
        ] {
            assert_eq!(module_doc(text).is_empty(), good, "{text}");
        }
    }
}
