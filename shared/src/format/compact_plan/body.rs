//! The plan's protobuf body. What tasks have in common stands in it once: spans and positions are the same for most
//! shards, and there are thousands of partitions.

use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Advance, AllowedFrames, CompactPlan, Part, PlanRules, PlannedObject, PlannedTask, SeriesRange,
    Step,
};
use crate::format::flush_manifest::ObjectMessage;
use crate::format::shard_manifest::{LimitsBody, SeriesBody};
use crate::format::wire::{self, Reading};
use crate::ids::Hole;
use crate::window::{TimestampMs, Window};

#[derive(Clone, PartialEq, Message)]
pub(super) struct PlanMessage {
    #[prost(message, optional, tag = "1")]
    rules: Option<RulesMessage>,
    #[prost(message, repeated, tag = "2")]
    inputs: Vec<InputMessage>,
    #[prost(message, repeated, tag = "3")]
    tasks: Vec<TaskMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct RulesMessage {
    #[prost(uint64, tag = "1")]
    shard_map_versions: u64,
    #[prost(uint64, tag = "2")]
    timeline: u64,
    #[prost(sint64, optional, tag = "3")]
    watermark_ms: Option<i64>,
    #[prost(string, tag = "4")]
    profile: String,
    #[prost(uint32, tag = "5")]
    max_overlays: u32,
    #[prost(message, optional, tag = "6")]
    limits: Option<LimitsBody>,
    #[prost(string, repeated, tag = "7")]
    rollups: Vec<String>,
    #[prost(uint64, tag = "21")]
    deletes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InputMessage {
    #[prost(message, repeated, tag = "1")]
    advances: Vec<AdvanceMessage>,
    #[prost(message, repeated, tag = "2")]
    allowed: Vec<AllowedMessage>,
}

/// Of a chain, or of the fills of one of its holes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AdvanceMessage {
    #[prost(message, optional, tag = "1")]
    chain: Option<wire::Chain>,
    #[prost(uint64, optional, tag = "2")]
    hole: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    from: Option<u64>,
    #[prost(uint64, tag = "4")]
    to: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AllowedMessage {
    #[prost(string, tag = "1")]
    flush: String,
    #[prost(message, optional, tag = "2")]
    stream: Option<wire::Stream>,
    #[prost(uint64, tag = "3")]
    from: u64,
    #[prost(uint64, tag = "4")]
    to: u64,
}

#[derive(Clone, PartialEq, Message)]
struct TaskMessage {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(uint32, tag = "2")]
    part: u32,
    #[prost(uint32, tag = "3")]
    parts: u32,
    #[prost(message, optional, tag = "4")]
    first: Option<SeriesBody>,
    #[prost(message, optional, tag = "5")]
    last: Option<SeriesBody>,
    #[prost(uint32, tag = "6")]
    input: u32,
    #[prost(message, repeated, tag = "7")]
    objects: Vec<PlannedObjectMessage>,
    #[prost(sint64, optional, tag = "8")]
    complete_to_ms: Option<i64>,
    #[prost(sint64, repeated, tag = "9")]
    rewrites: Vec<i64>,
    #[prost(uint64, optional, tag = "10")]
    most_bytes: Option<u64>,
    #[prost(uint64, tag = "21")]
    deletes_due: u64,
    #[prost(sint64, repeated, tag = "22")]
    whole: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct PlannedObjectMessage {
    #[prost(string, tag = "1")]
    flush: String,
    #[prost(message, optional, tag = "2")]
    object: Option<ObjectMessage>,
}

/// xxh3-128 of the body: prost writes fields in order, and ours have no maps.
pub(super) fn content_hash(plan: &CompactPlan) -> u128 {
    xxh3_128(&PlanMessage::of(plan).encode_to_vec())
}

impl PlanMessage {
    pub(super) fn of(plan: &CompactPlan) -> Self {
        let mut inputs: Vec<InputMessage> = Vec::new();
        let tasks = plan.tasks.iter().map(|task| {
            let input = InputMessage::of(&task.step);
            let known = inputs.iter().position(|known| *known == input);
            let index = known.unwrap_or_else(|| {
                inputs.push(input);
                inputs.len() - 1
            });
            TaskMessage::of(task, u32::try_from(index).expect("fewer than 2^32 tasks"))
        });
        Self {
            tasks: tasks.collect(),
            inputs,
            rules: Some(RulesMessage::of(&plan.rules)),
        }
    }

    pub(super) fn read(self) -> Reading<CompactPlan> {
        let inputs = self.inputs.into_iter().map(InputMessage::read);
        let inputs: Vec<Step> = inputs.collect::<Reading<_>>()?;
        let tasks = self.tasks.into_iter().map(|task| task.read(&inputs));
        Ok(CompactPlan {
            rules: wire::required(self.rules, "rules")?.read()?,
            tasks: tasks.collect::<Reading<_>>()?,
        })
    }
}

impl RulesMessage {
    fn of(rules: &PlanRules) -> Self {
        Self {
            shard_map_versions: rules.shard_map_versions,
            timeline: rules.timeline,
            watermark_ms: rules.watermark.map(|time| time.0),
            profile: rules.profile.to_string(),
            max_overlays: rules.max_overlays,
            limits: Some(LimitsBody::from(&rules.limits)),
            rollups: rules.rollups.iter().map(ToString::to_string).collect(),
            deletes: rules.deletes,
        }
    }

    fn read(self) -> Reading<PlanRules> {
        let rollups = self.rollups.iter().map(|rollup| rollup.parse());
        Ok(PlanRules {
            shard_map_versions: self.shard_map_versions,
            timeline: self.timeline,
            watermark: self.watermark_ms.map(TimestampMs),
            profile: self.profile.parse()?,
            max_overlays: self.max_overlays,
            limits: wire::required(self.limits, "limits")?.read(),
            rollups: rollups.collect::<Reading<_>>()?,
            deletes: self.deletes,
        })
    }
}

impl InputMessage {
    /// What of a step most tasks have in common.
    pub(crate) fn of(step: &Step) -> Self {
        let chains = step.advances.iter();
        let chains = chains.map(|(chain, advance)| AdvanceMessage {
            chain: Some(wire::Chain::of(chain)),
            hole: None,
            from: advance.from.map(wire::offset_number),
            to: wire::offset_number(advance.to),
        });
        let fills = step.fill_advances.iter();
        let fills = fills.map(|(hole, advance)| AdvanceMessage {
            chain: Some(wire::Chain::of(&hole.chain)),
            hole: Some(wire::offset_number(hole.from)),
            from: advance.from.map(wire::offset_number),
            to: wire::offset_number(advance.to),
        });
        let mut allowed = Vec::new();
        for (flush, streams) in &step.allowed.0 {
            for (stream, spans) in streams {
                allowed.extend(spans.iter().map(|span| AllowedMessage {
                    flush: flush.to_string(),
                    stream: Some(wire::Stream::of(stream)),
                    from: wire::offset_number(span.from),
                    to: wire::offset_number(span.to),
                }));
            }
        }
        Self {
            advances: chains.chain(fills).collect(),
            allowed,
        }
    }

    /// A step that has nothing else.
    pub(crate) fn read(self) -> Reading<Step> {
        let mut step = Step::default();
        for message in self.advances {
            let chain = wire::required(message.chain, "chain")?.read()?;
            let advance = Advance {
                from: message.from.map(wire::offset).transpose()?,
                to: wire::offset(message.to)?,
            };
            match message.hole {
                None => step.advances.insert(chain, advance),
                Some(hole) => {
                    let from = wire::offset(hole)?;
                    step.fill_advances.insert(Hole { chain, from }, advance)
                }
            };
        }
        let mut allowed = AllowedFrames::default();
        for message in self.allowed {
            let stream = wire::required(message.stream, "stream")?.read()?;
            let span = wire::span(message.from, message.to)?;
            allowed.allow(message.flush.parse()?, stream, span);
        }
        step.allowed = allowed;
        Ok(step)
    }
}

impl TaskMessage {
    fn of(task: &PlannedTask, input: u32) -> Self {
        let step = &task.step;
        let objects = step.objects.iter().map(|planned| PlannedObjectMessage {
            flush: planned.flush.to_string(),
            object: Some(ObjectMessage::of(&planned.object)),
        });
        Self {
            shard: task.shard.to_string(),
            part: task.part.number,
            parts: task.part.of,
            first: Some(SeriesBody::from(task.part.series.first)),
            last: Some(SeriesBody::from(task.part.series.last)),
            input,
            most_bytes: task.most_bytes,
            objects: objects.collect(),
            complete_to_ms: step.complete_to.map(|time| time.0),
            rewrites: step.rewrites.iter().map(|window| window.number()).collect(),
            deletes_due: step.deletes_due,
            whole: step.whole.iter().map(|window| window.number()).collect(),
        }
    }

    fn read(self, inputs: &[Step]) -> Reading<PlannedTask> {
        let input = usize::try_from(self.input).ok().and_then(|i| inputs.get(i));
        let input = wire::required(input, "input of a task")?.clone();
        if self.part >= self.parts {
            return Err(format!("part {} of {} parts", self.part, self.parts));
        }
        let objects = self.objects.into_iter().map(|planned| {
            Ok(PlannedObject {
                flush: planned.flush.parse()?,
                object: wire::required(planned.object, "object")?.read()?,
            })
        });
        let step = Step {
            objects: objects.collect::<Reading<_>>()?,
            complete_to: self.complete_to_ms.map(TimestampMs),
            rewrites: self.rewrites.into_iter().map(Window::from_number).collect(),
            deletes_due: self.deletes_due,
            whole: self.whole.into_iter().map(Window::from_number).collect(),
            ..input
        };
        Ok(PlannedTask {
            shard: self.shard.parse()?,
            part: Part {
                number: self.part,
                of: self.parts,
                series: SeriesRange {
                    first: wire::required(self.first, "first series")?.read(),
                    last: wire::required(self.last, "last series")?.read(),
                },
            },
            most_bytes: self.most_bytes,
            step,
        })
    }
}
