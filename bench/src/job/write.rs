//! A job's results, interval by interval: lines on stdout, or files that appear whole.
//!
//! Invariant: a file under its final name is complete; a job that dies leaves at most one that ends in `.part`.

use crate::command_line::Format;
use crate::console;
use crate::failure::Failure;
use crate::job::table::Table;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// The most numbered neighbours that are tried for a folder that is taken.
const NEIGHBOURS_MAX: u32 = 10_000;

/// The file in a folder of results that says of which run they are.
const RUN: &str = ".run";

/// Pieces in which results go to stdout: where it is full, so much waits in memory.
const PIECE_BYTES: usize = 1 << 18;

/// What became of a write that failed for no other reason than room.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// Everything is there.
    Whole,
    /// There was no room, and nothing half is left. The same write may be tried again.
    NoRoom(String),
}

/// An output, as far as writing it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputName {
    /// Its name.
    pub name: String,
    /// Whether its values are written into JSON as they are.
    pub value_is_json: bool,
}

/// Where results go.
#[derive(Debug)]
pub enum Destination {
    /// To stdout.
    Stdout(Lines),
    /// `<folder>/<output>/interval-<number>.csv`
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Whether what is written must outlive the machine's power.
        outlives: bool,
    },
}

impl Destination {
    /// Reads `stdout` or `file:DIR`, and makes sure that the folder can be written to.
    pub fn check(text: &str) -> Result<(), Failure> {
        match text.split_once(':') {
            None if text == "stdout" => Ok(()),
            Some(("file", folder)) if !folder.is_empty() => may_write(Path::new(folder)),
            _ => Err(unknown(text)),
        }
    }

    /// Opens it for these outputs. Where they are those of a run that may have had earlier lives, its folder is known again.
    pub fn open(text: &str, format: Format, outputs: &[String], run: Option<u64>) -> Result<Destination, Failure> {
        match text.split_once(':') {
            None if text == "stdout" => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                let stdout = stdout.map_err(|error| Failure::usage(format!("stdout is closed: {error}")))?;
                Ok(Destination::Stdout(Lines::new(Box::new(File::from(stdout)), format)))
            }
            Some(("file", folder)) if !folder.is_empty() => {
                let folder = vacant(Path::new(folder), outputs, run)?;
                for output in outputs {
                    may_write(&folder.join(output))?;
                }
                if let Some(run) = run {
                    let path = folder.join(RUN);
                    let noted = fs::write(&path, format!("{run:016x}"));
                    noted.map_err(|error| Failure::usage(format!("{}: cannot be written: {error}", path.display())))?;
                }
                Ok(Destination::Folder { folder, outlives: run.is_some() })
            }
            _ => Err(unknown(text)),
        }
    }

    /// Writes one interval of one output. The table is sorted; after [`Written::NoRoom`] the same call comes again.
    pub fn write(&mut self, output: &OutputName, interval: u64, table: &Table) -> Result<Written, Failure> {
        let (written, place) = match self {
            Destination::Stdout(lines) => (lines.write(output, interval, table), "stdout".to_string()),
            Destination::Folder { folder, outlives } => {
                let path = folder.join(&output.name).join(format!("interval-{interval:08}.csv"));
                (write_whole(&path, table, *outlives), path.display().to_string())
            }
        };
        match written {
            Ok(()) => Ok(Written::Whole),
            Err(error) if is_full(&error) => Ok(Written::NoRoom(format!("{place}: {error}"))),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => console::judge(Err(error)).map(|()| Written::Whole),
            Err(error) => Err(Failure::usage(format!("{place}: cannot be written: {error}"))),
        }
    }
}

/// Whether it can be different later, without anybody mending the command line.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Results as lines, written so that a full disk in the midst of one loses and doubles nothing.
pub struct Lines {
    to: Box<dyn Write + Send>,
    format: Format,
    /// Rows of the table at hand that are in `piece`, or before it.
    rows: usize,
    piece: Vec<u8>,
    /// Bytes of `piece` that are out.
    out: usize,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lines, {} bytes of {} out", self.out, self.piece.len())
    }
}

impl Lines {
    fn new(to: Box<dyn Write + Send>, format: Format) -> Lines {
        Lines { to, format, rows: 0, piece: Vec::new(), out: 0 }
    }

    fn write(&mut self, output: &OutputName, interval: u64, table: &Table) -> io::Result<()> {
        loop {
            while self.out < self.piece.len() {
                match self.to.write(&self.piece[self.out..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(count) => self.out += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            (self.out, self.rows) =
                (0, self.rows + take_piece(&mut self.piece, self.format, output, interval, self.rows, table)?);
            if self.piece.is_empty() {
                self.rows = 0;
                return Ok(());
            }
        }
    }
}

/// Fills `piece` with the rows from `first` on; answers how many they are.
fn take_piece(
    piece: &mut Vec<u8>,
    format: Format,
    output: &OutputName,
    interval: u64,
    first: usize,
    table: &Table,
) -> io::Result<usize> {
    piece.clear();
    // Strings are quoted by the JSON library; the order of the fields is the contract's.
    let name = serde_json::to_string(&output.name)?;
    let mut rows = 0;
    for (key, value) in table.rows().skip(first) {
        match format {
            Format::Text => writeln!(piece, "{interval} {key} {value}")?,
            Format::Json => {
                write!(piece, "{{\"output\":{name},\"interval\":{interval},\"key\":")?;
                serde_json::to_writer(&mut *piece, key)?;
                piece.extend_from_slice(b",\"value\":");
                if output.value_is_json {
                    piece.extend_from_slice(value.as_bytes());
                } else {
                    serde_json::to_writer(&mut *piece, value)?;
                }
                piece.extend_from_slice(b"}\n");
            }
        }
        rows += 1;
        if piece.len() >= PIECE_BYTES {
            break;
        }
    }
    Ok(rows)
}

/// The folder itself if it holds none of the outputs yet, or those of this run; else its first numbered neighbour of which
/// that is true.
fn vacant(folder: &Path, outputs: &[String], run: Option<u64>) -> Result<PathBuf, Failure> {
    let run = run.map(|run| format!("{run:016x}"));
    let is_vacant = |folder: &Path| {
        let is_empty = |path: PathBuf| fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        let is_of_run = run.as_ref().is_some_and(|run| fs::read_to_string(folder.join(RUN)).is_ok_and(|of| of == *run));
        is_of_run || outputs.iter().all(|output| is_empty(folder.join(output)))
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

fn unknown(text: &str) -> Failure {
    Failure::usage(format!("`--output {text}`: valid are `stdout` and `file:DIR`"))
}

fn may_write(folder: &Path) -> Result<(), Failure> {
    let trial = try_folder(folder);
    trial.map_err(|error| Failure::usage(format!("{}: cannot be written to: {error}", folder.display())))
}

/// Creates the folder and a file in it.
fn try_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let trial = folder.join(".trial.part");
    File::create(&trial)?;
    fs::remove_file(&trial)
}

fn write_whole(path: &Path, table: &Table, outlives: bool) -> io::Result<()> {
    let part = path.with_extension("csv.part");
    let sync = |path: &Path| if outlives { File::open(path)?.sync_all() } else { Ok(()) };
    let written = write_part(&part, table).and_then(|()| sync(&part)).and_then(|()| fs::rename(&part, path));
    let written = written.and_then(|()| path.parent().map_or(Ok(()), sync));
    if written.is_err() {
        // What it takes is what others wait for; where even this fails, the first error says why.
        fs::remove_file(&part).ok();
    }
    written
}

fn write_part(part: &Path, table: &Table) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, File::create(part)?);
    let written = write_csv(&mut out, table).and_then(|()| out.flush());
    // Without this the buffer's end would try once more to write what found no room.
    let (_file, _rest) = out.into_parts();
    written
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn table(rows: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        rows.iter().for_each(|(key, value)| table.push(key, value));
        table.sort();
        table
    }

    fn counts() -> OutputName {
        OutputName { name: "counts".into(), value_is_json: true }
    }

    #[test]
    fn values_that_are_numbers_are_numbers_in_json() {
        for (value_is_json, expected) in [(true, "1"), (false, "\"1\"")] {
            let mut piece = Vec::new();
            let output = OutputName { value_is_json, ..counts() };
            take_piece(&mut piece, Format::Json, &output, 3, 0, &table(&[("7", "1")])).unwrap();
            let line = format!("{{\"output\":\"counts\",\"interval\":3,\"key\":\"7\",\"value\":{expected}}}\n");
            assert_eq!(String::from_utf8(piece).unwrap(), line);
        }
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
            let mut target = Destination::open(&text, Format::Text, &outputs, None).unwrap();
            assert_eq!(target.write(&counts(), 7, &table(&[("x", expected)])), Ok(Written::Whole));
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
    fn a_run_that_goes_on_finds_its_folder_again_and_another_one_leaves_it_alone() {
        let folder = std::env::temp_dir().join(format!("dstream-write-run-{}", std::process::id()));
        let text = format!("file:{}", folder.display());
        let outputs = ["counts".to_string()];
        for (run, interval) in [(5, 0), (6, 0), (5, 1), (6, 1)] {
            let mut target = Destination::open(&text, Format::Text, &outputs, Some(run)).unwrap();
            let row = table(&[("x", &run.to_string())]);
            assert_eq!(target.write(&counts(), interval, &row), Ok(Written::Whole));
        }
        for (suffix, run) in [("", 5), ("-2", 6)] {
            let root = PathBuf::from(format!("{}{suffix}", folder.display()));
            for interval in [0, 1] {
                let text = fs::read_to_string(root.join(format!("counts/interval-0000000{interval}.csv"))).unwrap();
                assert_eq!(text, format!("key,value\r\nx,{run}\r\n"));
            }
            fs::remove_dir_all(root).unwrap();
        }
    }

    /// Takes `room` bytes at a time, a few at once, then says that it is full.
    struct Small {
        room: usize,
        left: usize,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                self.left = self.room;
                return Err(ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.left).min(7);
            self.left -= count;
            self.text.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_under_stdout_loses_and_doubles_nothing() {
        let rows: Vec<(String, String)> = (0..30_000).map(|row| (format!("key-{row:05}"), row.to_string())).collect();
        let mut big = Table::default();
        rows.iter().for_each(|(key, value)| big.push(key, value));
        let text = Arc::new(Mutex::new(Vec::new()));
        let small = Small { room: 100_001, left: 10, text: text.clone() };
        let mut target = Destination::Stdout(Lines::new(Box::new(small), Format::Text));
        let mut full = 0;
        for (interval, table) in [(0, &big), (1, &Table::default()), (2, &big)] {
            while target.write(&counts(), interval, table).unwrap() != Written::Whole {
                full += 1;
            }
        }
        let interval = |number| rows.iter().map(move |(key, value)| format!("{number} {key} {value}\n"));
        let expected: String = interval(0).chain(interval(2)).collect();
        assert_eq!(String::from_utf8(text.lock().unwrap().clone()).unwrap(), expected);
        assert_eq!(full, 1 + (expected.len() - 10) / 100_001);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let failure = Destination::open("file:/dev/null/x", Format::Text, &["counts".into()], None).unwrap_err();
        assert!(failure.message.starts_with("/dev/null/x/counts: cannot be written to: "), "{failure}");
        let failure = Destination::check("file:/dev/null/x").unwrap_err();
        assert!(failure.message.starts_with("/dev/null/x: cannot be written to: "), "{failure}");
        let failure = Destination::check("kafka:x").unwrap_err();
        assert!(failure.message.contains("valid are `stdout` and `file:DIR`"), "{failure}");
    }
}
