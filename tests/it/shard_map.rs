//! Who may change the routing.

use serde_json::json;
use skein_local::dev_stack::{DevStack, DevStackOptions};

use crate::skein::Skein;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_restarts_with_old_shards_is_warned_and_takes_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    let skein = Skein::with_config(stack.config_file());
    let changed = skein.set("shards.dedicated=[9]");
    let connect = ["connect", "--until-end"];
    for skein in [&skein, &changed, &skein] {
        let ended = skein.run(&connect).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let restarted = skein.run(&connect).await;
    for words in ["earlier version", "version=0", "newest=1", "publish-shards"] {
        assert!(
            restarted.stderr.contains(words),
            "{words}: {}",
            restarted.stderr
        );
    }
    let published = skein.report(&["config", "publish-shards"]).await;
    assert_eq!(
        published,
        json!({ "version": 2, "modulus": 64, "dedicated": [] })
    );
    let again = skein.report(&["config", "publish-shards"]).await;
    assert_eq!(again["version"], 2, "{again}");
    let restarted = skein.run(&connect).await;
    assert!(
        !restarted.stderr.contains("earlier version"),
        "{}",
        restarted.stderr
    );
}
