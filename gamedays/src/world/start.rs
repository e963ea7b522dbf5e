//! A world before its first turn.

use std::collections::BTreeMap;

use fastrand::Rng;
use skein_shared::shard_map::ShardMap;

use crate::model_kafka::ModelKafka;
use crate::model_s3::ModelS3;
use crate::mutants::Mutation;
use crate::promise_check::{PromiseCheck, Version};
use crate::trace::Trace;
use crate::world::agenda::{Agenda, Turn};
use crate::world::counts::Counts;
use crate::world::liveness::Liveness;
use crate::world::plan::Plan;
use crate::world::{Slot, World};

pub(super) fn world_of(seed: u64, mutation: Option<Mutation>, trace: Trace) -> World {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::draw(&mut rng);
    world_with((plan, rng), mutation, trace)
}

pub(super) fn world_with(
    (plan, rng): (Plan, Rng),
    mutation: Option<Mutation>,
    trace: Trace,
) -> World {
    let mut check = PromiseCheck::new(plan.settings.clone(), plan.delay);
    check.routings.0.push(Version {
        from: i64::MIN,
        modulus: plan.routing.modulus,
        dedicated: plan.routing.dedicated.iter().map(|org| org.0).collect(),
    });
    let mut world = World {
        kafka: ModelKafka::new(plan.partitions, plan.session_ms),
        s3: ModelS3::new(plan.floors.part_bytes),
        slots: (0..plan.workers).map(|_| Slot::default()).collect(),
        shard_map: ShardMap::new(plan.routing.clone()),
        liveness: Liveness::default(),
        plan,
        mutation,
        rng,
        now: 0,
        agenda: Agenda::default(),
        check,
        trace,
        ops: Vec::new(),
        janitor: None,
        alerts: BTreeMap::new(),
        counts: Counts::default(),
        actions: Vec::new(),
    };
    for _ in 0..world.plan.backlog {
        world.produce();
    }
    for slot in 0..world.plan.workers {
        let at = world.rng.u64(..1_500);
        world.agenda.set(at, Turn::Start(slot));
    }
    for turn in [Turn::Group, Turn::Produce, Turn::Chaos] {
        world.agenda.set(0, turn);
    }
    world
}
