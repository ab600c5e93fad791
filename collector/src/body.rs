//! Turns a body as it came into text: decompressed up to a cap, and UTF-8.
//!
//! Apart because it is the one place where a few bytes may become many, so it alone knows of compression. It runs
//! only after the key is known to be good. It must not know what the text says.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use protocol::{ErrorCode, Refusal};

/// Capacity at the start of decompression, as a multiple of the compressed size: what JSON usually grows by.
const USUAL_GROWTH: usize = 6;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
}

impl Encoding {
    /// Reads `Content-Encoding`.
    pub(crate) fn parse(header: Option<&str>) -> Result<Self, Refusal> {
        let name = header.map(str::trim).unwrap_or_default();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if name.is_empty() || is("identity") {
            Ok(Self::Plain)
        } else if is("gzip") || is("x-gzip") {
            Ok(Self::Gzip)
        } else {
            Err(Refusal::new(ErrorCode::UnsupportedEncoding, "content encoding is neither gzip nor identity"))
        }
    }
}

/// The text of `body`, at most `bytes_max` long; `malformed` is the code of a body that is no text.
pub(crate) fn text(
    body: &[u8],
    encoding: Encoding,
    bytes_max: usize,
    malformed: ErrorCode,
) -> Result<Cow<'_, str>, Refusal> {
    if body.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    let not_utf8 = || Refusal::new(malformed, "body is not UTF-8");
    if encoding == Encoding::Plain {
        return std::str::from_utf8(body).map(Cow::Borrowed).map_err(|_| not_utf8());
    }
    let mut bytes = Vec::with_capacity(body.len().saturating_mul(USUAL_GROWTH).min(bytes_max));
    let one_more = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body)
        .take(one_more)
        .read_to_end(&mut bytes)
        .map_err(|_| Refusal::new(malformed, "body is not gzip, or is cut short"))?;
    if bytes.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| not_utf8())
}

/// The refusal of a body beyond the limit.
pub(crate) fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(ErrorCode::EventTooLarge, format!("body is larger than the limit of {bytes_max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = gzip(&vec![b' '; 5_000_000]);
        assert!(bomb.len() < 10_000);
        let refusal = text(&bomb, Encoding::Gzip, 1_000_000, ErrorCode::InvalidEvent).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::EventTooLarge);
    }

    #[test]
    fn gzip_is_read_to_its_end_or_refused() {
        let whole = gzip(b"{\"a\":1}");
        let twice = [gzip(b"{\"a\""), gzip(b":1}")].concat();
        let (cut, trailing) = (&whole[..whole.len() - 3], [&whole[..], b"junk"].concat());
        for (body, expected) in [
            (&whole[..], Some("{\"a\":1}")),
            (&twice, Some("{\"a\":1}")),
            (cut, None),
            (&trailing, None),
            (b"{}", None),
        ] {
            let text = text(body, Encoding::Gzip, 100, ErrorCode::InvalidEvent);
            assert_eq!(text.ok().as_deref(), expected, "{body:?}");
        }
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        for (length, is_allowed) in [(100, true), (101, false)] {
            let body = vec![b'x'; length];
            for (bytes, encoding) in [(gzip(&body), Encoding::Gzip), (body, Encoding::Plain)] {
                assert_eq!(text(&bytes, encoding, 100, ErrorCode::InvalidEvent).is_ok(), is_allowed, "{length}");
            }
        }
    }
}
