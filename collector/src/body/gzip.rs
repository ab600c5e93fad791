//! Reads gzip: the frame of RFC 1952 around what crate `flate2` inflates.
//!
//! The frame is read here because the crate's own reader brings 17 KB of tables for its checksum, and the worker at the
//! edge is held to a size; ours are made when a body needs them. It must not know what is in the stream.

use std::io::{Error, ErrorKind, Read, Result};

use flate2::{Decompress, FlushDecompress, Status};

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Magic, flags, time, extra flags and system.
const HEAD_BYTES: usize = 10;
/// Checksum and length.
const TAIL_BYTES: usize = 8;
const HAS_HEAD_CHECKSUM: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// The members of a gzip stream, one after the other.
pub(super) struct Gunzip<'a> {
    /// What is not yet read.
    packed: &'a [u8],
    inflate: Decompress,
    checksum: Checksum,
    /// Bytes of this member.
    total: u32,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a member that must be there.
    First,
    /// Inside one.
    Member,
    /// After one: another may follow, and nothing else.
    Next,
}

impl<'a> Gunzip<'a> {
    pub(super) fn new(packed: &'a [u8]) -> Self {
        let (inflate, checksum) = (Decompress::new(false), Checksum::new());
        Self { packed, inflate, checksum, total: 0, place: Place::First }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.packed.split_at_checked(bytes).ok_or_else(cut_short)?;
        self.packed = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<()> {
        let whole = self.packed;
        let head = self.take(HEAD_BYTES)?;
        let flags = head.get(MAGIC.len()).copied().unwrap_or(RESERVED);
        if !head.starts_with(&MAGIC) || flags & RESERVED != 0 {
            return Err(broken());
        }
        if flags & HAS_EXTRA != 0 {
            let length = self.take(2)?.first_chunk().copied().map_or(0, u16::from_le_bytes);
            self.take(usize::from(length))?;
        }
        for text in [HAS_NAME, HAS_COMMENT] {
            if flags & text != 0 {
                let length = self.packed.iter().position(|byte| *byte == 0).ok_or_else(cut_short)?;
                self.take(length + 1)?;
            }
        }
        if flags & HAS_HEAD_CHECKSUM != 0 {
            let head = whole.get(..whole.len() - self.packed.len()).unwrap_or_default();
            self.checksum.reset();
            self.checksum.update(head);
            let expected = self.checksum.value().to_le_bytes();
            if !expected.starts_with(self.take(2)?) {
                return Err(broken());
            }
        }
        self.inflate.reset(false);
        self.checksum.reset();
        (self.total, self.place) = (0, Place::Member);
        Ok(())
    }

    fn tail(&mut self) -> Result<()> {
        let tail = self.take(TAIL_BYTES)?;
        let (checksum, total) = (self.checksum.value().to_le_bytes(), self.total.to_le_bytes());
        if !tail.starts_with(&checksum) || !tail.ends_with(&total) {
            return Err(broken());
        }
        self.place = Place::Next;
        Ok(())
    }
}

impl Read for Gunzip<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        loop {
            match self.place {
                Place::Next if self.packed.is_empty() => return Ok(0),
                Place::First | Place::Next => self.head()?,
                Place::Member if out.is_empty() => return Ok(0),
                Place::Member => {}
            }
            let (read_before, made_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(self.packed, out, FlushDecompress::None).map_err(|_| broken())?;
            let bytes = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
            let (read, made) =
                (bytes(self.inflate.total_in(), read_before), bytes(self.inflate.total_out(), made_before));
            self.take(read)?;
            self.checksum.update(out.get(..made).unwrap_or_default());
            self.total = self.total.wrapping_add(u32::try_from(made).unwrap_or(0));
            if status == Status::StreamEnd {
                self.tail()?;
            } else if made == 0 && read == 0 {
                return Err(cut_short());
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

fn cut_short() -> Error {
    ErrorKind::UnexpectedEof.into()
}

fn broken() -> Error {
    ErrorKind::InvalidData.into()
}

/// CRC-32, eight bytes at a time. Its tables, 8 KiB, are made with it in a few microseconds.
struct Checksum {
    tables: Box<[[u32; 256]; 8]>,
    /// Inverted, as the algorithm has it.
    state: u32,
}

impl Checksum {
    const POLYNOMIAL: u32 = 0xedb8_8320;

    fn new() -> Self {
        let mut tables = Box::new([[0_u32; 256]; 8]);
        for (value, byte) in tables.iter_mut().flat_map(|table| table.iter_mut().zip(0_u32..)).take(256) {
            *value = (0..8).fold(byte, |crc, _| (crc >> 1) ^ (Self::POLYNOMIAL & (crc & 1).wrapping_neg()));
        }
        for at in 1..tables.len() {
            let (done, rest) = tables.split_at_mut(at);
            if let (Some(first), Some(last), Some(table)) = (done.first(), done.last(), rest.first_mut()) {
                for (value, before) in table.iter_mut().zip(last) {
                    *value = (before >> 8) ^ look(first, *before);
                }
            }
        }
        Self { tables, state: u32::MAX }
    }

    fn reset(&mut self) {
        self.state = u32::MAX;
    }

    fn value(&self) -> u32 {
        !self.state
    }

    fn update(&mut self, bytes: &[u8]) {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = &*self.tables;
        let (chunks, rest) = bytes.as_chunks::<8>();
        let mut state = self.state;
        for [a, b, c, d, e, f, g, h] in chunks {
            let low = state ^ u32::from_le_bytes([*a, *b, *c, *d]);
            let high = u32::from_le_bytes([*e, *f, *g, *h]);
            state = look(t7, low) ^ look(t6, low >> 8) ^ look(t5, low >> 16) ^ look(t4, low >> 24);
            state ^= look(t3, high) ^ look(t2, high >> 8) ^ look(t1, high >> 16) ^ look(t0, high >> 24);
        }
        for byte in rest {
            state = (state >> 8) ^ look(t0, state ^ u32::from(*byte));
        }
        self.state = state;
    }
}

/// The entry of the lowest byte.
fn look(table: &[u32; 256], value: u32) -> u32 {
    let [low, ..] = value.to_le_bytes();
    table.get(usize::from(low)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use flate2::{Compression, Crc, GzBuilder};
    use proptest::prelude::*;
    use std::io::Write as _;

    fn ours(packed: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Gunzip::new(packed).read_to_end(&mut out).ok().map(|_| out)
    }

    fn theirs(packed: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        MultiGzDecoder::new(packed).read_to_end(&mut out).ok().map(|_| out)
    }

    /// A member with a head that holds all there can be.
    fn member(text: &[u8]) -> Vec<u8> {
        let builder = GzBuilder::new().extra(vec![1, 2, 3]).filename("name").comment("text");
        let mut writer = builder.write(Vec::new(), Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    /// The same with a checksum of its head.
    fn checked(text: &[u8]) -> Vec<u8> {
        let mut packed = member(text);
        packed[3] |= HAS_HEAD_CHECKSUM;
        let length = HEAD_BYTES + 2 + 3 + 5 + 5;
        let mut checksum = Checksum::new();
        checksum.update(&packed[..length]);
        packed.splice(length..length, checksum.value().to_le_bytes().into_iter().take(2));
        packed
    }

    #[test]
    fn every_part_of_a_head_is_read() {
        for packed in [member(b"text"), checked(b"text"), [checked(b"te"), member(b""), member(b"xt")].concat()] {
            assert_eq!(ours(&packed).as_deref(), Some(&b"text"[..]));
        }
    }

    #[test]
    fn a_stream_that_is_cut_or_changed_is_refused_as_the_crate_does() {
        let packed = checked(b"what is written here is not what matters, what matters is that it is long enough");
        for end in 0..packed.len() {
            assert_eq!(ours(&packed[..end]), None, "{end}");
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut changed = packed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(ours(&changed), theirs(&changed), "byte {at}, bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_the_crate_reads(text in prop::collection::vec(any::<u8>(), 0..3_000), junk in any::<[u8; 3]>()) {
            prop_assert_eq!(ours(&member(&text)), Some(text.clone()));
            let trailing = [&member(&text)[..], &junk].concat();
            prop_assert_eq!(ours(&trailing), theirs(&trailing));
            let (mut own, mut crc) = (Checksum::new(), Crc::new());
            for piece in text.chunks(101) {
                own.update(piece);
                crc.update(piece);
            }
            prop_assert_eq!(own.value(), crc.sum());
        }
    }
}
