//! Draws one picture of each kind into a folder, to be looked at: `cargo run -p charts --features native --example
//! gallery -- FOLDER`.
//!
//! Tests say whether a picture changed; only eyes say whether it is good. The cases are those that go wrong: long and
//! many names, values below zero, gaps, nothing at all, very small and very large pictures.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tool for developers"
)]

use charts::Options;
use serde_json::{Value, json};

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/gallery".to_owned());
    std::fs::create_dir_all(&folder).unwrap();
    for (name, (width_px, height_px), result) in cases() {
        let asks = |word: &str| name.contains(word);
        let options: Options = serde_json::from_value(json!({
            "title": if asks("untitled") { "" } else { "Clicks by country, every day" },
            "width_px": width_px,
            "height_px": height_px,
            "chart": if asks("bars-time") { Some("bar") } else { None },
            "theme": if asks("dark") { "dark" } else { "light" },
        }))
        .unwrap();
        std::fs::write(format!("{folder}/{name}.png"), charts::png(&result, &options).unwrap()).unwrap();
        std::fs::write(format!("{folder}/{name}.svg"), charts::svg(&result, &options).unwrap()).unwrap();
    }
    println!("{folder}");
}

/// A wave with a little noise, the same at every run.
fn wave(place: u32, series: u32) -> f64 {
    let (x, noise) = (f64::from(place), f64::from(place * 7919 % 23 + series * 13));
    (60.0 + 40.0 * (x / 5.0 + f64::from(series)).sin() + noise).round()
}

fn time(minute: u32) -> String {
    let day = 25 + minute / 1_440;
    let (month, day) = if day > 30 { (12, day - 30) } else { (11, day) };
    format!("2026-{month:02}-{day:02}T{:02}:{:02}:00.000Z", minute / 60 % 24, minute % 60)
}

fn buckets(count: u32, minutes: u32, value: impl Fn(u32) -> Value) -> Value {
    let last = count - 1;
    (0..count)
        .map(|place| {
            let end = if place == last { place * minutes + minutes / 2 } else { (place + 1) * minutes };
            json!({ "value": value(place), "timeframe": { "start": time(place * minutes), "end": time(end) } })
        })
        .collect()
}

fn several(count: u32) -> impl Fn(u32) -> Value {
    let names =
        ["Poland", "Germany", "United States", "Japan", "United Kingdom of Great Britain", "Peru", "Chad", "Fiji"];
    move |place| {
        (0..count)
            .map(|series| {
                let name = names.get(series as usize % names.len()).unwrap();
                let name = if series < 8 { (*name).to_owned() } else { format!("{name} {series}") };
                json!({ "country": name, "result": wave(place, series) + f64::from(series * 30) })
            })
            .collect()
    }
}

fn groups(names: &[&str], value: impl Fn(u32) -> f64) -> Value {
    names.iter().zip(0..).map(|(name, place)| json!({ "page": name, "result": value(place) })).collect()
}

fn cases() -> Vec<(&'static str, (u32, u32), Value)> {
    let pages = [
        "/",
        "/products/shoes/running/blue-suede-with-a-very-long-name",
        "/checkout/confirm",
        "/about/us",
        "https://example.com/a/long/link?with=query&and=more#and-a-fragment",
        "/help",
    ];
    let countries = ["Poland", "Germany", "France", "Spain", "Italy"];
    let short = (600, 300);
    let many: Vec<String> = (0..60).map(|n| format!("item number {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    vec![
        ("line-1", short, buckets(14, 720, |place| json!(wave(place, 0)))),
        ("line-hour", short, buckets(60, 1, |place| json!(wave(place, 0) % 7.0))),
        ("line-5", short, buckets(40, 180, several(5))),
        ("line-20-dark", (600, 340), buckets(40, 180, several(20))),
        (
            "line-gaps",
            short,
            buckets(40, 60, |p| if p % 9 < 2 || p == 12 { Value::Null } else { json!(wave(p, 0) * 1e4) }),
        ),
        ("line-negative", short, buckets(40, 60, |place| json!(wave(place, 0) * 0.013 - 1.2))),
        ("line-zero", short, buckets(24, 60, |_| json!(0))),
        ("line-one-point", short, buckets(1, 60, |_| json!(42))),
        ("line-small", (300, 150), buckets(40, 60, several(3))),
        ("line-tiny-untitled", (120, 60), buckets(40, 60, |place| json!(wave(place, 0)))),
        ("line-big", (1600, 800), buckets(200, 37, several(5))),
        ("bars", short, groups(&countries, |place| wave(place, 0) * 1_000.0)),
        ("bars-long", short, groups(&pages, |place| wave(place, 0))),
        ("bars-negative", short, groups(&countries, |place| wave(place, 0) - 80.0)),
        ("bars-long-negative", short, groups(&pages, |place| wave(place, 0) - 80.0)),
        ("bars-many", short, groups(&many, |place| wave(place, 0))),
        ("bars-many-tall", (500, 1200), groups(&many, |place| wave(place, 0))),
        ("bars-time", short, buckets(14, 720, |place| json!(wave(place, 0)))),
        ("bars-time-5-dark", short, buckets(14, 720, several(5))),
        ("bars-small", (300, 150), groups(&countries, |place| wave(place, 0))),
        (
            "bars-grouped",
            short,
            countries
                .iter()
                .flat_map(|country| ["phone", "desktop", "tablet"].map(|device| (country, device)))
                .zip(0..)
                .map(|((country, device), n)| json!({ "country": country, "device": device, "result": wave(n, 0) }))
                .collect(),
        ),
        ("metric", (300, 150), json!(1_234_567)),
        ("metric-small", (120, 60), json!(12.345)),
        ("metric-null-dark", (300, 150), Value::Null),
        ("metric-big", (600, 300), json!(1.5e22)),
        ("empty", short, json!([])),
        (
            "hostile",
            short,
            groups(
                &["<script>alert(1)</script>", "\u{202e}gnp.exe", "a\u{0}b\nc", "👩‍👩‍👧 = é", "]]>&amp;\"'"],
                |place| wave(place, 0),
            ),
        ),
    ]
}
