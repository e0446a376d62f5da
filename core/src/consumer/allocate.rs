// SPDX-License-Identifier: Apache-2.0
//! Who of a group gets which queues. Every member computes it for itself, in every language, from the same sorted
//! lists: a deviation gives a queue to two of them or to none.

use crate::message::Queue;

/// The share of member `me`: neighbouring queues, the first members getting one more if it does not come out even.
/// Both lists have to be sorted. Nothing if `me` is no member.
pub(super) fn averagely(queues: &[Queue], members: &[String], me: &str) -> Vec<Queue> {
    let Some(index) = members.iter().position(|member| member == me) else {
        return Vec::new();
    };
    let (rest, share) = (queues.len() % members.len(), queues.len() / members.len());
    let begin = index * share + index.min(rest);
    let size = share + usize::from(index < rest);
    queues.iter().skip(begin).take(size).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(queues: i32, members: usize, index: usize) -> Vec<i32> {
        let queues: Vec<Queue> = (0..queues)
            .map(|queue_id| Queue {
                topic: "t".into(),
                broker_name: "b".into(),
                queue_id,
            })
            .collect();
        let members: Vec<String> = (0..members).map(|member| format!("m{member}")).collect();
        averagely(&queues, &members, &members[index])
            .into_iter()
            .map(|queue| queue.queue_id)
            .collect()
    }

    /// The reference's own arithmetic, from its description.
    fn reference(n: i32, c: i32, i: i32) -> Vec<i32> {
        let m = n % c;
        let size = if n <= c {
            1
        } else {
            n / c + i32::from(m > 0 && i < m)
        };
        let start = if m > 0 && i < m {
            i * size
        } else {
            i * size + m
        };
        let count = size.min(n - start).max(0);
        (start..start + count).collect()
    }

    #[test]
    fn shares_are_the_references() {
        for queues in 0..20 {
            for members in 1..8 {
                for index in 0..members {
                    assert_eq!(
                        share(
                            queues,
                            usize::try_from(members).expect("small"),
                            usize::try_from(index).expect("small")
                        ),
                        reference(queues, members, index),
                        "{queues} queues, {members} members, member {index}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_stranger_gets_nothing() {
        let queue = Queue {
            topic: "t".into(),
            broker_name: "b".into(),
            queue_id: 0,
        };
        assert!(averagely(&[queue], &["a".to_owned()], "b").is_empty());
    }
}
