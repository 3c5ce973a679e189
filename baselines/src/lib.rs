//! The home of the continuous-operator engines that D-Streams is compared with: upstream backup and hot replication.
//!
//! Neither is built yet; a scenario that names one is refused with exit code 64. The crate exists because its walls
//! hold already: it may import kernel, trace, host and cluster, and it never knows the D-Streams engine, the scenarios
//! or the simulator. An engine here implements `dstream_cluster::Engine`, and nothing outside changes but the list of
//! engines that the binary hands to `run_main`.
