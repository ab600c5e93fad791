//! `rivulet query` and `rivulet chart`: ask a running server; the second draws the answer.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::{Remote, client, message, print, read_answer};
use crate::chart::Format;

/// Flags of `rivulet query`.
#[derive(Debug, Args)]
pub struct Query {
    /// count, count_unique, sum, average, minimum or maximum.
    analysis: String,
    #[command(flatten)]
    remote: Remote,
    /// The collection asked about.
    #[arg(long)]
    collection: String,
    /// The property that is counted, summed, ….
    #[arg(long, value_name = "PROPERTY")]
    target: Option<String>,
    /// Relative, as this_7_days, or JSON with start and end.
    #[arg(long)]
    timeframe: Option<String>,
    /// Name of a zone, or seconds east of UTC.
    #[arg(long, allow_hyphen_values = true)]
    timezone: Option<String>,
    /// minutely, hourly, daily, weekly, monthly, yearly, or every_2_hours and the like.
    #[arg(long)]
    interval: Option<String>,
    /// Properties whose values make groups.
    #[arg(long, value_delimiter = ',', value_name = "PROPERTIES")]
    group_by: Vec<String>,
    /// A list of filters, as JSON.
    #[arg(long, value_name = "JSON")]
    filters: Option<String>,
    /// Any further parameters, as one JSON object.
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
}

/// Flags of `rivulet chart`.
#[derive(Debug, Args)]
pub struct Chart {
    #[command(flatten)]
    query: Query,
    /// The file to write; .svg or .png.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// line, bar or metric; chosen from the answer when left out.
    #[arg(long)]
    chart: Option<String>,
    /// Written above the picture.
    #[arg(long)]
    title: Option<String>,
    /// Pixels.
    #[arg(long, default_value_t = 800)]
    width: u32,
    /// Pixels.
    #[arg(long, default_value_t = 400)]
    height: u32,
}

/// Asks and prints.
pub(super) fn query(query: &Query) -> anyhow::Result<()> {
    let answer = ask(query)?;
    print(&format!("{}\n", serde_json::to_string_pretty(&answer)?))
}

/// Asks and draws.
pub(super) fn chart(chart: &Chart) -> anyhow::Result<()> {
    let name = chart.out.to_string_lossy();
    let format = Format::of(&name).with_context(|| format!("{name} ends in neither .svg nor .png"))?;
    let options = serde_json::json!({
        "chart": chart.chart, "title": chart.title, "width_px": chart.width, "height_px": chart.height,
    });
    let options: serde_json::Map<_, _> = options
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let options: charts::Options = serde_json::from_value(options.into()).context("chart options")?;
    let answer = ask(&chart.query)?;
    let picture = format.draw(answer.get("result").unwrap_or(&Value::Null), &options)?;
    std::fs::write(&chart.out, &picture).with_context(|| format!("can't write {name}"))?;
    print(&format!("{name}: {} bytes\n", picture.len()))
}

fn ask(query: &Query) -> anyhow::Result<Value> {
    let body = body(query)?;
    let url = query.remote.url(&format!("queries/{}", query.analysis))?;
    let response = client()
        .post(&url)
        .header("Authorization", query.remote.key()?)
        .header("Content-Type", "application/json")
        .send(serde_json::to_vec(&body)?)
        .with_context(|| format!("can't reach {}", query.remote.server))?;
    let (status, body) = read_answer(response)?;
    anyhow::ensure!(status == 200, "{}", message(&body));
    serde_json::from_slice(&body).context("the answer is not JSON")
}

/// The parameters as Keen's JSON.
fn body(query: &Query) -> anyhow::Result<Value> {
    let mut body: serde_json::Map<String, Value> = match &query.params {
        Some(text) => serde_json::from_str(text).context("--params is not a JSON object")?,
        None => serde_json::Map::new(),
    };
    body.insert("event_collection".to_owned(), query.collection.clone().into());
    let texts = [("target_property", &query.target), ("timezone", &query.timezone), ("interval", &query.interval)];
    for (name, value) in texts {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.clone().into());
        }
    }
    if let Some(timeframe) = &query.timeframe {
        let value = serde_json::from_str(timeframe).unwrap_or_else(|_| timeframe.clone().into());
        body.insert("timeframe".to_owned(), value);
    }
    if !query.group_by.is_empty() {
        body.insert("group_by".to_owned(), query.group_by.clone().into());
    }
    if let Some(filters) = &query.filters {
        body.insert("filters".to_owned(), serde_json::from_str(filters).context("--filters is not JSON")?);
    }
    Ok(body.into())
}
