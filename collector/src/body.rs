//! Turns a body as it came into text: decompressed up to a cap, and UTF-8.
//!
//! Apart because it is the one place where a few bytes may become many, so it alone knows of compression. It runs
//! only after the key is known to be good. It must not know what the text says.

mod gzip;

use std::borrow::Cow;
use std::io::Read;

use protocol::{ErrorCode, Refusal};

use gzip::Gunzip;

/// Capacity at the start of decompression, as a multiple of the compressed size: what JSON usually grows by.
const USUAL_GROWTH: usize = 6;
/// Bytes that are kept while it is not known whether the whole fits. What is longer is counted to its end first and then
/// decompressed once more, so that a bomb never takes the memory of what it pretends to be.
const UNSURE_BYTES_MAX: usize = 256 * 1024;
/// Bytes that are decompressed at once.
const PIECE_BYTES: usize = 16 * 1024;
/// The window of a zstd stream that does not say how long it becomes, as a power of two: 1 MiB. One that says so needs none,
/// because it is unpacked into its own place.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_LOG_MAX: u32 = 20;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Encoding {
    /// Reads `Content-Encoding`.
    pub(crate) fn parse(header: Option<&str>) -> Result<Self, Refusal> {
        let name = header.map(str::trim).unwrap_or_default();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if name.is_empty() || is("identity") {
            return Ok(Self::Plain);
        }
        if is("gzip") || is("x-gzip") {
            return Ok(Self::Gzip);
        }
        #[cfg(feature = "zstd")]
        if is("zstd") {
            return Ok(Self::Zstd);
        }
        Err(Refusal::new(ErrorCode::UnsupportedEncoding, "the content encoding is not one that is accepted here"))
    }
}

/// The text of `body`, at most `bytes_max` long; `malformed` is the code of a body that is no text.
///
/// Takes the text's size in memory and less than 2 MiB beside it; less than 2 MiB in all when the text is too long.
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
    let (unpacked, broken) = match encoding {
        Encoding::Plain => return std::str::from_utf8(body).map(Cow::Borrowed).map_err(|_| not_utf8()),
        Encoding::Gzip => {
            (unpack(body.len(), bytes_max, || Ok(Gunzip::new(body))), "body is not gzip, or is cut short")
        }
        #[cfg(feature = "zstd")]
        Encoding::Zstd => {
            let broken =
                "body is not zstd (a stream without its size needs a window of at most 1 MiB), or is cut short";
            (unpack_zstd(body, bytes_max), broken)
        }
    };
    match unpacked {
        Ok(Some(bytes)) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| not_utf8()),
        Ok(None) => Err(too_large(bytes_max)),
        Err(_) => Err(Refusal::new(malformed, broken)),
    }
}

/// One frame that says how long it becomes, as everything that is compressed in one piece does, is believed: when it lies it
/// ends with a fault where its word ends.
#[cfg(feature = "zstd")]
fn unpack_zstd(body: &[u8], bytes_max: usize) -> std::io::Result<Option<Vec<u8>>> {
    use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};
    let declared = get_frame_content_size(body).ok().flatten();
    let is_alone = find_frame_compressed_size(body).is_ok_and(|bytes| bytes == body.len());
    if let (Some(declared), true) = (declared, is_alone) {
        return match usize::try_from(declared) {
            Ok(declared) if declared <= bytes_max => zstd::bulk::decompress(body, declared).map(Some),
            _ => Ok(None),
        };
    }
    unpack(body.len(), bytes_max, || {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Ok(decoder)
    })
}

/// What a decoder gives; none when it is longer than `bytes_max`.
fn unpack<R: Read>(
    packed_bytes: usize,
    bytes_max: usize,
    open: impl Fn() -> std::io::Result<R>,
) -> std::io::Result<Option<Vec<u8>>> {
    let unsure_max = UNSURE_BYTES_MAX.min(bytes_max);
    let mut kept = Vec::with_capacity(packed_bytes.saturating_mul(USUAL_GROWTH).min(unsure_max));
    let mut piece = vec![0; PIECE_BYTES];
    let mut total = 0_usize;
    let mut decoder = open()?;
    loop {
        let read = match decoder.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total = total.saturating_add(read);
        if total > bytes_max {
            return Ok(None);
        }
        if total <= unsure_max {
            if kept.capacity() < total {
                kept.reserve_exact(unsure_max - kept.len());
            }
            kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }
    if kept.len() == total {
        return Ok(Some(kept));
    }
    drop((kept, decoder));
    let mut whole = Vec::with_capacity(total);
    let limit = u64::try_from(total).unwrap_or(u64::MAX);
    open()?.take(limit).read_to_end(&mut whole)?;
    Ok(Some(whole))
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
        for (bomb, encoding) in packed(&vec![b' '; 5_000_000]).split_off(1) {
            assert!(bomb.len() < 10_000);
            let refusal = text(&bomb, encoding, 1_000_000, ErrorCode::InvalidEvent).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::EventTooLarge);
        }
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
    fn what_is_longer_than_a_first_look_is_whole() {
        for length in [UNSURE_BYTES_MAX - 1, UNSURE_BYTES_MAX, UNSURE_BYTES_MAX + 1, 3_000_000] {
            let body: Vec<u8> = (0..length).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect();
            for (packed, encoding) in packed(&body) {
                let text = text(&packed, encoding, 3_000_000, ErrorCode::InvalidEvent).unwrap();
                assert!(text.as_bytes() == body, "{encoding:?} {length}");
            }
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_is_read_to_its_end_or_refused() {
        use std::io::Write;
        let whole = zstd::bulk::compress(b"{\"a\":1}", 3).unwrap();
        let twice = [zstd::bulk::compress(b"{\"a\"", 3).unwrap(), zstd::bulk::compress(b":1}", 3).unwrap()].concat();
        let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(21).unwrap();
        wide.write_all(b"{}").unwrap();
        wide.flush().unwrap();
        let wide = wide.finish().unwrap();
        let (cut, trailing) = (&whole[..whole.len() - 3], [&whole[..], b"junk"].concat());
        for (body, expected) in [
            (&whole[..], Some("{\"a\":1}")),
            (&twice, Some("{\"a\":1}")),
            (&wide, None),
            (cut, None),
            (&trailing, None),
            (b"{}", None),
        ] {
            let text = text(body, Encoding::Zstd, 100, ErrorCode::InvalidEvent);
            assert_eq!(text.ok().as_deref(), expected, "{body:?}");
        }
    }

    /// A body in every encoding.
    fn packed(body: &[u8]) -> Vec<(Vec<u8>, Encoding)> {
        vec![
            (body.to_vec(), Encoding::Plain),
            (gzip(body), Encoding::Gzip),
            #[cfg(feature = "zstd")]
            (zstd::bulk::compress(body, 3).unwrap(), Encoding::Zstd),
        ]
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        for (length, is_allowed) in [(100, true), (101, false)] {
            let body = vec![b'x'; length];
            for (bytes, encoding) in packed(&body) {
                assert_eq!(text(&bytes, encoding, 100, ErrorCode::InvalidEvent).is_ok(), is_allowed, "{length}");
            }
        }
    }
}
