//! Chains in a protobuf body: those of one topic share its names.

use prost::Message;

use crate::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName};

/// The chains of one life of a topic, with a number for each.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChainGroup {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(uint32, tag = "3")]
    incarnation: u32,
    #[prost(uint32, repeated, tag = "4")]
    partitions: Vec<u32>,
    #[prost(int64, repeated, tag = "5")]
    numbers: Vec<i64>,
}

/// Groups chains, each with its number, in their order.
pub(crate) fn group<'a>(chains: impl Iterator<Item = (&'a Chain, i64)>) -> Vec<ChainGroup> {
    let mut groups: Vec<ChainGroup> = Vec::new();
    for (chain, number) in chains {
        let open = groups.last_mut().filter(|group| {
            group.source == chain.source.as_str()
                && group.topic == chain.topic.as_str()
                && group.incarnation == chain.incarnation.0
        });
        if let Some(group) = open {
            group.partitions.push(chain.partition.0);
            group.numbers.push(number);
        } else {
            groups.push(ChainGroup {
                source: chain.source.as_str().to_owned(),
                topic: chain.topic.as_str().to_owned(),
                incarnation: chain.incarnation.0,
                partitions: vec![chain.partition.0],
                numbers: vec![number],
            });
        }
    }
    groups
}

/// The chains of `groups` with their numbers, which must ascend.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn ungroup(groups: Vec<ChainGroup>) -> Result<Vec<(Chain, i64)>, String> {
    let mut chains: Vec<(Chain, i64)> = Vec::new();
    for group in groups {
        let source = SourceName::new(group.source)?;
        let topic = TopicName::new(group.topic)?;
        if group.partitions.len() != group.numbers.len() {
            return Err("partitions and their numbers differ in count".into());
        }
        for (partition, number) in group.partitions.into_iter().zip(group.numbers) {
            let chain = Chain {
                source: source.clone(),
                topic: topic.clone(),
                incarnation: Incarnation(group.incarnation),
                partition: PartitionId(partition),
            };
            if chains.last().is_some_and(|(last, _)| *last >= chain) {
                return Err(format!("chain {chain} is out of order"));
            }
            chains.push((chain, number));
        }
    }
    Ok(chains)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(topic: &str, partition: u32) -> Chain {
        Chain {
            source: SourceName::new("kafka").unwrap(),
            topic: TopicName::new(topic).unwrap(),
            incarnation: Incarnation(2),
            partition: PartitionId(partition),
        }
    }

    #[test]
    fn chains_of_one_topic_share_a_group_and_read_back() {
        let chains = vec![(chain("a", 1), -5), (chain("a", 2), 7), (chain("b", 0), 0)];
        let groups = group(chains.iter().map(|(chain, number)| (chain, *number)));
        assert_eq!(groups.len(), 2);
        assert_eq!(ungroup(groups), Ok(chains));
    }

    #[test]
    fn chains_out_of_order_or_with_a_bad_name_are_refused() {
        let (a, b) = (chain("a", 1), chain("b", 0));
        let mut groups = group([(&b, 0), (&a, 0)].into_iter());
        assert!(ungroup(groups.clone()).is_err());
        groups.reverse();
        groups[0].topic = "a/b".into();
        assert!(ungroup(groups.clone()).is_err());
        groups[0].topic = "a".into();
        groups[0].numbers.clear();
        assert!(ungroup(groups).is_err());
    }
}
