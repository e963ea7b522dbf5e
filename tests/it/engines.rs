//! A plan's tasks as engines start them: by an index in the environment, with exit codes to retry by.

use std::path::Path;

use serde_json::Value;
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_local::{fetched, skipped};
use tokio::process::Command;

use crate::skein::Skein;

const PRODUCE: [&str; 13] = [
    "produce",
    "--topic",
    "points",
    "--orgs",
    "5",
    "--series",
    "40",
    "--points",
    "20000",
    "--interval",
    "10s",
    "--start",
    "2026-01-01T00:00:00Z",
];

/// A bucket with state, and the plan of it; small tasks, so that the large org's shard has parts.
async fn planned(skein: &Skein) -> (String, Vec<Value>) {
    let ended = skein.run(&PRODUCE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = skein.run(&["connect", "--until-end"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let plan = skein.report(&["compact", "plan"]).await;
    let id = plan["plan"].as_str().unwrap().to_owned();
    (id, plan["tasks"].as_array().unwrap().clone())
}

fn stack(directory: &Path) -> DevStack {
    DevStack::start(&DevStackOptions::new(directory.to_owned())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_runs_every_task_by_its_index_and_every_point_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let stack = stack(directory.path());
    let skein = Skein::with_config(stack.config_file()).set("compactor.step_bytes=\"1 MiB\"");
    let (id, tasks) = planned(&skein).await;
    let task = ["compact", "task", "--plan", &id];

    skein
        .run(&task)
        .await
        .refused(2, &["SKEIN_TASK_INDEX", "SLURM_ARRAY_TASK_ID"]);
    let wrong = skein.env("SLURM_ARRAY_TASK_ID", "one");
    wrong
        .run(&task)
        .await
        .refused(2, &["SLURM_ARRAY_TASK_ID=`one`"]);
    let beyond = tasks.len().to_string();
    let given = skein
        .run(&[&task[..], &["--index", &beyond]].concat())
        .await;
    given.refused(2, &["has no task"]);
    let array = skein
        .env("AWS_BATCH_JOB_ARRAY_INDEX", &beyond)
        .run(&task)
        .await;
    assert_eq!(
        array.code,
        Some(0),
        "arrays may be longer: {}",
        array.stderr
    );

    let mut committed = 0;
    for index in 0..tasks.len() {
        let engine = skein.env("JOB_COMPLETION_INDEX", &index.to_string());
        let report = engine.report(&task).await;
        committed += usize::from(report["became"] == "committed");
        assert!(!report["done_before"].as_bool().unwrap());
    }
    assert_eq!(committed, 64, "one commit a shard");
    let again = skein.env("BATCH_TASK_INDEX", "0").report(&task).await;
    assert_eq!(
        (&again["became"], &again["done_before"]),
        (&"passed".into(), &true.into())
    );

    let next = skein.report(&["compact", "plan"]).await;
    assert_eq!(next["plan"], Value::Null);
    let gone = skein.run(&[&task[..], &["--index", "0"]].concat()).await;
    gone.refused(30, &["is gone"]);
    let verified = skein.run(&["verify"]).await;
    assert_eq!(verified.code, Some(0), "{}", verified.stdout);
    let read = skein.run(&["read", "--all", "--format", "csv"]).await;
    assert_eq!(read.stdout.lines().count(), 1 + 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_for_kubernetes_is_a_job() {
    const NAME: &str = "what_is_printed_for_kubernetes_is_a_job";
    let schema = match fetched::kubernetes_schema().await {
        Ok(schema) => schema,
        Err(unavailable) => return skipped::report(NAME, &unavailable),
    };
    let directory = tempfile::tempdir().unwrap();
    let stack = stack(directory.path());
    let skein = Skein::with_config(stack.config_file());
    let (id, tasks) = planned(&skein).await;
    let emit = ["compact", "emit", "--plan", &id, "--engine", "k8s"];
    let job = skein.run(&emit).await;
    assert_eq!(job.code, Some(0), "{}", job.stderr);
    assert!(
        job.stdout
            .contains(&format!("completions: {}", tasks.len()))
    );
    let file = directory.path().join("job.yaml");
    let check = async |manifest: &str| {
        std::fs::write(&file, manifest).unwrap();
        let mut command = Command::new("python3");
        command
            .args(["-m", "kubernetes_validate", "--strict"])
            .arg(&file);
        command.env("PYTHONPATH", &schema).output().await.unwrap()
    };
    let checked = check(&job.stdout).await;
    assert!(checked.status.success(), "{checked:?}");
    let broken = check(
        &job.stdout
            .replace("backoffLimitPerIndex", "backOffLimitPerIndex"),
    )
    .await;
    assert!(!broken.status.success(), "the check notices a wrong field");
}
