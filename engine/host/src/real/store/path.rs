//! Keys of the store as paths of files, and back.
//!
//! Invariant: different keys have different paths, no path leaves the store's folder, and a file never stands where
//! another key needs a folder.

use std::path::{Path, PathBuf};

/// Ends the name of a file that holds a value. Keys cannot contain it: their dots are escaped.
const VALUE: &str = ".value";

/// The path of `key` below the store's folder.
pub fn path_of(key: &str) -> PathBuf {
    let mut parts: Vec<String> = key.split('/').map(escape).collect();
    if let Some(last) = parts.last_mut() {
        last.push_str(VALUE);
    }
    parts.iter().collect()
}

/// The key whose value lies at this path below the store's folder; `None` if it is no value's path.
pub fn key_of(path: &Path) -> Option<String> {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    let (last, folders) = parts.split_last()?;
    let mut key = String::new();
    for folder in folders {
        key.push_str(&unescape(folder)?);
        key.push('/');
    }
    key.push_str(&unescape(last.strip_suffix(VALUE)?)?);
    Some(key)
}

/// Letters, digits, `-` and `_` stay; any other byte becomes `%` and two digits; nothing becomes `%`.
fn escape(part: &str) -> String {
    use std::fmt::Write as _;
    if part.is_empty() {
        return "%".to_owned();
    }
    let mut escaped = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => escaped.push(char::from(byte)),
            _ => write!(escaped, "%{byte:02x}").expect("writing to a string does not fail"),
        }
    }
    escaped
}

fn unescape(part: &str) -> Option<String> {
    if part == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?);
        rest = &rest[at + 3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    proptest! {
        #[test]
        fn a_key_comes_back_from_its_path_and_stays_in_the_folder(key in "[a-z./%\\\\ é]{0,12}") {
            let path = path_of(&key);
            prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
            prop_assert_eq!(key_of(&path), Some(key));
        }
    }

    #[test]
    fn a_key_may_be_the_folder_of_another() {
        assert_eq!(path_of("a"), Path::new("a.value"));
        assert_eq!(path_of("a/b"), Path::new("a/b.value"));
        assert_eq!(path_of("a.value/b"), Path::new("a%2evalue/b.value"));
    }

    #[test]
    fn other_files_are_no_values() {
        for path in ["a", "%.tmp", "%zz.value", "%é.value"] {
            assert_eq!(key_of(Path::new(path)), None, "{path}");
        }
    }
}
