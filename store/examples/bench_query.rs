//! Times loading and asking over generated events, beside plain scans over vectors that hold the same values coded.
//!
//! `cargo run --release -p store --example bench_query [rows] [folder]`. Each query is run cold (nothing decoded) and
//! then warm; the median of several warm runs is compared with the scan.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that fails should stop")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use protocol::query::Analysis;
use protocol::row::{Cell, Row};
use protocol::{CollectionName, EventId, Offset, ProjectId, PropertyPath, Timestamp};
use query::plan::{Plan, Predicate, Shape, Span, Test};
use store::{Options, Store};

const DAYS: i64 = 90;
const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_760_000_000_000 / DAY_MS * DAY_MS;
const RUNS: usize = 7;

/// The values that the plain scans go over.
#[derive(Default)]
struct Plain {
    times: Vec<i64>,
    countries: Vec<u32>,
    pages: Vec<u32>,
    users: Vec<u32>,
    prices: Vec<f64>,
}

struct Words {
    project: ProjectId,
    collection: CollectionName,
    paths: Vec<PropertyPath>,
}

/// Steps of a simple generator (splitmix64), so that every run has the same events.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `end`, small ones more often.
fn skewed(state: &mut u64, end: u64) -> u32 {
    let (a, b) = (next(state) % end, next(state) % end);
    u32::try_from(a * b / end).unwrap_or(0)
}

fn row(number: u64, rows: u64, state: &mut u64, words: &Words, plain: &mut Plain) -> Row {
    let at = START_MS + i64::try_from(u128::from(number) * 90 * 86_400_000 / u128::from(rows)).unwrap_or(0);
    let (country, page) = (skewed(state, 60), skewed(state, 4_000));
    let user = skewed(state, 200_000);
    let price = f64::from(skewed(state, 100_000)) / 100.0;
    plain.times.push(at);
    plain.countries.push(country);
    plain.pages.push(page);
    plain.users.push(user);
    plain.prices.push(price);
    let values = [
        Cell::Text(format!("/products/category-{}/{page}", page % 40)),
        Cell::Text(format!("https://example.org/?q={}", skewed(state, 900))),
        Cell::Text(format!("C{country}")),
        Cell::Text(["desktop", "phone", "tablet"][usize::try_from(next(state) % 3).unwrap_or(0)].to_owned()),
        Cell::Text(format!("user-{user:08}")),
        Cell::Text(format!("session-{:012x}", next(state) % (rows / 5 + 1))),
        Cell::Text(["Chrome", "Firefox", "Safari", "Edge"][usize::try_from(skewed(state, 4)).unwrap_or(0)].to_owned()),
        Cell::Int(i64::from(skewed(state, 20))),
        Cell::Float(price),
        Cell::Bool(next(state).is_multiple_of(5)),
        Cell::Int(i64::try_from(next(state) % 60_000).unwrap_or(0)),
        Cell::List("[\"a\",\"b\"]".to_owned()),
    ];
    Row {
        project: words.project.clone(),
        collection: words.collection.clone(),
        id: EventId::from_parts(
            Timestamp::from_millis(at),
            next(state).to_be_bytes().repeat(2)[..10].try_into().unwrap(),
        ),
        timestamp: Timestamp::from_millis(at),
        created_at: Timestamp::from_millis(at + 300),
        cells: words.paths.iter().cloned().zip(values).collect(),
    }
}

fn words() -> Words {
    let paths = [
        "page",
        "referrer",
        "country",
        "device.type",
        "user.id",
        "session",
        "device.browser",
        "quantity",
        "item.price",
        "returning",
        "duration_ms",
        "tags",
    ];
    Words {
        project: "bench".parse().unwrap(),
        collection: "pageviews".parse().unwrap(),
        paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

fn by_day() -> Vec<Span> {
    let at = |day| Timestamp::from_millis(START_MS + day * DAY_MS);
    (0..DAYS).map(|day| Span { start: at(day), end: at(day + 1) }).collect()
}

fn load(store: &Store, rows: u64, words: &Words) -> Plain {
    let mut plain = Plain::default();
    let mut state = 1;
    let (mut appending, mut flushing) = (Duration::ZERO, Duration::ZERO);
    let mut number = 0;
    while number < rows {
        let end = rows.min(number + 5_000);
        let batch = (number..end).map(|number| row(number, rows, &mut state, words, &mut plain)).collect();
        number = end;
        let start = Instant::now();
        store.append(batch, &[], Offset(number)).unwrap();
        appending += start.elapsed();
        if store.tail().rows >= 65_536 {
            let start = Instant::now();
            store.flush().unwrap();
            flushing += start.elapsed();
        }
    }
    let start = Instant::now();
    store.flush().unwrap();
    flushing += start.elapsed();
    let (segments, size_bytes) = store.segments();
    let rate = rows as f64 / (appending + flushing).as_secs_f64();
    println!("append {appending:.2?}, flush {flushing:.2?}: {rate:.0} events/s");
    println!("{segments} segments, {} bytes an event", size_bytes / rows);
    let start = Instant::now();
    let mut merged = 0;
    loop {
        let done = store.compact().unwrap();
        merged += done.rows;
        if done.merged == 0 {
            break;
        }
    }
    let (segments, size_bytes) = store.segments();
    println!(
        "compact {:.2?} for {merged} rows: {segments} segments, {} bytes an event",
        start.elapsed(),
        size_bytes / rows
    );
    plain
}

/// Runs a plan and a scan, and prints both.
fn compare(name: &str, store: &Store, plan: &Plan, rows: u64, scan: &dyn Fn() -> u64) {
    let ask = || {
        let start = Instant::now();
        let output = store.execute(plan, &|| false).unwrap();
        (start.elapsed(), output)
    };
    let (cold, output) = ask();
    let warm = median((0..RUNS).map(|_| ask().0).collect());
    let timed = || {
        let start = Instant::now();
        std::hint::black_box(scan());
        start.elapsed()
    };
    let plain = median((0..RUNS).map(|_| timed()).collect());
    let total: i64 = output.lines.iter().map(|line| if let Cell::Int(value) = line.value { value } else { 0 }).sum();
    println!(
        "{name:32} cold {:8.2} ms  warm {warm:8.2} ms  {:6.0} M rows/s  plain scan {plain:8.2} ms  ratio {:5.1}  ({} lines, {total} = {})",
        cold.as_secs_f64() * 1_000.0,
        rows as f64 / warm / 1_000.0,
        warm / plain,
        output.lines.len(),
        scan(),
    );
}

fn path(text: &str) -> PropertyPath {
    text.parse().unwrap()
}

fn day(at: i64) -> usize {
    usize::try_from((at - START_MS) / DAY_MS).unwrap_or(0)
}

/// Counts all rows.
fn everything(words: &Words) -> Plan {
    Plan {
        project: words.project.clone(),
        collection: words.collection.clone(),
        buckets: vec![Span { start: Timestamp::MIN, end: Timestamp::MAX }],
        filter: Predicate::All(Vec::new()),
        group_by: Vec::new(),
        analysis: Analysis::Count,
        target: None,
        groups_max: 100_000,
        unique_values_max: 10_000_000,
        shape: Shape::default(),
    }
}

fn counts_and_uniques(store: &Store, rows: u64, words: &Words, plain: &Plain) {
    let all = everything(words);

    compare("count", store, &all, rows, &|| plain.times.len() as u64);
    compare("count by day", store, &Plan { buckets: by_day(), ..all.clone() }, rows, &|| {
        let mut days = vec![0_u64; 90];
        plain.times.iter().for_each(|at| days[day(*at)] += 1);
        days.iter().sum()
    });
    compare("count by country", store, &Plan { group_by: vec![path("country")], ..all.clone() }, rows, &|| {
        let mut countries = vec![0_u64; 60];
        plain.countries.iter().for_each(|code| countries[*code as usize] += 1);
        countries.iter().sum()
    });
    let by_both = Plan { group_by: vec![path("country")], buckets: by_day(), ..all.clone() };
    compare("count by day and country", store, &by_both, rows, &|| {
        let mut cells = vec![0_u64; 90 * 60];
        plain.times.iter().zip(&plain.countries).for_each(|(at, code)| cells[day(*at) * 60 + *code as usize] += 1);
        cells.iter().sum()
    });
    let unique = Plan { analysis: Analysis::CountUnique, target: Some(path("user.id")), ..all.clone() };
    compare("unique users", store, &unique, rows, &|| {
        let mut seen = vec![0_u64; 200_000 / 64 + 1];
        plain.users.iter().for_each(|user| seen[*user as usize / 64] |= 1 << (user % 64));
        seen.iter().map(|word| u64::from(word.count_ones())).sum()
    });
    compare("unique users by day", store, &Plan { buckets: by_day(), ..unique.clone() }, rows, &|| {
        let words = 200_000 / 64 + 1;
        let mut seen = vec![0_u64; words * 90];
        let pairs = plain.times.iter().zip(&plain.users);
        pairs.for_each(|(at, user)| seen[day(*at) * words + *user as usize / 64] |= 1 << (user % 64));
        seen.iter().map(|word| u64::from(word.count_ones())).sum()
    });
}

fn filters_and_sums(store: &Store, rows: u64, words: &Words, plain: &Plain) {
    let all = everything(words);
    let test = |name: &str, test| Predicate::Test { path: path(name), test };
    let by_both = Plan { group_by: vec![path("country")], buckets: by_day(), ..all.clone() };
    let filter = Predicate::All(vec![
        test("country", Test::In((0..3).map(|code| Cell::Text(format!("C{code}"))).collect())),
        test("page", Test::Contains(Cell::Text("category-7".to_owned()))),
        test("item.price", Test::Greater(Cell::Float(50.0))),
    ]);
    compare("count with three filters", store, &Plan { filter, ..all.clone() }, rows, &|| {
        let pages: Vec<bool> =
            (0..4_000).map(|page| format!("/category-{}/{page}", page % 40).contains("category-7")).collect();
        let columns = plain.countries.iter().zip(&plain.pages).zip(&plain.prices);
        columns
            .map(|((country, page), price)| u64::from((*country < 3) & pages[*page as usize] & (*price > 50.0)))
            .sum()
    });
    let sum = Plan { analysis: Analysis::Sum, target: Some(path("item.price")), ..by_both };
    compare("sum by day and country", store, &sum, rows, &|| {
        let mut cells = vec![0_f64; 90 * 60];
        let columns = plain.times.iter().zip(&plain.countries).zip(&plain.prices);
        columns.for_each(|((at, code), price)| cells[day(*at) * 60 + *code as usize] += price);
        u64::from(cells.iter().sum::<f64>() < 0.0)
    });
    let pages = Plan { group_by: vec![path("page"), path("device.type")], ..all };
    compare("count by page and device", store, &pages, rows, &|| {
        let mut counts = vec![0_u64; 4_000];
        plain.pages.iter().for_each(|code| counts[*code as usize] += 1);
        counts.iter().sum()
    });
}

fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let default = std::env::temp_dir().join(format!("rivulet-bench-{}", std::process::id()));
    let folder = std::env::args().nth(2).map_or(default, PathBuf::from);
    let words = words();
    let store = Store::open(&folder, Options::default()).unwrap();
    let plain = load(&store, rows, &words);
    drop(store);
    let start = Instant::now();
    let store = Store::open(&folder, Options::default()).unwrap();
    println!("open with all checksums {:.2?}", start.elapsed());
    let start = Instant::now();
    let mut ids = 0_u64;
    store.recent_ids(Timestamp::from_millis(START_MS + (DAYS - 7) * DAY_MS), &mut |_, _, _| ids += 1).unwrap();
    println!("ids of 7 days {:.2?} ({ids})", start.elapsed());
    counts_and_uniques(&store, rows, &words, &plain);
    filters_and_sums(&store, rows, &words, &plain);
    println!("cache {} MiB", store.cache_bytes() / 1024 / 1024);
    drop(store);
    if std::env::args().nth(2).is_none() {
        let _ = std::fs::remove_dir_all(folder);
    }
}
