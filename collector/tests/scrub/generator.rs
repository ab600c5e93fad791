//! Makes texts with and without something to scrub, each with its label, from a seed.
//!
//! What is to be found is drawn from the rules of who issues it (issuer ranges and Luhn, countries and remainders, the
//! ways in which people of a country write their numbers), not from the rules of the scrubber. What must be left alone is
//! drawn from what events hold: ids, times, versions, prices, places, hashes, agents, pages.

/// A small generator of numbers (splitmix64), so that a seed gives the same corpus everywhere.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    pub fn chars(&mut self, alphabet: &str, count: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..count).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    /// Fills `#` with a digit, `N` with one of 2 to 9, `~` with one of 1 to 9.
    pub fn fill(&mut self, form: &str) -> String {
        form.chars()
            .map(|letter| match letter {
                '#' => char::from(b'0' + self.below(10) as u8),
                'N' => char::from(b'2' + self.below(8) as u8),
                '~' => char::from(b'1' + self.below(9) as u8),
                other => other,
            })
            .collect()
    }

    fn word(&mut self) -> String {
        self.of(WORDS).to_owned()
    }
}

const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE64URL: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const BASE64: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/";

const WORDS: &[&str] = &[
    "add",
    "to",
    "cart",
    "summer",
    "sale",
    "checkout",
    "blue",
    "shirt",
    "order",
    "signup",
    "pricing",
    "page",
    "view",
    "product",
    "user",
    "account",
    "settings",
    "profile",
    "search",
    "result",
    "banner",
    "video",
    "player",
    "newsletter",
    "footer",
    "header",
    "button",
    "click",
    "article",
    "category",
    "running",
    "shoes",
    "winter",
    "jacket",
    "return",
    "policy",
    "contact",
    "support",
    "download",
    "report",
];
const FIRST: &[&str] = &[
    "jane",
    "john",
    "maria",
    "li.wei",
    "o'neil",
    "anna-lena",
    "j",
    "mueller",
    "jörg",
    "zoé",
    "x_ray",
    "info",
    "k.smith42",
];
const HOSTS: &[&str] = &[
    "example.com",
    "example.co.uk",
    "mail.example.org",
    "gmail.com",
    "web.de",
    "163.com",
    "firma.example",
    "uni-x.example",
    "müller.de",
    "xn--mller-kva.example",
    "a.b.c.example.net",
    "example.travel",
];

/// One thing to be found and the text that stands for it.
pub fn secret(chance: &mut Chance) -> (&'static str, String) {
    match chance.below(5) {
        0 => ("[email]", email(chance)),
        1 => ("[card]", card(chance)),
        2 => ("[iban]", iban(chance)),
        3 => ("[phone]", phone(chance)),
        _ => ("[token]", token(chance)),
    }
}

fn email(chance: &mut Chance) -> String {
    let mut local = chance.of(FIRST).to_owned();
    match chance.below(4) {
        0 => local = format!("{local}.{}", chance.of(FIRST)),
        1 => local = format!("{local}+{}", chance.word()),
        2 => local = format!("{local}{}", chance.below(2_000)),
        _ => {}
    }
    let address = format!("{local}@{}", chance.of(HOSTS));
    match chance.below(8) {
        0 => address.to_uppercase(),
        1 => address.replace('@', "%40").replace('+', "%2B"),
        _ => address,
    }
}

fn card(chance: &mut Chance) -> String {
    let (head, length, shape): (&str, usize, &[usize]) = match chance.below(9) {
        0..=2 => ("4", 16, &[4, 4, 4, 4]),
        3 => ("51", 16, &[4, 4, 4, 4]),
        4 => ("2350", 16, &[4, 4, 4, 4]),
        5 => ("37", 15, &[4, 6, 5]),
        6 => ("6011", 16, &[4, 4, 4, 4]),
        7 => ("3540", 16, &[4, 4, 4, 4]),
        _ => ("36", 14, &[4, 6, 4]),
    };
    let mut digits = format!("{head}{}", chance.chars(DIGITS, length - head.len() - 1));
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let doubled = u32::from(byte - b'0') * if place % 2 == 0 { 2 } else { 1 };
            doubled / 10 + doubled % 10
        })
        .sum();
    digits.push(char::from(b'0' + ((10 - sum % 10) % 10) as u8));
    let gap = chance.of(&["", "", " ", "-"]);
    let (mut out, mut at) = (Vec::new(), 0);
    for part in shape {
        out.push(digits[at..at + part].to_owned());
        at += part;
    }
    out.join(gap)
}

fn iban(chance: &mut Chance) -> String {
    let (country, form) = [
        ("DE", "##################"),
        ("FR", "#######################"),
        ("GB", "NWBK##############"),
        ("NL", "ABNA##########"),
        ("PL", "########################"),
        ("ES", "####################"),
        ("NO", "###########"),
        ("CH", "#################"),
        ("MT", "MALT##################A##"),
        ("AT", "################"),
    ][chance.below(10)];
    // Filled by hand, because the letters of the forms stand for themselves here.
    let account: String = form
        .chars()
        .map(|letter| if letter == '#' { char::from(b'0' + chance.below(10) as u8) } else { letter })
        .collect();
    let account = if country == "MT" { format!("{account}01S") } else { account };
    let account = if country == "MT" { account[..27].to_owned() } else { account };
    let value = |text: &str| {
        text.chars().fold(0_u32, |rest, letter| {
            let digit = letter.to_digit(36).unwrap();
            (rest * if digit > 9 { 100 } else { 10 } + digit) % 97
        })
    };
    let number = format!("{country}{:02}{account}", 98 - value(&format!("{account}{country}00")));
    match chance.below(3) {
        0 => number.as_bytes().chunks(4).map(|four| std::str::from_utf8(four).unwrap()).collect::<Vec<_>>().join(" "),
        1 if chance.below(4) == 0 => number.to_lowercase(),
        _ => number,
    }
}

fn phone(chance: &mut Chance) -> String {
    let form = chance.of(&[
        "+1 N## N## ####",
        "+1N##N######",
        "+1 (N##) N##-####",
        "(N##) N##-####",
        "N##-N##-####",
        "N##.N##.####",
        "1-N##-N##-####",
        "+49 30 ########",
        "+49 171 #######",
        "+49 (0)89 ######",
        "0171 #######",
        "030/########",
        "0049 171 #######",
        "00491~########",
        "+44 20 7### ####",
        "020 7### ####",
        "07~## ######",
        "07~########",
        "+33 6 ## ## ## ##",
        "06 ## ## ## ##",
        "06.##.##.##.##",
        "06########",
        "+48 6## ### ###",
        "+48~########",
        "+34 6## ## ## ##",
        "+39 347 ### ####",
        "+61 4## ### ###",
        "04## ### ###",
        "+81 90-####-####",
        "090-####-####",
        "+55 11 9####-####",
        "+91 9#### #####",
        "+86 138 #### ####",
        "+45 ## ## ## ##",
        "tel:+1N##N######",
        "phone: N## ### ###",
        "Tel. ~## ####",
        "phone=~#########",
    ]);
    chance.fill(form)
}

fn token(chance: &mut Chance) -> String {
    match chance.below(12) {
        0 | 1 => format!(
            "eyJ{}.eyJ{}.{}",
            chance.chars(BASE64URL, 33),
            chance.chars(BASE64URL, 80),
            chance.chars(BASE64URL, 43)
        ),
        2 => format!("ghp_{}", chance.chars(BASE62, 36)),
        3 => format!("sk_live_{}", chance.chars(BASE62, 24)),
        4 => format!("AKIA{}", chance.chars("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        5 => format!("xoxb-{}-{}", chance.chars(DIGITS, 12), chance.chars(BASE62, 24)),
        6 => chance.chars(HEX, 48),
        7 => format!("Bearer {}", chance.chars(HEX, 40)),
        8 => {
            let count = 40 + chance.below(25);
            chance.chars(BASE62, count)
        }
        9 => format!("{}=", chance.chars(BASE64, 43)),
        10 => chance.chars(BASE64URL, 43),
        _ => format!("token={}", chance.chars(BASE62, 22)),
    }
}

/// Puts a secret where it may stand in an event. Its percent-encoding is the page's affair, so spaces stay.
pub fn around(chance: &mut Chance, secret: &str) -> String {
    match chance.below(7) {
        0 | 1 => secret.to_owned(),
        2 => format!("{} {} {secret}, {} {}", chance.word(), chance.word(), chance.word(), chance.word()),
        3 => format!("{}: {secret}", chance.of(&["value", "input", "field 3", "from"])),
        4 => format!("({secret}) {}", chance.word()),
        5 => {
            let (secret, page) = (secret.replace('+', "%2B").replace(' ', "%20"), chance.word());
            format!(
                "https://www.example.com/{page}?{}={secret}&page={}",
                chance.of(&["q", "v", "value", "input"]),
                chance.below(99)
            )
        }
        _ => format!("{{\"{}\":\"{secret}\"}}", chance.of(&["v", "value", "input"])),
    }
}

/// A text in which nothing is to be found.
pub fn harmless(chance: &mut Chance) -> String {
    match chance.below(12) {
        0 | 1 => identifier(chance),
        2 | 3 => number(chance),
        4 => time(chance),
        5 => page(chance),
        6 => hash(chance),
        7 => agent(chance),
        8 => {
            let count = 3 + chance.below(12);
            (0..count).map(|_| chance.word()).collect::<Vec<_>>().join(" ")
        }
        9 => place(chance),
        10 => name(chance),
        _ => at_sign(chance),
    }
}

fn identifier(chance: &mut Chance) -> String {
    let form = chance.of(&[
        "ORD-########",
        "order ##########",
        "#~#######",
        "INV-2024-######",
        "SKU~######",
        "112-#######-#######",
        "#~##-####",
        "PO ########",
        "~########",
        "~###########",
        "000#########",
        "user_~#######",
        "1############",
        "17############",
        "~##-~##",
        "A####-B####",
        "1Z999AA1##########",
        "TRK########US",
        "~#:~#:~#",
        "item-~####-~####",
        "ISBN 978-3-16-######-#",
        "978316#######",
        "400638#######",
        "35332#########1",
        "17841405########7",
    ]);
    chance.fill(form)
}

fn number(chance: &mut Chance) -> String {
    let form = chance.of(&[
        "~##.##",
        "~,###.##",
        "~.###,##",
        "~ ### ###",
        "~#####",
        "€ ~##,##",
        "$~,###,###",
        "-~##.####",
        "0.################",
        "~.##e+##",
        "~#%",
        "~#/~#",
        "~###x~###",
        "~##px",
        "+~##",
        "+~#####",
        "~#.~#.~#",
        "v~.##.#",
        "~.#.#-rc.#",
        "12#.0.6###.###",
        "192.168.1##.1##",
        "10.0.#.#:8080",
        "~-~-~",
        "~### - ~###",
        "~##-~##-~##",
        "~############",
    ]);
    chance.fill(form)
}

fn time(chance: &mut Chance) -> String {
    let form = chance.of(&[
        "202#-0~-1#",
        "202#-0~-1#T1#:2#:3#.###Z",
        "202#-0~-1#T1#:2#:3#+01:00",
        "0~/1#/202#",
        "1#.0~.202#",
        "1#.0~.202# 1#:3#",
        "15########",
        "16########",
        "17########",
        "17###########",
        "17##############",
        "202#0~1#1#2#3#",
        "1#:2#:3#.######",
        "0~-1#-202# 0~:2#",
        "202#/0~/1# 0~:2#:3#",
        "P~DT~H",
        "GMT+0100",
        "1#:2# - 1#:3#",
        "0~.0~.202#, 0~:##",
    ]);
    chance.fill(form)
}

fn page(chance: &mut Chance) -> String {
    let (one, two) = (chance.word(), chance.word());
    match chance.below(7) {
        0 => format!("https://www.example.com/{one}/{two}?id={}&page={}", chance.below(99_999_999), chance.below(50)),
        1 => format!("/products/{one}-{two}-{}", chance.fill("~#######")),
        2 => format!("https://cdn.example.com/npm/{one}@{}/dist/{two}.min.js", chance.fill("~.#.##")),
        3 => format!("https://www.example.com/@{one}/{two}"),
        4 => format!("https://maps.example.com/{one}/@{},{},12z", chance.fill("~#.#######"), chance.fill("~#.#######")),
        5 => format!("https://example.com/?gclid={}", chance.chars(BASE64URL, 80)),
        _ => format!("https://example.com/{one}?utm_source={two}&utm_campaign={one}_{two}_{}", chance.fill("202#_0~")),
    }
}

fn hash(chance: &mut Chance) -> String {
    match chance.below(7) {
        0 => format!(
            "{}-{}-4{}-a{}-{}",
            chance.chars(HEX, 8),
            chance.chars(HEX, 4),
            chance.chars(HEX, 3),
            chance.chars(HEX, 3),
            chance.chars(HEX, 12)
        ),
        1 => chance.chars(HEX, 40),
        2 => chance.chars(HEX, 64),
        3 => chance.chars(HEX, 32),
        4 => chance.chars(HEX, 7),
        5 => chance.chars("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26),
        _ => format!("sha256:{}", chance.chars(HEX, 64)),
    }
}

fn agent(chance: &mut Chance) -> String {
    let version = chance.fill("1##.0.####.1##");
    match chance.below(4) {
        0 => format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version} Safari/537.36"),
        1 => format!("Mozilla/5.0 (Linux; Android 1{}; SM-S9{}B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version} Mobile Safari/537.36", chance.below(5), chance.fill("##")),
        2 => chance.fill("Mozilla/5.0 (iPhone; CPU iPhone OS 17_#_# like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.# Mobile/15E148 Safari/604.1"),
        _ => chance.fill("Mozilla/5.0 (X11; Linux x86_64; rv:1##.0) Gecko/20100101 Firefox/1##.0"),
    }
}

fn place(chance: &mut Chance) -> String {
    let form = chance.of(&[
        "~#.#####,~#.#####",
        "-~#.######, ~#.######",
        "[~#.####,~#.####]",
        "~#° ~#' ~#\"",
        "lat=~#.######&lon=~#.######",
        "~####",
        "0~###",
        "SW1A ~AA",
        "Berlin ~####",
        "~# Main Street",
        "PL-0~-~##",
    ]);
    chance.fill(form)
}

fn name(chance: &mut Chance) -> String {
    let words: Vec<String> = {
        let count = 3 + chance.below(5);
        (0..count).map(|_| chance.word()).collect()
    };
    let large = |word: &String| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    match chance.below(5) {
        0 => words.join("-") + &chance.fill("-202#"),
        1 => words.join("_").to_uppercase() + &chance.fill("_V#"),
        2 => words.iter().map(large).collect::<String>() + &chance.fill("#"),
        3 => words.iter().map(large).collect::<Vec<_>>().join("-") + &chance.fill("-##"),
        _ => format!("{}.{}", words.join("/"), chance.of(&["png", "html", "pdf"])),
    }
}

fn at_sign(chance: &mut Chance) -> String {
    let (one, two) = (chance.word(), chance.word());
    match chance.below(7) {
        0 => format!("@{one}"),
        1 => format!("{one}@2x.png"),
        2 => format!("@{one}/{two}@{}", chance.fill("~.#.#")),
        3 => format!("{} @ {}", chance.below(9), chance.fill("~.##")),
        4 => format!("{one} @ {two}"),
        5 => format!("{one}@{two}"),
        _ => format!("git@example.com:{one}/{two}.git"),
    }
}
