//! The day's salt, with which visitors are told apart without a cookie.
//!
//! All processes of a data folder share it. It is kept sealed, and only on its day: the first to ask on a later day
//! destroys it, on the disk too, so that yesterday's visitors can't be recognised by anybody.

use std::sync::PoisonError;

use protocol::Timestamp;
use rusqlite::OptionalExtension;

use super::{Metadata, MetadataError, dropped, random};

const DAY_MS: i64 = 86_400_000;

/// The salt in memory.
#[derive(Default)]
pub(super) struct State {
    current: Option<(i64, [u8; 32])>,
    /// Whether an older one may still stand in the write-ahead log.
    is_unscrubbed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State(…)")
    }
}

impl Metadata {
    /// The salt of the day (UTC) of `now`; none when it can't be read or made, which the log says, so that visitors are
    /// not told apart then.
    ///
    /// Costs a lock, and on the first call of a day a write to the disk. Call it at least once a day, whether there are
    /// events or not, because it is what destroys the salt of the day before.
    #[must_use]
    pub fn salt(&self, now: Timestamp) -> Option<[u8; 32]> {
        let day = now.millis().div_euclid(DAY_MS);
        let mut state = self.salt.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_unscrubbed {
            state.is_unscrubbed = !dropped::scrub(&self.lock()).unwrap_or(false);
        }
        // A clock that is set back a little around midnight must not bring an old day back.
        if let Some((known, salt)) = state.current
            && known >= day
            && known - day <= 1
        {
            return Some(salt);
        }
        match self.salt_of(day) {
            Ok(salt) => {
                state.is_unscrubbed = !dropped::scrub(&self.lock()).unwrap_or(false);
                state.current = Some((day, salt));
                Some(salt)
            }
            Err(error) => {
                tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "there is no salt for today");
                state.current = None;
                None
            }
        }
    }

    /// Reads or makes the salt of a day and destroys older ones.
    fn salt_of(&self, day: i64) -> Result<[u8; 32], MetadataError> {
        let place = format!("salt {day}");
        self.write(|transaction| {
            let sql = "SELECT sealed FROM salt WHERE day = ?1";
            let sealed: Option<Vec<u8>> = transaction.query_row(sql, [day], |row| row.get(0)).optional()?;
            let known = sealed.and_then(|sealed| self.sealing.unseal(&place, &sealed)?.try_into().ok());
            let salt = match known {
                Some(salt) => salt,
                None => {
                    let salt: [u8; 32] = random()?;
                    let sealed = self.sealing.seal(&place, &salt)?;
                    let row = rusqlite::params![day, sealed];
                    transaction.execute("INSERT OR REPLACE INTO salt (day, sealed) VALUES (?1, ?2)", row)?;
                    salt
                }
            };
            transaction.execute("DELETE FROM salt WHERE day < ?1", [day])?;
            Ok(salt)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::FILE;
    use crate::metadata::tests::Folder;

    const NOON: Timestamp = Timestamp::from_millis(1_577_880_000_000);

    fn sealed(folder: &Folder) -> Vec<Vec<u8>> {
        let connection = rusqlite::Connection::open(folder.0.join(FILE)).unwrap();
        let mut statement = connection.prepare("SELECT sealed FROM salt").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn all_processes_share_a_salt_and_it_lives_one_day() {
        let folder = Folder::new("salt");
        let (one, other) = (Metadata::open(&folder.0).unwrap(), Metadata::open(&folder.0).unwrap());
        let today = one.salt(NOON).unwrap();
        assert_eq!(other.salt(NOON.plus_millis(11 * 3_600_000)), Some(today));
        assert_eq!(Metadata::open(&folder.0).unwrap().salt(NOON), Some(today), "a restart changed it");
        let tomorrow = NOON.plus_millis(DAY_MS);
        let next = other.salt(tomorrow).unwrap();
        assert_ne!(next, today);
        assert_eq!(other.salt(tomorrow.plus_millis(-13 * 3_600_000)), Some(next), "yesterday came back");
        assert_eq!(one.salt(tomorrow), Some(next));
    }

    #[test]
    fn an_old_salt_is_nowhere_on_the_disk() {
        let folder = Folder::new("salt-gone");
        let metadata = Metadata::open(&folder.0).unwrap();
        let today = metadata.salt(NOON).unwrap();
        let stored = sealed(&folder);
        let [stored] = stored.as_slice() else { panic!("{} salts", stored.len()) };
        assert!(folder.holds(stored), "the test looks in the wrong place");
        assert!(!folder.holds(&today), "the salt stands in the open");
        metadata.salt(NOON.plus_millis(DAY_MS)).unwrap();
        assert!(!folder.holds(stored), "the salt of yesterday can still be read");
    }
}
