//! What pictures look like in numbers: lists as text, and laws that hold for any input.

use proptest::prelude::*;

use super::cast::{narrow, within};
use super::list::Op;
use super::{Axis, ChartType, Input, Measure, Options, Picture, Series, Theme, Zone, flat, list, number, plan};
use super::{calendar, text, ticks::Scale};

/// A ruler whose letters are all half an em wide.
struct Typewriter;

impl Measure for Typewriter {
    fn width(&self, text: &str, size_px: f64, bold: bool) -> f64 {
        size_px * if bold { 0.55 } else { 0.5 } * text.chars().count() as f64
    }
}

const DAY: f64 = 86_400_000.0;
/// 2026-11-23T00:00:00Z.
const MONDAY: f64 = 1_795_392_000_000.0;

fn time(starts_ms: Vec<f64>, end_ms: f64, series: &[(&str, &[f64])]) -> Input {
    Input { axis: Axis::Time { starts_ms, end_ms }, series: columns(series) }
}

fn groups(names: &[&str], series: &[(&str, &[f64])]) -> Input {
    Input { axis: Axis::Categories(names.iter().map(|&name| name.to_owned()).collect()), series: columns(series) }
}

fn columns(series: &[(&str, &[f64])]) -> Vec<Series> {
    series.iter().map(|(name, values)| Series { name: (*name).to_owned(), values: values.to_vec() }).collect()
}

fn small(title: &str) -> Options {
    Options { title: title.to_owned(), width_px: 320.0, height_px: 180.0, ..Options::default() }
}

/// The list, one operation per line.
fn dump(picture: &Picture) -> String {
    let mut lines = vec![picture.texts[0].clone()];
    lines.extend(picture.iter().map(|op| match op {
        Op::Rect(colour, opacity, at) => format!("rect {colour} {opacity} {at:.1?}"),
        Op::Line(colour, width, dash, points) => format!("line {colour} {width} {dash} {points:.1?}"),
        Op::Area(colour, opacity, points) => format!("area {colour} {opacity} {points:.1?}"),
        Op::Circle(colour, at) => format!("circle {colour} {at:.1?}"),
        Op::Text(colour, text, size, bold, anchor, at) => {
            format!("text {colour} {text:?} {size:.1}{} {anchor} {at:.1?}", if bold { " bold" } else { "" })
        }
    }));
    lines.push(format!("hits {:.1?}", picture.hits));
    lines.join("\n")
}

#[track_caller]
fn check(name: &str, input: &Input, options: &Options) {
    let picture = plan(input, options, &Typewriter);
    inside(&picture);
    insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!(name, dump(&picture)) });
}

/// Every mark is inside the picture and every text begins and ends in it.
#[track_caller]
fn inside(picture: &Picture) {
    let (width, height) = (narrow(picture.width), narrow(picture.height));
    let holds = |x: f32, y: f32| (0.0..=width).contains(&x) && (0.0..=height).contains(&y);
    let mut words = 0;
    for op in picture.iter() {
        let is_inside = match op {
            Op::Rect(_, _, [x, y, w, h]) => {
                holds(x, y) && w >= 0.0 && h >= 0.0 && x + w < width + 0.01 && y + h < height + 0.01
            }
            Op::Line(_, _, _, points) | Op::Area(_, _, points) => points.chunks(2).all(|p| holds(p[0], p[1])),
            Op::Circle(_, [x, y, _]) => holds(x, y),
            Op::Text(_, text, size, bold, anchor, [x, y]) => {
                let wide = narrow(Typewriter.width(text, f64::from(size), bold));
                let begin = x - wide * anchor;
                holds(x, y) && (wide > width || (begin > -1.0 && begin + wide < width + 1.0))
            }
        };
        assert!(is_inside, "{op:?} is outside {width} x {height}");
        words += match op {
            Op::Rect(..) => 7,
            Op::Line(.., points) => 5 + points.len(),
            Op::Area(.., points) => 4 + points.len(),
            Op::Circle(..) => 5,
            Op::Text(..) => 8,
        };
    }
    assert_eq!(words, picture.ops.len(), "every word belongs to an operation");
    assert_eq!(picture.hits.len() % 6, 0);
}

#[test]
fn a_line_and_its_unfinished_end_as_a_list() {
    let starts = (0..5).map(|day| MONDAY + f64::from(day) * DAY).collect();
    let input = time(starts, MONDAY + 4.5 * DAY, &[("", &[1.0, 4.0, 2.0, 8.0, 3.0])]);
    check("list-line", &input, &small("Clicks"));
}

#[test]
fn gaps_part_lines_and_a_lonely_point_is_a_dot_as_a_list() {
    let starts = (0..6).map(|hour| MONDAY + f64::from(hour) * 3_600_000.0).collect();
    let a = [1.0, f64::NAN, 2.0, f64::NAN, 3.0, 4.0];
    let input = time(starts, MONDAY + 6.0 * 3_600_000.0, &[("a", &a), ("b", &[5.0; 6])]);
    check("list-gaps", &input, &small(""));
}

#[test]
fn standing_bars_as_a_list() {
    check("list-bars", &groups(&["a", "b", "c"], &[("x", &[1.0, -2.0, 3.5]), ("y", &[2.0, 1.0])]), &small("Bars"));
}

#[test]
fn bars_lie_down_when_their_names_do_not_fit_as_a_list() {
    let names = ["a name that is too long to stand beneath a bar", "another name of that kind"];
    check("list-lying", &groups(&names, &[("", &[1.0, 2.0])]), &small(""));
}

#[test]
fn a_metric_as_a_list() {
    check("list-metric", &Input { axis: Axis::None, series: columns(&[("", &[1234.5])]) }, &small("Revenue"));
}

#[test]
fn an_empty_answer_says_so_as_a_list() {
    check("list-empty", &groups(&[], &[("", &[])]), &small("Clicks"));
}

#[test]
fn the_kind_of_picture_follows_the_shape() {
    let (line, bar, metric) = (ChartType::Line, ChartType::Bar, ChartType::Metric);
    let value = Input { axis: Axis::None, series: columns(&[("", &[1.0])]) };
    let over_time = time(vec![0.0], 1.0, &[("", &[1.0])]);
    let several = time(vec![0.0], 1.0, &[("a", &[1.0]), ("b", &[1.0])]);
    let grouped = groups(&["a"], &[("", &[1.0])]);
    for (input, asked, drawn) in [
        (&value, None, metric),
        (&value, Some(line), metric),
        (&over_time, None, line),
        (&over_time, Some(bar), bar),
        (&over_time, Some(metric), metric),
        (&several, Some(metric), line),
        (&grouped, None, bar),
        (&grouped, Some(line), bar),
        (&grouped, Some(metric), bar),
    ] {
        assert_eq!(input.chart(asked), drawn, "{input:?} asked as {asked:?}");
    }
}

#[test]
fn numbers_are_short() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (7.0, "7"),
        (-1_234_567.0, "−1,234,567"),
        (999.996, "1,000"),
        (12.345, "12.35"),
        (12.5, "12.5"),
        (0.004, "0.004"),
        (0.000_123_456, "0.000123"),
        (123_456.7, "123,457"),
        (1.5e22, "1.5e22"),
        (9.99e99, "1e100"),
        (-2.5e-9, "−2.5e−9"),
        (1e308, "1e308"),
        (5e-324, "4.9e−324"),
        (f64::NAN, "–"),
    ] {
        assert_eq!(number::value(value), text, "{value}");
    }
}

#[test]
fn ticks_are_round_and_in_one_unit() {
    for ((low, high, zero, whole), labels) in [
        ((0.0, 10.0, true, true), "0 2 4 6 8 10"),
        ((0.0, 1.0, true, true), "0 1"),
        ((0.0, 3.0, true, true), "0 1 2 3"),
        ((3.0, 116.0, true, true), "0 50 100"),
        ((-20.0, 26.0, true, true), "−20 −10 0 10 20"),
        ((0.12, 0.48, false, false), "0.1 0.2 0.3 0.4 0.5"),
        ((0.1, 0.3, true, false), "0.0 0.1 0.2 0.3"),
        ((0.0, 15_000.0, true, true), "0 5k 10k 15k"),
        ((0.0, 1_160_000.0, true, true), "0 0.5M 1.0M"),
        ((0.0, 9_000.0, true, true), "0 2,000 4,000 6,000 8,000"),
        ((0.0, 3e16, true, true), "0 1e16 2e16 3e16"),
        ((0.0, 4e-9, true, false), "0 1e−9 2e−9 3e−9 4e−9"),
        ((0.0, 0.0, true, true), "0 1"),
        ((42.0, 42.0, true, true), "0 10 20 30 40"),
        ((1000.0, 1001.0, false, true), "1,000 1,001"),
    ] {
        let scale = Scale::nice(low, high, zero, whole, 5.0);
        let found: Vec<String> = scale.ticks().into_iter().map(|(_, label)| label).collect();
        let labels = labels.replace("0.0 0.1", "0 0.1");
        assert_eq!(found.join(" "), labels, "{low} to {high}");
        assert!(scale.low <= low && scale.high >= high, "{scale:?} holds {low} to {high}");
    }
}

#[test]
fn times_are_named_at_round_instants() {
    let hour = 3_600_000.0;
    for (span, every, names) in [
        (hour, 60_000.0, "00:00(Nov 23) 00:10 00:20 00:30 00:40 00:50 01:00"),
        (3.0 * DAY, hour, "00:00(Nov 23) 12:00 00:00(Nov 24) 12:00 00:00(Nov 25) 12:00 00:00(Nov 26)"),
        (6.0 * DAY, DAY, "Nov 23(2026) Nov 24 Nov 25 Nov 26 Nov 27 Nov 28 Nov 29"),
        (30.0 * DAY, DAY, "Nov 29(2026) Dec 6 Dec 13 Dec 20"),
        (150.0 * DAY, DAY, "Dec(2026) Jan(2027) Feb Mar Apr"),
        (2_000.0 * DAY, 30.0 * DAY, "2027 2028 2029 2030 2031 2032"),
        (40_000.0 * DAY, 365.0 * DAY, "2040 2060 2080 2100 2120"),
        (10_000.0, 1_000.0, "00:00:00(Nov 23) 00:00:05 00:00:10"),
        // Two days of data have no ticks at hours.
        (DAY, DAY, "Nov 23(2026) Nov 24"),
    ] {
        let found = calendar::ticks(MONDAY, MONDAY + span, every, 7.0, &Zone::default());
        assert_eq!(spell(&found), names, "{span} ms");
    }
}

fn spell(ticks: &[calendar::Tick]) -> String {
    let spell = |tick: &calendar::Tick| match tick.context.as_str() {
        "" => tick.label.clone(),
        context => format!("{}({context})", tick.label),
    };
    ticks.iter().map(spell).collect::<Vec<_>>().join(" ")
}

#[test]
fn days_begin_where_the_zone_says_also_across_a_change_of_clocks() {
    // Warsaw: +1 h until 2026-03-29T01:00:00Z, then +2 h.
    let change = 1_774_746_000_000.0;
    let zone = Zone { offsets: vec![(change - 90.0 * DAY, 3_600.0), (change, 7_200.0)] };
    let found = calendar::ticks(change - 2.0 * DAY, change + 2.0 * DAY, DAY, 8.0, &zone);
    let hours: Vec<i64> = found.iter().map(|tick| tick.instant / 3_600_000 % 24).collect();
    assert_eq!(spell(&found), "Mar 28(2026) Mar 29 Mar 30 Mar 31");
    assert_eq!(hours, [23, 23, 22, 22], "midnight in Warsaw, in UTC");
    let found = calendar::ticks(change - 2.0 * 3_600_000.0, change + 2.0 * 3_600_000.0, 3_600_000.0, 8.0, &zone);
    assert_eq!(spell(&found), "00:00(Mar 29) 01:00 03:00 04:00 05:00");
}

#[test]
fn a_million_points_become_a_few_per_pixel_and_keep_their_extremes() {
    let count = 1_000_000;
    let starts: Vec<f64> = (0..count).map(|n| f64::from(n) * 1_000.0).collect();
    let mut values: Vec<f64> = (0..count).map(|n| f64::from(n % 97)).collect();
    values[654_321] = 1_000.0;
    let input = time(starts, f64::from(count) * 1_000.0, &[("", &values)]);
    let picture = plan(&input, &Options::default(), &Typewriter);
    inside(&picture);
    assert!(picture.ops.len() < 600 * 4 * 2 * 2, "{} words", picture.ops.len());
    let kept = picture.hits.chunks(6).any(|hit| hit[1] == 654_321.0);
    assert!(kept, "the peak is drawn");
}

#[test]
fn a_list_in_bytes_is_laid_out_as_documented() {
    let picture =
        plan(&groups(&["ż"], &[("", &[1.0])]), &Options { theme: Theme::Dark, ..small("Tytuł") }, &Typewriter);
    let bytes = picture.to_bytes();
    let word = |at: usize| u32::from_le_bytes(bytes[at * 4..at * 4 + 4].try_into().unwrap());
    assert_eq!((word(0), f32::from_bits(word(1)), f32::from_bits(word(2))), (list::MAGIC, 320.0, 180.0));
    let counts: Vec<usize> = (3..7).map(|at| word(at) as usize).collect();
    assert_eq!(counts, [picture.colours.len(), picture.ops.len(), picture.hits.len(), picture.texts.len()]);
    assert_eq!(word(7), Theme::Dark.colours()[0]);
    let ops = 7 + counts[0];
    assert_eq!(f32::from_bits(word(ops)), list::code::RECT);
    let lengths = ops + counts[1] + counts[2];
    let mut at = (lengths + counts[3]) * 4;
    for (index, text) in picture.texts.iter().enumerate() {
        let length = word(lengths + index) as usize;
        assert_eq!(&bytes[at..at + length], text.as_bytes());
        at += length;
    }
    assert_eq!(at, bytes.len());
}

#[test]
fn what_the_browser_hands_over_reads_back() {
    let numbers = [1.0, 300.0, 200.0, 1.0, 1.0, 2.0, 2.0, 1.0, 5.0, 3_600.0, 10.0, 20.0, 30.0, 1.0, f64::NAN, 3.0, 4.0];
    let (input, options) = flat::read(&numbers, "title\u{1f}one\u{1f}two");
    assert_eq!(input.axis, Axis::Time { starts_ms: vec![10.0, 20.0], end_ms: 30.0 });
    assert_eq!(input.series[0].name, "one");
    assert!(input.series[0].values[1].is_nan());
    assert_eq!(input.series[1], Series { name: "two".to_owned(), values: vec![3.0, 4.0] });
    assert_eq!((options.chart, options.theme), (Some(ChartType::Line), Theme::Dark));
    assert_eq!(options.zone.offsets, [(5.0, 3_600.0)]);
    let (input, _) = flat::read(&[0.0, 300.0, 200.0, 0.0, 2.0, 1.0, 2.0, 0.0, 7.0, 8.0], "\u{1f}a\u{1f}b\u{1f}");
    assert_eq!(input, groups(&["a", "b"], &[("", &[7.0, 8.0])]));
}

#[test]
fn text_loses_what_hides_or_reorders_and_is_cut_to_its_room() {
    for (given, kept) in [
        ("plain", "plain"),
        ("a\nb\tc\u{0}d", "a b c d"),
        ("\u{202e}gnp.exe\u{202c}", "gnp.exe"),
        ("zero\u{200b}width", "zerowidth"),
        ("é 日本 👩‍👩‍👧", "é 日本 👩‍👩‍👧"),
    ] {
        assert_eq!(text::clean(given), kept);
    }
    assert_eq!(text::clean(&"x".repeat(10_000)).chars().count(), text::CHARS_MAX + 1);
    for (room, fitted) in
        [(100.0, "abcdefgh"), (40.0, "abcdefgh"), (39.0, "abcdef…"), (10.0, "a…"), (9.0, ""), (0.0, "")]
    {
        assert_eq!(text::fit(&Typewriter, "abcdefgh", 10.0, false, room), fitted, "{room} px");
    }
}

/// Numbers of every kind, the odd ones often.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e6..1e6_f64,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN,
            f64::MIN_POSITIVE, 5e-324, 1e15, 1e300, -1e300, 9_007_199_254_740_993.0]),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    let values = || prop::collection::vec(any_number(), 0..40);
    let series = prop::collection::vec((any::<String>(), values()), 0..12)
        .prop_map(|all| all.into_iter().map(|(name, values)| Series { name, values }).collect::<Vec<_>>());
    let axis = prop_oneof![
        1 => Just(Axis::None),
        2 => prop::collection::vec(any::<String>(), 0..40).prop_map(Axis::Categories),
        2 => (any_number(), prop::collection::vec(0.0..1e9_f64, 0..40), any_number()).prop_map(|(start, steps, end_ms)| {
            let starts_ms = steps.iter().scan(start, |at, step| { *at += step; Some(*at) }).collect();
            Axis::Time { starts_ms, end_ms }
        }),
        1 => (values(), any_number()).prop_map(|(starts_ms, end_ms)| Axis::Time { starts_ms, end_ms }),
    ];
    (axis, series).prop_map(|(axis, series)| Input { axis, series })
}

fn any_options() -> impl Strategy<Value = Options> {
    let chart = prop::sample::select(vec![None, Some(ChartType::Line), Some(ChartType::Bar), Some(ChartType::Metric)]);
    let side = || prop_oneof![4 => 16.0..1_000.0_f64, 1 => any_number()];
    let offsets = prop::collection::vec((any_number(), any_number()), 0..4);
    (chart, any::<String>(), side(), side(), offsets).prop_map(|(chart, title, width_px, height_px, offsets)| Options {
        chart,
        title,
        width_px,
        height_px,
        theme: Theme::Light,
        zone: Zone { offsets },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_input_gives_a_picture_whose_marks_are_inside(input in any_input(), options in any_options()) {
        inside(&plan(&input, &options, &Typewriter));
    }

    #[test]
    fn any_numbers_from_a_page_give_a_picture(numbers in prop::collection::vec(any_number(), 0..60), text in ".{0,60}") {
        let (input, options) = flat::read(&numbers, &text);
        inside(&plan(&input, &options, &Typewriter));
    }

    #[test]
    fn any_scale_holds_its_values_and_has_few_ticks_in_order(a in any_number(), b in any_number(), zero: bool, whole: bool) {
        // As `Input::at` holds them.
        let (a, b) = (within(a, -1e300, 1e300), within(b, -1e300, 1e300));
        let scale = Scale::nice(a.min(b), a.max(b), zero, whole, 6.0);
        prop_assert!(scale.high > scale.low && scale.step > 0.0, "{scale:?}");
        let ticks = scale.ticks();
        prop_assert!(ticks.len() <= 9, "{ticks:?}");
        prop_assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0), "{ticks:?}");
    }

    #[test]
    fn any_span_has_few_times_in_order(low in any_number(), span in any_number(), count in 1.0..30.0_f64) {
        let ticks = calendar::ticks(low, low + span.abs(), 0.0, count, &Zone::default());
        prop_assert!(ticks.len() <= 80, "{} ticks", ticks.len());
        prop_assert!(ticks.windows(2).all(|pair| pair[0].instant < pair[1].instant));
    }
}
