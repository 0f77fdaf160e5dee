//! Deterministic trace and span ids.
//!
//! Whoever knows a span's [`Identity`] knows its ids: a process that starts again, or looks at the same cluster from
//! elsewhere, reports the same span under the same ids, so a store that removes duplicates keeps one, and a recovery can
//! link to the checkpoint that it restored.

use std::fmt;

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// What makes a span this one and no other: for a root the cluster, the job and the checkpoint or attempt; for a child
/// what tells it from its siblings. A 128-bit hash of those parts, the same on every machine and in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u64; 2]);

impl Identity {
    /// The identity made of `parts`. Parts are kept apart: `["ab", "c"]` is not `["a", "bc"]`.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = FNV_OFFSET;
        let mut take = |byte: u8| hash = (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME);
        for part in parts {
            part.bytes().for_each(&mut take);
            (part.len() as u64).to_le_bytes().into_iter().for_each(&mut take);
        }
        // FNV's last bytes hardly reach the low bits; trace ids are sampled by them.
        let high = scramble((hash >> 64) as u64);
        let low = scramble(hash as u64 ^ high);
        Self([high, low])
    }

    /// The identity of the `number`th of some siblings.
    pub fn numbered(number: u64) -> Self {
        Self([0, number])
    }

    /// Another identity for every `number`: of what is told apart by nothing else than that this one was made by chance.
    #[must_use]
    pub fn and_number(self, number: u64) -> Self {
        let [high, low] = self.0;
        let high = scramble(high.wrapping_add(number));
        Self([high, scramble(low ^ high)])
    }

    /// The trace that a root span of this identity starts.
    pub fn trace_id(self) -> TraceId {
        let [high, low] = self.0;
        // Only a trace id of all zeros is invalid.
        TraceId((u128::from(high) << 64 | u128::from(low)).max(1).to_be_bytes())
    }
}

/// The finalizer of SplitMix64: every input bit reaches every output bit.
fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The 16 bytes that all spans of one tree share. Never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The bytes, most significant first, as OTLP carries them.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of this trace's root span.
    pub fn root_span_id(self) -> SpanId {
        let number = u128::from_be_bytes(self.0);
        SpanId::of_number((number >> 64) as u64 ^ (number as u64).rotate_left(32))
    }
}

/// The 8 bytes that tell a span from all others of its trace. Never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The bytes, most significant first, as OTLP carries them.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The id of the child of this span that `identity` tells from its siblings.
    pub fn child(self, identity: Identity) -> SpanId {
        let parent = u64::from_be_bytes(self.0);
        let own = identity.0[0] ^ identity.0[1];
        SpanId::of_number(parent.rotate_left(17) ^ scramble(own.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    fn of_number(number: u64) -> SpanId {
        SpanId(scramble(number).max(1).to_be_bytes())
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_the_same_in_every_version() {
        let identity = Identity::of(&["prod", "0b1d198cd84d58810f0faf9761017b2f", "checkpoint", "7"]);
        let trace = identity.trace_id();
        let root = trace.root_span_id();
        assert_eq!(
            (trace.to_string(), root.to_string(), root.child(Identity::numbered(3)).to_string()),
            (
                "88e75c270fea2a158602ebabac728a38".to_owned(),
                "d021b2e3f1f1c720".to_owned(),
                "a7022e8c295efee5".to_owned()
            )
        );
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(Identity::of(&["ab", "c"]), Identity::of(&["a", "bc"]));
        assert_ne!(Identity::of(&["a"]), Identity::of(&["a", ""]));
    }

    #[test]
    fn a_million_spans_of_one_tree_have_a_million_ids() {
        let root = Identity::of(&["tree"]).trace_id().root_span_id();
        let mut seen = HashSet::from([root]);
        for task in 0..1000 {
            let task = root.child(Identity::numbered(task));
            assert!(seen.insert(task));
            for subtask in 0..1000 {
                assert!(seen.insert(task.child(Identity::numbered(subtask))));
            }
        }
    }
}
