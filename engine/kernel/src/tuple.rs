//! Tuples as records: the encodings of their parts, one after the other. A pair's first part is the key.
//!
//! Knows no operator. Invariant: parts that keep the invariants of [`Record`] make a tuple that keeps them.

use crate::arena::Arena;
use crate::line::Out;
use crate::query::TaskError;
use crate::reader::Reader;
use crate::record::Record;

macro_rules! tuple {
    ($($part:ident $index:tt),+ $(; $($show_row:tt)*)?) => {
        impl<$($part: Record),+> Record for ($($part,)+) {
            type Ref<'a> = ($($part::Ref<'a>,)+);

            fn type_name() -> String {
                format!("({})", [$($part::type_name()),+].join(", "))
            }

            #[inline]
            fn put(record: Self::Ref<'_>, out: &mut impl Out) {
                $($part::put(record.$index, out);)+
            }

            #[inline]
            fn get<'a>(rows: &mut Reader<'a>) -> Result<Self::Ref<'a>, TaskError> {
                Ok(($($part::get(rows)?,)+))
            }

            #[inline]
            fn skip(rows: &mut Reader<'_>) -> Result<(), TaskError> {
                $($part::skip(rows)?;)+
                Ok(())
            }

            #[inline]
            fn borrowed(&self) -> Self::Ref<'_> {
                ($(self.$index.borrowed(),)+)
            }

            fn owned(record: Self::Ref<'_>) -> Self {
                ($($part::owned(record.$index),)+)
            }

            fn lend(self, arena: &Arena) -> Self::Ref<'_> {
                ($(self.$index.lend(arena),)+)
            }

            fn show(record: Self::Ref<'_>, text: &mut String) {
                let mut before = '(';
                $(
                    text.push(before);
                    if before == ',' {
                        text.push(' ');
                    }
                    before = ',';
                    $part::show(record.$index, text);
                )+
                debug_assert_eq!(before, ',');
                text.push(')');
            }

            $($($show_row)*)?
        }
    };
}

tuple!(A 0, B 1;
    fn show_row(record: Self::Ref<'_>) -> (String, String) {
        let (mut key, mut value) = (String::new(), String::new());
        A::show(record.0, &mut key);
        B::show(record.1, &mut value);
        (key, value)
    }

    fn value_shows_json() -> bool {
        B::shows_json()
    }
);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
