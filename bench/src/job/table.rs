//! One interval's rows of one output, sorted by key. Keeps its memory from interval to interval.
//!
//! Invariant: all text lies in one buffer; a row costs no allocation of its own.

/// Rows of (key, value).
#[derive(Default)]
pub struct Table {
    text: String,
    rows: Vec<Row>,
}

/// Where a row's text lies. `head` comes first: most rows are sorted without a look at the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// The key's first eight bytes, as a number that sorts like them.
    head: u64,
    start: usize,
    key_bytes: u32,
    value_bytes: u32,
}

impl Table {
    /// Forgets all rows, not the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }

    /// Adds a row.
    pub fn push(&mut self, key: &str, value: &str) {
        let mut head = [0u8; 8];
        let shown = key.len().min(head.len());
        head[..shown].copy_from_slice(&key.as_bytes()[..shown]);
        self.rows.push(Row {
            head: u64::from_be_bytes(head),
            start: self.text.len(),
            key_bytes: u32::try_from(key.len()).expect("a key is part of a line, which is at most 1 MiB long"),
            value_bytes: u32::try_from(value.len()).expect("a value is a number or a part of a line"),
        });
        self.text.push_str(key);
        self.text.push_str(value);
    }

    /// Sorts by key, by its bytes; rows of the same key by value.
    pub fn sort(&mut self) {
        let text = self.text.as_bytes();
        let whole = |row: &Row| {
            let key_end = row.start + row.key_bytes as usize;
            (&text[row.start..key_end], &text[key_end..key_end + row.value_bytes as usize])
        };
        self.rows.sort_unstable_by(|a, b| a.head.cmp(&b.head).then_with(|| whole(a).cmp(&whole(b))));
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|row| {
            let key_end = row.start + row.key_bytes as usize;
            (&self.text[row.start..key_end], &self.text[key_end..key_end + row.value_bytes as usize])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_in_the_order_of_their_keys_bytes() {
        let check = |keys: &[&str]| {
            let mut table = Table::default();
            table.push("left over", "from before");
            table.clear();
            for (index, key) in keys.iter().enumerate() {
                table.push(key, &index.to_string());
            }
            table.sort();
            let mut expected: Vec<(String, String)> =
                keys.iter().enumerate().map(|(index, key)| (key.to_string(), index.to_string())).collect();
            expected.sort();
            let found: Vec<_> = table.rows().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            assert_eq!(found, expected);
        };
        check(&[]);
        check(&["b", "a", "", "ab", "aa"]);
        check(&["a", "a\0", "a\0\0"]);
        check(&["longer than eight b", "longer than eight a", "longer t", "longer than"]);
        check(&["é", "e", "z", "\u{fffd}"]);
    }
}
