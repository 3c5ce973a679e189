//! Reading the tables of a run directory: RFC 4180, by name of column.
//!
//! Invariant: a column that is not there reads as empty, so that tables of older runs can be shown.

use std::collections::BTreeMap;

/// A table in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    columns: BTreeMap<String, usize>,
    rows: Vec<Vec<String>>,
}

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'t> {
    table: &'t Table,
    fields: &'t [String],
}

impl Table {
    /// Reads the text of a file; its first line names the columns.
    pub fn read(text: &str) -> Table {
        let mut lines = fields(text).into_iter();
        let columns = lines.next().unwrap_or_default().into_iter().zip(0..).collect();
        Table { columns, rows: lines.collect() }
    }

    /// Its lines.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|fields| Row { table: self, fields })
    }
}

impl<'t> Row<'t> {
    /// The field of this column; empty where there is none.
    pub fn text(&self, column: &str) -> &'t str {
        let place = self.table.columns.get(column);
        place.and_then(|place| self.fields.get(*place)).map_or("", String::as_str)
    }

    /// The field as a number, if it is one.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.text(column).parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The field as a count; 0 where it is none.
    pub fn count(&self, column: &str) -> u64 {
        self.text(column).parse().unwrap_or(0)
    }
}

/// All lines, split; quotes may hold commas, line ends and doubled quotes.
fn fields(text: &str) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !line.is_empty() {
        line.push(field);
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_whatever_stands_in_them() {
        let table = Table::read("a,b,c\n1,\"x, \"\"y\"\"\n\",\n2.5\n");
        let rows: Vec<_> = table
            .rows()
            .map(|row| (row.number("a"), row.text("b").to_owned(), row.number("c"), row.text("no").to_owned()))
            .collect();
        let expected = [
            (Some(1.0), "x, \"y\"\n".to_owned(), None, String::new()),
            (Some(2.5), String::new(), None, String::new()),
        ];
        assert_eq!(rows, expected);
        assert_eq!(Table::read("").rows().count(), 0);
    }
}
