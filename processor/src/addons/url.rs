//! `keen:url_parser`: the parts of a page's address.
//!
//! Parameters become properties of `query_string`, so their names are made to keep the rules for names. It splits and
//! decodes and nothing else: it must not know what an address leads to.

use protocol::PropertyPath;
use protocol::event::check_property_name;
use protocol::row::Cell;

use super::{Fields, text};

/// Parameters that are kept; further ones are left out.
const PARAMETERS_MAX: usize = 64;

/// An address in parts.
pub(super) struct Url<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    anchor: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// None when it is not `scheme://host…`.
    pub(super) fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'));
        let (rest, anchor) = rest.split_once('#').map_or((rest, None), |(rest, anchor)| (rest, Some(anchor)));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let url = Self { scheme, authority, path: if path.is_empty() { "/" } else { path }, query, anchor };
        let domain = url.domain();
        let is_host = !domain.is_empty() && !domain.contains(|letter: char| letter.is_whitespace() || letter == '%');
        (is_scheme && is_host).then_some(url)
    }

    /// The host in small letters, without user and port.
    pub(super) fn domain(&self) -> String {
        let host = self.authority.rsplit('@').next().unwrap_or_default();
        let port = host.rfind(':').filter(|at| {
            host.get(at + 1..).unwrap_or_default().bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(']')
        });
        host.get(..port.unwrap_or(host.len())).unwrap_or_default().to_lowercase()
    }

    /// The path of the page.
    pub(super) fn path(&self) -> &str {
        self.path
    }

    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query?.as_bytes());
        pairs.find(|(own, value)| own == name && !value.is_empty()).map(|(_, value)| value.into_owned())
    }
}

/// The parts of `url`; nothing when it is none.
pub(super) fn fields(url: &str) -> Fields {
    let Some(url) = Url::parse(url) else { return Fields::new() };
    let mut fields =
        vec![text("protocol", url.scheme.to_ascii_lowercase()), text("domain", url.domain()), text("path", url.path)];
    if let Some(anchor) = url.anchor {
        fields.push(text("anchor", anchor));
    }
    let mut parameters: Vec<(String, Cell)> = Vec::new();
    for (name, value) in form_urlencoded::parse(url.query.unwrap_or_default().as_bytes()) {
        let Some(name) = property_name(&name).filter(|_| !value.contains('\0')) else { continue };
        let cell = Cell::Text(value.into_owned());
        if let Some((_, own)) = parameters.iter_mut().find(|(own, _)| *own == name) {
            *own = cell;
        } else if parameters.len() < PARAMETERS_MAX {
            parameters.push((name, cell));
        }
    }
    fields.extend(parameters.into_iter().map(|(name, cell)| (format!("query_string.{name}"), cell)));
    fields
}

/// A parameter's name as a property's.
fn property_name(name: &str) -> Option<String> {
    let mut name = name.replace('.', "_");
    if name.starts_with('$') {
        name.replace_range(..1, "_");
    }
    let is_one = check_property_name(&name).is_ok() && name.parse::<PropertyPath>().is_ok();
    is_one.then_some(name)
}
