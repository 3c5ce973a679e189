//! The address of an S3-compatible store: `s3://bucket/prefix`, and the endpoint where it is none of Amazon's own.
//!
//! Holds no credentials: those come from the environment of the processes that use the store. Invariant: what was read
//! gives the same address when it is written and read again.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the address of such a store begins.
pub const SCHEME: &str = "s3://";

/// A prefix of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAddress {
    /// The bucket's name.
    pub bucket: String,
    /// Where in it; no `/` at its ends. Empty: everywhere.
    pub prefix: String,
    /// Its server, as a URL; none: the one that the environment names, or Amazon's own.
    pub endpoint: Option<String>,
}

impl StoreAddress {
    /// Reads `s3://bucket/prefix`. The error says what it should be.
    pub fn read(url: &str, endpoint: Option<&str>) -> Result<StoreAddress, String> {
        let wrong =
            || format!("`{}` is no `s3://bucket/prefix` of letters, digits, `-`, `_` and `.`", url.escape_debug());
        let path = url.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let is_word = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !part.is_empty() && part.bytes().all(is_plain) && part.bytes().any(|byte| byte != b'.')
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.split('/').all(is_word) {
            return Err(wrong());
        }
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let endpoint = endpoint.map(|endpoint| {
            let is_server =
                ["http://", "https://"].iter().any(|scheme| endpoint.strip_prefix(scheme).is_some_and(is_host));
            let is_server = is_server.then(|| endpoint.to_owned());
            is_server
                .ok_or_else(|| format!("`{}` is no server such as `http://127.0.0.1:9000`", endpoint.escape_debug()))
        });
        Ok(StoreAddress { bucket: bucket.to_owned(), prefix: prefix.to_owned(), endpoint: endpoint.transpose()? })
    }

    /// A place below this one.
    pub fn join(&self, part: &str) -> StoreAddress {
        let prefix = if self.prefix.is_empty() { part.to_owned() } else { format!("{}/{part}", self.prefix) };
        StoreAddress { prefix, ..self.clone() }
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\{},@".contains(&byte))
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{SCHEME}{}{slash}{}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bucket and the prefix, or nothing where it is refused.
    fn check(url: &str, expected: Option<(&str, &str)>) {
        let read = StoreAddress::read(url, None).ok();
        assert_eq!(read.as_ref().map(|read| (read.bucket.as_str(), read.prefix.as_str())), expected, "{url}");
        if let Some(read) = read {
            assert_eq!(StoreAddress::read(&read.to_string(), None), Ok(read));
        }
    }

    #[test]
    fn an_address_is_a_bucket_and_where_in_it() {
        check("s3://jobs", Some(("jobs", "")));
        check("s3://jobs/", Some(("jobs", "")));
        check("s3://my-jobs.eu/a/b_1", Some(("my-jobs.eu", "a/b_1")));
        for wrong in ["s3://", "s3:///a", "s3://a//b", "s3://a/../b", "s3://a/b c", "gs://a", "a"] {
            check(wrong, None);
        }
    }

    #[test]
    fn an_endpoint_is_a_server_without_credentials() {
        let read = |endpoint| StoreAddress::read("s3://a", Some(endpoint)).is_ok();
        assert!(read("http://127.0.0.1:9000") && read("https://s3.example.org"));
        assert!(!read("127.0.0.1:9000") && !read("http://") && !read("http://user:secret@host"));
    }
}
