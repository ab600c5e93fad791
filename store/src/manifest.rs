//! The one file that says what the store holds: which segments, how far the queue was taken in, and the tallies.
//!
//! Rows and offset are committed together because both are in it and it is replaced as a whole: written anew, synced,
//! renamed over the old one, and the folder synced. A segment that it doesn't name doesn't exist.
//!
//! Form: one line `rivulet-manifest <version> <crc32 of the rest, hex> <bytes of the rest>`, then JSON.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;

use protocol::row::Tally;
use protocol::{CollectionName, Offset, ProjectId, PropertyPath};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::Files;
use crate::schema::Owner;
use crate::segment::Entry;

/// The file's name.
pub(crate) const FILE: &str = "manifest";
/// The name under which the next one is written.
const NEW_FILE: &str = "manifest.new";
const MAGIC: &str = "rivulet-manifest";
/// 2 added `graves`, `erased` and what was deleted to the tallies; 1 is still read.
const VERSION: &str = "2";
/// The versions that are read.
const VERSIONS: [&str; 2] = ["1", VERSION];

/// What is committed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The number of the next segment.
    pub(crate) next_segment: u64,
    /// The first record of the log whose rows are not in the segments.
    pub(crate) committed: Offset,
    /// What became of the events of all records before that.
    pub(crate) tallies: BTreeMap<ProjectId, Tally>,
    /// Properties of each collection.
    pub(crate) collections: Vec<Collection>,
    /// The segments, in order of number.
    pub(crate) segments: Vec<Entry>,
    /// Files with the ids of deleted rows, for as long as repeats of them are recognised.
    #[serde(default)]
    pub(crate) graves: Vec<Entry>,
    /// Numbers of files that a deletion took away; what a crash left of them goes at the next start.
    #[serde(default)]
    pub(crate) erased: Vec<u64>,
}

/// The properties of a collection in the order in which they were first seen, with their first type.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collection {
    /// Whose.
    pub(crate) project: ProjectId,
    /// Which.
    pub(crate) collection: CollectionName,
    /// Path and type.
    pub(crate) properties: Vec<(PropertyPath, String)>,
}

/// Why a manifest was not replaced.
pub(crate) enum NotReplaced {
    /// The old one holds.
    Kept(StoreError),
    /// The old or the new one holds.
    Unknown(StoreError),
}

impl Manifest {
    /// Forgets the properties of a collection that are gone, or, if nothing is left of it, the whole collection.
    pub(crate) fn forget(&mut self, owner: &Owner, is_gone: &dyn Fn(&PropertyPath) -> bool, is_whole: bool) {
        let of = |known: &Collection| known.project == owner.0 && known.collection == owner.1;
        for known in self.collections.iter_mut().filter(|known| of(known)) {
            known.properties.retain(|(path, _)| !is_gone(path));
        }
        if is_whole {
            self.collections.retain(|known| !of(known));
        }
    }

    /// Reads the manifest of a folder; none when there is none.
    pub(crate) fn read(files: &dyn Files, dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(FILE);
        let mut bytes = Vec::new();
        match files.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => {
                opened.and_then(|mut file| file.read_to_end(&mut bytes)).map_err(StoreError::io("read", &path))?;
            }
        }
        Self::parse(&bytes).map(Some).map_err(|why| StoreError::Manifest { path, why })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
        let (head, body) = bytes.split_at(end);
        let body = body.get(1..).unwrap_or_default();
        let head = std::str::from_utf8(head).map_err(|_| "its first line is no text")?;
        let words: Vec<&str> = head.split(' ').collect();
        let [magic, version, crc32, length] = words.as_slice() else { return Err("its first line is not one".into()) };
        if *magic != MAGIC {
            return Err("it is no manifest".into());
        }
        if !VERSIONS.contains(version) {
            return Err(format!("it has version {version}, this program knows {VERSION}"));
        }
        if *length != body.len().to_string() {
            return Err(format!("it has {} bytes, written were {length}", body.len()));
        }
        let found = format!("{:08x}", crc32fast::hash(body));
        if *crc32 != found {
            return Err(format!("its CRC is {found}, written was {crc32}"));
        }
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }

    fn print(&self) -> Result<Vec<u8>, StoreError> {
        let body = serde_json::to_vec(self).map_err(|error| StoreError::Internal(error.to_string()))?;
        let mut bytes = format!("{MAGIC} {VERSION} {:08x} {}\n", crc32fast::hash(&body), body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Puts this one in the place of the folder's.
    pub(crate) fn replace(&self, files: &dyn Files, dir: &Path) -> Result<(), NotReplaced> {
        let (new, path) = (dir.join(NEW_FILE), dir.join(FILE));
        let write = || -> Result<(), StoreError> {
            let bytes = self.print()?;
            let mut file = files.create(&new).map_err(StoreError::io("create", &new))?;
            file.write_all(&bytes).map_err(StoreError::io("write", &new))?;
            file.sync().map_err(StoreError::io("sync", &new))
        };
        write().map_err(NotReplaced::Kept)?;
        // From here the disk may show the new one after a crash even if it said that it failed.
        let unknown = |doing| move |error| NotReplaced::Unknown(StoreError::io(doing, &path)(error));
        files.rename(&new, &dir.join(FILE)).map_err(unknown.clone()("rename to"))?;
        files.sync_dir(dir).map_err(unknown("sync the folder of"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_and_any_damage_is_noticed() {
        let mut manifest = Manifest { next_segment: 7, committed: Offset(12), ..Manifest::default() };
        manifest.tallies.insert("p1".parse().unwrap(), Tally { stored: 3, duplicates: 2, quarantined: 1, deleted: 0 });
        manifest.collections.push(Collection {
            project: "p1".parse().unwrap(),
            collection: "page views".parse().unwrap(),
            properties: vec![("a.b".parse().unwrap(), "num".to_owned())],
        });
        let bytes = manifest.print().unwrap();
        let again = Manifest::parse(&bytes).unwrap();
        assert_eq!(again.print().unwrap(), bytes);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Manifest::parse(&damaged).is_err(), "byte {at}");
            assert!(Manifest::parse(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
