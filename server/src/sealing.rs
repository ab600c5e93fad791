//! Seals what must be given back one day (keys, salts), so that a copy of the metadata alone opens nothing.
//!
//! The secret stands outside the database: in a file of its own that only the owner may read, or in the environment. It
//! is apart because nothing else may see the secret. It must not know what it seals.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::config::KeySettings;

/// Name of the secret's file in the data folder, unless another is configured.
pub const FILE: &str = "sealing.key";
/// Bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Bytes of a nonce: long enough to be drawn at random for ever.
const NONCE_BYTES: usize = 24;
/// What a sealed text begins with; another way of sealing would begin otherwise.
const VERSION: u8 = 1;

/// Why there is no secret to seal with.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The file can't be read or made.
    #[error("the sealing secret {path} can't be read or made")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others than the owner may read it.
    #[error("the sealing secret {path} can be read by others: chmod 600 it")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The text is no secret.
    #[error("the sealing secret is not {} hex digits", SECRET_BYTES * 2)]
    Malformed,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The cipher refused, which it does only for texts beyond its size.
    #[error("a text could not be sealed")]
    Cipher,
}

/// Seals and opens under one secret. `Debug` hides it.
pub struct Sealing(XChaCha20Poly1305);

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing(…)")
    }
}

impl Sealing {
    /// Takes the secret of the settings, or reads its file, which is made when it is missing.
    ///
    /// # Errors
    /// When the file can't be read or made, others may read it, or it holds no secret.
    pub fn open(data: &Path, settings: &KeySettings) -> Result<Self, SealingError> {
        if let Some(secret) = &settings.secret {
            return Self::parse(secret);
        }
        let path = settings.secret_file.clone().unwrap_or_else(|| data.join(FILE));
        let fail = |source| SealingError::File { path: path.clone(), source };
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = hex(&crate::metadata::random::<SECRET_BYTES>()?);
                make(&path, &text).map_err(fail)?;
                // Another process may have been first; what stands there is the secret.
                std::fs::read_to_string(&path).map_err(fail)?
            }
            read => read.map_err(fail)?,
        };
        let mode = std::fs::metadata(&path).map_err(fail)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SealingError::Open { path });
        }
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, SealingError> {
        let bytes = unhex(text.trim()).ok_or(SealingError::Malformed)?;
        let secret: [u8; SECRET_BYTES] = bytes.try_into().map_err(|_| SealingError::Malformed)?;
        Ok(Self(XChaCha20Poly1305::new(&secret.into())))
    }

    /// Seals `plain`; it opens only with the same `place`, so that a sealed text can't be moved to another row.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, SealingError> {
        let nonce: [u8; NONCE_BYTES] = crate::metadata::random()?;
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealingError::Cipher)?;
        Ok([&[VERSION], &nonce[..], &sealed].concat())
    }

    /// Opens what was sealed for `place`; none when it was not, or under another secret.
    #[must_use]
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: text, aad: place.as_bytes() };
        (*version == VERSION).then(|| self.0.decrypt(&XNonce::from(*nonce), payload).ok())?
    }
}

/// Writes the file whole or not at all, and never over one that is there.
fn make(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(dir)?.sync_all()
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hex digits of either case; none when it is anything else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::Folder;

    fn open(folder: &Folder) -> Result<Sealing, SealingError> {
        Sealing::open(&folder.0, &KeySettings::default())
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_under_its_secret_only() {
        let (here, there) = (Folder::new("sealing-here"), Folder::new("sealing-there"));
        let sealing = open(&here).unwrap();
        let sealed = sealing.seal("a", b"hush").unwrap();
        assert_ne!(sealed, sealing.seal("a", b"hush").unwrap(), "a nonce was used twice");
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_eq!(open(&here).unwrap().unseal("a", &sealed).as_deref(), Some(&b"hush"[..]));
        assert_eq!(sealing.unseal("b", &sealed), None);
        assert_eq!(open(&there).unwrap().unseal("a", &sealed), None);
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(sealing.unseal("a", &other), None, "byte {at}");
            assert_eq!(sealing.unseal("a", &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_secret_is_the_owners_alone() {
        let folder = Folder::new("sealing-mode");
        open(&folder).unwrap();
        let path = folder.0.join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "a draft was left");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open(&folder), Err(SealingError::Open { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(open(&folder), Err(SealingError::Malformed)));
        let named = KeySettings { secret: Some("ab".repeat(32)), ..KeySettings::default() };
        assert_eq!(format!("{:?}", Sealing::open(&folder.0, &named).unwrap()), "Sealing(…)");
    }
}
