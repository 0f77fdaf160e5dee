//! Verification of the result.
//!
//! For each key, the output has the counts from 1 to the number of its records, in order.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::options::Options;
use crate::store::Store;
use crate::subtask::{KEYS, key_of};

/// Checks the files of all sinks. Returns the number of lines.
pub(crate) fn verify(options: &Options) -> Result<u64> {
    let store = Store::open(&options.directory)?;
    let mut counts = vec![0_u64; KEYS as usize];
    for subtask in 0..options.parallelism {
        for line in fs::read_to_string(store.output(subtask))?.lines() {
            let (key, count) = line.split_once(' ').context("incomplete line")?;
            let known = counts.get_mut(key.parse::<usize>()?).context("unknown key")?;
            *known += 1;
            ensure!(*known == count.parse::<u64>()?, "key {key}: expected {known}, found {count}");
        }
    }
    let mut expected = vec![0_u64; KEYS as usize];
    (0..options.records).for_each(|number| expected[key_of(number) as usize] += 1);
    ensure!(counts == expected, "some records were not counted");
    Ok(counts.iter().sum())
}
