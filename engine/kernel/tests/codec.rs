//! The codec: round trips, one encoding for each value, no encoding a prefix of another, and no panic on any bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use dstream_kernel::reader::{Reader, put_varint};
use dstream_kernel::rows::{decode_rows, encode_rows};
use dstream_kernel::{Image, Record};
use proptest::prelude::*;

fn encode<T: Record>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    T::put(value.borrowed(), &mut bytes);
    bytes
}

/// What must hold of any two values of a type.
fn check_pair<T: Record + PartialEq + std::fmt::Debug>(one: T, other: T) {
    let (bytes, other_bytes) = (encode(&one), encode(&other));
    let mut reader = Reader::new(&bytes);
    assert_eq!(T::owned(T::get(&mut reader).unwrap()), one);
    assert_eq!(reader.remaining(), 0);
    let mut reader = Reader::new(&bytes);
    T::skip(&mut reader).unwrap();
    assert_eq!(reader.remaining(), 0);

    assert_eq!(bytes == other_bytes, one == other);
    assert!(one == other || !bytes.starts_with(&other_bytes), "{other:?} is a prefix of {one:?}");
    check_image::<T>(&one, &bytes);

    let block = encode_rows::<T>([one.borrowed(), other.borrowed()]);
    let rows: Vec<T> = decode_rows::<T>(&block).unwrap().map(|row| T::owned(row.unwrap())).collect();
    assert_eq!(rows, [one, other]);
    for length in 0..block.len() {
        let cut = decode_rows::<T>(&block[..length]).map(|rows| rows.map(|row| row.map(|_| ())).collect::<Vec<_>>());
        assert!(length == 0 || cut.is_err() || cut.unwrap().iter().any(Result::is_err), "cut to {length} bytes");
    }
}

fn check_image<T: Record>(value: &T, bytes: &[u8]) {
    let mut spare = vec![1, 2, 3];
    match T::image(value.borrowed(), &mut spare) {
        Some(image) => {
            assert_eq!(image.bytes()[..bytes.len()], *bytes);
            assert!(image.bytes()[bytes.len()..].iter().all(|byte| *byte == 0));
            assert_eq!(Some(image), Image::of(bytes));
        }
        None => {
            assert!(bytes.len() > 16);
            assert_eq!(spare, bytes);
        }
    }
}

/// Whatever decodes is what the encoder writes.
fn check_bytes<T: Record>(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    if let Ok(value) = T::get(&mut reader) {
        assert_eq!(encode(&T::owned(value)), bytes[..reader.position()]);
    }
    let _ = T::skip(&mut Reader::new(bytes));
    if let Ok(Ok(rows)) = decode_rows::<T>(bytes).map(|rows| rows.collect::<Result<Vec<_>, _>>()) {
        assert_eq!(encode_rows::<T>(rows), bytes);
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>(), (0..64u32).prop_map(|bit| 1 << bit), Just(u64::MAX)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[ab]{0,3}", 1 => "[a-c\0é]{12,18}", 1 => "\\PC{0,40}"]
}

type Nested = ((String, u32), (i64, bool), String, u64);

fn nested() -> impl Strategy<Value = Nested> {
    ((text(), any::<u32>()), (any::<i64>(), any::<bool>()), text(), number())
}

proptest! {
    #[test]
    fn values_come_back_and_differ_where_they_differ(
        numbers in (number(), number()),
        signed in (any::<i64>(), -70..70i64),
        small in (any::<u32>(), any::<u32>()),
        flags in any::<(bool, bool)>(),
        texts in (text(), text()),
        nests in (nested(), nested()),
    ) {
        check_pair(numbers.0, numbers.1);
        check_pair(signed.0, signed.1);
        check_pair(small.0, small.1);
        check_pair(flags.0, flags.1);
        check_pair(texts.0.clone(), texts.1.clone());
        check_pair((texts.0, numbers.0), (texts.1, numbers.1));
        check_pair(nests.0, nests.1);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_a_panic(
        bytes in proptest::collection::vec(prop_oneof![3 => 0..4u8, 1 => 0x7f..0x83u8, 2 => any::<u8>()], 0..24),
    ) {
        check_bytes::<u64>(&bytes);
        check_bytes::<i64>(&bytes);
        check_bytes::<u32>(&bytes);
        check_bytes::<bool>(&bytes);
        check_bytes::<String>(&bytes);
        check_bytes::<(String, u64)>(&bytes);
        check_bytes::<(u32, (bool, String), i64)>(&bytes);
        check_bytes::<Nested>(&bytes);
    }
}

fn check_refused<T: Record>(block: &[u8], expected: &str) {
    let error = match decode_rows::<T>(block) {
        Ok(mut rows) => rows.find_map(Result::err).expect("the block is wrong"),
        Err(error) => error,
    };
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_wrong_block_is_refused_with_what_and_where() {
    check_refused::<u64>(&[0], "an empty row block has no bytes, this one says that it has no rows at byte 0");
    check_refused::<u64>(&[9, 1], "a row block says that it has more rows than bytes at byte 1");
    check_refused::<u64>(&[1, 1, 1], "a row block goes on after its last row at byte 2");
    check_refused::<u64>(&[1, 0x80], "an integer has no end at byte 1");
    check_refused::<u64>(&[1, 0x80, 0], "an integer is written longer than it needs at byte 1");
    let mut too_big = vec![1];
    too_big.extend([0xff; 9]);
    too_big.push(2);
    check_refused::<u64>(&too_big, "an integer has more than 64 bits at byte 1");
    check_refused::<u32>(&[1, 0xff, 0xff, 0xff, 0xff, 0x10], "an integer does not fit u32 at byte 6");
    check_refused::<bool>(&[1, 2], "an integer does not fit bool at byte 2");
    check_refused::<String>(&[1, 3, b'a'], "a value is longer than the bytes that are left at byte 2");
    check_refused::<String>(&[1, 1, 0xff], "a string is not UTF-8 at byte 3");
}

#[test]
fn the_format_stays_as_it_is() {
    let mut varint = Vec::new();
    put_varint(300, &mut varint);
    assert_eq!(varint, [0xac, 0x02]);
    assert_eq!(encode_rows::<(String, u64)>([("spark", 2), ("é", 300)])[..], *b"\x02\x05spark\x02\x02\xc3\xa9\xac\x02");
    assert_eq!(encode_rows::<i64>([0, -1, 1, -2])[..], [4, 0, 1, 2, 3]);
    assert_eq!(encode_rows::<(u32, (bool, u64))>([(7, (true, 1))])[..], [1, 7, 1, 1]);
    assert!(encode_rows::<u64>([]).is_empty());
}

#[test]
fn values_read_as_text() {
    let row = <(String, (i64, bool)) as Record>::show_row(("k", (-1, true)));
    assert_eq!(row, ("k".to_owned(), "(-1, true)".to_owned()));
    let row = <(u64, String, u32) as Record>::show_row((1, "b", 2));
    assert_eq!(row, ("(1, b, 2)".to_owned(), String::new()));
    assert_eq!(<((String, u32), i64) as Record>::type_name(), "((String, u32), i64)");
}
