//! Which nodes ran which partitions, and when: long-lived operators stay where they are until their node is lost.
//!
//! Invariant: a node owns a partition once at a time, from the moment it was given it until the node's process ended or
//! the node was declared lost.

use crate::moment::Moment;
use crate::name::NodeName;
use std::collections::{BTreeMap, BTreeSet};

/// A node that runs a partition; of replicas, one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who.
    pub node: NodeName,
    /// Under which epoch.
    pub epoch: u64,
    /// Since when.
    pub from: Moment,
    /// Until when; `None` where it still did when the run ended.
    pub until: Option<Moment>,
}

impl Owner {
    /// Whether it ran the partition at `at`; the moment at which it stopped counts.
    fn owns_at(&self, at: Moment) -> bool {
        self.from <= at && self.until.is_none_or(|until| until >= at)
    }
}

/// partition -> its owners, in the log's order
#[derive(Clone, Debug, Default)]
pub struct Owners(BTreeMap<u32, Vec<Owner>>);

impl Owners {
    /// Whether no partition was ever given to a node: then tasks say who computes what.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them: partition, owner, whether it took the place of one that was gone.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Owner, bool)> {
        self.0.iter().flat_map(|(partition, owners)| {
            let is_heir =
                |owner: &Owner| owners.iter().any(|other| other.until.is_some_and(|until| until <= owner.from));
            owners.iter().map(move |owner| (*partition, owner, is_heir(owner)))
        })
    }

    /// The partitions that any of these nodes ran at `at`.
    pub fn of(&self, nodes: &[NodeName], at: Moment) -> BTreeSet<u32> {
        let owns = |owners: &&Vec<Owner>| owners.iter().any(|owner| nodes.contains(&owner.node) && owner.owns_at(at));
        self.0.iter().filter(|(_, owners)| owns(owners)).map(|(partition, _)| *partition).collect()
    }

    /// Whether the node ran any partition between these moments.
    pub fn has_owned(&self, node: &NodeName, from: Moment, to: Moment) -> bool {
        let overlaps = |owner: &Owner| owner.from <= to && owner.until.is_none_or(|until| until >= from);
        self.0.values().flatten().any(|owner| owner.node == *node && overlaps(owner))
    }

    /// The node runs the partition from now on.
    pub(super) fn take(&mut self, partition: u32, node: &NodeName, epoch: u64, at: Moment) {
        let owners = self.0.entry(partition).or_default();
        if let Some(own) = owners.iter_mut().find(|owner| owner.until.is_none() && owner.node == *node) {
            own.epoch = epoch;
            return;
        }
        owners.push(Owner { node: node.clone(), epoch, from: at, until: None });
    }

    /// The node runs the partition no more.
    pub(super) fn hand_on(&mut self, partition: u32, node: &NodeName, at: Moment) {
        let owners = self.0.get_mut(&partition).into_iter().flatten();
        owners.filter(|owner| owner.until.is_none() && owner.node == *node).for_each(|owner| owner.until = Some(at));
    }

    /// The node runs nothing any more.
    pub(super) fn leave(&mut self, node: &NodeName, at: Moment) {
        let owners = self.0.values_mut().flatten();
        for owner in owners.filter(|owner| owner.until.is_none() && owner.node == *node) {
            owner.until = Some(at);
        }
    }
}
