//! A server in this process, plain requests to it, and fleets for it to go by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use skein_config::cutover::acknowledger::{FleetView, Freshness};
use skein_config::cutover::timelines::Timelines;
use skein_config::load::{Layers, load};
use skein_reader::read_source::ReadSource;
use skein_reader::serve::{ServeSetup, Serving};
use skein_shared::admin_http::Token;
use skein_shared::cutover::CutoverState;
use skein_shared::fleet_log;
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::format::object_key::CutoverKey;
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::window::TimestampMs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::world::World;

pub(super) const TOKEN: &str = "a-token-of-some-length";

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    fleet: watch::Sender<FleetView>,
    running: JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

impl Server {
    pub(crate) async fn start(world: &World) -> Self {
        Self::with(world, |_| {}).await
    }

    /// With a setup that differs from the usual one.
    pub(crate) async fn with(world: &World, change: impl FnOnce(&mut ServeSetup)) -> Self {
        let settings = load(&Layers::default()).unwrap();
        let mut serve = settings.serve;
        "127.0.0.1:0".clone_into(&mut serve.listen);
        let (fleet, newest) = watch::channel(fresh(Timelines::new_owns_everything()));
        let mut setup = ServeSetup {
            source: ReadSource::new(world.bucket.clone()),
            settings: serve,
            cutover: settings.cutover,
            token: Token::new(TOKEN).unwrap(),
            fleet: newest,
        };
        change(&mut setup);
        let serving = Serving::start(setup).await.unwrap();
        let (address, stop) = (serving.address(), CancellationToken::new());
        Self {
            address,
            running: tokio::spawn(serving.run(stop.clone())),
            stop,
            fleet,
        }
    }

    /// Scans that begin from now on go by these.
    pub(crate) fn go_by(&self, timelines: Timelines) {
        self.fleet.send_replace(fresh(timelines));
    }

    /// The newest fleet could not be read for too long.
    pub(super) fn lose_the_fleet(&self) {
        self.fleet
            .send_modify(|view| view.freshness = Freshness::Stale);
    }

    /// Scans that begin from now on go by the fleet of this number.
    pub(super) async fn take_fleet(&self, world: &World, number: u64) {
        let fleet = fleet_log::load(&world.bucket, number).await.unwrap();
        let timelines = Timelines::of_fleet(&world.bucket, &fleet).await.unwrap();
        self.go_by(timelines);
    }

    pub(crate) async fn get(&self, path: &str, accept: &str) -> Reply {
        self.ask("GET", path, (Some(TOKEN), accept)).await
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        (token, accept): (Option<&str>, &str),
    ) -> Reply {
        let authorization = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accept}\r\n\
             {authorization}\r\n"
        );
        let answered = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            reply_of(&bytes)
        };
        timeout(PATIENCE, answered).await.unwrap()
    }

    /// Asks it to end.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it still takes connections.
    pub(super) async fn is_taking(&self) -> bool {
        TcpStream::connect(self.address).await.is_ok()
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn end(self) {
        self.stop();
        timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

fn fresh(timelines: Timelines) -> FleetView {
    FleetView {
        timelines,
        freshness: Freshness::Fresh,
        fenced: BTreeSet::new(),
    }
}

fn reply_of(bytes: &[u8]) -> Reply {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Reply {
        status,
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    }
}

/// A fleet in which the new pipeline is visible of one org from an edge on.
pub(super) fn fleet(number: u64, org: OrgId, visible_from: TimestampMs) -> CutoverFleet {
    let phase = |from, visible| Phase {
        from: TimestampMs(from),
        writers: Writers::Both,
        visible,
    };
    let mut phases = vec![phase(visible_from.0, Pipeline::New)];
    if visible_from.0 != i64::MIN {
        phases.insert(0, phase(i64::MIN, Pipeline::Old));
    }
    let head = FleetHead {
        version: number,
        hash: EntryHash::default(),
        state: CutoverState::Switched,
        timeline: Timeline::new(phases).unwrap(),
        seal: None,
        mirror_percent: 0,
        old_place: None,
    };
    CutoverFleet {
        number,
        unenrolled: Pipeline::New,
        at: TimestampMs(0),
        heads: BTreeMap::from([(org, head)]),
    }
}

/// Puts a fleet into the bucket.
pub(super) async fn published(world: &World, fleet: &CutoverFleet) {
    let key = CutoverKey::Fleet(fleet.number).to_string();
    let id = WriteId::random();
    let put = world.bucket.put(&key, fleet.encode(id), id).await;
    put.unwrap();
}
