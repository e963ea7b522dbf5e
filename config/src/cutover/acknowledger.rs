//! Keeps a node at the newest fleet, and says by which one it goes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use skein_shared::bucket::Bucket;
use skein_shared::cutover::NodeRole;
use skein_shared::format::cutover_ack::CutoverAck;
use skein_shared::ids::{OrgId, WorkerId};
use skein_shared::timeline::Pipeline;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use skein_shared::{Result, ack_log, fleet_log};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::cutover::late_edges::late;
use crate::cutover::settings::CutoverSettings;
use crate::cutover::timelines::Timelines;
use crate::metrics;

/// Polls the fleet for one node, and acknowledges what it takes; it goes on in a task of its own until it is ended.
///
/// One that is dropped without [`Acknowledger::end`] stops as well, but what it said last stays until it is too old to
/// count.
#[derive(Debug)]
pub struct Acknowledger {
    bucket: Bucket,
    role: NodeRole,
    node: WorkerId,
    view: watch::Receiver<FleetView>,
    stop: oneshot::Sender<()>,
    looking: JoinHandle<()>,
}

/// What a node goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetView {
    /// Who writes and who is visible: as the newest fleet says that the node has read, unfiltered when that was too long
    /// ago. To be pinned for a run or a scan.
    pub timelines: Timelines,
    /// Whether it can be the newest.
    pub freshness: Freshness,
    /// Orgs of which the node learned of an edge too late, and that have no other version since: no cutover of them goes on,
    /// and of these the old pipeline writes nothing.
    pub fenced: BTreeSet<OrgId>,
}

/// Whether what a node knows may be out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It was read so lately that the node knows every edge in time.
    Fresh,
    /// It could not be read since: there may be edges that the node does not know of.
    Stale,
}

impl Acknowledger {
    /// Reads the newest fleet and acknowledges it, before the node begins with anything.
    ///
    /// # Errors
    /// `Corrupt` when something stored is damaged, and what the bucket says. Later on neither ends it.
    pub fn start<'a>(
        bucket: &'a Bucket,
        role: NodeRole,
        settings: &'a CutoverSettings,
    ) -> BoxFuture<'a, Result<Self>> {
        Box::pin(async move {
            let (node, asked_at) = (WorkerId::random(), Instant::now());
            let timelines = Timelines::load(bucket, settings.unenrolled.pipeline()).await?;
            let looked_at = bucket.now().await?;
            let (sender, view) = watch::channel(FleetView {
                timelines,
                freshness: Freshness::Fresh,
                fenced: BTreeSet::new(),
            });
            let post = Post {
                bucket: bucket.clone(),
                role,
                node,
                unenrolled: settings.unenrolled.pipeline(),
            };
            let ack = post.ack(&view.borrow(), looked_at);
            ack_log::write(bucket, &ack).await?;
            let lookout = Lookout {
                post,
                poll: Duration::from_millis(settings.poll.0),
                patience: Duration::from_millis(settings.patience().0),
                margin: settings.margin(),
                view: sender,
                asked_at,
                looked_at,
            };
            let (stop, stopped) = oneshot::channel();
            Ok(Self {
                bucket: bucket.clone(),
                role,
                node,
                view,
                stop,
                looking: tokio::spawn(lookout.keep_looking(stopped)),
            })
        })
    }

    /// What the node goes by now.
    pub fn view(&self) -> FleetView {
        self.view.borrow().clone()
    }

    /// The timelines of what it goes by now.
    pub fn timelines(&self) -> Timelines {
        self.view.borrow().timelines.clone()
    }

    /// Tells whenever that changes.
    pub fn views(&self) -> watch::Receiver<FleetView> {
        self.view.clone()
    }

    /// Which node acknowledges.
    pub fn node(&self) -> WorkerId {
        self.node
    }

    /// Stops, and takes back what was acknowledged: nobody has to wait for this node any more. Comes when all that the node
    /// has begun is over.
    ///
    /// # Errors
    /// What the bucket says.
    ///
    /// # Panics
    /// If looking for fleets has panicked.
    pub fn end(self) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            // It may have ended by itself.
            let _ = self.stop.send(());
            self.looking.await.expect("looking does not panic");
            ack_log::remove(&self.bucket, self.role, self.node).await
        })
    }
}

/// Where a node reads and acknowledges.
#[derive(Debug, Clone)]
struct Post {
    bucket: Bucket,
    role: NodeRole,
    node: WorkerId,
    unenrolled: Pipeline,
}

/// What a look at the bucket has shown.
struct Looked {
    asked_at: Instant,
    /// By the bucket's clock, and after the fleet was read.
    at: TimestampMs,
    /// `None` when it is the one that the node goes by.
    newer: Option<Timelines>,
}

impl Post {
    fn ack(&self, view: &FleetView, at: TimestampMs) -> CutoverAck {
        CutoverAck {
            role: self.role,
            node: self.node,
            fleet: view.timelines.version(),
            at,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            fenced: view.fenced.clone(),
        }
    }

    async fn look(&self, known: u64) -> Result<Looked> {
        let asked_at = Instant::now();
        let newer = match fleet_log::newest(&self.bucket).await? {
            Some(fleet) if fleet.number == known => None,
            Some(fleet) => Some(Timelines::of_fleet(&self.bucket, &fleet).await?),
            None => (known > 0).then(|| Timelines::owned_by(self.unenrolled)),
        };
        Ok(Looked {
            asked_at,
            at: self.bucket.now().await?,
            newer,
        })
    }
}

/// Looks for fleets.
struct Lookout {
    post: Post,
    poll: Duration,
    patience: Duration,
    margin: Millis,
    view: watch::Sender<FleetView>,
    /// When the look began that has shown the newest.
    asked_at: Instant,
    /// The same by the bucket's clock, a moment later.
    looked_at: TimestampMs,
}

impl Lookout {
    async fn keep_looking(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut next = self.sleep_and_look();
        loop {
            let is_fresh = self.view.borrow().freshness == Freshness::Fresh;
            tokio::select! {
                _ = &mut stopped => return,
                () = sleep_until(self.asked_at + self.patience), if is_fresh => self.go_stale(),
                looked = &mut next => {
                    match looked {
                        Ok(looked) => self.take(&looked),
                        Err(error) => metrics::fleet_unread(self.post.role, &error),
                    }
                    next = self.acknowledge_and_look();
                }
            }
        }
    }

    fn sleep_and_look(&self) -> BoxFuture<'static, Result<Looked>> {
        let (post, at) = (self.post.clone(), Instant::now() + self.poll);
        let known = self.view.borrow().timelines.version();
        Box::pin(async move {
            sleep_until(at).await;
            post.look(known).await
        })
    }

    /// The fleet that was read last is acknowledged at once, whether it is a newer one or the node only lives on.
    fn acknowledge_and_look(&self) -> BoxFuture<'static, Result<Looked>> {
        let (post, look) = (self.post.clone(), self.sleep_and_look());
        let ack = post.ack(&self.view.borrow(), self.looked_at);
        Box::pin(async move {
            if let Err(error) = ack_log::write(&post.bucket, &ack).await {
                metrics::ack_unwritten(post.role, &error);
            }
            look.await
        })
    }

    fn go_stale(&mut self) {
        self.view.send_modify(|view| {
            view.freshness = Freshness::Stale;
            view.timelines = view.timelines.unfiltered();
        });
        metrics::fleet_stale(self.post.role, self.view.borrow().timelines.version());
    }

    fn take(&mut self, looked: &Looked) {
        let (role, before) = (self.post.role, self.view.borrow().clone());
        let after = self.after(&before, looked);
        if after.timelines.version() != before.timelines.version() {
            let numbers = (before.timelines.version(), after.timelines.version());
            metrics::fleet_taken(role, numbers.0, numbers.1);
        }
        for org in after.fenced.difference(&before.fenced) {
            metrics::edge_late(role, *org);
        }
        (self.asked_at, self.looked_at) = (looked.asked_at, looked.at);
        self.view.send_if_modified(|view| {
            let is_other = *view != after;
            *view = after;
            is_other
        });
    }

    fn after(&self, before: &FleetView, looked: &Looked) -> FleetView {
        let freshness = Freshness::Fresh;
        let Some(newer) = &looked.newer else {
            return FleetView {
                timelines: before.timelines.filtered(),
                freshness,
                fenced: before.fenced.clone(),
            };
        };
        let versions = (&before.timelines, newer);
        let times = (self.looked_at, looked.at);
        let mut fenced = late(self.post.role, versions, times, self.margin);
        let version = |timelines: &Timelines, org| timelines.cutover(org).map(|it| it.version);
        let is_unchanged = |org: &&OrgId| version(versions.0, **org) == version(versions.1, **org);
        fenced.extend(before.fenced.iter().filter(is_unchanged));
        FleetView {
            timelines: newer.clone(),
            freshness,
            fenced,
        }
    }
}
