//! Pieces of pages: the frame of a page, tables, pictures in both widths, links.
//!
//! Invariant: all text from results is escaped, and a page needs no other file to be read.

use crate::chart::Width;
use crate::ink::Ink;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::{Component, Path, PathBuf};

/// The style of all pages.
const STYLE: &str = include_str!("page.css");

/// Bytes of a path that may stand in an address as they are.
const PLAIN: &[u8] = b"-._~/";

/// Text as it may stand in markup.
pub fn escape(text: &str) -> String {
    html! { (text) }.into_string()
}

/// The text with numbers and their units, and the names of nodes, kept on one line.
pub fn kept_together(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let keeps = |place: usize| {
        let before = place.checked_sub(1).is_some_and(|before| letters[before].is_ascii_digit());
        let after = letters[place + 1..].iter().take_while(|letter| letter.is_alphanumeric()).collect::<String>();
        before
            && (matches!(after.as_str(), "s" | "ms" | "us" | "x" | "B" | "kB" | "MB" | "GB" | "TB")
                || after.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    let mut text = String::new();
    for (place, letter) in letters.iter().enumerate() {
        text.push(if *letter == ' ' && keeps(place) { '\u{a0}' } else { *letter });
        // A line may break after a hyphen, unless what follows is joined to it.
        if *letter == '-' && letters.get(place + 1).is_some_and(char::is_ascii_digit) {
            text.push('\u{2060}');
        }
    }
    text
}

/// A whole page.
pub fn page(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string() + "\n"
}

/// A table that scrolls by itself where it is too wide.
pub fn table(caption: &str, columns: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(caption) {
            table {
                thead { tr { @for column in columns { th scope="col" { (whole_words(column)) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

/// The text with no place to break inside a word: `catch-up` is one.
fn whole_words(text: &str) -> String {
    text.replace('-', "-\u{2060}")
}

/// A table of words, whose lines break instead of scrolling.
pub fn words_table(caption: &str, columns: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! { div.words { (table(caption, columns, rows)) } }
}

/// Cells of plain text.
pub fn cells(texts: impl IntoIterator<Item = String>) -> Vec<Markup> {
    texts.into_iter().map(|text| html! { (text) }).collect()
}

/// An entry of a legend: what a role means.
pub struct Key {
    /// The role.
    pub ink: Ink,
    /// Whether it is drawn as a line; else as an area.
    pub is_line: bool,
    /// What it means.
    pub text: String,
}

/// A line's key.
pub fn line_key(ink: Ink, text: impl Into<String>) -> Key {
    Key { ink, is_line: true, text: text.into() }
}

/// An area's key.
pub fn area_key(ink: Ink, text: impl Into<String>) -> Key {
    Key { ink, is_line: false, text: text.into() }
}

/// The sample that stands before a key.
pub fn swatch(ink: Ink, is_line: bool) -> Markup {
    html! {
        svg.swatch viewBox="0 0 26 12" width="26" height="12" aria-hidden="true" {
            @if is_line {
                path class={ "l " (ink.class()) } d="M0 6L26 6" {}
            } @else {
                path class={ "f " (ink.class()) } d="M2 1h22v10h-22z" {}
            }
        }
    }
}

/// A picture in both widths under its heading, with its legend and, folded, the numbers behind it.
pub struct Figure<'a> {
    /// The anchor.
    pub id: &'a str,
    /// The heading.
    pub heading: &'a str,
    /// What to look at, in a sentence.
    pub note: String,
    /// The legend.
    pub keys: Vec<Key>,
    /// Draws the picture.
    pub draw: &'a dyn Fn(Width) -> String,
    /// The numbers, and where they lie as a file.
    pub numbers: Markup,
}

impl Figure<'_> {
    /// The section of the page.
    pub fn markup(&self) -> Markup {
        html! {
            section id=(self.id) {
                h2 { (self.heading) }
                @if !self.note.is_empty() { p.note { (self.note) } }
                @if !self.keys.is_empty() {
                    ul.legend { @for key in &self.keys { li { (swatch(key.ink, key.is_line)) (key.text) } } }
                }
                @for width in Width::ALL {
                    div.picture.(width.class()) { (PreEscaped((self.draw)(width))) }
                }
                (self.numbers)
            }
        }
    }
}

/// Numbers folded under a line that opens them.
pub fn folded(summary: &str, body: Markup) -> Markup {
    html! { details { summary { (summary) } (body) } }
}

/// The address of `to` as seen from a page in folder `from`.
pub fn address(from: &Path, to: &Path) -> String {
    let text = relative(from, to).to_string_lossy().into_owned();
    let mut address = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
    address
}

/// The way from one folder to another, both absolute or both from the same place.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let plain = |path: &Path| -> Vec<String> {
        let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
        parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let (from, to) = (plain(from), plain(to));
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[shared..].iter().map(|_| "..".to_owned());
    let path: PathBuf = up.chain(to[shared..].iter().cloned()).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_unit_and_its_digits() {
        assert_eq!(kept_together("65 000 records, 1.5 s at 3 sites"), "65\u{a0}000 records, 1.5\u{a0}s at 3 sites");
        assert_eq!(kept_together("worker-2 of a re-run"), "worker-\u{2060}2 of a re-run");
    }

    #[test]
    fn addresses_are_relative_and_hold_no_letter_that_means_something() {
        for (from, to, expected) in [
            ("runs/a", "runs/a/x-1/report.html", "x-1/report.html"),
            ("runs/b", "runs/a/x-1", "../a/x-1"),
            ("/tmp", "/tmp/gr\u{f6}\u{df}e #3/x", "gr%C3%B6%C3%9Fe%20%233/x"),
            ("", "a/b", "a/b"),
            ("./runs/a", "runs/a", "."),
        ] {
            assert_eq!(address(Path::new(from), Path::new(to)), expected);
        }
    }
}
