//! Reads Rust just well enough to tell code from comments, texts and tests.
//!
//! It keeps every line and column where it was and blanks out what is not code, so that the rules can search for words
//! and count braces without a parser. It knows nested comments, raw strings, and characters against lifetimes; it does
//! not expand macros.

/// The source with comments and the insides of texts and characters replaced by spaces.
pub(crate) fn code_only(source: &str) -> String {
    let mut scan = Scan { chars: source.chars().collect(), at: 0, out: String::with_capacity(source.len()) };
    while let Some(next) = scan.peek(0) {
        match next {
            '/' if scan.peek(1) == Some('/') => scan.blank_while(|scan| scan.peek(0) != Some('\n')),
            '/' if scan.peek(1) == Some('*') => scan.block_comment(),
            '"' => scan.text(),
            '\'' => scan.character_or_lifetime(),
            'r' if !scan.follows_a_name() && scan.raw_hashes().is_some() => scan.raw_text(),
            _ => scan.keep(),
        }
    }
    scan.out
}

/// A place in the source and what was made of it so far.
struct Scan {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Scan {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        self.out.extend(self.peek(0));
        self.at += 1;
    }

    fn blank(&mut self) {
        self.out.push(if self.peek(0) == Some('\n') { '\n' } else { ' ' });
        self.at += 1;
    }

    fn blank_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        while self.peek(0).is_some() && goes_on(self) {
            self.blank();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn text(&mut self) {
        self.keep();
        while let Some(next) = self.peek(0) {
            match next {
                '"' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    /// `r`, `br` and `cr` begin a raw text only when hashes and a quote follow.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes = (1..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        (self.peek(1 + hashes) == Some('"')).then_some(hashes)
    }

    /// Whether the last character belongs to a name, other than the prefixes of raw byte and C texts.
    fn follows_a_name(&self) -> bool {
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.chars.get(at)).copied();
        match before(1) {
            Some('b' | 'c') => before(2).is_some_and(is_name),
            Some(letter) => is_name(letter),
            None => false,
        }
    }

    fn raw_text(&mut self) {
        let hashes = self.raw_hashes().unwrap_or(0);
        for _ in 0..hashes + 2 {
            self.keep();
        }
        let is_end = |scan: &Self| scan.peek(0) == Some('"') && (1..=hashes).all(|ahead| scan.peek(ahead) == Some('#'));
        self.blank_while(|scan| !is_end(scan));
        for _ in 0..=hashes {
            self.keep();
        }
    }

    fn character_or_lifetime(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.keep();
        }
        self.keep();
        if escaped {
            self.blank();
        }
        self.blank();
        self.blank_while(|scan| scan.peek(0) != Some('\''));
        self.keep();
    }
}

/// The code with everything under `#[cfg(test)]` blanked out. Takes what [`code_only`] gives.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    let mut from = 0;
    while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test"]
        .iter()
        .filter_map(|mark| kept.get(from..)?.find(mark).map(|at| from + at))
        .min()
    {
        let end = item_end(&kept, start);
        let blanked: String = kept
            .get(start..end)
            .unwrap_or_default()
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        kept.replace_range(start..end, &blanked);
        from = end;
    }
    kept
}

/// Where the item that begins at `start` ends: behind its closing brace, or its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (offset, letter) in code.get(start..).unwrap_or_default().char_indices() {
        match letter {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            '{' => curly += 1,
            '}' => curly -= 1,
            _ => {}
        }
        let closed = letter == '}' && curly == 0 && round == 0;
        let ended = matches!(letter, ';' | ',') && curly == 0 && round == 0;
        // A closing brace too many: the attribute was on the last field of a struct.
        if closed || ended || curly < 0 {
            return start + offset + letter.len_utf8();
        }
    }
    code.len()
}

/// How many lines of code [`without_tests`] removed.
pub(crate) fn lines_removed(code: &str, kept: &str) -> usize {
    code.lines().zip(kept.lines()).filter(|(before, after)| before.trim() != after.trim()).count()
}

#[cfg(test)]
mod tests {
    use super::{code_only, lines_removed, without_tests};

    #[test]
    fn comments_texts_and_characters_are_blanked_and_nothing_moves() {
        for (source, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("a\"{", b)"#, r#"f("    ", b)"#),
            (r##"f(r#"a"{"#, b)"##, r##"f(r#"   "#, b)"##),
            (r#"f(br"\", b)"#, r#"f(br" ", b)"#),
            ("f('{', '\\'', b'}', '\\u{7b}')", "f(' ', '  ', b' ', '      ')"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("let r#type = bar;", "let r#type = bar;"),
            ("let bar = \"x\";", "let bar = \" \";"),
            ("match c { 'a'..='z' => {} }", "match c { ' '..=' ' => {} }"),
        ] {
            assert_eq!(code_only(source), code, "{source}");
        }
    }

    #[test]
    fn tests_are_taken_out() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { [1; 2]; }\n}\nfn c() {}\n";
        let kept = without_tests(source);
        assert!(kept.contains("fn a") && kept.contains("fn c") && !kept.contains("fn b"), "{kept}");
        assert_eq!(lines_removed(source, &kept), 4);
        assert_eq!(without_tests("#[cfg(test)]\nmod tests;\nfn c() {}").trim(), "fn c() {}");
    }
}
