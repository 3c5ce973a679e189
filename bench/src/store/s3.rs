//! A durable store in a bucket of an S3-compatible server, through the `object_store` crate.
//!
//! Knows no meaning of keys. Credentials, region and, where the address names none, the server come from the usual
//! environment variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`). Invariants: every
//! request ends within [`REQUEST_LIMIT`] and its repetitions within [`RETRY_LIMIT`] and one more request; creating is a
//! conditional put, so that of two creates of one key one succeeds. A create whose answer was lost may find its own
//! object when it is repeated: it says that the key exists, and the caller looks what is there, as after any failure.

use bytes::Bytes;
use dstream_host::real::{key_of, path_of};
use dstream_host::{BoxFuture, Store, StoreError};
use dstream_scenarios::address::StoreAddress;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};
use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls_platform_verifier::BuilderVerifierExt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

/// How long one request may take, answer included: a checkpoint's object of some tens of megabytes over a slow line.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take to be reached.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How often a request is repeated when the server fails or says that it is busy; engines ask again by themselves.
const RETRIES: usize = 3;

/// After so long no request is repeated any more.
const RETRY_LIMIT: Duration = Duration::from_secs(10);

/// The pauses before repetitions: from, and up to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What tells that credentials come from the environment, or that none are needed. Without any of them a machine of Amazon's
/// is asked for some, which is in vain where the server is another.
const CREDENTIALS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

/// A store in a bucket.
pub struct S3Store {
    bucket: AmazonS3,
    /// Where in the bucket.
    root: String,
}

impl S3Store {
    /// The store at this address. Nothing is asked of it yet.
    pub fn open(address: &StoreAddress) -> Result<S3Store, String> {
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: BACKOFF.0, max_backoff: BACKOFF.1, base: 2.0 },
            max_retries: RETRIES,
            retry_timeout: RETRY_LIMIT,
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&address.bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry)
            .with_http_connector(RingConnector);
        let is_set = |name: &str| std::env::var_os(name).is_some();
        let has_endpoint = address.endpoint.is_some() || is_set("AWS_ENDPOINT_URL");
        if has_endpoint && !CREDENTIALS.iter().any(|name| is_set(name)) {
            let how = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(format!("the environment has no credentials for it: {how}"));
        }
        if let Some(endpoint) = &address.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let bucket = builder.build().map_err(|error| error.to_string())?;
        Ok(S3Store { bucket, root: address.prefix.clone() })
    }

    /// Where the key's value lies: named like the files of a store in a folder, so that any key is a name.
    fn place(&self, key: &str) -> Result<Path, StoreError> {
        let file = path_of(key);
        let parts = file.iter().filter_map(|part| part.to_str());
        let whole: Vec<&str> =
            Some(self.root.as_str()).filter(|root| !root.is_empty()).into_iter().chain(parts).collect();
        Path::parse(whole.join("/")).map_err(|error| StoreError::Failed(format!("`{key}`: {error}")))
    }

    /// The key of the value at this place, if it is one.
    fn key(&self, place: &Path) -> Option<String> {
        let below = place.as_ref().strip_prefix(&self.root)?;
        key_of(FilePath::new(below.strip_prefix('/').unwrap_or(below)))
    }

    async fn write(&self, key: &str, value: Bytes, mode: PutMode) -> Result<(), StoreError> {
        let written = self.bucket.put_opts(&self.place(key)?, value.into(), PutOptions::from(mode)).await;
        written.map(drop).map_err(|error| failed(key, &error))
    }
}

fn failed(key: &str, error: &Error) -> StoreError {
    match error {
        Error::AlreadyExists { .. } => StoreError::Exists(key.to_owned()),
        Error::NotFound { .. } => StoreError::Missing(key.to_owned()),
        error => StoreError::Failed(format!("`{key}`: {error}")),
    }
}

impl Store for S3Store {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write(key, value, PutMode::Create))
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, _: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write(key, value, PutMode::Overwrite))
    }

    fn get<'a>(&'a self, key: &'a str, _: u64) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            let found = self.bucket.get(&self.place(key)?).await.map_err(|error| failed(key, &error))?;
            found.bytes().await.map_err(|error| failed(key, &error))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            // Whole folders only: the rest of the prefix is held against the keys.
            let (folder, _) = prefix.rsplit_once('/').unwrap_or_default();
            let parts = path_of(folder);
            let mut below = Some(self.root.clone()).filter(|root| !root.is_empty()).unwrap_or_default();
            if !folder.is_empty() {
                // Its name is that of a value's file without its ending.
                let name = parts.with_extension("");
                below = [below.as_str(), name.to_str().unwrap_or_default()].join("/");
            }
            let below = Path::parse(&below).map_err(|error| StoreError::Failed(format!("`{prefix}`: {error}")))?;
            let objects: Vec<_> =
                self.bucket.list(Some(&below)).try_collect().await.map_err(|error| failed(prefix, &error))?;
            let mut keys: Vec<String> = objects.iter().filter_map(|object| self.key(&object.location)).collect();
            keys.retain(|key| key.starts_with(prefix));
            keys.sort_unstable();
            Ok(keys)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            match self.bucket.delete(&self.place(key)?).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(failed(key, &error)),
            }
        })
    }
}

/// Connections with the limits of this file, and with a cryptography of their own: none is set for the whole process.
#[derive(Debug)]
struct RingConnector;

impl HttpConnector for RingConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let cannot = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "S3", source };
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let tls = tls.with_safe_default_protocol_versions().map_err(|error| cannot(error.into()))?;
        let tls = tls.with_platform_verifier().map_err(|error| cannot(error.into()))?.with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(REQUEST_LIMIT)
            .connect_timeout(CONNECT_LIMIT)
            .build();
        client.map(HttpClient::new).map_err(|error| cannot(error.into()))
    }
}

#[cfg(test)]
mod tests;
