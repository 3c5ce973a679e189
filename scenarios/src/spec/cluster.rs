//! `cluster:`, as written.

use super::scalar::{bandwidth, choice, count32, duration, words};
use super::{At, Fields, Place, Reader};
use crate::address::StoreAddress;
use dstream_host::real::Compute;
use std::time::Duration;

/// Most nodes of one kind: one process simulates them all.
const MOST_NODES: u32 = 1_000;
/// Most cores of a node.
const MOST_CORES: u32 = 1_024;
/// Most reduce partitions: each is a task in every interval.
const MOST_PARTITIONS: u32 = 100_000;

const EXAMPLE: &str = "cluster: { workers: 8 }";

/// The machines, as written.
#[derive(Debug)]
pub(crate) struct ClusterWritten<'n> {
    pub at: crate::yaml::Spot,
    pub workers: Option<At<u32>>,
    pub cores: Option<At<u32>>,
    pub clients: Option<At<u32>>,
    pub partitions: Option<At<u32>>,
    pub link: LinkWritten,
    pub store: StoreWritten,
    pub heartbeat: Option<At<Duration>>,
    pub failure_timeout: Option<At<Duration>>,
    pub costs: Option<Place<'n>>,
    pub compute: Option<Compute>,
}

/// A connection, as written.
#[derive(Debug, Default)]
pub(crate) struct LinkWritten {
    pub latency: Option<At<Duration>>,
    pub bandwidth: Option<At<u64>>,
}

/// The durable store, as written.
#[derive(Debug, Default)]
pub(crate) struct StoreWritten {
    pub link: LinkWritten,
    pub address: Option<StoreAddress>,
}

/// Reads `cluster:`.
pub(crate) fn read_cluster<'n>(reader: &mut Reader<'_>, place: &Place<'n>) -> Option<ClusterWritten<'n>> {
    let mut fields = Fields::open(reader, place, EXAMPLE)?;
    let cluster = ClusterWritten {
        at: place.key_at,
        workers: fields.required(reader, "workers", "workers: 8", count32(1..=MOST_NODES)),
        cores: fields.optional(reader, "cores", count32(1..=MOST_CORES)),
        clients: fields.optional(reader, "clients", count32(1..=MOST_NODES)),
        partitions: fields.optional(reader, "partitions", count32(1..=MOST_PARTITIONS)),
        link: fields.optional(reader, "link", read_link).unwrap_or_default(),
        store: fields.optional(reader, "store", read_store).unwrap_or_default(),
        heartbeat: fields.optional(reader, "heartbeat", duration),
        failure_timeout: fields.optional(reader, "failure_timeout", duration),
        costs: fields.take("costs"),
        compute: fields.optional(reader, "compute", compute),
    };
    fields.close(reader);
    Some(cluster)
}

fn compute(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Compute> {
    let chosen = choice(&["real", "modelled"])(reader, place)?;
    Some(if chosen.value == "real" { Compute::Real } else { Compute::Modelled })
}

fn read_link(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<LinkWritten> {
    let mut fields = Fields::open(reader, place, "{ latency: 1ms, bandwidth: 1Gbit }")?;
    let link = LinkWritten {
        latency: fields.optional(reader, "latency", duration),
        bandwidth: fields.optional(reader, "bandwidth", bandwidth),
    };
    fields.close(reader);
    Some(link)
}

fn read_store(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<StoreWritten> {
    let mut fields = Fields::open(reader, place, "{ latency: 5ms, bandwidth: 1Gbit }")?;
    let link = LinkWritten {
        latency: fields.optional(reader, "latency", duration),
        bandwidth: fields.optional(reader, "bandwidth", bandwidth),
    };
    let (url, endpoint) = (fields.optional(reader, "url", words), fields.optional(reader, "endpoint", words));
    fields.close(reader);
    let Some(url) = url else {
        if let Some(endpoint) = endpoint {
            reader.wrong(endpoint.at, "an `endpoint` is where the store of a `url` is; add `url: s3://bucket/prefix`");
        }
        return Some(StoreWritten { link, address: None });
    };
    // Of the two it is the address that is wrong unless it is right without the other.
    let address = StoreAddress::read(&url.value, endpoint.as_ref().map(|endpoint| endpoint.value.as_str()));
    let at = endpoint.filter(|_| StoreAddress::read(&url.value, None).is_ok()).map_or(url.at, |endpoint| endpoint.at);
    let address = address.map_err(|why| reader.wrong(at, why)).ok();
    Some(StoreWritten { link, address })
}
