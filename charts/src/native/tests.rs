//! The native surfaces: readings, documents and files. What the scene decides is tested beside it.

use serde_json::{Value, json};

use super::{ChartError, Options, answer, png, svg};
use crate::scene::{Axis, Input};

/// The columns of the shared fixtures, as JSON.
fn columns(input: &Input) -> Value {
    let (axis, times, names) = match &input.axis {
        Axis::None => (0, Vec::new(), Vec::new()),
        Axis::Time { starts_ms, end_ms } => (1, starts_ms.iter().copied().chain([*end_ms]).collect(), Vec::new()),
        Axis::Categories(names) => (2, Vec::new(), names.clone()),
    };
    json!({
        "axis": axis,
        "times": times,
        "names": names,
        "series": input.series.iter().map(|one| one.name.clone()).collect::<Vec<_>>(),
        "values": input.series.iter().map(|one| one.values.clone()).collect::<Vec<_>>(),
    })
}

/// Numbers as floats, so that 7 equals 7.0.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(floats).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), floats(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_shape_reads_as_the_shared_fixtures_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/answers");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let fixture: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let read = answer::read(&fixture["answer"]["result"]).map_or(Value::Null, |input| floats(&columns(&input)));
        assert_eq!(read, floats(&fixture["columns"]), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} fixtures were found");
}

#[track_caller]
fn check_svg(name: &str, result: &Value, options: &Options) {
    let document = svg(result, options).unwrap();
    insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!(name, document) });
}

fn days(values: &[Value]) -> Value {
    let day = |n: usize| format!("2026-11-{:02}T00:00:00.000Z", n + 1);
    (0..values.len())
        .map(|n| json!({ "value": values[n], "timeframe": { "start": day(n), "end": day(n + 1) } }))
        .collect()
}

fn titled(title: &str) -> Options {
    Options { title: title.to_owned(), width_px: 480, height_px: 240, ..Options::default() }
}

#[test]
fn a_line_over_time_is_drawn_as_before() {
    check_svg("line", &days(&[json!(3), json!(7), json!(null), json!(5), json!(12), json!(9)]), &titled("Clicks"));
}

#[test]
fn several_lines_have_a_legend_as_before() {
    let rows = |us: u32, pl: u32| json!([{ "c": "US", "result": us }, { "c": "PL", "result": pl }]);
    check_svg("lines", &days(&[rows(3, 1), rows(5, 0), rows(4, 6)]), &titled("Clicks by country"));
}

#[test]
fn bars_are_drawn_as_before() {
    check_svg("bars", &json!([{ "c": "US", "result": 3 }, { "c": "PL", "result": -1.5 }]), &titled("Change"));
}

#[test]
fn a_metric_is_drawn_as_before() {
    check_svg("metric", &json!(1_234_567), &titled("Clicks"));
}

/// Names that would do harm in HTML or XML if they were ever more than text.
const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onload='alert(1)",
    "</text><a href=\"javascript:alert(1)\">x</a>",
    "]]><svg onload=alert(1)>",
    "&lt;b&gt; &#x3c;",
    "a\u{0}b\u{8}c\nd\u{202e}e\u{fffe}f",
    "<!ENTITY x SYSTEM \"file:///etc/passwd\">",
];

#[test]
fn hostile_names_are_text_and_nothing_else() {
    let rows: Value = HOSTILE.iter().map(|name| json!({ "c": name, "d": name, "result": 3 })).collect();
    let options = Options { width_px: 1_600, height_px: 900, ..titled(&HOSTILE.join(" ")) };
    let document = svg(&rows, &options).unwrap();
    let tags: std::collections::BTreeSet<&str> = document
        .split('<')
        .skip(1)
        .map(|rest| rest.split([' ', '>', '/']).find(|part| !part.is_empty()).unwrap_or_default())
        .collect();
    let known = ["circle", "line", "polygon", "polyline", "rect", "svg", "text"];
    assert!(tags.iter().all(|tag| known.contains(tag)), "{tags:?}");
    let attributes = ["aria-label", "cx", "cy", "dy", "fill", "font-family", "font-size", "font-weight", "height"]
        .into_iter()
        .chain(["opacity", "points", "r", "role", "stroke", "stroke-width", "text-anchor", "viewBox", "width", "x"])
        .chain(["x1", "x2", "xmlns", "y", "y1", "y2"]);
    let known: Vec<String> = attributes.map(|name| format!(" {name}")).collect();
    for tag in document.split('<').skip(1) {
        let inside = tag.split('>').next().unwrap_or_default();
        // Values hold no quotes, so every second piece is a name.
        for name in inside.split('"').step_by(2).filter_map(|piece| piece.strip_suffix('=')) {
            let name = name.rsplit(' ').next().map(|name| format!(" {name}")).unwrap_or_default();
            assert!(known.contains(&name), "{name:?} in {inside:?}");
        }
    }
    assert!(!document.chars().any(|c| c.is_control() && c != '\n'), "controls are no XML");
    assert!(!document.contains(['\u{202e}', '\u{fffe}']));
    assert!(document.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn a_png_has_the_asked_size_and_more_than_one_colour() {
    for (ratio, width, height) in [(1, 480, 240), (2, 960, 480), (3, 1_440, 720)] {
        let options = Options { pixel_ratio: ratio, ..titled("Clicks") };
        let file = png(&json!([{ "c": "US", "result": 3 }, { "c": "PL", "result": 5 }]), &options).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (width, height));
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let colours: std::collections::BTreeSet<&[u8]> = pixels.chunks_exact(3).collect();
        assert!(colours.contains(&[0xff, 0xff, 0xff][..]), "the paper");
        assert!(colours.contains(&[0x00, 0x72, 0xb2][..]), "a bar");
        assert!(colours.len() > 20, "text is smooth");
    }
}

#[test]
fn the_same_answer_gives_the_same_bytes() {
    let result = days(&[json!(1), json!(4)]);
    assert_eq!(png(&result, &titled("x")), png(&result, &titled("x")));
}

#[test]
fn what_cannot_be_drawn_is_refused_by_name() {
    let sized = |width_px, height_px, pixel_ratio| Options { width_px, height_px, pixel_ratio, ..Options::default() };
    let size = ChartError::Size { min: 16, max: 4_096 };
    for (result, options, error) in [
        (json!(["a"]), Options::default(), ChartError::Shape),
        (json!("a"), Options::default(), ChartError::Shape),
        (json!(1), sized(15, 100, 1), size.clone()),
        (json!(1), sized(100, 4_097, 1), size.clone()),
        (json!(1), sized(100, 100, 0), size.clone()),
        (json!(1), sized(100, 100, 4), size),
    ] {
        assert_eq!(svg(&result, &options), Err(error.clone()), "{result} {options:?}");
        assert_eq!(png(&result, &options), Err(error), "{result} {options:?}");
    }
}

#[test]
fn options_refuse_what_they_do_not_know() {
    assert!(serde_json::from_value::<Options>(json!({ "chart": "pie" })).is_err());
    assert!(serde_json::from_value::<Options>(json!({ "widht_px": 3 })).is_err());
    let options: Options = serde_json::from_value(json!({ "chart": "bar", "theme": "dark" })).unwrap();
    assert_eq!(options.width_px, Options::default().width_px);
}
