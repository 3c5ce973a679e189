//! `dstream job` on sources that are no files: connections, FIFOs, pools, generators; and on a disk that is full.

use crate::common::Folder;
use crate::common::processes::vacant_address;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

/// A job that runs, seen from outside.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Running { child, out, err }
    }

    fn job(folder: &Folder, words: &str) -> Running {
        Running::start(crate::common::command(&folder.0, &words.split(' ').collect::<Vec<_>>()))
    }

    /// Reads stderr until a line holds these words.
    fn until_said(&mut self, words: &str) -> String {
        let mut line = String::new();
        while self.err.read_line(&mut line).unwrap() > 0 {
            if line.contains(words) {
                return line;
            }
            line.clear();
        }
        panic!("`{words}` was never said");
    }

    /// The port that a `tcp:` source was given.
    fn port(&mut self) -> u16 {
        let line = self.until_said("listening on ");
        line.split([':', ' ']).find_map(|word| word.parse().ok()).expect("the line names a port")
    }

    /// Reads `interval key value` lines into `counts` until the sum of all values is `sum`.
    fn read_counts(&mut self, counts: &mut BTreeMap<String, u64>, sum: u64) {
        while counts.values().sum::<u64>() < sum {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "the job ended with {counts:?}");
            let words: Vec<&str> = line.split_whitespace().collect();
            *counts.entry(words[1].to_string()).or_default() += words[2].parse::<u64>().unwrap();
        }
    }

    fn signal(&self, pid: u32) {
        let kill = Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Its exit code and the rest of stdout and stderr.
    fn end(mut self) -> (i32, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code().unwrap(), out, err)
    }
}

fn counts(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
    rows.iter().map(|(word, count)| (word.to_string(), *count)).collect()
}

#[test]
fn lines_of_any_number_of_connections_are_counted_until_ctrl_c_drains() {
    let folder = Folder::new();
    let mut job = Running::job(&folder, "job word-count --source tcp:127.0.0.1:0 --interval 100ms");
    let port = job.port();
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut first, mut second) = (connect(), connect());
    first.write_all(b"a b\r\nlast").unwrap();
    drop(first);
    second.write_all(b"a\n\xff\nopen").unwrap();
    let mut seen = BTreeMap::new();
    job.read_counts(&mut seen, 5);
    assert_eq!(seen, counts(&[("a", 2), ("b", 1), ("last", 1), ("\u{fffd}", 1)]));
    job.signal(job.child.id());
    job.read_counts(&mut seen, 6);
    let (code, out, err) = job.end();
    assert_eq!((code, out.as_str(), seen["open"]), (0, "", 1), "{err}");
    assert!(err.contains("no more is read") && err.contains("5 lines") && err.contains("1 line held"), "{err}");
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let folder = Folder::new();
    let mut job = Running::job(&folder, "job word-count --source tcp:127.0.0.1:0 --interval 1h");
    TcpStream::connect(("127.0.0.1", job.port())).unwrap().write_all(b"a\n").unwrap();
    job.signal(job.child.id());
    let said = job.until_said("no more is read");
    assert!(said.contains("interval 0, which closes in 3") && said.contains("Ctrl-C again"), "{said}");
    job.signal(job.child.id());
    assert_eq!(job.end().0, 130);
}

#[test]
fn a_line_that_is_too_long_ends_its_connection_and_nothing_else() {
    let folder = Folder::new();
    let mut job = Running::job(&folder, "job word-count --source tcp:127.0.0.1:0 --interval 100ms");
    let port = job.port();
    let mut other = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut long = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let address = long.local_addr().unwrap().to_string();
    long.write_all(b"before\n").unwrap();
    // The job may close before it has taken everything.
    long.write_all(&vec![b'x'; 3 << 20]).ok();
    assert!(job.until_said("longer than 1 MiB").contains(&format!("{address}, line 2")));
    other.write_all(b"after\n").unwrap();
    let mut seen = BTreeMap::new();
    job.read_counts(&mut seen, 2);
    assert_eq!(seen, counts(&[("before", 1), ("after", 1)]));
    job.signal(job.child.id());
    assert_eq!(job.end().0, 0);
}

#[test]
fn a_sender_that_is_faster_than_the_job_is_held_up_and_loses_nothing() {
    let folder = Folder::new();
    let mut job = Running::job(&folder, "job word-count --source tcp:127.0.0.1:0 --interval 100ms");
    let (port, lines) = (job.port(), 100_000u64);
    // 100 MB, more than an interval takes.
    let sender = std::thread::Builder::new().spawn(move || {
        let mut sender = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let piece = format!("{}\n", "word ".repeat(200)).repeat(1000);
        (0..lines / 1000).for_each(|_| sender.write_all(piece.as_bytes()).unwrap());
    });
    let mut seen = BTreeMap::new();
    job.read_counts(&mut seen, lines * 200);
    sender.unwrap().join().unwrap();
    job.signal(job.child.id());
    let (code, out, err) = job.end();
    assert_eq!((code, out.as_str(), seen["word"]), (0, "", lines * 200));
    assert!(err.contains("100000 lines"), "{err}");
}

#[test]
fn a_source_that_is_dialled_ends_when_the_other_side_closes() {
    let folder = Folder::new();
    let vacant = vacant_address();
    let mut job = Running::job(&folder, &format!("job word-count --source connect:{vacant} --interval 100ms"));
    job.until_said("trying again");
    let listener = TcpListener::bind(vacant).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"a b\nc").unwrap();
    drop(stream);
    let mut seen = BTreeMap::new();
    job.read_counts(&mut seen, 3);
    let (code, _, err) = job.end();
    assert_eq!((code, seen), (0, counts(&[("a", 1), ("b", 1), ("c", 1)])), "{err}");
    assert!(err.contains("the source ended: 2 lines"), "{err}");
}

#[test]
fn a_fifo_without_a_writer_does_not_hold_up_the_end() {
    let folder = Folder::new();
    let fifo = folder.0.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let words = "job word-count --source file:fifo --interval 100ms";
    let mut job = Running::job(&folder, words);
    std::fs::OpenOptions::new().write(true).open(&fifo).unwrap().write_all(b"a\nb").unwrap();
    let mut seen = BTreeMap::new();
    job.read_counts(&mut seen, 2);
    assert_eq!((job.end().0, seen), (0, counts(&[("a", 1), ("b", 1)])));
    folder.dstream(&[&words.split(' ').collect::<Vec<_>>()[..], &["--for", "200ms"]].concat()).expect(0, &["0 lines"]);
}

#[test]
fn pools_and_generators_give_as_many_lines_as_their_rate_says() {
    let folder = Folder::new();
    folder.write("pool.txt", "a\nb\n");
    let check = |source: &str, lines: &str| {
        let words = format!("job word-count --interval 100ms --for 500ms --source {source}");
        folder.dstream(&words.split(' ').collect::<Vec<_>>()).expect(0, &[lines]);
    };
    check("pool:pool.txt rate=200/s", "100 lines");
    check("generate:rate=400/s,record=20B,keys=3", "200 lines");
    let said = folder.dstream(&["job", "word-count", "--source", "pool:pool.txt", "--for", "100ms", "rate=30/s"]);
    assert_eq!((said.code, said.out.as_str()), (0, "0 a 2\n0 b 1\n"), "{said:?}");
}

#[test]
fn a_source_that_cannot_be_had_is_the_users_to_mend() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let check =
        |source: &str, words: &[&str]| folder.dstream(&["job", "word-count", "--source", source]).expect(64, words);
    check(&format!("tcp:{address}"), &["cannot listen there", "in use"]);
    check("tcp:9999", &["tcp:HOST:PORT"]);
    check("pool:none.txt", &["none.txt"]);
    check("generate:rate=1/s,record=1B", &["2B"]);
    check("generate:rate=1/s,keys=0", &["`keys`"]);
}

/// Runs `script` with a file system of 512 KiB at `small`, or says why it cannot.
fn on_a_small_disk(folder: &Folder, script: &str) -> Option<Running> {
    std::fs::create_dir(folder.0.join("small")).unwrap();
    let mount = "mount -t tmpfs -o size=512k none small";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).current_dir(&folder.0).stdin(Stdio::null());
        command
    };
    match unshare(mount).output() {
        Ok(output) if output.status.success() => {}
        other => {
            println!("skipped: no file system of its own for this test: {other:?}");
            return None;
        }
    }
    let dstream = env!("CARGO_BIN_EXE_dstream");
    let ballast = "head -c 500000 /dev/zero > small/ballast";
    Some(Running::start(unshare(&format!("{mount}; {ballast}; {}", script.replace("dstream", dstream)))))
}

/// Five hundred long words, so that their counts need more room than the ballast leaves.
fn many_words() -> String {
    (0..500).map(|number| format!("a-word-that-takes-some-room-in-the-results-{number:04}\n")).collect()
}

#[test]
fn results_wait_for_room_on_a_full_disk_and_none_is_lost() {
    for (destination, result) in [
        ("--output file:small/out", "cat small/out/counts/*.csv | grep -v key,value | tr -d '\\r' | tr , ' '"),
        ("> small/out.txt", "cut -d ' ' -f 2,3 small/out.txt"),
    ] {
        let folder = Folder::new();
        folder.write("in.txt", many_words());
        let job = "dstream job word-count --source file:in.txt --interval 100ms";
        let Some(mut job) = on_a_small_disk(&folder, &format!("{job} {destination}; echo $? > code; {result}")) else {
            return;
        };
        job.until_said("No space left");
        std::fs::remove_file(format!("/proc/{}/root{}/small/ballast", job.child.id(), folder.0.display())).unwrap();
        job.until_said("there is room again");
        let (_, out, err) = job.end();
        assert_eq!(folder.read("code"), "0\n", "{err}");
        let mut expected: Vec<String> = many_words().lines().map(|word| format!("{word} 1")).collect();
        expected.sort();
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn ctrl_c_on_a_disk_that_stays_full_is_an_error_and_leaves_no_half_file() {
    let folder = Folder::new();
    folder.write("in.txt", many_words());
    let job = "dstream job word-count --source file:in.txt --interval 100ms --output file:small/out";
    let Some(mut job) = on_a_small_disk(&folder, &format!("{job}; echo $? > code; ls small/out/counts")) else {
        return;
    };
    job.until_said("No space left");
    let shell = job.child.id();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    job.signal(children.trim().parse().unwrap());
    let (_, out, err) = job.end();
    assert_eq!((folder.read("code").as_str(), out.as_str()), ("64\n", ""), "{err}");
    assert!(err.contains("the results from interval 0 on are not written"), "{err}");
}
