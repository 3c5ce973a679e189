//! Rates: shares of the capacity become absolute, and no network card may be asked for more than it carries.

use super::Common;
use super::engine::{Engines, copies};
use crate::spec::{At, RateWritten, Reader};
use crate::unit::{show_bits_per_second, show_per_second};

/// The rate in represented records a second, all clients together, for records of this size.
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    written: &At<RateWritten>,
    record_bytes: u64,
    common: &Common<'_>,
    engines: &Engines,
) -> Option<f64> {
    let rate = match written.value {
        RateWritten::PerSecond(rate) => rate,
        RateWritten::OfCapacity(share) => {
            let rate = (share * capacity(record_bytes, common, engines)).floor();
            if rate < 1.0 {
                reader.wrong(written.at, "this share of the capacity is less than one record a second");
                return None;
            }
            rate
        }
    };
    refuse_more_than_a_card_carries(reader, written, rate, record_bytes, common, engines);
    Some(rate)
}

/// Records a second that the cores of the slowest engine's workers can map and combine, fault tolerance off.
fn capacity(record_bytes: u64, common: &Common<'_>, engines: &Engines) -> f64 {
    let cluster = common.cluster;
    let of = |workers: u32, cost: f64| {
        let cores = f64::from(workers) * f64::from(cluster.cores);
        cores * 1e9 / (cost.max(f64::MIN_POSITIVE) * record_bytes as f64)
    };
    let all = engines.all.iter();
    all.map(|(engine, map_cost)| of(engine.workers, map_cost(&cluster.costs, &engine.options))).fold(f64::MAX, f64::min)
}

/// Clients send every record once; a worker takes its share in and as many copies as go to others.
fn refuse_more_than_a_card_carries(
    reader: &mut Reader<'_>,
    written: &At<RateWritten>,
    rate: f64,
    record_bytes: u64,
    common: &Common<'_>,
    engines: &Engines,
) {
    let cluster = common.cluster;
    let card = cluster.link.bits_per_second as f64;
    let record_bits = record_bytes as f64 * 8.0;
    let client_most = card * f64::from(cluster.clients) / record_bits;
    let of = |workers: u32, copies: u64| card * f64::from(workers) / (record_bits * copies as f64);
    let all = engines.all.iter().map(|(engine, _)| (engine.workers, copies(engine)));
    let least = all.min_by(|a, b| of(a.0, a.1).total_cmp(&of(b.0, b.1)));
    let (workers, copies) = least.unwrap_or((cluster.workers, 1));
    let worker_most = of(workers, copies);
    let most = client_most.min(worker_most);
    if rate <= most {
        return;
    }
    let bandwidth = show_bits_per_second(cluster.link.bits_per_second);
    let who = if client_most <= worker_most {
        format!("the {} clients' network cards of {bandwidth} carry", cluster.clients)
    } else {
        format!("the {workers} workers' network cards of {bandwidth} carry with {copies} copies")
    };
    let (rate, most) = (show_per_second(rate), show_per_second(most.floor()));
    reader.wrong(written.at, format!("`{rate}` of {record_bytes} bytes is more than {who}; at most `{most}`"));
}
