//! What every store promises, of a bucket. A server that stands in for S3 has to run: `DSTREAM_TEST_S3` names it, such as
//! `http://127.0.0.1:5000` of `moto_server -p 5000`, with a bucket `dstream-test` and any credentials in the environment.

#![expect(clippy::disallowed_methods, reason = "where the server runs is the tester's to say")]

use super::*;

/// A place of its own for one test; nothing where there is no server.
fn bucket(test: &str) -> Option<StoreAddress> {
    let Ok(endpoint) = std::env::var("DSTREAM_TEST_S3") else {
        println!("skipped: DSTREAM_TEST_S3 names no server that stands in for S3");
        return None;
    };
    let life = format!("{}-{}", std::process::id(), dstream_host::real::monotonic_ns());
    let address = StoreAddress::read("s3://dstream-test/tests", Some(&endpoint)).unwrap();
    Some(address.join(test).join(&life))
}

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn a_store_in_a_bucket_keeps_the_promises_and_its_values() {
    let Some(address) = bucket("promises") else { return };
    let store = S3Store::open(&address).unwrap();
    assert_eq!(store.get("a/b", 1).await, Err(StoreError::Missing("a/b".into())));
    assert_eq!(store.create("a/b", value("1")).await, Ok(()));
    assert_eq!(store.create("a/b", value("2")).await, Err(StoreError::Exists("a/b".into())));
    assert_eq!(store.get("a/b", 1).await, Ok(value("1")));
    assert_eq!(store.put("a/b", value("3"), 1).await, Ok(()));
    assert_eq!(store.get("a/b", 1).await, Ok(value("3")));
    for key in ["a", "a/c", "a.x", "b", "", "a b/é%/1"] {
        assert_eq!(store.put(key, value(""), 1).await, Ok(()), "{key}");
    }
    assert_eq!(store.list("a").await.unwrap(), ["a", "a b/é%/1", "a.x", "a/b", "a/c"]);
    assert_eq!(store.list("a/").await.unwrap(), ["a/b", "a/c"]);
    assert_eq!(store.list("a b/é%/").await.unwrap(), ["a b/é%/1"]);
    assert_eq!(S3Store::open(&address).unwrap().list("").await.unwrap().len(), 7);
    assert_eq!(store.delete("a/b").await, Ok(()));
    assert_eq!(store.delete("a/b").await, Ok(()));
    assert_eq!(store.list("a/").await.unwrap(), ["a/c"]);
    assert_eq!(S3Store::open(&address.join("deeper")).unwrap().list("").await.unwrap().len(), 0);
}

#[tokio::test]
async fn of_many_creates_of_one_key_at_once_one_succeeds() {
    let Some(address) = bucket("race") else { return };
    let store = S3Store::open(&address).unwrap();
    let (one, two, three) =
        tokio::join!(store.create("key", value("1")), store.create("key", value("2")), store.create("key", value("3")));
    assert_eq!([one, two, three].iter().filter(|created| created.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let address = StoreAddress::read("s3://dstream-test", Some("http://127.0.0.1:1")).unwrap();
    let key = |variable| std::env::var(variable).is_ok();
    if !key("AWS_ACCESS_KEY_ID") {
        // Without credentials in the environment those of a machine of Amazon's would be looked for first.
        println!("skipped: the environment has no credentials");
        return;
    }
    let store = S3Store::open(&address).unwrap();
    assert!(matches!(store.get("a", 1).await, Err(StoreError::Failed(_))));
    assert!(matches!(store.create("a", value("1")).await, Err(StoreError::Failed(_))));
}
