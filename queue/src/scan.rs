//! Walks the frames of a segment and finds its way again behind damaged bytes.
//!
//! Recovery and readers use the same walk, so that they can't disagree about what a record is. It only reads; what to
//! do about damage (cut, count, skip) is its callers' business.

use std::io;

use protocol::Offset;

use crate::disk::{DiskFile, read_full_at};
use crate::frame::{FRAME_BYTES, Frame, RECORD_BYTES_MAX};

/// Bytes read at once: large enough that a disk reads in sequence, small enough to allocate for every reader.
const CHUNK_BYTES: u64 = 256 << 10;

/// What the walk came upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole record; [`Scan::record`] has its bytes.
    Record {
        /// Where its frame begins.
        at: u64,
        /// Its offset.
        offset: Offset,
        /// The offset of the first record of its group.
        group: Offset,
    },
    /// Bytes that are no record, with whole records behind them.
    Damage {
        /// Where they begin.
        at: u64,
        /// How many there are; 0 when offsets are missing and no bytes.
        bytes: u64,
        /// The first offset that is missing.
        first: Offset,
        /// The first offset that is there again.
        next: Offset,
    },
    /// No whole record from here to the end.
    Rest {
        /// Where the last whole record ends.
        at: u64,
        /// Bytes from there to the end; 0 when all is well.
        bytes: u64,
    },
}

/// A walk over part of one segment.
pub(crate) struct Scan<'a> {
    file: &'a dyn DiskFile,
    mark: u32,
    at: u64,
    end: u64,
    expected: Offset,
    buffer: Vec<u8>,
    buffer_at: u64,
    record_at: u64,
    record_bytes: u64,
}

impl<'a> Scan<'a> {
    /// Begins at byte `at`, where the frame of `expected` should stand, and ends at byte `end`.
    pub(crate) fn new(file: &'a dyn DiskFile, mark: u32, at: u64, end: u64, expected: Offset) -> Self {
        Self { file, mark, at, end, expected, buffer: Vec::new(), buffer_at: 0, record_at: 0, record_bytes: 0 }
    }

    /// The offset that the next record should have.
    pub(crate) fn expected(&self) -> Offset {
        self.expected
    }

    /// The next thing. After [`Found::Rest`] it is that again.
    ///
    /// # Errors
    /// When the file can't be read, or has become shorter.
    pub(crate) fn next(&mut self) -> io::Result<Found> {
        let at = self.at;
        if let Some(frame) = self.frame_at(at)?
            && frame.offset >= self.expected
        {
            if frame.offset > self.expected {
                let first = std::mem::replace(&mut self.expected, frame.offset);
                return Ok(Found::Damage { at, bytes: 0, first, next: frame.offset });
            }
            self.record_at = at + FRAME_BYTES;
            self.record_bytes = u64::from(frame.length);
            self.at = self.record_at + self.record_bytes;
            self.expected = frame.offset.next();
            return Ok(Found::Record { at, offset: frame.offset, group: frame.group() });
        }
        match self.search(at)? {
            Some((found_at, next)) => {
                let first = std::mem::replace(&mut self.expected, next);
                self.at = found_at;
                Ok(Found::Damage { at, bytes: found_at - at, first, next })
            }
            None => Ok(Found::Rest { at, bytes: self.end.saturating_sub(at) }),
        }
    }

    /// The bytes of the record that [`Scan::next`] found last.
    ///
    /// # Errors
    /// When they are no longer in the buffer and can't be read.
    pub(crate) fn record(&mut self) -> io::Result<&[u8]> {
        let (at, bytes) = (self.record_at, self.record_bytes);
        Ok(self.bytes(at, bytes)?.unwrap_or_default())
    }

    /// Looks behind `from` for the first whole frame that can follow; gives its place and offset.
    fn search(&mut self, from: u64) -> io::Result<Option<(u64, Offset)>> {
        let mark = self.mark.to_le_bytes();
        let mut at = from + 1;
        while at + FRAME_BYTES <= self.end {
            let size = CHUNK_BYTES.min(self.end - at);
            let chunk = self.bytes(at, size)?.unwrap_or_default();
            let Some(place) = chunk.windows(mark.len()).position(|window| window == mark) else {
                // A mark may begin in the last three bytes.
                at += size - 3;
                continue;
            };
            at += place as u64;
            if let Some(frame) = self.frame_at(at)?
                && frame.offset >= self.expected
                // Each lost record took at least a frame's bytes.
                && frame.offset.0 - self.expected.0 <= (at - from) / FRAME_BYTES
            {
                return Ok(Some((at, frame.offset)));
            }
            at += 1;
        }
        Ok(None)
    }

    /// The frame at `at`, when it is whole and its checksum is right.
    fn frame_at(&mut self, at: u64) -> io::Result<Option<Frame>> {
        let Some(frame) = self.bytes(at, FRAME_BYTES)?.and_then(Frame::decode) else { return Ok(None) };
        if frame.mark != self.mark || frame.length > RECORD_BYTES_MAX {
            return Ok(None);
        }
        let whole = self.bytes(at, FRAME_BYTES + u64::from(frame.length))?;
        let record = whole.and_then(|whole| whole.get(usize_of(FRAME_BYTES)..));
        Ok(record.filter(|record| frame.covers(record)).map(|_| frame))
    }

    /// `size` bytes at `at`; none when they reach behind the end.
    fn bytes(&mut self, at: u64, size: u64) -> io::Result<Option<&[u8]>> {
        let Some(rest) = self.end.checked_sub(at).filter(|rest| size <= *rest) else { return Ok(None) };
        let held = self.buffer_at + self.buffer.len() as u64;
        if at < self.buffer_at || at + size > held {
            self.buffer.resize(usize_of(size.max(CHUNK_BYTES).min(rest)), 0);
            self.buffer_at = at;
            if read_full_at(self.file, at, &mut self.buffer)? < self.buffer.len() {
                self.buffer.clear();
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let start = usize_of(at - self.buffer_at);
        Ok(self.buffer.get(start..start + usize_of(size)))
    }
}

/// A length in memory. Lengths of what is read at once are at most some 64 MiB.
pub(crate) fn usize_of(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
