//! `--source` as it is typed: which kind, and what belongs to it.
//!
//! Knows text only: opens nothing. Invariant: what it accepts has the form that the kind needs.

use crate::failure::Failure;
use dstream_scenarios::plan::SourcePlan;
use dstream_scenarios::unit;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What `generate:` takes, as in a scenario file, with the same defaults.
const GENERATE: &str = "rate=10000/s,record=100B,keys=10000,skew=1.0,needle=1%,seed=7";

/// The smallest and the largest record, as in a scenario file.
const RECORD_BYTES: std::ops::RangeInclusive<u64> = 2..=1 << 20;

/// A source as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceWords {
    /// `file:GLOB`
    File(String),
    /// `tcp:HOST:PORT`
    Tcp(String),
    /// `connect:HOST:PORT`
    Connect(String),
    /// `pool:FILE`
    Pool(PathBuf),
    /// `generate:...`, with the seed.
    Generate(SourcePlan, u64),
}

impl SourceWords {
    /// Reads the text. `rate` is that of the job's parameters, in lines a second.
    pub fn read(text: &str, rate: Option<f64>) -> Result<SourceWords, Failure> {
        let wrong = |what: &str| Failure::usage(format!("`--source {text}`: {what}"));
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let address = || match rest.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(rest.to_string()),
            _ => Err(wrong(&format!("valid is `{kind}:HOST:PORT`, such as `{kind}:127.0.0.1:9999`"))),
        };
        let unpaced = || match rate {
            Some(_) => Err(wrong("takes no `rate=`: whoever sends sets the pace")),
            None => Ok(()),
        };
        match kind {
            "file" if !rest.is_empty() => Ok(SourceWords::File(rest.to_string())),
            "pool" if !rest.is_empty() => Ok(SourceWords::Pool(rest.into())),
            "tcp" => unpaced().and_then(|()| Ok(SourceWords::Tcp(address()?))),
            "connect" => unpaced().and_then(|()| Ok(SourceWords::Connect(address()?))),
            "generate" => generate(rest, rate).map_err(|what| wrong(&what)),
            _ => {
                let kinds =
                    "`file:GLOB`, `tcp:HOST:PORT`, `connect:HOST:PORT`, `pool:FILE` and `generate:rate=10000/s`";
                Err(wrong(&format!("valid are {kinds}")))
            }
        }
    }
}

fn generate(text: &str, rate: Option<f64>) -> Result<SourceWords, String> {
    let mut given = BTreeMap::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}`: valid is {GENERATE}"))?;
        if given.insert(key, value).is_some() {
            return Err(format!("`{key}` is given twice"));
        }
    }
    let mut take = |key: &str| given.remove(key);
    let rate_here = take("rate").map(|text| unit::per_second(text).map_err(|error| error.to_string())).transpose()?;
    let rate_per_s = match (rate_here, rate) {
        (Some(_), Some(_)) => return Err("`rate` is given twice".to_string()),
        (one, other) => {
            one.or(other).filter(|rate| *rate > 0.0).ok_or("needs a rate above 0, such as `rate=10000/s`")?
        }
    };
    let record_bytes = match take("record") {
        Some(text) => unit::bytes(text).map_err(|error| error.to_string())?,
        None => 100,
    };
    if !RECORD_BYTES.contains(&record_bytes) {
        return Err(format!("`record={record_bytes}B`: valid is from `2B` to `1MiB`"));
    }
    let number = |key: &str, text: &str| format!("`{key}={text}`: valid is a number, 0 or more");
    let keys = take("keys").map_or(Ok(10_000), |text| text.parse().map_err(|_| number("keys", text)))?;
    let skew = take("skew").map_or(Ok(1.0), |text| text.parse().map_err(|_| number("skew", text)))?;
    let seed = take("seed").map_or(Ok(0), |text| text.parse().map_err(|_| number("seed", text)))?;
    let needle = match take("needle") {
        Some(text) => unit::percent(text).map_err(|error| error.to_string())?,
        None => 0.0,
    };
    if needle > 1.0 {
        return Err("`needle`: valid is from `0%` to `100%`".to_string());
    }
    match given.first_key_value() {
        Some((key, _)) => Err(format!("`{key}` is unknown; valid is {GENERATE}")),
        None => Ok(SourceWords::Generate(SourcePlan::Generate { rate_per_s, record_bytes, keys, skew, needle }, seed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, rate: Option<f64>, expected: Result<SourceWords, &str>) {
        match (SourceWords::read(text, rate), expected) {
            (Ok(seen), Ok(expected)) => assert_eq!(seen, expected, "{text}"),
            (Err(failure), Err(part)) => assert!(failure.message.contains(part), "{failure}"),
            (seen, expected) => panic!("{text}: {seen:?} instead of {expected:?}"),
        }
    }

    fn generate(rate_per_s: f64, record_bytes: u64, keys: u64, skew: f64, needle: f64, seed: u64) -> SourceWords {
        SourceWords::Generate(SourcePlan::Generate { rate_per_s, record_bytes, keys, skew, needle }, seed)
    }

    #[test]
    fn sources_are_read_or_refused_with_what_is_valid() {
        check("file:a:b*.txt", Some(1.0), Ok(SourceWords::File("a:b*.txt".into())));
        check("pool:a.txt", None, Ok(SourceWords::Pool("a.txt".into())));
        check("tcp:127.0.0.1:9999", None, Ok(SourceWords::Tcp("127.0.0.1:9999".into())));
        check("connect:[::1]:80", None, Ok(SourceWords::Connect("[::1]:80".into())));
        check("tcp:9999", None, Err("`tcp:HOST:PORT`"));
        check("tcp:host:99999", None, Err("`tcp:HOST:PORT`"));
        check("tcp:127.0.0.1:9999", Some(5.0), Err("sets the pace"));
        check("README.md", None, Err("`file:GLOB`"));
        check("file:", None, Err("`file:GLOB`"));
        check("kafka:x", None, Err("`pool:FILE`"));
    }

    #[test]
    fn a_generator_is_written_as_in_a_scenario_file_with_its_defaults() {
        check("generate:rate=10/s", None, Ok(generate(10.0, 100, 10_000, 1.0, 0.0, 0)));
        check("generate:", Some(10.0), Ok(generate(10.0, 100, 10_000, 1.0, 0.0, 0)));
        let all = "generate:rate=20000/s,record=1KiB,keys=50,skew=0.5,needle=1%,seed=9";
        check(all, None, Ok(generate(20_000.0, 1024, 50, 0.5, 0.01, 9)));
        check("generate:", None, Err("needs a rate"));
        check("generate:rate=0/s", None, Err("needs a rate"));
        check("generate:rate=1/s", Some(2.0), Err("twice"));
        check("generate:rate=1/s,rate=2/s", None, Err("twice"));
        check("generate:rate=50%", None, Err("50%"));
        check("generate:rate=1/s,record=1B", None, Err("`2B` to `1MiB`"));
        check("generate:rate=1/s,keys=many", None, Err("`keys=many`"));
        check("generate:rate=1/s,colour=red", None, Err("`colour` is unknown"));
        check("generate:rate=1/s,needle=200%", None, Err("`100%`"));
        check("generate:fast", None, Err("`fast`"));
    }
}
