//! Every write asks for encryption, a store that does not do it is refused, and TLS trusts who is named.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials as KeyPair, Region};
use aws_sdk_s3::types::ServerSideEncryption;
use skein_local::certificates::{Certificates, ServerName};
use skein_local::embedded_bucket::{Conditions, EmbeddedBucket};
use skein_local::seaweedfs::SeaweedFs;
use skein_local::skipped;
use skein_shared::bucket::{Bucket, BucketSettings, Created, Credentials, Encryption};
use skein_shared::ids::WriteId;
use skein_shared::{Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fault_stub::read_request;
use super::stores::{BUCKET, embedded, noise, settings};

const PART_BYTES: usize = 5 * 1024 * 1024;

/// One write of each kind.
async fn write_all(bucket: &Bucket) -> Result<(), Error> {
    bucket.put("put", noise(10), WriteId::random()).await?;
    let created = bucket
        .create("create", noise(10), WriteId::random())
        .await?;
    assert_eq!(created, Created::Ours);
    let upload = bucket.start_multipart("parts", WriteId::random()).await?;
    let parts = [
        upload.upload_part(1, noise(PART_BYTES)).await?,
        upload.upload_part(2, noise(10)).await?,
    ];
    upload.complete(&parts).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_store_encrypts_every_write_over_tls() {
    let servers = async {
        let certificates = Certificates::make(ServerName::Loopback)?;
        let server = SeaweedFs::start_secured(BUCKET, &certificates).await?;
        Ok::<_, skein_local::Unavailable>((certificates, server))
    };
    let (certificates, server) = match servers.await {
        Ok(servers) => servers,
        Err(unavailable) => return skipped::report("encryption", &unavailable),
    };
    let settings = BucketSettings {
        encryption: Encryption::Store,
        authorities: Some(std::fs::read(certificates.authority()).unwrap()),
        credentials: Credentials::Static {
            access_key: server.access_key().into(),
            secret_key: server.secret_key().into(),
        },
        ..settings(&server.tls_endpoint())
    };
    let bucket = Bucket::open(&settings).await.unwrap();
    bucket.probe().await.unwrap();
    write_all(&bucket).await.unwrap();
    assert_eq!(bucket.get("put").await.unwrap(), noise(10));
    assert_eq!(bucket.get("parts").await.unwrap().len(), PART_BYTES + 10);
    let other = client(&server);
    for key in ["put", "create", "parts"] {
        let key = format!("{}/{key}", settings.prefix);
        let head = other
            .head_object()
            .bucket(BUCKET)
            .key(&key)
            .send()
            .await
            .unwrap();
        let done = head
            .server_side_encryption()
            .map(ServerSideEncryption::as_str);
        assert_eq!(done, Some("AES256"), "{key}");
    }
    let stranger = BucketSettings {
        authorities: None,
        ..settings
    };
    let error = Bucket::open(&stranger).await.unwrap_err().to_string();
    assert!(
        error.contains("bucket.ca") && error.contains("ertificate"),
        "{error}"
    );
}

fn client(server: &SeaweedFs) -> Client {
    let keys = KeyPair::new(server.access_key(), server.secret_key(), None, None, "test");
    Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("us-east-1"))
            .endpoint_url(server.endpoint())
            .force_path_style(true)
            .credentials_provider(keys)
            .build(),
    )
}

#[tokio::test]
async fn a_store_that_does_not_encrypt_is_refused_by_the_setting() {
    let server = embedded(Conditions::Honoured);
    let asked = [Encryption::Store, Encryption::KeyService { key: None }];
    for (n, encryption) in asked.into_iter().enumerate() {
        let settings = BucketSettings {
            encryption,
            ..settings(&server.endpoint())
        };
        let bucket = Bucket::open(&settings).await.unwrap();
        let (put, create) = (format!("put-{n}"), format!("create-{n}"));
        let put = bucket.put(&put, noise(1), WriteId::random()).await;
        let created = bucket.create(&create, noise(1), WriteId::random()).await;
        for error in [put.unwrap_err(), created.map(drop).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains("bucket.encryption"), "{error}");
        }
        let error = bucket.probe().await.unwrap_err();
        assert!(error.to_string().contains("bucket.encryption"), "{error}");
    }
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_refused_by_the_setting() {
    let server = embedded(Conditions::Honoured);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["", "no certificate", broken] {
        let settings = BucketSettings {
            authorities: Some(text.into()),
            ..settings(&server.endpoint())
        };
        let error = Bucket::open(&settings).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("bucket.ca"), "{error}");
    }
}

type Heads = Arc<Mutex<Vec<String>>>;

/// Stands in front of a store, keeps the heads of requests, and says that everything was encrypted as asked.
async fn encrypting(store: &EmbeddedBucket) -> (String, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let store = store.endpoint().strip_prefix("http://").unwrap().to_owned();
    let heads = Heads::default();
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, store.clone(), Arc::clone(&kept)));
        }
    });
    (endpoint, heads)
}

async fn serve(mut client: TcpStream, store: String, heads: Heads) -> Option<()> {
    let (head, body) = read_request(&mut client).await?;
    heads.lock().unwrap().push(head.clone());
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut server = TcpStream::connect(store).await.ok()?;
    server.write_all(head.as_bytes()).await.ok()?;
    server.write_all(&body).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    let line_end = answer.windows(2).position(|two| two == b"\r\n")? + 2;
    let rest = answer.split_off(line_end);
    let header = "x-amz-server-side-encryption: aws:kms\r\n";
    for bytes in [&answer, header.as_bytes(), &rest] {
        client.write_all(bytes).await.ok()?;
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_names_the_key_of_the_key_service() {
    let server = embedded(Conditions::Honoured);
    let (endpoint, heads) = encrypting(&server).await;
    let settings = BucketSettings {
        encryption: Encryption::KeyService {
            key: Some("alias/skein".into()),
        },
        ..settings(&endpoint)
    };
    let bucket = Bucket::open(&settings).await.unwrap();
    write_all(&bucket).await.unwrap();
    let heads = heads.lock().unwrap();
    let makes_an_object = |head: &&String| {
        let line = head.lines().next().unwrap();
        let part = line.contains("partNumber=");
        (line.starts_with("PUT") && !part) || (line.starts_with("POST") && line.contains("uploads"))
    };
    let writes: Vec<&String> = heads.iter().filter(makes_an_object).collect();
    assert_eq!(writes.len(), 3, "{heads:?}");
    for head in writes {
        for header in [
            "x-amz-server-side-encryption: aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id: alias/skein",
            "x-amz-server-side-encryption-bucket-key-enabled: true",
        ] {
            assert!(
                head.to_lowercase().contains(header),
                "{header} is missing: {head}"
            );
        }
    }
}
