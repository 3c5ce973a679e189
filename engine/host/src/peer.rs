//! Peers: the node's connections to all others, as events in and frames out.
