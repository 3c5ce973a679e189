//! `grep` on received lines: searches the text of a batch as a whole and finds line borders only around hits.

use crate::operator::emit::Emit;
use crate::operator::{Batch, Context, Sink, Source};
use crate::query::TaskError;
use memchr::memmem::Finder;

pub(crate) struct GrepLines {
    literal: Finder<'static>,
    /// A line holds no LF, so a literal with one is found in none.
    never: bool,
}

impl GrepLines {
    pub(crate) fn new(literal: &str) -> GrepLines {
        GrepLines { literal: Finder::new(literal).into_owned(), never: literal.contains('\n') }
    }

    fn for_each_hit<'a>(&self, text: &'a str, mut hit: impl FnMut(&'a str)) {
        let bytes = text.as_bytes();
        let mut from = 0;
        while from < bytes.len() && !self.never {
            let Some(found) = self.literal.find(&bytes[from..]) else { return };
            let at = from + found;
            let start = memchr::memrchr(b'\n', &bytes[from..at]).map_or(from, |before| from + before + 1);
            // An empty literal is also found after the last line's end.
            let Some(length) = memchr::memchr(b'\n', &bytes[at..]) else { return };
            hit(&text[start..at + length]);
            from = at + length + 1;
        }
    }
}

impl Source<String> for GrepLines {
    fn run<'a>(
        &self,
        batch: Batch<'a>,
        context: Context<'a>,
        sink: &mut dyn Sink<'a, String>,
    ) -> Result<(), TaskError> {
        let mut out = Emit::<String>::new(context, sink);
        self.for_each_hit(batch.text(), |line| out.emit(line));
        out.flush();
        Ok(())
    }
}
