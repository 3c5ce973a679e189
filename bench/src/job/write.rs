//! A job's results, interval by interval: lines on stdout, or files that appear whole.
//!
//! Invariant: a file under its final name is complete; a job that dies leaves at most one that ends in `.part`.

use crate::command_line::Format;
use crate::console;
use crate::failure::Failure;
use crate::job::table::Table;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// The most numbered neighbours that are tried for a folder that is taken.
const NEIGHBOURS_MAX: u32 = 10_000;

/// Where results go.
#[derive(Debug)]
pub enum Destination {
    /// To stdout, in this format.
    Stdout(Format),
    /// `<folder>/<output>/interval-<number>.csv`
    Folder(PathBuf),
}

impl Destination {
    /// Reads `stdout` or `file:DIR` and makes sure that it can be written to, for these outputs.
    pub fn open(text: &str, format: Format, outputs: &[String]) -> Result<Destination, Failure> {
        match text.split_once(':') {
            None if text == "stdout" => Ok(Destination::Stdout(format)),
            Some(("file", folder)) if !folder.is_empty() => {
                let folder = vacant(Path::new(folder), outputs)?;
                for output in outputs {
                    let folder = folder.join(output);
                    try_folder(&folder).map_err(|error| {
                        Failure::usage(format!("{}: cannot be written to: {error}", folder.display()))
                    })?;
                }
                Ok(Destination::Folder(folder))
            }
            _ => Err(Failure::usage(format!("`--output {text}`: valid are `stdout` and `file:DIR`"))),
        }
    }

    /// Writes one interval of one output. The table is sorted.
    pub fn write(&self, output: &str, interval: u64, table: &Table) -> Result<(), Failure> {
        match self {
            Destination::Stdout(format) => {
                let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
                console::judge(write_lines(&mut out, *format, output, interval, table).and_then(|()| out.flush()))
            }
            Destination::Folder(folder) => {
                let path = folder.join(output).join(format!("interval-{interval:08}.csv"));
                write_whole(&path, table)
                    .map_err(|error| Failure::usage(format!("{}: cannot be written: {error}", path.display())))
            }
        }
    }
}

/// The folder itself if it holds none of the outputs yet, else its first numbered neighbour of which that is true.
fn vacant(folder: &Path, outputs: &[String]) -> Result<PathBuf, Failure> {
    let is_vacant = |folder: &Path| {
        let is_empty = |path: PathBuf| fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        outputs.iter().all(|output| is_empty(folder.join(output)))
    };
    if is_vacant(folder) {
        return Ok(folder.to_path_buf());
    }
    let neighbour = |number| PathBuf::from(format!("{}-{number}", folder.to_string_lossy().trim_end_matches('/')));
    let free = (2..NEIGHBOURS_MAX).map(neighbour).find(|neighbour| is_vacant(neighbour));
    let free = free.ok_or_else(|| Failure::usage(format!("{}: full of earlier results", folder.display())))?;
    console::log(&format!("{} holds earlier results; writing to {}", folder.display(), free.display()));
    Ok(free)
}

/// Creates the folder and a file in it.
fn try_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let trial = folder.join(".trial.part");
    File::create(&trial)?;
    fs::remove_file(&trial)
}

fn write_whole(path: &Path, table: &Table) -> io::Result<()> {
    let part = path.with_extension("csv.part");
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, File::create(&part)?);
    write_csv(&mut out, table)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    fs::rename(&part, path)
}

fn write_csv(out: &mut impl Write, table: &Table) -> io::Result<()> {
    out.write_all(b"key,value\r\n")?;
    for (key, value) in table.rows() {
        write_field(out, key)?;
        out.write_all(b",")?;
        write_field(out, value)?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

/// RFC 4180: quoted where it holds a comma, a quote or a line end; quotes inside are doubled.
fn write_field(out: &mut impl Write, field: &str) -> io::Result<()> {
    if !field.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        return out.write_all(field.as_bytes());
    }
    out.write_all(b"\"")?;
    for (index, part) in field.split('"').enumerate() {
        if index > 0 {
            out.write_all(b"\"\"")?;
        }
        out.write_all(part.as_bytes())?;
    }
    out.write_all(b"\"")
}

fn write_lines(out: &mut impl Write, format: Format, output: &str, interval: u64, table: &Table) -> io::Result<()> {
    // Strings are quoted by the JSON library; the order of the fields is the contract's.
    let output = serde_json::to_string(output)?;
    for (key, value) in table.rows() {
        match format {
            Format::Text => writeln!(out, "{interval} {key} {value}")?,
            Format::Json => {
                write!(out, "{{\"output\":{output},\"interval\":{interval},\"key\":")?;
                serde_json::to_writer(&mut *out, key)?;
                out.write_all(b",\"value\":")?;
                serde_json::to_writer(&mut *out, value)?;
                out.write_all(b"}\n")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        rows.iter().for_each(|(key, value)| table.push(key, value));
        table.sort();
        table
    }

    #[test]
    fn csv_quotes_what_rfc_4180_says_and_nothing_else() {
        let check = |rows: &[(&str, &str)], expected: &str| {
            let mut text = Vec::new();
            write_csv(&mut text, &table(rows)).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), format!("key,value\r\n{expected}"));
        };
        check(&[], "");
        check(&[("b", "2"), ("a", "1")], "a,1\r\nb,2\r\n");
        check(&[("a,b", "1")], "\"a,b\",1\r\n");
        check(&[("say \"x\"", "1")], "\"say \"\"x\"\"\",1\r\n");
        check(&[("two\nlines", "1")], "\"two\nlines\",1\r\n");
        check(&[("it's; é\t", "1")], "it's; é\t,1\r\n");
    }

    #[test]
    fn a_second_run_into_the_same_folder_leaves_the_first_alone() {
        let folder = std::env::temp_dir().join(format!("dstream-write-{}", std::process::id()));
        let text = format!("file:{}", folder.display());
        let outputs = ["counts".to_string()];
        for expected in ["counts", "counts-2", "counts-3"] {
            let target = Destination::open(&text, Format::Text, &outputs).unwrap();
            target.write("counts", 7, &table(&[("x", expected)])).unwrap();
        }
        for (suffix, expected) in [("", "counts"), ("-2", "counts-2"), ("-3", "counts-3")] {
            let root = PathBuf::from(format!("{}{suffix}", folder.display()));
            let names: Vec<_> = fs::read_dir(root.join("counts")).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["interval-00000007.csv"]);
            let text = fs::read_to_string(root.join("counts/interval-00000007.csv")).unwrap();
            assert_eq!(text, format!("key,value\r\nx,{expected}\r\n"));
            fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let failure = Destination::open("file:/dev/null/x", Format::Text, &["counts".into()]).unwrap_err();
        assert!(failure.message.starts_with("/dev/null/x/counts: cannot be written to: "), "{failure}");
        let failure = Destination::open("kafka:x", Format::Text, &[]).unwrap_err();
        assert!(failure.message.contains("valid are `stdout` and `file:DIR`"), "{failure}");
    }
}
