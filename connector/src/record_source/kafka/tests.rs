use std::collections::{BTreeMap, BTreeSet};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use skein_config::Settings;
use skein_config::load::{Layers, load};
use skein_local::embedded_broker::EmbeddedBroker;
use skein_shared::units::ByteCount;

use super::*;

const TOPIC: &str = "paused";
const PARTITIONS: usize = 4;
const RECORDS: usize = 400;
const TURN: Duration = Duration::from_millis(20);

/// A member that answers its group at once, and begins where its group has come to.
struct Member {
    source: KafkaSource,
    asked: Vec<GroupEvent>,
    reads: BTreeSet<TopicPartition>,
    /// Records that it was given.
    given: usize,
}

/// Offsets that were read, partition by partition.
type Seen = BTreeMap<u32, BTreeSet<i64>>;

fn settings(broker: &EmbeddedBroker) -> Settings {
    let mut settings = load(&Layers::default()).unwrap();
    broker.bootstrap().clone_into(&mut settings.kafka.brokers);
    settings.kafka.topics = vec![TOPIC.to_owned()];
    // As everywhere on this broker: it takes long over cooperative assignment.
    for (name, value) in [
        ("partition.assignment.strategy", "range"),
        ("session.timeout.ms", "4000"),
        ("heartbeat.interval.ms", "1000"),
    ] {
        let (name, value) = (name.to_owned(), value.to_owned());
        settings.kafka.properties.0.insert(name, value);
    }
    settings
}

fn produce(broker: &EmbeddedBroker) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .create()
        .unwrap();
    for number in 0..RECORDS {
        let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(TOPIC)
            .partition(i32::try_from(number % PARTITIONS).unwrap())
            .payload(b"a record");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_mins(1)).unwrap();
}

impl Member {
    fn join(settings: &Settings) -> Self {
        let share = FetchShare::of_one_broker(ByteCount::mib(8));
        Self {
            source: KafkaSource::join(&settings.kafka, share).unwrap(),
            asked: Vec::new(),
            reads: BTreeSet::new(),
            given: 0,
        }
    }

    /// Takes what comes next, and answers the group.
    fn turn(&mut self, seen: &mut Seen) {
        let given = &mut self.given;
        let polled = self.source.poll(TURN, |_, partition, record| {
            *given += 1;
            let is_new = seen.entry(partition).or_default().insert(record.offset.0);
            assert!(is_new, "{partition}/{} came twice", record.offset);
        });
        polled.unwrap();
        while let Some(event) = self.source.group_event() {
            self.answer(&event, seen);
            self.asked.push(event);
        }
    }

    fn answer(&mut self, event: &GroupEvent, seen: &Seen) {
        match event {
            GroupEvent::Assigned(names) => {
                self.reads.extend(names.iter().cloned());
                let next = |name: &TopicPartition| {
                    let read = seen.get(&name.partition.0).and_then(BTreeSet::last);
                    Offset(read.map_or(0, |last| last + 1))
                };
                let all = self.reads.iter().map(|name| (name.clone(), next(name)));
                let all: Vec<_> = all.collect();
                self.source.assign(&all, &all).unwrap();
            }
            GroupEvent::Revoked(names) | GroupEvent::Lost(names) => {
                self.reads.retain(|name| !names.contains(name));
                assert!(self.reads.is_empty(), "it gives back all at once");
                self.source.unassign(names, &[]).unwrap();
            }
        }
    }

    fn was_asked(&self, wanted: fn(&GroupEvent) -> bool) -> bool {
        self.asked.iter().any(wanted)
    }
}

/// Lets both take turns until it is as it is wanted to be.
#[track_caller]
fn until<const N: usize>(
    members: &mut [&mut Member; N],
    seen: &mut Seen,
    wanted: impl Fn(&[&mut Member; N], &Seen) -> bool,
) {
    let began = Instant::now();
    while !wanted(members, seen) {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "{seen:?} {:?}",
            members.each_ref().map(|member| &member.asked)
        );
        for member in members.iter_mut() {
            member.turn(seen);
        }
    }
}

fn count(seen: &Seen) -> usize {
    seen.values().map(BTreeSet::len).sum()
}

#[test]
fn a_member_that_is_kept_from_records_for_long_hears_its_group_and_then_misses_none() {
    let broker = EmbeddedBroker::start().unwrap();
    broker
        .create_topic(TOPIC, u32::try_from(PARTITIONS).unwrap())
        .unwrap();
    produce(&broker);
    let (settings, mut seen) = (settings(&broker), Seen::new());
    let mut first = Member::join(&settings);
    until(&mut [&mut first], &mut seen, |_, seen| count(seen) >= 50);
    first.source.set_intake(Intake::Closed).unwrap();
    let given = first.given;
    until(&mut [&mut first], &mut seen, |[first], _| {
        first.source.gate == Gate::Paused
    });
    let mut second = Member::join(&settings);
    let both = &mut [&mut first, &mut second];
    until(both, &mut seen, |[first, second], _| {
        let gave_back = first.was_asked(|event| matches!(event, GroupEvent::Revoked(_)));
        gave_back && !first.reads.is_empty() && !second.reads.is_empty()
    });
    // The other one comes to its end meanwhile.
    let theirs = both[1].reads.len() * RECORDS / PARTITIONS;
    until(both, &mut seen, |[_, second], seen| {
        let of = |name: &TopicPartition| seen.get(&name.partition.0).map_or(0, BTreeSet::len);
        second.reads.iter().map(of).sum::<usize>() == theirs
    });
    assert_eq!(both[0].given, given, "it is kept from records");
    both[0].source.set_intake(Intake::Open).unwrap();
    until(both, &mut seen, |_, seen| count(seen) == RECORDS);
}
