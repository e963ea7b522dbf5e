use hyper::StatusCode;

use super::*;
use crate::http_client::{self, Post};

const TOKEN: &str = "a-token-of-some-length";

struct Served {
    server: AdminServer,
    vitals: Vitals,
}

fn started(token: Option<&str>) -> Served {
    let vitals = Vitals::starting("joining the group");
    let endpoints = vec![
        Endpoint::question("/status", || async { Answer::json(&()) }),
        Endpoint::order("/flush", || async {
            Answer::text(StatusCode::OK, "flushed")
        }),
    ];
    let settings = AdminHttpSettings {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        token: token.map(|text| Token::new(text).unwrap()),
    };
    let role = Role::new("test", &vitals, endpoints);
    Served {
        server: serve(&settings, role).unwrap(),
        vitals,
    }
}

async fn get_text(address: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

async fn order(address: SocketAddr, authorization: Option<String>) -> http_client::Answer {
    let address = address.to_string();
    let headers = authorization.map(|value| (http_client::AUTHORIZATION, value));
    let order = Post {
        address: &address,
        path: "/flush",
        headers: headers.into_iter().collect(),
        body: bytes::Bytes::new(),
    };
    http_client::post(order, std::time::Duration::from_secs(10))
        .await
        .unwrap()
}

#[tokio::test]
async fn readiness_tells_its_reasons_until_there_are_none() {
    let served = started(None);
    let address = served.server.address();
    let (code, text) = get_text(address, "/readyz").await;
    assert_eq!((code, text.trim()), (503, "joining the group"));
    assert_eq!(get_text(address, "/livez").await.0, 200);
    served.vitals.beat(Vec::new());
    assert_eq!(get_text(address, "/readyz").await.0, 200);
    assert_eq!(get_text(address, "/status").await, (200, "null".to_owned()));
    assert_eq!(get_text(address, "/elsewhere").await.0, 404);
}

#[tokio::test]
async fn an_order_needs_the_token() {
    let served = started(Some(TOKEN));
    let address = served.server.address();
    assert_eq!(order(address, None).await.status, 401);
    for wrong in [
        "Bearer a-token-of-some-lengtj",
        "Bearer ",
        "Bearer a",
        TOKEN,
    ] {
        assert_eq!(order(address, Some(wrong.to_owned())).await.status, 401);
    }
    let answer = order(address, Some(Token::new(TOKEN).unwrap().bearer())).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"flushed"[..])
    );
    assert_eq!(get_text(address, "/flush").await.0, 405);
}

#[tokio::test]
async fn without_a_token_no_order_is_taken() {
    let served = started(None);
    let answer = order(served.server.address(), Some(format!("Bearer {TOKEN}"))).await;
    assert_eq!(answer.status, 403);
    assert!(String::from_utf8_lossy(&answer.body).contains("http.token_file"));
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_and_one_that_was_dropped_is_free() {
    let served = started(None);
    let settings = AdminHttpSettings {
        address: served.server.address(),
        token: None,
    };
    let error = serve(&settings, Role::one_shot("other")).unwrap_err();
    assert!(error.to_string().contains("http.listen"), "{error}");
    drop(served);
    let start = std::time::Instant::now();
    let again = loop {
        match serve(&settings, Role::one_shot("other")) {
            Ok(again) => break again,
            Err(error) => assert!(start.elapsed().as_secs() < 10, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let (code, status) = get_text(again.address(), "/status").await;
    assert_eq!(code, 200);
    assert!(status.contains("\"role\": \"other\""), "{status}");
}

#[test]
fn a_token_is_long_enough_and_never_shown() {
    for bad in ["", "short", "has a blank in it, and is long"] {
        let error = Token::new(bad).unwrap_err().to_string();
        assert!(error.contains("(hidden)"), "{error}");
    }
    let token = Token::new(" a-token-of-some-length\n").unwrap();
    assert!(token.is(TOKEN.as_bytes()));
    assert!(!format!("{token:?}").contains("some-length"));
}
