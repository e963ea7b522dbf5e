//! Cores beside a janitor: what one alone cannot show.

use fastrand::Rng;
use proptest::prelude::*;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::FlushId;
use skein_shared::units::Millis;
use uuid::Uuid;

use crate::core::histories::Fleet;
use crate::core::model::World;
use crate::janitor::verdict::{Evidence, Fate, Manifest, Thing, Verdict, Worker, fate, verdict};

const PATIENCE: Millis = Millis::seconds(3600);

/// A janitor that takes a long time between looking and acting, and takes whom it likes for dead.
#[derive(Default)]
struct Janitor {
    looked_at: Vec<(FlushId, Evidence)>,
    voided: u32,
    removed: u32,
}

fn flush_of(key: &str) -> FlushId {
    let Ok(ObjectKey::State { flush, .. }) = key.parse() else {
        panic!("only state objects are in the model");
    };
    flush
}

impl Janitor {
    fn step(&mut self, world: &mut World, rng: &mut Rng) {
        if rng.bool() {
            self.look(world, rng);
        } else if !self.looked_at.is_empty() {
            let place = rng.usize(..self.looked_at.len());
            let (flush, evidence) = self.looked_at.swap_remove(place);
            self.act(world, rng, flush, &evidence);
        }
    }

    fn look(&mut self, world: &World, rng: &mut Rng) {
        let keys: Vec<&String> = world.objects.keys().collect();
        let Some(key) = rng.choice(keys) else {
            return;
        };
        let flush = flush_of(key);
        let worker = if rng.u8(..4) == 0 {
            Worker::Tells
        } else {
            Worker::Silent
        };
        let evidence = Evidence {
            thing: Thing::Object,
            manifest: manifest(world, flush),
            worker,
            age: Millis(rng.u64(..2 * PATIENCE.0)),
        };
        self.looked_at.push((flush, evidence));
    }

    fn act(&mut self, world: &mut World, rng: &mut Rng, flush: FlushId, evidence: &Evidence) {
        match verdict(evidence, PATIENCE) {
            Verdict::Keep(_) => {}
            Verdict::DeclareVoid => {
                let body = FlushBody::Void {
                    reason: String::new(),
                };
                let write = Uuid::from_u128(rng.u128(..));
                if world.create_manifest(FlushManifest { flush, body }, write) {
                    self.voided += 1;
                    let manifest = Manifest::Void;
                    let evidence = Evidence {
                        manifest,
                        ..evidence.clone()
                    };
                    self.looked_at.push((flush, evidence));
                }
            }
            Verdict::Remove => {
                let before = world.objects.len();
                world.objects.retain(|key, _| flush_of(key) != flush);
                self.removed += u32::from(world.objects.len() < before);
            }
        }
    }
}

fn manifest(world: &World, flush: FlushId) -> Manifest {
    let Some(manifest) = world.manifests.get(&flush) else {
        return Manifest::Absent;
    };
    let FlushBody::Written(contents) = &manifest.body else {
        return Manifest::Void;
    };
    let fates = contents.spans.iter().map(|span| -> Fate {
        let chain = &span.stream.chain;
        let from = span.span.from;
        let mut entries = world.ledger.get(chain).into_iter().flatten();
        let at_from = entries.find(|entry| entry.span.from == from);
        fate(flush, from, world.end_of(chain), at_from)
    });
    Manifest::Written(fates.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_janitor_that_takes_the_living_for_dead_harms_nothing_that_counts(seed in any::<u32>()) {
        let mut fleet = Fleet::new(u64::from(seed));
        let mut janitor = Janitor::default();
        for _ in 0..600 {
            fleet.step();
            let mut rng = fleet.rng.fork();
            janitor.step(&mut fleet.world, &mut rng);
        }
        fleet.world.check_frames();
        fleet.calm_down();
        fleet.check_ends();
        fleet.world.check_frames();
    }
}

#[test]
fn the_janitor_of_these_histories_does_void_and_remove() {
    let (mut voided, mut removed) = (0, 0);
    for seed in 0..20 {
        let mut fleet = Fleet::new(seed);
        let mut janitor = Janitor::default();
        for _ in 0..600 {
            fleet.step();
            let mut rng = fleet.rng.fork();
            janitor.step(&mut fleet.world, &mut rng);
        }
        voided += janitor.voided;
        removed += janitor.removed;
    }
    assert!(voided > 20 && removed > 20, "{voided} {removed}");
}
