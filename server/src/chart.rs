//! Pictures of answers: a query's URL under `charts/`, with `.svg` or `.png` after the analysis.
//!
//! The query is asked as any other, with its key, limits and share of the machine; crate `charts` draws the answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use collector::Reply;
use protocol::{ErrorCode, Refusal};

use crate::http::{Server, refuse, respond};
use crate::query::{ask, pairs};
use crate::telemetry::ByCode;

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Vectors.
    Svg,
    /// Pixels.
    Png,
}

impl Format {
    /// The format a file or path ending in this name has.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "svg" => Some(Self::Svg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }

    /// Draws `result`.
    ///
    /// # Errors
    /// When the answer has a shape that has no picture.
    pub fn draw(self, result: &serde_json::Value, options: &charts::Options) -> Result<Vec<u8>, charts::ChartError> {
        match self {
            Self::Svg => charts::svg(result, options).map(String::into_bytes),
            Self::Png => charts::png(result, options),
        }
    }

    /// Its content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml; charset=utf-8",
            Self::Png => "image/png",
        }
    }
}

/// `GET /3.0/projects/{project}/charts/{analysis}.svg|png?…`: a query's parameters and `chart`, `title`, `width`,
/// `height`.
pub async fn picture(State(server): State<Arc<Server>>, request: Request) -> Response {
    let Some(format) = Format::of(request.uri().path()) else {
        return refuse(&Refusal::new(ErrorCode::ResourceNotFound, "a picture ends in .svg or .png"));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refuse(&Refusal::new(ErrorCode::MethodNotAllowed, "pictures are asked by GET"));
    }
    match draw(&server, request, format).await {
        Ok(reply) => respond(reply),
        Err(refusal) => {
            server.telemetry.queries_refused.get_or_create(&ByCode(refusal.code)).inc();
            refuse(&refusal)
        }
    }
}

async fn draw(server: &Arc<Server>, request: Request, format: Format) -> Result<Reply, Refusal> {
    let pairs = pairs(request.uri().query());
    let options = options(&pairs)?;
    let (_, answer) = ask(server, request).await?;
    let internal = |what: &str, error: &dyn std::fmt::Display| {
        tracing::error!(what, %error, "picture failed");
        Refusal::new(ErrorCode::Internal, format!("{what} failed; the operator's log says why"))
    };
    let answer = serde_json::to_value(&answer).map_err(|error| internal("the answer", &error))?;
    let result = answer.get("result").cloned().unwrap_or_default();
    // Text layout and compression take milliseconds: not on the threads that take events.
    let picture = tokio::task::spawn_blocking(move || format.draw(&result, &options))
        .await
        .map_err(|error| internal("the picture", &error))?
        .map_err(|error| Refusal::new(ErrorCode::InvalidParameter, error.to_string()))?;
    server.telemetry.answered.inc();
    Ok(Reply::typed(200, format.content_type(), picture))
}

/// The picture's options among the parameters of a URL.
///
/// # Errors
/// When one is not what it should be; the message names it.
fn options(pairs: &[(String, String)]) -> Result<charts::Options, Refusal> {
    let mut options = serde_json::Map::new();
    for (name, value) in pairs {
        let number = || {
            value.parse::<u32>().map(serde_json::Value::from).map_err(|_| {
                Refusal::new(ErrorCode::InvalidParameter, format!("{name} is a whole number of pixels, not {value:?}"))
            })
        };
        match name.as_str() {
            "chart" => options.insert("chart".to_owned(), value.clone().into()),
            "title" => options.insert("title".to_owned(), value.clone().into()),
            "width" => options.insert("width_px".to_owned(), number()?),
            "height" => options.insert("height_px".to_owned(), number()?),
            _ => None,
        };
    }
    serde_json::from_value(options.into())
        .map_err(|error| Refusal::new(ErrorCode::InvalidParameter, format!("chart options: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_url_and_mistakes_are_named() {
        let pairs = |text: &str| pairs(Some(text));
        assert!(options(&pairs("chart=bar&title=a%20b&width=300&height=200&filters=[]")).is_ok());
        for (text, named) in [("width=wide", "width"), ("height=-1", "height"), ("chart=pie9", "pie9")] {
            let refusal = options(&pairs(text)).unwrap_err();
            assert!(refusal.message.contains(named), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_format_is_named_by_the_ending() {
        for (name, format) in
            [("a.svg", Some(Format::Svg)), ("a.b.png", Some(Format::Png)), ("a.gif", None), ("svg", None)]
        {
            assert_eq!(Format::of(name), format, "{name}");
        }
    }
}
