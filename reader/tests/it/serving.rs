//! Reads over HTTP: what is answered, what is refused, and how a server ends.

pub(crate) mod client;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, TimestampMillisecondType, UInt64Type};
use arrow_ipc::reader::StreamReader;
use serde_json::Value;
use skein_local::embedded_bucket::Mood;
use skein_reader::page_token::PageToken;
use skein_reader::read_source::ReadSource;
use skein_reader::snapshot::Selection;
use skein_shared::format::points_csv::parse_value;
use skein_shared::ids::OrgId;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

use crate::mirrored::old_system;
use crate::reads::busy_world;
use crate::serving::client::{Reply, Server, TOKEN, fleet, published};
use crate::world::{World, Written, key};

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Metric, time, bits.
pub(crate) type Row = (u64, i64, u64);

/// Three series with floats of every kind, two of them with names that make their ids.
async fn odd_world() -> World {
    let mut world = World::new().await;
    let window = Window::from_number(19_700);
    let odd = [
        -0.0,
        0.1,
        f64::NAN,
        f64::from_bits(0x7ff8_0000_0000_0123),
        f64::NEG_INFINITY,
        5e-324,
    ];
    let names = ["cpu{host=\"a b\"}", "up", "m"];
    let records = names.map(|name| {
        let series: skein_shared::series::Series = name.parse().unwrap();
        let times = (0..).map(|second| window.start().0 + second * 1000);
        Written {
            key: key(7, series.id().0),
            name: Some(name.to_owned()),
            record_ms: 5,
            partition: 0,
            offset: i64::from(name.as_bytes()[0]),
            points: times.zip(odd.iter().copied().cycle()).take(500).collect(),
        }
    });
    world.add(window, &records).await;
    world
}

pub(crate) fn json_rows(document: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in document["series"].as_array().unwrap() {
        let metric = series["metric"].as_str().unwrap().parse().unwrap();
        let times = series["timestamps_ms"].as_array().unwrap().iter();
        let values = series["values"].as_array().unwrap();
        for (time, value) in times.zip(values) {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let value = parse_value(&text).unwrap();
            rows.push((metric, time.as_i64().unwrap(), value.to_bits()));
        }
    }
    rows
}

fn arrow_rows(body: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in StreamReader::try_new(body, None).unwrap() {
        let batch = batch.unwrap();
        let metrics = batch.column(1).as_primitive::<UInt64Type>();
        let times = batch.column(3).as_primitive::<TimestampMillisecondType>();
        let values = batch.column(4).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let value = values.value(row).to_bits();
            rows.push((metrics.value(row), times.value(row), value));
        }
    }
    rows
}

/// All pages of a scan in either form.
async fn all_pages(server: &Server, path: &str, accept: &str) -> Vec<Row> {
    pages_after(server, path, (accept, None)).await
}

/// The pages after one.
async fn pages_after(
    server: &Server,
    path: &str,
    (accept, after): (&str, Option<&str>),
) -> Vec<Row> {
    let page = |next: Option<&str>| next.map_or(String::new(), |next| format!("&page={next}"));
    let (mut rows, mut page_text) = (Vec::new(), page(after));
    loop {
        let reply = server.get(&format!("{path}{page_text}"), accept).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        rows.extend(if accept == ARROW {
            arrow_rows(&reply.body)
        } else {
            let document = reply.json();
            let next = document["next_page"].as_str();
            assert_eq!(next, reply.header("skein-next-page"));
            json_rows(&document)
        });
        match reply.header("skein-next-page") {
            next @ Some(_) => page_text = page(next),
            None => return rows,
        }
    }
}

#[track_caller]
fn refused(reply: &Reply, status: u16, words: &[&str]) {
    let text = reply.text();
    assert_eq!(reply.status, status, "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    assert!(reply.json()["do"].is_string(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_and_arrow_give_the_same_rows_bit_by_bit() {
    let world = odd_world().await;
    let server = Server::start(&world).await;
    let path = "/api/v1/points?org=7&page_bytes=4000";
    let json = all_pages(&server, path, "application/json").await;
    let expected = world.expected(Selection::Org(OrgId(7)), TimeSpan::ALL);
    let expected = expected
        .into_iter()
        .map(|(key, at, bits)| (key.metric.0, at, bits));
    assert_eq!(json, expected.collect::<Vec<_>>());
    assert_eq!(all_pages(&server, path, ARROW).await, json);

    let one = "/api/v1/points?org=7&metric=cpu%7Bhost%3D%22a+b%22%7D&from=0";
    let one = server.get(one, "*/*").await.json();
    assert_eq!(one["rows"], 500);
    assert_eq!(one["series"][0]["series"], "cpu{host=\"a b\"}");
    let lines = server.get(
        "/api/v1/points?org=7&metric=up&resolution=1h",
        "application/x-ndjson",
    );
    let lines = lines.await.text();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(
        (lines.lines().count(), &last["page"]["rows"]),
        (2, &Value::from(1))
    );

    let mut names = Vec::new();
    let mut page = String::new();
    loop {
        let path = format!("/api/v1/series?org=7&page_bytes=1024{page}");
        let document = server.get(&path, "*/*").await.json();
        names.extend(document["series"].as_array().unwrap().clone());
        match document["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => break,
        }
    }
    let mut texts: Vec<_> = names
        .iter()
        .map(|it| it["series"].as_str().unwrap())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["cpu{host=\"a b\"}", "m", "up"]);
    let arrow = server.get("/api/v1/series?org=7", ARROW).await;
    let mut batches = StreamReader::try_new(&arrow.body[..], None).unwrap();
    assert_eq!(batches.next().unwrap().unwrap().num_rows(), 3);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_why_and_what_to_do() {
    let world = odd_world().await;
    let server = Server::start(&world).await;
    let path = "/api/v1/points?org=7";
    for token in [None, Some("another-token-of-some-length")] {
        let reply = server.ask("GET", path, (token, "*/*")).await;
        refused(&reply, 401, &["Authorization", "SKEIN_HTTP_TOKEN"]);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let reply = server.ask("POST", path, (Some(TOKEN), "*/*")).await;
    refused(&reply, 405, &["POST"]);
    for (path, status, words) in [
        ("/api/v1/points", 400, ["org", "missing"]),
        ("/api/v1/points?org=seven", 400, ["org", "seven"]),
        ("/api/v1/points?org=7&metric=none", 404, ["metric", "none"]),
        ("/api/v1/points?org=7&from=9&to=9", 400, ["from", "before"]),
        (
            "/api/v1/points?org=7&resolution=1d&from=1&to=9",
            400,
            ["1d", "wider"],
        ),
        ("/api/v1/points?org=7&page=AAAA", 400, ["page", "next_page"]),
        ("/api/v1/series?org=7&from=1", 400, ["from", "unknown"]),
    ] {
        refused(&server.get(path, "*/*").await, status, &words);
    }
    refused(
        &server.get(path, "text/html").await,
        406,
        &["Accept", "arrow"],
    );
    let lost = server.get("/api/v2/points", "*/*").await;
    assert_eq!(lost.status, 404);
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        let reply = server.ask("GET", path, (None, "*/*")).await;
        assert_eq!(reply.status, 200, "{path}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_forged_or_another_scans_or_too_old_is_refused() {
    let world = odd_world().await;
    let server = Server::start(&world).await;
    let first = server
        .get("/api/v1/points?org=7&page_bytes=1024", "*/*")
        .await;
    let next = first.header("skein-next-page").unwrap().to_owned();
    let token = PageToken::from_text(&next).unwrap();
    for other in ["org=8", "from=5", "resolution=5m", "metric=up"] {
        let path = format!("/api/v1/points?{other}&page={next}");
        let name = other.split('=').next().unwrap();
        refused(
            &server.get(&path, "*/*").await,
            400,
            &[name, "another value"],
        );
    }
    let alone = server
        .get(&format!("/api/v1/points?page={next}"), "*/*")
        .await;
    assert_eq!(alone.status, 200, "a page says all by itself");
    let names = server
        .get(&format!("/api/v1/series?page={next}"), "*/*")
        .await;
    refused(&names, 400, &["another kind"]);
    let forged = format!("{}{}", &next[..next.len() - 2], "xy");
    let forged = server
        .get(&format!("/api/v1/points?page={forged}"), "*/*")
        .await;
    refused(&forged, 400, &["page"]);
    let old = PageToken {
        issued: TimestampMs(token.issued.0 - 3_601_000),
        ..token
    };
    let old = format!("/api/v1/points?org=7&page={}", old.to_text());
    refused(&server.get(&old, "*/*").await, 410, &["expired", "anew"]);
    let lost = PageToken { fleet: 99, ..token };
    let lost = format!("/api/v1/points?org=7&page={}", lost.to_text());
    refused(&server.get(&lost, "*/*").await, 410, &["99", "anew"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_goes_by_the_fleet_that_it_began_with() {
    let world = busy_world().await;
    let edge = TimestampMs(Window::from_number(19_700).start().0 + 120_000);
    published(&world, &fleet(1, OrgId(3), TimestampMs(i64::MIN))).await;
    published(&world, &fleet(2, OrgId(3), edge)).await;
    // An old system that has nothing of the org.
    let directory = tempfile::tempdir().unwrap();
    let places = old_system(&world, OrgId(1), directory.path()).await;
    let source = ReadSource::new(world.bucket.clone()).with_old(places);
    let server = Server::with(&world, |setup| setup.source = source).await;
    server.take_fleet(&world, 1).await;
    let path = "/api/v1/points?org=3&page_bytes=60000";
    let whole = all_pages(&server, path, "application/json").await;
    let first = server.get(path, "application/json").await;
    assert_eq!(first.header("skein-fleet"), Some("1"));
    let next = first.header("skein-next-page").unwrap();

    server.take_fleet(&world, 2).await;
    let rest = pages_after(&server, path, ("application/json", Some(next))).await;
    assert_eq!([json_rows(&first.json()), rest].concat(), whole);

    server.lose_the_fleet();
    refused(&server.get(path, "*/*").await, 503, &["cutovers"]);
    let old = server.get(&format!("{path}&page={next}"), "*/*").await;
    assert_eq!(old.status, 200, "a scan that goes on needs no newer fleet");
    server.take_fleet(&world, 2).await;
    let anew = all_pages(&server, path, "application/json").await;
    let visible: Vec<Row> = whole
        .into_iter()
        .filter(|(_, at, _)| *at >= edge.0)
        .collect();
    assert_eq!(anew, visible);
    server.end().await;
}

/// Two requests while the bucket stalls; the server is asked to end while it holds the first, and the bucket goes on. The one
/// that found no room, and the other.
async fn ask_two(server: &Server, world: &World) -> (Reply, Reply) {
    let path = "/api/v1/points?org=7&metric=up";
    let mut one = Box::pin(server.get(path, "*/*"));
    let mut other = Box::pin(server.get(path, "*/*"));
    let (refused, held) = tokio::select! {
        refused = &mut one => (refused, other),
        refused = &mut other => (refused, one),
    };
    server.stop();
    while server.is_taking().await {
        tokio::task::yield_now().await;
    }
    world.set_mood(Mood::Serves);
    (refused, held.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_at_its_limit_says_so_and_one_that_ends_answers_what_has_begun() {
    let world = odd_world().await;
    let server = Server::with(&world, |setup| setup.settings.concurrent_reads = 1).await;
    world.set_mood(Mood::Stalls);
    let (busy, answered) = ask_two(&server, &world).await;
    refused(&busy, 503, &["serve.concurrent_reads"]);
    assert_eq!(busy.header("retry-after"), Some("1"));
    let rows = answered.json()["rows"].as_u64();
    assert_eq!((answered.status, rows), (200, Some(500)));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_answers_any_page_and_the_same_one_opens_nothing_twice() {
    let world = busy_world().await;
    let (one, other) = (Server::start(&world).await, Server::start(&world).await);
    let reads = || world.bucket.requests().reads();
    let path = "/api/v1/points?org=3&page_bytes=20000";
    let first = one.get(path, "*/*").await;
    let next = format!("{path}&page={}", first.header("skein-next-page").unwrap());
    let before = reads();
    let at_one = one.get(&next, "*/*").await;
    let between = reads();
    let at_other = other.get(&next, "*/*").await;
    assert_eq!(at_one.body, at_other.body);
    // The org has three segments in one window, and one in the next.
    assert_eq!(reads() - between, between - before + 4);
    for server in [one, other] {
        server.end().await;
    }
}
