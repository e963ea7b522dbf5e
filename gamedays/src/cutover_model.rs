//! The states of a cutover and the verbs between them, in every interleaving of a small scope.
//!
//! What a request makes of a version is asked of the product
//! ([`decide`](skein_config::cutover::transition::decide)); around it are a clock, nodes that acknowledge or are cut off,
//! pipelines that lag, comparisons that pass, fail or are of another build, operators that crash between their decision,
//! the version and the fleet, or come back with a decision of long ago, and a point from the future that the new pipeline
//! has passed over.
//!
//! In every state there is a way to `off` or to `done` without further faults. Times and numbers of versions count only
//! by how far they lie back, so that states that go on alike are counted once.

pub mod scope;
pub mod state;
pub mod promises;
pub mod step;
pub mod rescue;
pub mod search;
