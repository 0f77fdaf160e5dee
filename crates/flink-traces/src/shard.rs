//! Shards: processes that divide the clusters among themselves, without a coordinator.

use std::path::Path;

use flink_traces_api::Identity;

use crate::cli::ShardArgs;

/// The share of the clusters that this process watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// The number of this process, from 0.
    pub(crate) number: u32,
    /// The number of processes.
    pub(crate) count: u32,
}

impl Shard {
    /// Returns the shard of the arguments; without them, the only one.
    ///
    /// `host_name` is that of the machine or the pod. If it ends with a number, as those of a
    /// StatefulSet do, that is the default.
    pub(crate) fn new(arguments: ShardArgs, host_name: Option<&str>) -> anyhow::Result<Self> {
        let ShardArgs { shards: count, shard } = arguments;
        let number = match shard {
            Some(number) => number,
            None if count == 1 => 0,
            None => {
                let ordinal = host_name.and_then(|name| name.split('.').next()?.rsplit_once('-')?.1.parse().ok());
                ordinal.ok_or_else(|| {
                    let name = host_name.unwrap_or_default();
                    anyhow::anyhow!(
                        "--shard is not given, and the host name '{name}' does not end with a number such as -0"
                    )
                })?
            }
        };
        anyhow::ensure!(number < count, "shard {number} does not exist, --shards {count} has 0 to {}", count - 1);
        Ok(Self { number, count })
    }

    /// Returns `true` if this shard watches the cluster.
    ///
    /// Each shard has a weight for each name, which is a hash of both. The heaviest watches the
    /// cluster, so a change of the number of shards moves no other clusters than it must.
    pub(crate) fn watches(self, cluster: &str) -> bool {
        let weight = |number: u32| Identity::of(&["shard", cluster]).and_number(number.into()).trace_id();
        let heaviest = (0..self.count).max_by_key(|number| *weight(*number).as_bytes());
        heaviest == Some(self.number)
    }
}

/// Returns the name of this machine or pod.
pub(crate) fn host_name() -> Option<String> {
    let of_kernel = || std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname")).ok();
    let name = std::env::var("HOSTNAME").ok().or_else(of_kernel)?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_is_given_or_follows_from_the_host_name() {
        let shard = |shards, shard, name| Shard::new(ShardArgs { shards, shard }, name).map(|shard| shard.number);
        assert_eq!(shard(1, None, None).unwrap(), 0);
        assert_eq!(shard(3, Some(2), Some("agent-0")).unwrap(), 2);
        assert_eq!(shard(3, None, Some("flink-traces-1")).unwrap(), 1);
        assert_eq!(shard(3, None, Some("flink-traces-2.flink-traces.monitoring")).unwrap(), 2);
        for (number, name, expected) in [
            (None, Some("laptop"), "--shard is not given, and the host name 'laptop' does not end with a number"),
            (None, None, "--shard is not given, and the host name ''"),
            (None, Some("agent-3"), "shard 3 does not exist, --shards 3 has 0 to 2"),
            (Some(3), None, "shard 3 does not exist"),
        ] {
            let error = shard(3, number, name).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn each_cluster_has_one_shard_and_few_move() {
        let names: Vec<_> = (0..3_000).map(|number| format!("team-{}/cluster-{number}", number % 7)).collect();
        let owners = |count: u32| -> Vec<u32> {
            let owner = |name: &String| {
                let all: Vec<_> = (0..count).filter(|number| Shard { number: *number, count }.watches(name)).collect();
                assert_eq!(all.len(), 1, "{name}: {all:?}");
                all[0]
            };
            names.iter().map(owner).collect()
        };
        let (three, four) = (owners(3), owners(4));
        for number in 0..3 {
            let share = three.iter().filter(|owner| **owner == number).count();
            assert!((850..1_150).contains(&share), "{number}: {share}");
        }
        let moved: Vec<_> = three.iter().zip(&four).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| **after == 3), "{moved:?}");
        assert!((600..900).contains(&moved.len()), "{}", moved.len());
        assert!(owners(1).iter().all(|owner| *owner == 0));
    }

    #[test]
    fn owner_of_a_cluster_never_changes() {
        // Another owner after an update would report everything a second time.
        let owner = |name| (0..16).find(|number| Shard { number: *number, count: 16 }.watches(name));
        let owners = ["prod", "localhost:8081", "team-a/orders", "eu/team-a/orders"].map(owner);
        expect_test::expect!["[Some(10), Some(1), Some(14), Some(14)]"].assert_eq(&format!("{owners:?}"));
    }
}
