//! Who writes and who is visible, per org and event time: the one decision that compactor, old pipeline, reader and
//! comparison ask; and how it changes.

pub mod settings;
pub mod timelines;
pub mod owner;
pub mod late_edges;
pub mod acknowledger;
pub mod rules;
pub mod facts;
#[cfg(test)]
mod examples;
pub mod request;
pub mod edge_rules;
pub mod gate;
pub mod steps;
pub mod transition;
pub mod fact_finding;
pub mod saga;
pub mod log_check;
pub mod controller;
pub mod explanation;
pub mod cohort;
pub mod org_census;
pub mod wanted;
