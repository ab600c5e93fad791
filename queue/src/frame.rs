//! The bytes of a segment: its header and the frame around each record.
//!
//! Kept apart because it is the on-disk format: a change here is a new [`VERSION`] and a fixture of the old one. All
//! numbers are little-endian. It does no I/O.
//!
//! A frame carries its segment's *mark*, four bytes nobody outside can guess. Recovery looks for it to find the next
//! record behind a damaged one; without it, a sender could put something that looks like a frame into a record.
//!
//! A frame also says which place it has in its *group* (the records that were written together and share one fsync). A
//! group is written only after the one before was synced, so all before the last group's first record is known to be
//! synced; the last group itself may or may not be.

use protocol::Offset;

/// First bytes of a segment.
const MAGIC: [u8; 8] = *b"RIVULETQ";
/// The version this crate writes and the only one it reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a segment's header: magic 8, version 4, mark 4, base offset 8, zero 4, CRC-32 of all before 4.
pub(crate) const HEADER_BYTES: u64 = 32;
/// Bytes in front of a record: mark 4, length 4, CRC-32 4, place in its group 4, offset 8. The CRC is over the other
/// fields and the record.
pub(crate) const FRAME_BYTES: u64 = 24;
/// Longest record that a reader believes in, whatever the options say now: 64 MiB.
pub(crate) const RECORD_BYTES_MAX: u32 = 64 << 20;

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is whole.
    Whole {
        /// The mark of its frames.
        mark: u32,
        /// The offset of its first record.
        base: Offset,
    },
    /// It is whole, and of a version this program doesn't know.
    Version(u32),
    /// It is incomplete or its checksum is wrong.
    Damaged,
}

impl Header {
    /// The header's bytes.
    pub(crate) fn encode(mark: u32, base: Offset) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(mark.to_le_bytes());
        bytes.extend(base.0.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        Self::decode_whole(bytes).unwrap_or(Self::Damaged)
    }

    fn decode_whole(bytes: &[u8]) -> Option<Self> {
        let (covered, crc) = bytes.split_at_checked(28)?;
        if *crc.first_chunk()? != crc32fast::hash(covered).to_le_bytes() {
            return None;
        }
        let mut rest = covered.strip_prefix(&MAGIC)?;
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            return Some(Self::Version(version));
        }
        Some(Self::Whole { mark: take_u32(&mut rest)?, base: Offset(take_u64(&mut rest)?) })
    }
}

/// What stands in front of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The mark of its segment.
    pub(crate) mark: u32,
    /// Bytes of the record.
    pub(crate) length: u32,
    /// CRC-32 of the other fields and the record.
    crc: u32,
    /// Records of the same group before this one.
    pub(crate) place: u32,
    /// The record's offset.
    pub(crate) offset: Offset,
}

impl Frame {
    /// Appends the frame of `record` and the record to `bytes`. `length` is the record's.
    pub(crate) fn encode(bytes: &mut Vec<u8>, mark: u32, place: u32, offset: Offset, length: u32, record: &[u8]) {
        let mut frame = Self { mark, length, crc: 0, place, offset };
        frame.crc = frame.checksum(record);
        bytes.extend(frame.mark.to_le_bytes());
        bytes.extend(frame.length.to_le_bytes());
        bytes.extend(frame.crc.to_le_bytes());
        bytes.extend(frame.place.to_le_bytes());
        bytes.extend(frame.offset.0.to_le_bytes());
        bytes.extend_from_slice(record);
    }

    /// Reads what may be a frame; only [`Frame::covers`] says whether it is.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        Some(Self {
            mark: take_u32(rest)?,
            length: take_u32(rest)?,
            crc: take_u32(rest)?,
            place: take_u32(rest)?,
            offset: Offset(take_u64(rest)?),
        })
    }

    /// True when the checksum fits this record.
    pub(crate) fn covers(&self, record: &[u8]) -> bool {
        self.crc == self.checksum(record)
    }

    /// The offset of the first record of its group.
    pub(crate) fn group(&self) -> Offset {
        Offset(self.offset.0.saturating_sub(u64::from(self.place)))
    }

    fn checksum(&self, record: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.mark.to_le_bytes());
        hasher.update(&self.length.to_le_bytes());
        hasher.update(&self.place.to_le_bytes());
        hasher.update(&self.offset.0.to_le_bytes());
        hasher.update(record);
        hasher.finalize()
    }
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u32::from_le_bytes(*bytes))
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_version_1_never_changes() {
        let mut bytes = Header::encode(0x0403_0201, Offset(7));
        assert_eq!(bytes.len() as u64, HEADER_BYTES);
        Frame::encode(&mut bytes, 0x0403_0201, 1, Offset(7), 2, b"hi");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "524956554c4554510100000001020304070000000000000000000000b76bf0a0\
             0102030402000000aa3d49fe0100000007000000000000006869"
        );
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let whole = Header::encode(9, Offset(3));
        assert_eq!(Header::decode(&whole), Header::Whole { mark: 9, base: Offset(3) });
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), Header::Damaged, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(Header::decode(&whole[..length]), Header::Damaged, "{length} bytes");
        }
    }

    #[test]
    fn a_header_of_another_version_is_named() {
        let mut bytes = Header::encode(9, Offset(3));
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..28]).to_le_bytes();
        bytes[28..].copy_from_slice(&crc);
        assert_eq!(Header::decode(&bytes), Header::Version(2));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let mut whole = Vec::new();
        Frame::encode(&mut whole, 5, 2, Offset(9), 3, b"abc");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let frame = Frame::decode(&bytes).unwrap();
            assert!(!frame.covers(&bytes[24..]), "bit {bit}");
        }
        let frame = Frame::decode(&whole).unwrap();
        assert!(frame.covers(b"abc"));
        assert_eq!(frame.group(), Offset(7));
    }
}
