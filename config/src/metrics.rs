//! One function per event that is logged and counted.

use metrics::counter;
use skein_shared::cutover::NodeRole;
use skein_shared::ids::OrgId;

/// The node goes by another fleet from now on.
pub(crate) fn fleet_taken(role: NodeRole, from: u64, to: u64) {
    tracing::info!(role = role.name(), from, to, "goes by a newer fleet");
    counter!("skein_config_fleets_taken_total", "role" => role.name()).increment(1);
}

/// The fleet could not be read this time.
pub(crate) fn fleet_unread(role: NodeRole, error: &skein_shared::Error) {
    tracing::warn!(role = role.name(), %error, "the fleet could not be read for now");
    counter!("skein_config_fleet_reads_failed_total", "role" => role.name()).increment(1);
}

/// It could not be read for so long that the node may have missed an edge.
pub(crate) fn fleet_stale(role: NodeRole, fleet: u64) {
    tracing::error!(
        role = role.name(),
        fleet,
        "cutovers may have changed unseen: all points of every org are written until the fleet reads back"
    );
    counter!("skein_config_fleets_stale_total", "role" => role.name()).increment(1);
}

/// The node learned of an edge when what it had begun without it may have passed it.
pub(crate) fn edge_late(role: NodeRole, org: OrgId) {
    tracing::error!(role = role.name(), %org, "learned of an edge too late: its cutover waits");
    counter!("skein_config_late_edges_total", "role" => role.name()).increment(1);
}

/// Nobody is told by which fleet the node goes.
pub(crate) fn ack_unwritten(role: NodeRole, error: &skein_shared::Error) {
    tracing::warn!(role = role.name(), %error, "the acknowledgement could not be written for now");
    counter!("skein_config_acknowledgements_failed_total", "role" => role.name()).increment(1);
}
