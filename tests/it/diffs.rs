//! `skein diff`: its exit codes, and what it leaves where.

use crate::skein::Skein;

#[tokio::test]
async fn a_comparison_ends_with_the_code_of_its_verdict_and_never_with_0_where_something_differs() {
    let dir = tempfile::tempdir().unwrap();
    let skein = Skein::default().keeping_in(&dir.path().join("bucket"));
    let csv = dir.path().join("old.csv");
    std::fs::write(&csv, "org,metric,timestamp,value\n7,1,0,1.0\n").unwrap();
    let csv = csv.to_str().unwrap();
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let place = [
        "--org",
        "7",
        "--out",
        out,
        "--old-csv",
        csv,
        "--backoff",
        "1 ms",
    ];
    let create =
        |more: &[&'static str]| [&["diff", "create", "--name", "first"], &place[..], more].concat();

    // Nobody vouches for the input: that a point is missing may be for that alone.
    let ended = skein.run(&create(&[])).await;
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("first: inconclusive"),
        "{}",
        ended.stdout
    );
    skein
        .run(&create(&[]))
        .await
        .refused(2, &["skein diff resume"]);
    skein
        .run(&[
            "diff",
            "resume",
            "--out",
            out,
            "--sides",
            "old-old",
            "--old-csv",
            csv,
        ])
        .await
        .refused(2, &["name the same sides"]);
    let ended = skein
        .run(&["diff", "resume", "--out", out, "--old-csv", csv])
        .await;
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert_eq!(
        skein.run(&["diff", "delete", "--out", out]).await.code,
        Some(0)
    );
    assert_eq!(std::fs::read_dir(out).unwrap().count(), 0);

    let ended = skein
        .run(&create(&["--declare-input", "stopped, OPS-3"]))
        .await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    for words in [
        "first: fail",
        "missing right",
        "all of the series",
        "input declared equal: stopped, OPS-3",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    let lines = std::fs::read_to_string(format!("{out}/differences.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 1);
    assert_eq!(
        skein.run(&["diff", "show", "--out", out]).await.code,
        Some(3)
    );
    let verdict = ["diff", "show", "--name", "first", "--org", "7"];
    let ended = skein.run(&verdict).await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("first of org 7: fail"),
        "{}",
        ended.stdout
    );
    let removed = skein
        .run(&[
            "diff", "delete", "--name", "first", "--org", "7", "--out", out,
        ])
        .await;
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    skein
        .run(&verdict)
        .await
        .refused(4, &["no comparison `first`"]);

    // The same side twice: what differs for no reason.
    let ended = skein.run(&create(&["--sides", "old-old"])).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let other = format!("file://{}", dir.path().join("bucket").display());
    let other = other.as_str();
    let elsewhere = dir.path().join("builds");
    let builds = [
        "diff",
        "create",
        "--name",
        "builds",
        "--org",
        "7",
        "--out",
        elsewhere.to_str().unwrap(),
    ];
    let ended = skein
        .run(
            &[
                &builds[..],
                &["--sides", "new-new", "--other-bucket", other],
            ]
            .concat(),
        )
        .await;
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("nothing was compared"),
        "{}",
        ended.stdout
    );
}
