//! Lines of JSON are taken as rows of CSV are: the good ones go on, the bad ones are named and counted.

use skein_local::dev_stack::{DevStack, DevStackOptions};

use crate::skein::Skein;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_lines_are_sent_and_bad_ones_are_named_counted_and_end_in_code_3() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let lines = concat!(
        r#"{"org":1,"metric":"up","timestamp":1700000000000,"value":0.1,"job":"a"}"#,
        "\n",
        r#"{"org":1,"metric":"up","timestamp":1700000000000}"#,
        "\nnot json\n",
        r#"{"org":"2","metric":7,"timestamp":"2023-11-14T22:13:20Z","value":"nan:0x7ff8000000000001"}"#,
        "\n",
    );
    let skein = Skein::with_config(stack.config_file());
    let arguments = [
        "produce", "--topic", "points", "--jsonl", "-", "--format", "json",
    ];
    let ended = skein.input(lines.as_bytes()).run(&arguments).await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&report["points"], &report["bad_rows"]),
        (&2.into(), &2.into())
    );
    for word in [
        "line 2: `value` is missing",
        "line 3: the line is not one JSON object",
    ] {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;
    let read = skein.run(&["read", "--all", "--format", "csv"]).await;
    let rows: Vec<&str> = read.stdout.lines().collect();
    let wanted = [
        "org,metric,timestamp,value,job",
        "1,up,1700000000000,0.1,a",
        "2,7,1700000000000,nan:0x7ff8000000000001,",
    ];
    assert_eq!(rows, wanted);
}
