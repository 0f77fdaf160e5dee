//! Deterministic trace and span ids.
//!
//! The ids of a span follow from its [`Identity`]. A process that restarts or that observes the
//! same cluster from another place therefore reports the same span with the same ids. A store that
//! removes duplicates keeps one of them, and an initialization can link to the checkpoint that it
//! restored.

use std::fmt;

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// The inputs of a span's ids, as a 128-bit hash that is the same on every machine and in every
/// version.
///
/// The inputs of a root are the cluster, the job, and the checkpoint or attempt. The inputs of a
/// child distinguish it from its siblings.
///
/// # Examples
///
/// ```
/// use flink_traces_api::Identity;
///
/// let checkpoint = Identity::of(&["prod", "0b1d198cd84d58810f0faf9761017b2f", "checkpoint", "7"]);
/// assert_eq!(checkpoint.trace_id().to_string(), "88e75c270fea2a158602ebabac728a38");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u64; 2]);

impl Identity {
    /// Creates the identity of a list of texts.
    ///
    /// Their boundaries matter, so `["ab", "c"]` is not `["a", "bc"]`.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = FNV_OFFSET;
        let mut take = |byte: u8| hash = (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME);
        for part in parts {
            part.bytes().for_each(&mut take);
            (part.len() as u64).to_le_bytes().into_iter().for_each(&mut take);
        }
        // FNV's last bytes hardly affect the low bits, by which trace ids are sampled.
        let high = scramble((hash >> 64) as u64);
        let low = scramble(hash as u64 ^ high);
        Self([high, low])
    }

    /// Creates the identity of the sibling with that number.
    pub fn numbered(number: u64) -> Self {
        Self([0, number])
    }

    /// Returns another identity for each `number`, derived from this one.
    ///
    /// It serves spans that have no inputs of their own and are numbered below a random identity.
    #[must_use]
    pub fn and_number(self, number: u64) -> Self {
        let [high, low] = self.0;
        let high = scramble(high.wrapping_add(number));
        Self([high, scramble(low ^ high)])
    }

    /// Returns the id of the trace that a root span of this identity starts.
    pub fn trace_id(self) -> TraceId {
        let [high, low] = self.0;
        // Only a trace id of all zeros is invalid.
        TraceId((u128::from(high) << 64 | u128::from(low)).max(1).to_be_bytes())
    }
}

/// Computes the finalizer of SplitMix64, in which every input bit affects every output bit.
fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The 16 bytes that all spans of one tree share. They are never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Returns the bytes, most significant first, as in OTLP.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the id of the root span of this trace.
    pub fn root_span_id(self) -> SpanId {
        let number = u128::from_be_bytes(self.0);
        SpanId::of_number((number >> 64) as u64 ^ (number as u64).rotate_left(32))
    }
}

/// The 8 bytes that identify a span within its trace. They are never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// Returns the bytes, most significant first, as in OTLP.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// Returns the id of the child of this span with that identity.
    pub fn child(self, identity: Identity) -> SpanId {
        let parent = u64::from_be_bytes(self.0);
        let own = identity.0[0] ^ identity.0[1];
        SpanId::of_number(parent.rotate_left(17) ^ scramble(own.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    fn of_number(number: u64) -> SpanId {
        SpanId(scramble(number).max(1).to_be_bytes())
    }
}

/// Formats as lower-case hexadecimal.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Formats as lower-case hexadecimal.
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
    fn ids_are_stable_across_versions() {
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
    fn identity_depends_on_text_boundaries() {
        assert_ne!(Identity::of(&["ab", "c"]), Identity::of(&["a", "bc"]));
        assert_ne!(Identity::of(&["a"]), Identity::of(&["a", ""]));
    }

    #[test]
    fn a_million_spans_of_a_tree_have_distinct_ids() {
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
