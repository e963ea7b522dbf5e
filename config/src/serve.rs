//! `[serve]`: reads over HTTP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use skein_shared::units::{ByteCount, MIB, Millis};

use crate::bound::{Bounds, Breach};

/// Settings of `skein serve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeSettings {
    /// `address:port` to answer at.
    pub listen: String,
    /// Reads at the same time; what comes beyond is told to come again.
    pub concurrent_reads: u32,
    /// About how many bytes a page has; requests may ask for fewer.
    pub page_bytes: ByteCount,
    /// How long one page may take.
    pub request_timeout: Millis,
    /// How long requests that have begun may take once the server is asked to end.
    pub drain_timeout: Millis,
    /// Reads that wait to be compared; those beyond are not.
    pub mirror_room: u32,
}

impl ServeSettings {
    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("serve", breaches);
        if self.listen.parse::<SocketAddr>().is_err() {
            let allowed = "an address and port like 127.0.0.1:9465";
            bounds.refuse("listen", &self.listen, allowed);
        }
        bounds.range("concurrent_reads", &self.concurrent_reads, 1..=256);
        let pages = ByteCount(64 * 1024)..=ByteCount(16 * MIB);
        bounds.range("page_bytes", &self.page_bytes, pages);
        let (second, hour) = (Millis::seconds(1), Millis::seconds(3600));
        bounds.range("request_timeout", &self.request_timeout, second..=hour);
        bounds.range("drain_timeout", &self.drain_timeout, Millis(0)..=hour);
        bounds.range("mirror_room", &self.mirror_room, 1..=1024);
    }
}
