use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rdkafka::consumer::BaseConsumer;

use super::*;
use crate::Settings;
use crate::error::Fault;
use crate::kafka::login::Login;
use crate::load::{Layers, load};

const CANARY: &str = "canary-7f3a";

/// A directory with the files that the tests name.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (name, mode) in [
            ("ca", 0o644),
            ("certificate", 0o644),
            ("key", 0o600),
            ("open-key", 0o640),
            ("password", 0o600),
            ("empty", 0o600),
        ] {
            let text = if name == "empty" {
                "\n"
            } else {
                "canary-7f3a\n"
            };
            std::fs::write(place.path(name), text).unwrap();
            std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode))
                .unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Loads `text`, in which `@` stands for this directory.
    fn load(&self, text: &str) -> Result<Settings> {
        let file = self.path("skein.toml");
        std::fs::write(&file, text.replace('@', self.0.path().to_str().unwrap())).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        load(&Layers {
            file: Some(file),
            ..Layers::default()
        })
    }

    #[track_caller]
    fn check(&self, text: &str, expected: &[(&str, &str)]) {
        let kafka = self.load(text).unwrap().kafka;
        let clients = [
            kafka.client_config().unwrap(),
            kafka
                .consumer_config(FetchShare::of_one_broker(ByteCount::mib(8)))
                .unwrap(),
            kafka.producer_config().unwrap(),
        ];
        for (config, (name, value)) in clients
            .iter()
            .flat_map(|c| expected.iter().map(move |e| (c, e)))
        {
            let value = value.replace('@', self.0.path().to_str().unwrap());
            assert_eq!(config.get(name), Some(value.as_str()), "{name}");
        }
    }

    #[track_caller]
    fn refuse(&self, text: &str, keys: &[&str]) {
        let error = self.load(text).unwrap_err();
        let Error::Faults(faults) = &error else {
            panic!("{error}");
        };
        let named: Vec<&str> = faults
            .iter()
            .map(|fault: &Fault| fault.key.as_str())
            .collect();
        assert_eq!(named, keys, "{error}");
        assert!(
            faults
                .iter()
                .all(|fault| !fault.allowed.is_empty() && !fault.origin.is_empty())
        );
        assert!(!error.to_string().contains(CANARY), "{error}");
    }
}

const TLS: &str = "[kafka.tls]\nenabled = true\n";

#[test]
fn tls_settings_become_the_properties_of_every_client() {
    let place = Place::new();
    place.check(
        TLS,
        &[
            ("security.protocol", "SSL"),
            ("ssl.ca.location", "probe"),
            ("enable.ssl.certificate.verification", "true"),
            ("ssl.endpoint.identification.algorithm", "https"),
        ],
    );
    place.check(
        &format!(
            "{TLS}ca = '@/ca'\ncertificate = '@/certificate'\nkey = '@/key'\nverify = 'chain'"
        ),
        &[
            ("ssl.ca.location", "@/ca"),
            ("ssl.certificate.location", "@/certificate"),
            ("ssl.key.location", "@/key"),
            ("enable.ssl.certificate.verification", "true"),
            ("ssl.endpoint.identification.algorithm", "none"),
        ],
    );
    place.check(
        &format!("{TLS}verify = 'none'"),
        &[("enable.ssl.certificate.verification", "false")],
    );
}

#[test]
fn a_login_becomes_the_properties_of_every_client_with_its_password() {
    let place = Place::new();
    for (mechanism, tls, protocol) in [
        ("PLAIN", TLS, "SASL_SSL"),
        ("SCRAM-SHA-256", TLS, "SASL_SSL"),
        ("SCRAM-SHA-512", "", "SASL_PLAINTEXT"),
    ] {
        for given in ["password = 'canary-7f3a'", "password_file = '@/password'"] {
            place.check(
                &format!("{tls}[kafka.sasl]\nmechanism = '{mechanism}'\nusername = 'u'\n{given}"),
                &[
                    ("security.protocol", protocol),
                    ("sasl.mechanism", mechanism),
                    ("sasl.username", "u"),
                    ("sasl.password", CANARY),
                ],
            );
        }
    }
    for (mechanism, given) in [
        ("OAUTHBEARER", "token_file = '@/token'"),
        ("OAUTHBEARER", "token_command = ['issue']"),
        ("AWS_MSK_IAM", "region = 'eu-central-1'"),
    ] {
        place.check(
            &format!("{TLS}[kafka.sasl]\nmechanism = '{mechanism}'\n{given}"),
            &[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", "OAUTHBEARER"),
            ],
        );
    }
}

#[test]
fn what_a_mechanism_lacks_or_does_not_know_is_refused_by_key() {
    let place = Place::new();
    let sasl = |tls: &str, rest: &str| format!("{tls}[kafka.sasl]\n{rest}");
    let cases: [(&str, &str, &[&str]); 10] = [
        (TLS, "mechanism = 'DIGEST'", &["kafka.sasl.mechanism"]),
        ("", "username = 'u'", &["kafka.sasl.username"]),
        ("", "password = 'canary-7f3a'", &["kafka.sasl.password"]),
        (
            "",
            "mechanism = 'PLAIN'\nusername = 'u'\npassword = 'canary-7f3a'",
            &["kafka.sasl.mechanism"],
        ),
        (
            TLS,
            "mechanism = 'PLAIN'",
            &["kafka.sasl.username", "kafka.sasl.password_file"],
        ),
        (
            TLS,
            "mechanism = 'PLAIN'\nusername = 'u'\npassword = 'canary-7f3a'\npassword_file = '@/password'",
            &["kafka.sasl.password_file"],
        ),
        (TLS, "mechanism = 'OAUTHBEARER'", &["kafka.sasl.token_file"]),
        (
            TLS,
            "mechanism = 'OAUTHBEARER'\ntoken_file = '@/t'\nregion = 'x'\ntoken_lifetime = '1 s'",
            &["kafka.sasl.region", "kafka.sasl.token_lifetime"],
        ),
        (TLS, "mechanism = 'AWS_MSK_IAM'", &["kafka.sasl.region"]),
        (
            "",
            "mechanism = 'AWS_MSK_IAM'\nregion = 'eu-central-1'",
            &["kafka.sasl.mechanism"],
        ),
    ];
    for (tls, rest, keys) in cases {
        place.refuse(&sasl(tls, rest), keys);
    }
    place.refuse("[kafka.tls]\nca = '@/ca'", &["kafka.tls.ca"]);
    place.refuse(&format!("{TLS}key = '@/key'"), &["kafka.tls.key"]);
    place.refuse(&format!("{TLS}verify = 'maybe'"), &["kafka.tls.verify"]);
}

#[test]
fn a_property_that_contradicts_the_security_settings_is_refused() {
    let place = Place::new();
    let text = format!(
        "{TLS}[kafka.properties]\nsecurity.protocol = 'PLAINTEXT'\nsasl.password = 'canary-7f3a'"
    );
    place.refuse(
        &text,
        &[
            "kafka.properties.security.protocol",
            "kafka.properties.sasl.password",
        ],
    );
    place.check(
        "[kafka.properties]\nsecurity.protocol = 'SASL_SSL'",
        &[("security.protocol", "SASL_SSL")],
    );
}

#[test]
fn a_security_file_that_is_missing_or_open_to_others_is_refused_when_a_client_is_made() {
    let place = Place::new();
    let keys = format!("{TLS}certificate = '@/certificate'\nkey = ");
    let login = format!("{TLS}[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'u'\npassword_file = ");
    for (text, words) in [
        (format!("{TLS}ca = '@/absent'"), ["kafka.tls.ca", "absent"]),
        (format!("{keys}'@/open-key'"), ["kafka.tls.key", "640"]),
        (
            format!("{login}'@/open-key'"),
            ["kafka.sasl.password_file", "640"],
        ),
        (
            format!("{login}'@/empty'"),
            ["kafka.sasl.password_file", "empty"],
        ),
        (
            format!("{login}'@/absent'"),
            ["kafka.sasl.password_file", "absent"],
        ),
    ] {
        let kafka = place.load(&text).unwrap().kafka;
        let error = kafka.client_config().unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "`{word}` is missing: {error}");
        }
        assert!(!error.contains(CANARY), "{error}");
    }
}

#[test]
fn a_property_that_the_client_refuses_is_named_without_its_value() {
    let place = Place::new();
    for property in ["linger.ms", "sasl.pass"] {
        let text = format!("[kafka.properties]\n'{property}' = 'canary-7f3a'");
        let kafka = place.load(&text).unwrap().kafka;
        let config = kafka.client_config().unwrap();
        let made: Result<BaseConsumer<Login>> = kafka.create(&config, kafka.login());
        let error = made.map(drop).unwrap_err().to_string();
        assert!(
            error.contains(property) && !error.contains(CANARY),
            "{error}"
        );
    }
}

#[test]
fn settings_are_shown_without_their_secrets() {
    let place = Place::new();
    let settings = place
        .load(&format!(
            "{TLS}[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'u'\npassword = 'canary-7f3a'\n\
             [kafka.properties]\nssl.key.password = 'canary-7f3a'"
        ))
        .unwrap();
    let login = settings.kafka.login();
    let json = serde_json::to_string(&settings).unwrap();
    let shown = format!("{settings:?} {} {json} {login:?}", settings.to_toml());
    assert!(shown.contains("ssl.key.password"), "{shown}");
    assert!(!shown.contains(CANARY), "{shown}");
}

#[track_caller]
fn check_fetch(properties: &str, share: (u64, u32), expected: u64) {
    let place = Place::new();
    let kafka = place
        .load(&format!("[kafka.properties]\n{properties}"))
        .unwrap()
        .kafka;
    let share = FetchShare {
        queue: ByteCount::mib(share.0),
        brokers: share.1,
    };
    let config = kafka.consumer_config(share).unwrap();
    let fetch = config.get("fetch.max.bytes").unwrap();
    assert_eq!(fetch.parse::<u64>().unwrap(), expected, "{share:?}");
    let queued = config.get("queued.max.messages.kbytes").unwrap();
    assert_eq!(queued.parse::<u64>().unwrap(), share.queue.0 / 2 / 1024);
    let made: Result<BaseConsumer<Login>> = kafka.create(&config, kafka.login());
    made.expect("librdkafka takes these sizes together");
}

#[test]
fn responses_of_all_brokers_together_fit_the_share_once_they_are_unpacked() {
    check_fetch("", (64, 1), 32 * MIB / 20);
    check_fetch("", (64, 3), 32 * MIB / 20 / 3);
    check_fetch("", (64, 0), 32 * MIB / 20);
    check_fetch("", (32, 1), 16 * MIB / 20);
    check_fetch("", (64, 1_000), MIN_FETCH_BYTES);
    check_fetch("", (1024, 1), 16 * MIB);
    // What was meant for a producer of large messages is no matter of a consumer's.
    check_fetch("message.max.bytes = 8000000", (64, 3), 32 * MIB / 20 / 3);
    check_fetch("fetch.max.bytes = 2000000", (64, 3), 2_000_000);
}
