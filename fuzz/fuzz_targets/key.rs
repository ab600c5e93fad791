//! Any text as a key, in the header, after `Bearer` and `Basic`, and in the address: what is a key has one spelling and means
//! the same everywhere, and no text of a key can be seen in what is printed of it.
#![no_main]

use collector::{Head, Headers, PresentedKey, Routed, route};
use libfuzzer_sys::fuzz_target;
use protocol::limits::Limits;
use protocol::{Key, KeyKind};

const KINDS: [KeyKind; 4] = [KeyKind::Master, KeyKind::Read, KeyKind::Write, KeyKind::Access];

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        check(text);
    }
    // Good keys are rare among texts, so one is made of the input, and one of its characters is changed.
    let mut random = [0; 28];
    random.iter_mut().zip(input).for_each(|(to, from)| *to = *from % 62);
    let key = Key::from_random(KINDS[input.len() % KINDS.len()], random);
    let text = key.reveal().to_owned();
    assert_eq!(text.parse::<Key>().ok().map(|read| read.hash()), Some(key.hash()));
    check(&text);
    let at = usize::from(input.first().copied().unwrap_or_default()) % text.len();
    let other = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
    let mut changed = text;
    changed.replace_range(at..=at, other);
    assert!(changed.parse::<Key>().is_err(), "{changed} differs from a key in one character");
    check(&changed);
});

/// A text means the same wherever it stands.
fn check(text: &str) {
    let bare = PresentedKey::parse(text);
    assert!(!format!("{bare:?}").contains(text) || text.len() < 20);
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.reveal(), text);
        assert_eq!(bare.hash(), Some(&key.hash()));
        for header in [format!("Bearer {text}"), format!("bearer  {text} ")] {
            assert_eq!(PresentedKey::parse(&header), bare);
        }
        assert_eq!(asked("/3.0/projects/p/events", Some(text)), bare);
        assert_eq!(asked(&format!("/3.0/projects/p/events?api_key={text}"), None), bare);
        assert_eq!(asked(&format!("/v1/track?writeKey={text}"), None), bare);
    }
    for path in ["/3.0/projects/p/events", "/v1/track"] {
        let _ = asked(path, Some(&format!("Basic {text}")));
    }
}

/// The key that a request presents.
fn asked(target: &str, authorization: Option<&str>) -> PresentedKey {
    let headers = Headers { authorization, ..Headers::default() };
    match route(&Head { method: "POST", target, headers }, &Limits::default()) {
        Routed::Ask(asked) => asked.key,
        Routed::Reply(_) => PresentedKey::None,
    }
}
