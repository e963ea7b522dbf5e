//! Does what is asked from outside, in the poll loop's own time.

use crate::core::event::Event;
use crate::error::Result;
use crate::metrics;
use crate::operations::{Order, Snapshot};
use crate::pipeline::driver::{Driver, stopped_of};
use crate::record_source::RecordSource;

impl<S: RecordSource> Driver<S> {
    /// Takes one order at most, so that records go on coming whatever is asked.
    pub(super) fn take_order(&mut self) -> Result<()> {
        let Ok(order) = self.controls.orders.try_recv() else {
            return Ok(());
        };
        match order {
            Order::Look(reply) => {
                self.tell_positions()?;
                let now = self.clock.now();
                self.desk.beat(now, &self.core);
                // Whoever asked may have gone meanwhile.
                let _ = reply.send(self.snapshot());
            }
            Order::Flush(reply) => {
                tracing::info!("flushing on request");
                self.tell_positions()?;
                self.desk.expect_flush(reply, &self.core);
                self.tell(Event::FlushNow)?;
            }
            Order::LookAtStill(names) => {
                metrics::stood_still(&names);
                self.tell_positions()?;
                self.tell(Event::StoodStill(names))?;
            }
            Order::ReadTopics(topics, reply) => {
                // What is read goes on when they are refused, and whoever asked tells why.
                let _ = reply.send(self.read_topics(topics));
            }
        }
        Ok(())
    }

    fn read_topics(&mut self, topics: Vec<String>) -> Result<()> {
        self.source.subscribe(&topics)?;
        tracing::info!(?topics, "reading other topics");
        self.desk.topics = topics;
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            elapsed_ms: self.clock.now().0,
            standing: self.core.standing(),
            stats: self.core.stats().clone(),
            stopped: stopped_of(&self.stopped),
            flushed_at_ms: self.desk.flushed_at().map(|at| at.0),
            requests: self.bucket.requests(),
            tries: self.core.request_stats().clone(),
            upload_limits: self.core.upload_limits().collect(),
            topics: self.desk.topics.clone(),
        }
    }
}
