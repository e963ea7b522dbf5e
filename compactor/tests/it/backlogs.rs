//! What waits to be compacted is told shard by shard, and nothing of what does not wait.

use skein_compactor::backlog::{ShardBacklog, backlog};
use skein_shared::ids::ShardId;

use crate::damage::{DEDICATED, flip, middle_of_block, state_object_of, world_with_two_shards};
use crate::world::{DAY, NOON, World};

async fn of_shard(world: &World, shard: ShardId) -> ShardBacklog {
    let shards = backlog(&world.bucket).await.unwrap();
    assert_eq!(shards.len(), 4, "shards without records are told of too");
    let mut shards = shards.into_iter();
    shards.find(|row| row.shard == shard).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_what_is_not_read_not_merged_or_not_decided() {
    let (world, _, _) = world_with_two_shards().await;
    let key = state_object_of(&world, DEDICATED).await;
    let at = middle_of_block(&world, &key, 1).await;
    let object_bytes = flip(&world, &key, at).await.len() as u64;
    let before = of_shard(&world, DEDICATED).await;
    assert_eq!(before.unread_bytes, object_bytes);
    assert_eq!((before.dirty_windows, before.undecided.len()), (0, 0));

    world.compact().await;
    let open = of_shard(&world, DEDICATED).await;
    assert_eq!(open.unread_bytes, 0);
    assert_eq!((open.dirty_windows, open.undecided.len()), (1, 1));

    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let closed = of_shard(&world, DEDICATED).await;
    assert_eq!((closed.dirty_windows, closed.undecided.len()), (0, 1));
}
