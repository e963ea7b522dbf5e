//! Settings of every role, and who owns which org at which event time.
//!
//! Layers, each over the one before: the embedded `default.toml` and `shards.toml`, a file (`--config`), the
//! environment (`SKEIN_BUCKET__ENDPOINT`), flags. An unknown key is refused, and a value out of bounds is
//! refused with its key, its value, what is allowed and the layer that set it.
//!
//! A role gets its own section, never the whole: [`Settings`] is what the command line holds.

pub mod error;
mod metrics;
pub mod bound;
mod value_text;
pub mod property;
pub mod secret;
pub mod retention;
pub mod cutover;
pub mod kafka;
pub mod bucket;
pub mod shards;
pub mod limits;
pub mod connector;
pub mod compactor;
pub mod http;
pub mod serve;
pub mod telemetry;
pub mod prices;
pub mod settings;
pub mod load;
pub mod reload;
pub mod show;
pub mod schema;

pub use error::{Error, Result};
pub use settings::Settings;
