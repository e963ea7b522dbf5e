//! Which file holds an object: a folder for each `/` of its key, and a file whose name no folder can have.
//!
//! A key may be an object and the beginning of other keys at the same time, as `deletes/5` and `deletes/5/receipt`
//! are. So the file's name ends in a word with a letter that is written otherwise in keys.

use std::path::{Path, PathBuf};

use crate::bucket::s3::MAX_KEY_BYTES;
use crate::error::{Error, Result};

/// What the name of an object's file ends in.
const OBJECT: &str = "@object";

/// Longest file name of the common file systems.
const MAX_NAME_BYTES: usize = 255;

/// An object's key, and its file.
#[derive(Debug, Clone)]
pub(super) struct ObjectPath {
    pub(super) key: String,
    pub(super) file: PathBuf,
}

impl ObjectPath {
    /// The file of a key in a bucket that lies at `root`.
    pub(super) fn of(root: &Path, key: &str) -> Result<Self> {
        let mut names: Vec<String> = key.split('/').map(written).collect();
        if let Some(last) = names.last_mut() {
            last.push_str(OBJECT);
        }
        let refuse = |reason: String| Error::Invalid {
            what: "object key",
            input: key.to_owned(),
            reason,
        };
        if key.split('/').any(str::is_empty) {
            return Err(refuse(
                "there must be a name on each side of a slash".into(),
            ));
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(refuse(format!(
                "it must have at most {MAX_KEY_BYTES} bytes"
            )));
        }
        if let Some(name) = names.iter().find(|name| name.len() > MAX_NAME_BYTES) {
            let reason = format!(
                "a file system takes names of {MAX_NAME_BYTES} bytes, `{name}` has {}",
                name.len()
            );
            return Err(refuse(reason));
        }
        let mut file = root.to_owned();
        file.extend(names);
        Ok(Self {
            key: key.to_owned(),
            file,
        })
    }
}

/// The folder in which everything lies whose key begins with `prefix`, which ends in `/` or is empty.
pub(super) fn folder(root: &Path, prefix: &str) -> PathBuf {
    let mut folder = root.to_owned();
    if let Some(names) = prefix.strip_suffix('/') {
        folder.extend(names.split('/').map(written));
    }
    folder
}

/// The last piece of the key of the object that a file of this name holds; `None` for a file of another kind.
pub(super) fn object_name(name: &str) -> Option<String> {
    read(name.strip_suffix(OBJECT)?)
}

/// The piece of a key, without its slash, that a folder of this name stands for; `None` for another's folder.
pub(super) fn folder_name(name: &str) -> Option<String> {
    read(name)
}

/// Whether a byte stands for itself. Capital letters do not, for file systems that see no difference; a dot at the
/// beginning does not, so that no key is hidden, or climbs out.
fn is_plain(at: usize, byte: u8) -> bool {
    let always = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_=-".contains(&byte);
    always || (byte == b'.' && at > 0)
}

/// Writes a piece of a key as a file's name; an empty one, which no key has, as a name that no file has.
fn written(piece: &str) -> String {
    if piece.is_empty() {
        return "%".to_owned();
    }
    let letters = piece.bytes().enumerate().map(|(at, byte)| {
        if is_plain(at, byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02x}")
        }
    });
    letters.collect()
}

/// Reads a name back; `None` for one that [`written`] never gives.
fn read(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, behind) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok()?;
                (u8::from_str_radix(digits, 16).ok()?, behind)
            }
            _ => (*first, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    let piece = String::from_utf8(bytes).ok()?;
    (written(&piece) == name).then_some(piece)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_gives_its_piece_of_the_key_back(piece in "[^/]{1,20}") {
            let name = written(&piece);
            prop_assert!(!name.starts_with('.') && !name.contains(['/', '@', '\0']));
            prop_assert_eq!(read(&name), Some(piece));
        }

        #[test]
        fn any_name_is_read_without_panic_and_to_one_piece_only(name in ".{0,20}") {
            if let Some(piece) = read(&name) {
                prop_assert_eq!(written(&piece), name);
            }
        }
    }

    #[test]
    fn a_key_that_others_begin_with_has_a_file_of_its_own() {
        let root = Path::new("/b");
        let file = |key| ObjectPath::of(root, key).unwrap().file;
        assert_eq!(file("deletes/5"), Path::new("/b/deletes/5@object"));
        assert_eq!(
            file("deletes/5/receipt"),
            Path::new("/b/deletes/5/receipt@object")
        );
        assert_eq!(file("top"), Path::new("/b/top@object"));
        assert_eq!(
            file("a/../.skein/B"),
            Path::new("/b/a/%2e./%2eskein/%42@object")
        );
        assert_eq!(folder(root, "a/b/"), Path::new("/b/a/b"));
        assert_eq!(folder(root, ""), root);
    }

    #[test]
    fn a_key_that_no_file_system_takes_is_refused() {
        let root = Path::new("/b");
        for key in ["", "/a", "a/", "a//b", &"k".repeat(249), &"a/".repeat(513)] {
            assert!(ObjectPath::of(root, key).is_err(), "{key}");
        }
        assert!(ObjectPath::of(root, &"k".repeat(248)).is_ok());
    }
}
