//! Makes up a month of a small shop's events, for the demo of `cargo xtask up`.
//!
//! The point is that charts of them look like life: days and weeks have a rhythm, the shop grows, one newsletter makes
//! a peak, and properties depend on each other (phones buy less, countries prefer goods). Everything follows from one
//! seed and the end of the month, so a demo can be repeated. It knows the shop page's collections and property names,
//! nothing of the server.

use std::io::{self, Write};

use crate::calendar::{DAY_MS, HOUR_MS, rfc3339, weekday};
use crate::random::Random;

/// The collections, in the order of [`Files`].
pub(crate) const COLLECTIONS: [&str; 3] = ["pageviews", "clicks", "purchases"];
/// How far back the events go.
const DAYS: u64 = 30;
/// Visits of the month. Each gives about 4.2 events; a test holds the total above 200,000.
const VISITS: u64 = 52_000;
/// The day whose newsletter made a peak, counted from the first.
const NEWSLETTER_DAY: u64 = 17;

/// Share of a day's visits per hour, UTC, for a shop with European and some American visitors.
const HOURS: [u64; 24] = [10, 7, 5, 4, 4, 6, 12, 22, 33, 40, 43, 45, 48, 46, 45, 47, 52, 60, 68, 74, 66, 48, 30, 17];
/// Share of a week's visits per day, Monday first.
const WEEKDAYS: [u64; 7] = [100, 98, 99, 103, 112, 128, 120];

const COUNTRIES: [(u64, &str); 8] =
    [(30, "DE"), (17, "FR"), (14, "GB"), (13, "US"), (9, "NL"), (7, "ES"), (6, "PL"), (4, "SE")];
const DEVICES: [(u64, &str); 3] = [(56, "phone"), (36, "desktop"), (8, "tablet")];
const REFERRERS: [(u64, &str); 6] = [
    (36, ""),
    (33, "https://www.google.com/"),
    (11, "https://www.instagram.com/"),
    (8, "https://duckduckgo.com/"),
    (7, "https://www.bing.com/"),
    (5, "https://news.ycombinator.com/"),
];
/// The pages of the example shop, `examples/script-tag`.
const PAGES: [(u64, &str); 5] = [(24, "/"), (31, "/teas"), (22, "/cups"), (15, "/teapots"), (8, "/about")];
/// Its goods; the first page shows all of them.
const ITEMS: [(u64, Item); 7] = [
    (18, Item { page: "/cups", name: "Cup, blue", cents: 1_290 }),
    (12, Item { page: "/cups", name: "Cup, white", cents: 1_190 }),
    (24, Item { page: "/teas", name: "Tea, Darjeeling", cents: 890 }),
    (19, Item { page: "/teas", name: "Tea, Sencha", cents: 1_050 }),
    (9, Item { page: "/teapots", name: "Teapot, glass", cents: 3_490 }),
    (6, Item { page: "/teapots", name: "Teapot, cast iron", cents: 7_900 }),
    (12, Item { page: "/teas", name: "Strainer", cents: 690 }),
];

/// Something the shop sells.
#[derive(Debug, Clone, Copy)]
struct Item {
    page: &'static str,
    name: &'static str,
    cents: u64,
}

/// Where each collection's events go, one JSON object per line.
pub(crate) struct Files<W> {
    /// `pageviews`
    pub(crate) pageviews: W,
    /// `clicks`
    pub(crate) clicks: W,
    /// `purchases`
    pub(crate) purchases: W,
}

/// Writes the month that ends at `now_ms` and says how many events each collection got.
pub(crate) fn write<W: Write>(now_ms: u64, files: &mut Files<W>) -> io::Result<[u64; 3]> {
    let mut random = Random::new(20_120_601);
    let start_ms = now_ms.saturating_sub(DAYS * DAY_MS);
    let weights: Vec<u64> = (0..DAYS * 24).map(|hour| weight(start_ms, hour)).collect();
    let total: u64 = weights.iter().sum::<u64>().max(1);
    let mut counts = [0; 3];
    for (hour, weight) in (0_u64..).zip(weights) {
        let from_ms = start_ms + hour * HOUR_MS;
        let noise_percent = 88 + random.below(25);
        let visits = VISITS * weight * noise_percent / total / 100;
        let mut starts: Vec<u64> = (0..visits).map(|_| from_ms + random.below(HOUR_MS)).collect();
        starts.sort_unstable();
        for visit_ms in starts {
            let visit = Visit::new(&mut random, visit_ms, is_newsletter(start_ms, visit_ms));
            let [views, clicks, purchases] = visit.write(&mut random, now_ms, files)?;
            let [all_views, all_clicks, all_purchases] = &mut counts;
            *all_views += views;
            *all_clicks += clicks;
            *all_purchases += purchases;
        }
    }
    Ok(counts)
}

/// How busy an hour is, in a unit that means nothing by itself.
fn weight(start_ms: u64, hour: u64) -> u64 {
    let at_ms = start_ms + hour * HOUR_MS;
    let hour_of_day = usize::try_from(at_ms % DAY_MS / HOUR_MS).ok().and_then(|at| HOURS.get(at)).unwrap_or(&0);
    let day_of_week = usize::try_from(weekday(at_ms)).ok().and_then(|at| WEEKDAYS.get(at)).unwrap_or(&0);
    // One percent of growth a day.
    let growth = 100 + hour / 24;
    let peak = if is_newsletter(start_ms, at_ms) { 190 } else { 100 };
    hour_of_day * day_of_week * growth * peak / 100
}

/// The newsletter goes out at nine and works until the evening.
fn is_newsletter(start_ms: u64, at_ms: u64) -> bool {
    let day = at_ms / DAY_MS == start_ms / DAY_MS + NEWSLETTER_DAY;
    day && (9..19).contains(&(at_ms % DAY_MS / HOUR_MS))
}

/// One visitor's way through the shop.
struct Visit {
    start_ms: u64,
    country: &'static str,
    device: &'static str,
    referrer: &'static str,
}

impl Visit {
    fn new(random: &mut Random, start_ms: u64, newsletter: bool) -> Self {
        let country = random.pick(&COUNTRIES).copied().unwrap_or("DE");
        // In the evening people look at their phones.
        let evening = (18..24).contains(&(start_ms % DAY_MS / HOUR_MS));
        let device = match random.pick(&DEVICES).copied().unwrap_or("phone") {
            "desktop" if evening && random.chance(35) => "phone",
            device => device,
        };
        let referrer = if newsletter && random.chance(45) {
            "https://mail.example.com/"
        } else {
            random.pick(&REFERRERS).copied().unwrap_or("")
        };
        Self { start_ms, country, device, referrer }
    }

    fn write<W: Write>(&self, random: &mut Random, now_ms: u64, files: &mut Files<W>) -> io::Result<[u64; 3]> {
        let mut counts = [0; 3];
        let [views, clicks, purchases] = &mut counts;
        let pages = 1 + random.below(3) + random.below(if self.device == "desktop" { 5 } else { 3 });
        let mut at_ms = self.start_ms;
        for number in 0..pages {
            let page = if number == 0 && random.chance(45) { "/" } else { *random.pick(&PAGES).unwrap_or(&"/") };
            let referrer = if number == 0 { self.referrer } else { "" };
            let look_ms = 4_000 + random.below(55_000);
            if at_ms + look_ms > now_ms {
                return Ok(counts);
            }
            writeln!(files.pageviews, "{{\"page\":\"{page}\",\"referrer\":\"{referrer}\",{}", self.end(at_ms))?;
            *views += 1;
            at_ms += look_ms;
            if !random.chance(32) {
                continue;
            }
            let item = self.item(random, page);
            let buys = item.filter(|_| random.chance(self.buys_percent()));
            let target = match (buys, item) {
                (Some(_), _) => "add-to-cart",
                (None, Some(_)) if random.chance(60) => "photo",
                (None, Some(_)) => "nav",
                (None, None) => "dashboard",
            };
            writeln!(files.clicks, "{{\"target\":\"{target}\",\"page\":\"{page}\",{}", self.end(at_ms))?;
            *clicks += 1;
            if let Some(item) = buys {
                writeln!(files.purchases, "{}{}", basket(random, item), self.end(at_ms))?;
                *purchases += 1;
            }
            at_ms += 1_000 + random.below(20_000);
        }
        Ok(counts)
    }

    /// What catches the visitor's eye on a page; nothing is sold on some.
    fn item(&self, random: &mut Random, page: &str) -> Option<Item> {
        let is_shown = |item: &Item| item.page == page || page == "/";
        let favourite = ITEMS.into_iter().find(|(_, item)| item.name == "Tea, Darjeeling" && is_shown(item));
        if let Some((_, item)) = favourite
            && self.country == "GB"
            && random.chance(40)
        {
            return Some(item);
        }
        let shown: Vec<(u64, Item)> = ITEMS.into_iter().filter(|(_, item)| is_shown(item)).collect();
        random.pick(&shown).copied()
    }

    /// How many of 100 visitors who touch an item buy it.
    fn buys_percent(&self) -> u64 {
        match self.device {
            "desktop" => 31,
            "tablet" => 24,
            _ => 18,
        }
    }

    /// The properties that every event ends with, and the closing brace.
    fn end(&self, at_ms: u64) -> String {
        let (country, device) = (self.country, self.device);
        let time = rfc3339(at_ms);
        format!("\"country\":\"{country}\",\"device\":\"{device}\",\"keen\":{{\"timestamp\":\"{time}\"}}}}")
    }
}

/// The properties of a purchase, without the closing ones.
fn basket(random: &mut Random, item: Item) -> String {
    let quantity = if item.page == "/teapots" { 1 } else { 1 + random.below(4) };
    let (name, price, revenue) = (item.name, euros(item.cents), euros(item.cents * quantity));
    format!("{{\"item\":{{\"name\":\"{name}\",\"price\":{price}}},\"quantity\":{quantity},\"revenue\":{revenue},")
}

fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Files, write};

    /// 23 November 2026, 18:56 UTC, a Monday.
    const NOW_MS: u64 = 1_795_460_169_042;

    fn month(now_ms: u64) -> ([u64; 3], Files<Vec<u8>>) {
        let mut files = Files { pageviews: Vec::new(), clicks: Vec::new(), purchases: Vec::new() };
        let counts = write(now_ms, &mut files).unwrap();
        (counts, files)
    }

    fn lines(bytes: &[u8]) -> Vec<Value> {
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn there_are_at_least_200_000_events_whenever_it_is_made() {
        for hours in [0, 31] {
            let (counts, _) = month(NOW_MS + hours * 3_600_000);
            assert!(counts.iter().sum::<u64>() >= 200_000, "{counts:?} at +{hours} h");
            assert!(counts.iter().all(|count| *count > 5_000), "{counts:?} at +{hours} h");
        }
    }

    #[test]
    fn the_same_moment_gives_the_same_bytes() {
        assert_eq!(month(NOW_MS).1.purchases, month(NOW_MS).1.purchases);
    }

    #[test]
    fn every_line_is_an_event_within_the_month() {
        let (counts, files) = month(NOW_MS);
        let all = [lines(&files.pageviews), lines(&files.clicks), lines(&files.purchases)];
        let (first, last) = ("2026-10-24T18:56", "2026-11-23T18:56:09.042Z");
        for (events, count) in all.iter().zip(counts) {
            assert_eq!(u64::try_from(events.len()).unwrap(), count);
            for event in events {
                let time = event["keen"]["timestamp"].as_str().unwrap();
                assert!(time >= first && time <= last, "{event}");
                assert!(event["country"].is_string() && event["device"].is_string(), "{event}");
            }
        }
        let purchase = &all[2][0];
        assert!(purchase["item"]["price"].is_number() && purchase["revenue"].is_number(), "{purchase}");
    }

    #[test]
    fn weekends_are_busier_and_desktops_buy_more() {
        let (_, files) = month(NOW_MS);
        let share = |events: &[Value]| {
            let desktop = events.iter().filter(|event| event["device"] == "desktop").count();
            desktop * 100 / events.len()
        };
        let (views, purchases) = (share(&lines(&files.pageviews)), share(&lines(&files.purchases)));
        assert!(purchases > views, "{purchases}% of purchases, {views}% of pageviews");
    }
}
