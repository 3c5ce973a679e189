//! A record or none: what a change says that a key has afterwards.
//!
//! Invariant: as a [`Record`]'s, since what follows 0 is nothing and what follows 1 is a record.

use crate::arena::Arena;
use crate::line::Out;
use crate::query::TaskError;
use crate::reader::Reader;
use crate::record::Record;

/// A `T` or none, as panes hold it.
pub(crate) struct Maybe<T>(Option<T>);

impl<T: Record> Record for Maybe<T> {
    type Ref<'a> = Option<T::Ref<'a>>;

    fn type_name() -> String {
        format!("maybe {}", T::type_name())
    }

    #[inline]
    fn put(record: Self::Ref<'_>, out: &mut impl Out) {
        bool::put(record.is_some(), out);
        if let Some(record) = record {
            T::put(record, out);
        }
    }

    #[inline]
    fn get<'a>(rows: &mut Reader<'a>) -> Result<Self::Ref<'a>, TaskError> {
        if bool::get(rows)? { T::get(rows).map(Some) } else { Ok(None) }
    }

    fn skip(rows: &mut Reader<'_>) -> Result<(), TaskError> {
        Self::get(rows).map(|_| ())
    }

    fn borrowed(&self) -> Self::Ref<'_> {
        self.0.as_ref().map(T::borrowed)
    }

    fn owned(record: Self::Ref<'_>) -> Self {
        Maybe(record.map(T::owned))
    }

    fn lend(self, arena: &Arena) -> Self::Ref<'_> {
        self.0.map(|record| record.lend(arena))
    }

    fn show(record: Self::Ref<'_>, text: &mut String) {
        match record {
            Some(record) => T::show(record, text),
            None => text.push('-'),
        }
    }
}
