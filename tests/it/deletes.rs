//! An org's points are deleted from the command line: refused without a word of consent, masked at once, gone with a receipt.

use serde_json::Value;
use skein_local::dev_stack::{DevStack, DevStackOptions};
use tokio::time::timeout;

use crate::skein::{PATIENCE, Skein};

async fn compacted() -> (tempfile::TempDir, DevStack, Skein) {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let skein = Skein::with_config(stack.config_file());
    compact_some(&skein).await;
    (directory, stack, skein)
}

async fn compact_some(skein: &Skein) {
    let produce = [
        "produce", "--topic", "points", "--points", "6000", "--orgs", "3",
    ];
    skein.report(&produce).await;
    skein.report(&["connect", "--until-end"]).await;
    skein.report(&["compact", "run"]).await;
}

/// An org that has points, and how many there are of it and of all.
async fn first_org(skein: &Skein) -> (String, u64, u64) {
    let all = skein.run(&["read", "--all", "--format", "json"]).await;
    let first: Value = serde_json::from_str(all.stdout.lines().next().unwrap()).unwrap();
    let org = first["org"].as_str().unwrap().to_owned();
    (
        org.clone(),
        points(skein, Some(&org)).await,
        points(skein, None).await,
    )
}

async fn cat(skein: &Skein, key: &str) -> Value {
    let shown = skein.run(&["cat", key]).await;
    serde_json::from_str(&shown.stdout).unwrap()
}

async fn points(skein: &Skein, org: Option<&str>) -> u64 {
    let mut arguments = vec!["read", "--format", "json"];
    match org {
        Some(org) => arguments.extend(["--org", org]),
        None => arguments.push("--all"),
    }
    let last = skein.last_line(&arguments).await;
    last["summary"]["points"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_is_masked_at_once_and_gone_with_a_receipt() {
    let (_directory, _stack, skein) = compacted().await;
    masked_at_once_and_gone(&skein).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_in_a_directory_is_masked_at_once_and_gone_with_a_receipt() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().join("dev"))).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let skein = skein.keeping_in(&directory.path().join("bucket"));
    compact_some(&skein).await;
    masked_at_once_and_gone(&skein).await;
}

async fn masked_at_once_and_gone(skein: &Skein) {
    let (org, own, all) = first_org(skein).await;
    let create = ["delete", "create", "--org", &org, "--reason", "asked for"];
    let with = |more: &[&'static str]| [&create[..], more].concat();

    let looked = skein.report(&with(&["--dry-run"])).await;
    assert_eq!(looked["touches"]["points"], own, "{looked}");
    assert_eq!(looked["touches"]["is_upper_bound"], false, "{looked}");
    assert_eq!(looked["delete"], Value::Null);
    let refused = skein.run(&create).await;
    refused.refused(7, &["cannot be undone", "--yes", "--dry-run"]);
    assert_eq!(points(skein, Some(&org)).await, own, "nothing was deleted");

    let made = skein.report(&with(&["--ticket", "OPS-1", "--yes"])).await;
    assert_eq!(made["delete"], 1, "{made}");
    assert_eq!(points(skein, Some(&org)).await, 0);
    assert_eq!(points(skein, None).await, all - own);
    let shown = skein.report(&["delete", "show", "1"]).await;
    assert_eq!(
        (&shown["state"], &shown["ticket"]),
        (&"masked".into(), &"OPS-1".into())
    );
    assert!(shown["segments_left"].as_u64() > Some(0), "{shown}");
    let object = "deletes/00000000000000000001";
    let stored = cat(skein, object).await;
    assert_eq!(stored["reason"], "asked for", "{stored}");

    // It waits for others, and is done when it has waited long enough.
    skein.report(&["compact", "run"]).await;
    assert_eq!(
        skein.report(&["delete", "show", "1"]).await["state"],
        "masked"
    );
    let at_once = skein.set("compactor.delete_after=\"0 s\"");
    let run = at_once.report(&["compact", "run"]).await;
    assert_eq!(run["deleted"], own, "{run}");
    let listed = skein.report(&["delete", "ls"]).await;
    assert_eq!(listed[0]["state"], "gone", "{listed}");
    let taken = listed[0]["shards"].as_array().unwrap().iter();
    let taken: u64 = taken.map(|shard| shard["points"].as_u64().unwrap()).sum();
    assert_eq!(taken, own);
    let receipt = cat(skein, &format!("{object}/receipt")).await;
    assert_eq!(receipt["number"], 1, "{receipt}");
    assert_eq!(points(skein, None).await, all - own);
    let verified = skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], serde_json::json!([]), "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_deadline_ends_in_code_3_and_wrong_flags_in_2() {
    let (_directory, _stack, skein) = compacted().await;
    let (org, _, _) = first_org(&skein).await;
    let hasty = skein
        .set("compactor.delete_after=\"0 s\"")
        .set("compactor.delete_deadline=\"0 s\"");
    let create = ["delete", "create", "--org", &org, "--reason", "r", "--yes"];
    hasty.report(&create).await;
    // The bucket's clock counts whole seconds: a deadline of none has passed with the next one.
    let late = async {
        let mut shown = skein.run(&["delete", "show", "1"]).await;
        while shown.code == Some(0) {
            shown = skein.run(&["delete", "show", "1"]).await;
        }
        shown
    };
    let late = timeout(PATIENCE, late).await.unwrap();
    assert_eq!(late.code, Some(3), "{}", late.stderr);
    assert!(late.stdout.contains("missed"), "{}", late.stdout);

    let backwards = [
        "delete", "create", "--org", "1", "--reason", "r", "--from", "5", "--to", "5",
    ];
    skein.run(&backwards).await.refused(2, &["--from", "--to"]);
    let silent = ["delete", "create", "--org", "1", "--reason", " "];
    skein.run(&silent).await.refused(2, &["--reason"]);
    skein
        .run(&["delete", "show", "9"])
        .await
        .refused(2, &["no delete 9", "delete ls"]);
}
