//! Objects that come into a bucket from elsewhere.

use skein_shared::format::compact_plan::CompactPlan;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{PlanId, WriteId};

use crate::world::World;

impl World {
    /// Every object of another bucket.
    pub(crate) async fn copy_from(&self, other: &Self) {
        self.copy_under(other, "").await;
    }

    /// What tasks have made elsewhere: segments and results, but no manifest.
    pub(crate) async fn copy_results_from(&self, other: &Self) {
        for listed in other.bucket.list("", None).await.unwrap() {
            let is_segment = listed.key.contains("/segment/");
            if is_segment || listed.key.starts_with("results/") {
                self.copy_under(other, &listed.key).await;
            }
        }
    }

    async fn copy_under(&self, other: &Self, prefix: &str) {
        for listed in other.bucket.list(prefix, None).await.unwrap() {
            let bytes = other.bucket.get_unchecked(&listed.key).await.unwrap();
            let put = self.bucket.put(&listed.key, bytes, WriteId::random());
            put.await.unwrap();
        }
    }

    /// Keeps a plan, whatever it says.
    pub(crate) async fn put_plan(&self, plan: &CompactPlan) -> PlanId {
        let (id, write) = (plan.id(), WriteId::random());
        let key = ObjectKey::Plan(id).to_string();
        self.bucket
            .put(&key, plan.encode(write), write)
            .await
            .unwrap();
        id
    }
}
