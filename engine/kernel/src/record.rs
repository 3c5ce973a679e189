//! What a datum is: a type with a borrowed form that operators see, and one encoding.
//!
//! Knows no operator. Invariants, on which tables and sorting rest: equal values have equal encodings, different values
//! different ones, no encoding is a prefix of another, and decoding refuses every other byte string without a panic.

use crate::arena::Arena;
use crate::image::Image;
use crate::line::Out;
use crate::query::TaskError;
use crate::reader::{Reader, put_varint};
use std::fmt::Write as _;

/// A type that a stream can carry: `String`, `u64`, `i64`, `u32`, `bool`, and tuples of two to four of them, nested as
/// you like.
pub trait Record: Sized + Send + Sync + 'static {
    /// How closures see it: `&str` for a `String`, tuples of references for tuples. It lives as long as the batch.
    type Ref<'a>: Copy;

    /// The type's name in fingerprints and errors.
    fn type_name() -> String;

    /// Appends the encoding.
    fn put(record: Self::Ref<'_>, out: &mut impl Out);

    /// Decodes the next value, borrowing from the bytes.
    fn get<'a>(rows: &mut Reader<'a>) -> Result<Self::Ref<'a>, TaskError>;

    /// Passes over the next value of bytes that were already checked; checks no more than it must to find the end.
    fn skip(rows: &mut Reader<'_>) -> Result<(), TaskError>;

    /// The borrowed form.
    fn borrowed(&self) -> Self::Ref<'_>;

    /// A copy that owns its memory.
    fn owned(record: Self::Ref<'_>) -> Self;

    /// Hands an owned value over to the batch's arena.
    fn lend(self, arena: &Arena) -> Self::Ref<'_>;

    /// Appends the value as text for people.
    fn show(record: Self::Ref<'_>, text: &mut String);

    /// The image of a short encoding. For a long one it returns `None` and leaves the encoding in `spare`.
    #[inline]
    fn image(record: Self::Ref<'_>, spare: &mut Vec<u8>) -> Option<Image> {
        spare.clear();
        Self::put(record, spare);
        Image::of(spare)
    }

    /// Whether the text for people is also what JSON writes: numbers and truth values.
    fn shows_json() -> bool {
        false
    }

    /// The same of the value that [`Record::show_row`] gives.
    fn value_shows_json() -> bool {
        false
    }

    /// Key and value as text. Only pairs have a value.
    fn show_row(record: Self::Ref<'_>) -> (String, String) {
        let mut key = String::new();
        Self::show(record, &mut key);
        (key, String::new())
    }
}

impl Record for String {
    type Ref<'a> = &'a str;

    fn type_name() -> String {
        "String".to_owned()
    }

    #[inline]
    fn put(record: &str, out: &mut impl Out) {
        put_varint(record.len() as u64, out);
        out.bytes(record.as_bytes());
    }

    #[inline]
    fn get<'a>(rows: &mut Reader<'a>) -> Result<&'a str, TaskError> {
        let length = rows.varint()?;
        let bytes = rows.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| rows.corrupt("a string is not UTF-8"))
    }

    #[inline]
    fn skip(rows: &mut Reader<'_>) -> Result<(), TaskError> {
        let length = rows.varint()?;
        rows.take(length).map(|_| ())
    }

    fn borrowed(&self) -> &str {
        self
    }

    fn owned(record: &str) -> String {
        record.to_owned()
    }

    fn lend(self, arena: &Arena) -> &str {
        arena.string(self)
    }

    fn show(record: &str, text: &mut String) {
        text.push_str(record);
    }

    #[inline(always)]
    fn image(record: &str, spare: &mut Vec<u8>) -> Option<Image> {
        let image = Image::of_text(record.as_bytes());
        if image.is_none() {
            spare.clear();
            Self::put(record, spare);
        }
        image
    }
}

/// A copyable type that is encoded as one varint.
macro_rules! number {
    ($type:ident, $to_varint:expr, $from_varint:expr) => {
        impl Record for $type {
            type Ref<'a> = $type;

            fn type_name() -> String {
                stringify!($type).to_owned()
            }

            #[inline]
            fn put(record: $type, out: &mut impl Out) {
                put_varint($to_varint(record), out);
            }

            #[inline]
            fn get<'a>(rows: &mut Reader<'a>) -> Result<$type, TaskError> {
                let value = rows.varint()?;
                $from_varint(value).ok_or_else(|| rows.corrupt(concat!("an integer does not fit ", stringify!($type))))
            }

            #[inline]
            fn skip(rows: &mut Reader<'_>) -> Result<(), TaskError> {
                rows.varint().map(|_| ())
            }

            #[inline]
            fn borrowed(&self) -> $type {
                *self
            }

            #[inline]
            fn owned(record: $type) -> $type {
                record
            }

            #[inline]
            fn lend(self, _arena: &Arena) -> $type {
                self
            }

            fn show(record: $type, text: &mut String) {
                write!(text, "{record}").expect("writing to a string does not fail");
            }

            fn shows_json() -> bool {
                true
            }
        }
    };
}

number!(u64, |value: u64| value, Some);
number!(u32, u64::from, |value: u64| u32::try_from(value).ok());
number!(bool, u64::from, |value: u64| (value < 2).then_some(value == 1));
// Zigzag: numbers near zero are short, whatever their sign.
number!(i64, |value: i64| (value << 1 ^ value >> 63) as u64, |value: u64| Some(
    (value >> 1) as i64 ^ -((value & 1) as i64)
));
