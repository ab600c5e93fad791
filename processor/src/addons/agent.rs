//! `keen:ua_parser`: browser, system and device of a user agent, as far as agents still tell.
//!
//! A table of markers instead of the thousand regular expressions of uap-core: those cost some hundred microseconds and
//! many megabytes, and what they tell apart beyond this is in few events. Families are named as uap-core names them, which is
//! what Keen's reports were made with. It must not know how robots are tagged; that is done at the door.

use super::{Fields, text};

/// Longer agents are read up to here.
const AGENT_BYTES_MAX: usize = 1024;
/// Numbers of a version: major, minor, patch, and one more of systems.
const VERSION_NAMES: [&str; 4] = ["major", "minor", "patch", "patch_minor"];

/// Browsers by what stands in their agents, the most particular first: marker, family, and family where the agent is a
/// phone's or tablet's.
const BROWSERS: &[(&str, &str, &str)] = &[
    ("FBAV/", "Facebook", "Facebook"),
    ("Instagram ", "Instagram", "Instagram"),
    ("Pinterest/", "Pinterest", "Pinterest"),
    ("Snapchat/", "Snapchat", "Snapchat"),
    ("musical_ly_", "TikTok", "TikTok"),
    ("BytedanceWebview/", "TikTok", "TikTok"),
    ("MicroMessenger/", "WeChat", "WeChat"),
    ("Line/", "LINE", "LINE"),
    ("GSA/", "Google", "Google"),
    ("EdgA/", "Edge Mobile", "Edge Mobile"),
    ("EdgiOS/", "Edge Mobile", "Edge Mobile"),
    ("Edg/", "Edge", "Edge"),
    ("Edge/", "Edge", "Edge Mobile"),
    ("Opera Mini/", "Opera Mini", "Opera Mini"),
    ("OPT/", "Opera Touch", "Opera Touch"),
    ("OPX/", "Opera GX", "Opera GX"),
    ("OPiOS/", "Opera Mini", "Opera Mini"),
    ("OPR/", "Opera", "Opera Mobile"),
    ("SamsungBrowser/", "Samsung Internet", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser", "Yandex Browser"),
    ("Vivaldi/", "Vivaldi", "Vivaldi"),
    ("UCBrowser/", "UC Browser", "UC Browser"),
    ("MiuiBrowser/", "MiuiBrowser", "MiuiBrowser"),
    ("HuaweiBrowser/", "Huawei Browser", "Huawei Browser"),
    ("VivoBrowser/", "Vivo Browser", "Vivo Browser"),
    ("HeyTapBrowser/", "HeyTap Browser", "HeyTap Browser"),
    ("Whale/", "Whale", "Whale"),
    ("QQBrowser/", "QQ Browser", "QQ Browser Mobile"),
    ("DuckDuckGo/", "DuckDuckGo", "DuckDuckGo Mobile"),
    ("Ddg/", "DuckDuckGo", "DuckDuckGo Mobile"),
    ("Brave/", "Brave", "Brave"),
    ("Silk/", "Amazon Silk", "Amazon Silk"),
    ("NintendoBrowser/", "NetFront NX", "NetFront NX"),
    ("Epiphany/", "Epiphany", "Epiphany"),
    ("SeaMonkey/", "SeaMonkey", "SeaMonkey"),
    ("PaleMoon/", "Pale Moon", "Pale Moon"),
    ("Electron/", "Electron", "Electron"),
    ("HeadlessChrome/", "HeadlessChrome", "HeadlessChrome"),
    ("CriOS/", "Chrome Mobile iOS", "Chrome Mobile iOS"),
    ("FxiOS/", "Firefox iOS", "Firefox iOS"),
    ("Focus/", "Firefox Focus", "Firefox Focus"),
    ("Firefox/", "Firefox", "Firefox Mobile"),
    ("Chromium/", "Chromium", "Chromium"),
    ("Chrome/", "Chrome", "Chrome Mobile"),
    ("MSIE ", "IE", "IE Mobile"),
];

/// Numbers of Windows NT and the names that the world knows.
const WINDOWS: &[(&str, &str)] = &[
    ("10.0", "10"),
    ("6.3", "8.1"),
    ("6.2", "8"),
    ("6.1", "7"),
    ("6.0", "Vista"),
    ("5.2", "XP"),
    ("5.1", "XP"),
    ("5.0", "2000"),
];

/// Words of the agents of robots.
const ROBOTS: &[&str] = &["bot", "crawl", "spider", "slurp", "http://", "https://", "facebookexternalhit"];

/// A name and the numbers after it.
struct Named {
    family: String,
    version: Vec<String>,
}

impl Named {
    fn new(family: &str, version: &str) -> Self {
        let parts = version.split(['.', '_']).map(|part| {
            let digits = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
            part.get(..digits).unwrap_or_default().to_owned()
        });
        let version = parts.take(VERSION_NAMES.len()).take_while(|part| !part.is_empty()).collect();
        Self { family: family.to_owned(), version }
    }

    /// As it stands after `marker` in `agent`.
    fn after(agent: &str, marker: &str, family: &str) -> Option<Self> {
        let at = agent.find(marker)?;
        Some(Self::new(family, version(agent.get(at + marker.len()..)?)))
    }

    fn append(self, fields: &mut Fields, object: &str, numbers: usize) {
        fields.push(text(&format!("{object}.family"), self.family));
        for (name, number) in VERSION_NAMES.iter().zip(self.version).take(numbers) {
            fields.push(text(&format!("{object}.{name}"), number));
        }
    }
}

/// The version at the start of `rest`.
fn version(rest: &str) -> &str {
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | '_')));
    rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
}

/// What `agent` tells; nothing when it is empty or none.
pub(super) fn fields(agent: &str) -> Fields {
    let cut = (0..=agent.len().min(AGENT_BYTES_MAX)).rev().find(|at| agent.is_char_boundary(*at)).unwrap_or_default();
    let agent = agent.get(..cut).unwrap_or_default().trim();
    let mut fields = Fields::new();
    let (browser, system) = (browser(agent), system(agent));
    if browser.is_none() && system.is_none() {
        return fields;
    }
    let (family, kind) = device(agent);
    fields.push(text("device.family", family));
    fields.extend(kind.map(|kind| text("device.type", kind)));
    if let Some(browser) = browser {
        browser.append(&mut fields, "browser", 3);
    }
    if let Some(system) = system {
        system.append(&mut fields, "os", 4);
    }
    fields
}

fn browser(agent: &str) -> Option<Named> {
    let is_mobile = is_mobile(agent);
    if let Some((marker, family, mobile)) = BROWSERS.iter().find(|(marker, _, _)| agent.contains(marker)) {
        let is_view = *family == "Chrome" && agent.contains("; wv)");
        // Chrome says "Mobile" on phones only.
        let is_large = *family == "Chrome" && !agent.contains("Mobile");
        let family = if is_mobile && !is_large { mobile } else { family };
        let family = if is_view { "Chrome Mobile WebView" } else { family };
        return Named::after(agent, marker, family);
    }
    if agent.contains("Trident/") {
        return Named::after(agent, "rv:", "IE");
    }
    if agent.starts_with("Opera/") {
        let family = if is_mobile { "Opera Mobile" } else { "Opera" };
        return Named::after(agent, "Version/", family).or_else(|| Named::after(agent, "Opera/", family));
    }
    if agent.contains("AppleWebKit/") {
        let is_apple = ["iPhone", "iPad", "iPod", "Macintosh"].iter().any(|word| agent.contains(word));
        if agent.contains("Android") {
            return Named::after(agent, "Version/", "Android");
        }
        let family = if is_apple && is_mobile { "Mobile Safari" } else { "Safari" };
        if is_apple && is_mobile && !agent.contains("Safari/") {
            let version = Named::after(agent, "Version/", "").map(|named| named.version).unwrap_or_default();
            return Some(Named { family: "Mobile Safari UI/WKWebView".to_owned(), version });
        }
        return Named::after(agent, "Version/", family);
    }
    // Programs name themselves first: `curl/8.5.0`.
    let (name, rest) = agent.split_once('/').filter(|(name, _)| *name != "Mozilla")?;
    let is_name = !name.is_empty() && name.len() <= 64 && !name.contains([' ', ';', '(']);
    (is_name && rest.starts_with(|letter: char| letter.is_ascii_digit())).then(|| Named::new(name, version(rest)))
}

fn system(agent: &str) -> Option<Named> {
    if let Some(named) = Named::after(agent, "Windows Phone ", "Windows Phone") {
        return Some(named);
    }
    if let Some(number) = agent.split("Windows NT ").nth(1).map(version) {
        let name = WINDOWS.iter().find(|(nt, _)| *nt == number).map(|(_, name)| *name);
        let mut named = Named::new("Windows", name.unwrap_or(number));
        if let Some(word) = name.filter(|name| !name.starts_with(|letter: char| letter.is_ascii_digit())) {
            named.version = vec![word.to_owned()];
        }
        return Some(named);
    }
    for (marker, family) in [
        ("iPhone OS ", "iOS"),
        ("CPU OS ", "iOS"),
        ("Tizen ", "Tizen"),
        ("KAIOS/", "KaiOS"),
        ("HarmonyOS ", "HarmonyOS"),
        ("Android ", "Android"),
        ("CrOS ", "Chrome OS"),
        ("Intel Mac OS X ", "Mac OS X"),
        ("Mac OS X ", "Mac OS X"),
        ("PlayStation 5/", "PlayStation 5"),
        ("Ubuntu/", "Ubuntu"),
    ] {
        let Some(at) = agent.find(marker) else { continue };
        let rest = agent.get(at + marker.len()..)?;
        // The processor stands between: `CrOS x86_64 14541.0.0`.
        let rest = if family == "Chrome OS" { rest.split_once(' ').map_or(rest, |(_, rest)| rest) } else { rest };
        return Some(Named::new(family, version(rest)));
    }
    let plain = [
        ("Web0S", "WebOS"),
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("Nintendo", "Nintendo"),
        ("PlayStation", "PlayStation"),
        ("Ubuntu", "Ubuntu"),
        ("Fedora", "Fedora"),
        ("FreeBSD", "FreeBSD"),
        ("OpenBSD", "OpenBSD"),
        ("Linux", "Linux"),
        ("Mac OS", "Mac OS"),
    ];
    plain.iter().find(|(marker, _)| agent.contains(marker)).map(|(_, family)| Named::new(family, ""))
}

fn is_mobile(agent: &str) -> bool {
    ["Mobi", "Android", "iPhone", "iPad", "iPod", "Windows Phone", "Opera Mini"].iter().any(|word| agent.contains(word))
}

/// Family and kind of the device.
fn device(agent: &str) -> (String, Option<&'static str>) {
    let has = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    let small = agent.to_ascii_lowercase();
    if ROBOTS.iter().any(|word| small.contains(word)) && !small.contains("cubot") {
        return ("Spider".to_owned(), Some("bot"));
    }
    for (words, family, kind) in [
        (&["iPhone"][..], "iPhone", "mobile phone"),
        (&["iPad"], "iPad", "tablet"),
        (&["iPod"], "iPod", "mobile phone"),
        (&["PlayStation 5"], "PlayStation 5", "game console"),
        (&["PlayStation 4"], "PlayStation 4", "game console"),
        (&["PlayStation"], "PlayStation", "game console"),
        (&["Xbox"], "Xbox", "game console"),
        (&["Nintendo"], "Nintendo", "game console"),
        (
            &[
                "SMART-TV",
                "SmartTV",
                "Smart-TV",
                "AppleTV",
                "Apple TV",
                "CrKey",
                "BRAVIA",
                "Android TV",
                "HbbTV",
                "Roku",
            ],
            "TV",
            "tv",
        ),
    ] {
        if has(words) {
            return (family.to_owned(), Some(kind));
        }
    }
    if let Some(rest) = agent.split("Android").nth(1) {
        let is_phone = has(&["Mobile"]);
        let model = model(rest).unwrap_or(if is_phone { "Generic Smartphone" } else { "Generic Tablet" });
        let maker = if model.starts_with("SM-") { "Samsung " } else { "" };
        return (format!("{maker}{model}"), Some(if is_phone { "mobile phone" } else { "tablet" }));
    }
    if has(&["Windows Phone", "Mobile;", "Mobi", "Opera Mini"]) {
        return ("Generic Smartphone".to_owned(), Some("mobile phone"));
    }
    let is_desktop = has(&["Windows", "Macintosh", "X11", "Linux", "CrOS"]);
    let family = if has(&["Macintosh"]) { "Mac" } else { "Other" };
    (family.to_owned(), is_desktop.then_some("desktop"))
}

/// The model in ` 13; SM-S918B Build/TP1A)`; none where it is not told.
fn model(rest: &str) -> Option<&str> {
    // A model may have brackets of its own: `moto g power (2022)`.
    let inside = rest.get(..rest.find(") ").or_else(|| rest.find(')'))?)?;
    let part = inside.split(';').skip(1).map(str::trim).find(|part| {
        let is_locale = matches!(part.len(), 2 | 5)
            && part.chars().all(|letter| letter.is_ascii_alphabetic() || matches!(letter, '-' | '_'));
        let is_word = matches!(*part, "wv" | "U" | "Mobile" | "Tablet" | "K" | "") || part.starts_with("rv:");
        !is_word && !is_locale
    })?;
    let end = part.find(" Build").or_else(|| part.find("Build/")).unwrap_or(part.len());
    part.get(..end).map(str::trim).filter(|model| !model.is_empty())
}
