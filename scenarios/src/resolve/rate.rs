//! Rates: shares of the capacity become absolute, and no network card may be asked for more than it carries.

use super::Common;
use super::engine::Engines;
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

/// Records a second that the cores of the slowest engine can map and combine, fault tolerance off.
fn capacity(record_bytes: u64, common: &Common<'_>, engines: &Engines) -> f64 {
    let cluster = common.cluster;
    let cores = f64::from(cluster.workers) * f64::from(cluster.cores);
    let costs = engines.all.iter().map(|(engine, map_cost)| map_cost(&cluster.costs, &engine.options));
    let slowest = costs.fold(f64::MIN_POSITIVE, f64::max);
    cores * 1e9 / (slowest * record_bytes as f64)
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
    let copies = engines.copies();
    let worker_most = card * f64::from(cluster.workers) / (record_bits * copies as f64);
    let most = client_most.min(worker_most);
    if rate <= most {
        return;
    }
    let bandwidth = show_bits_per_second(cluster.link.bits_per_second);
    let who = if client_most <= worker_most {
        format!("the {} clients' network cards of {bandwidth} carry", cluster.clients)
    } else {
        format!("the {} workers' network cards of {bandwidth} carry with {copies} copies", cluster.workers)
    };
    let (rate, most) = (show_per_second(rate), show_per_second(most.floor()));
    reader.wrong(written.at, format!("`{rate}` of {record_bytes} bytes is more than {who}; at most `{most}`"));
}
