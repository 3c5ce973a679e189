//! Sources: where the records come from, with files found and rates absolute.

use super::cost::beside;
use super::engine::Engines;
use super::{Common, rate};
use crate::plan::SourcePlan;
use crate::spec::{At, RateWritten, Reader, SourceWritten, WorkloadWritten};
use std::path::{Path, PathBuf};

const DEFAULT_RECORD_BYTES: u64 = 100;
const DEFAULT_KEYS: u64 = 10_000;
const DEFAULT_SKEW: f64 = 1.0;

/// The parameter that a needle is the pattern of.
const PATTERN: &str = "pattern";

/// Resolves the job's source.
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    workload: &WorkloadWritten<'_>,
    common: &Common<'_>,
    engines: &Engines,
    scenario: &Path,
) -> Option<SourcePlan> {
    match workload.source.as_ref()? {
        SourceWritten::Generate { rate, record, keys, skew, needle } => {
            let record_bytes = record.as_ref().map_or(DEFAULT_RECORD_BYTES, |record| record.value);
            let planted = needle.as_ref().filter(|needle| needle.value > 0.0);
            if let Some(needle) = planted.filter(|_| !common.job.params.contains_key(PATTERN)) {
                let message = format!("`needle` plants a job's `{PATTERN}`, and `{}` has none", common.job.name);
                reader.wrong(needle.at, message);
            }
            Some(SourcePlan::Generate {
                rate_per_s: rate::resolve(reader, rate.as_ref()?, record_bytes, common, engines)?,
                record_bytes,
                keys: keys.as_ref().map_or(DEFAULT_KEYS, |keys| keys.value),
                skew: skew.as_ref().map_or(DEFAULT_SKEW, |skew| skew.value),
                needle: needle.as_ref().map_or(0.0, |needle| needle.value),
            })
        }
        SourceWritten::File { paths, rate } => {
            let found: Vec<_> = paths.iter().map(|path| find(reader, path, scenario)).collect();
            let rate_per_s = match rate.as_ref() {
                None => None,
                Some(rate) => Some(absolute(reader, rate)?),
            };
            let paths = found.into_iter().collect::<Option<Vec<_>>>()?;
            Some(SourcePlan::File { paths, rate_per_s })
        }
        SourceWritten::Pool { path, rate } => {
            let found = find(reader, path, scenario);
            let rate_per_s = absolute(reader, rate.as_ref()?)?;
            Some(SourcePlan::Pool { path: found?, rate_per_s })
        }
    }
}

/// Records a second of a source whose records have many sizes.
fn absolute(reader: &mut Reader<'_>, rate: &At<RateWritten>) -> Option<f64> {
    match rate.value {
        RateWritten::PerSecond(rate) => Some(rate),
        RateWritten::OfCapacity(_) => {
            let message = "a share of the capacity needs records of one size, and lines of a file have many; write a \
                           rate, such as `10000/s`";
            reader.wrong(rate.at, message);
            None
        }
    }
}

/// The file, as an absolute path: the resolved scenario is read elsewhere.
fn find(reader: &mut Reader<'_>, path: &At<String>, scenario: &Path) -> Option<PathBuf> {
    let near = beside(scenario, &path.value);
    let problem = match std::fs::metadata(&near) {
        Ok(file) if file.is_dir() => "is a folder, not a file".to_string(),
        Ok(_) => return std::path::absolute(&near).ok(),
        Err(error) => format!("cannot be read ({})", error.kind()),
    };
    reader.wrong(path.at, format!("the file `{}` {problem}", near.display()));
    None
}
