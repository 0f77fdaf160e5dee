//! Deterministic trace and span ids.
//!
//! The ids of a span follow from its [`Identity`]. A process that restarts or that observes the
//! same cluster from another place therefore reports the same span with the same ids. A store that
//! removes duplicates keeps one of them, and an initialization can link to the checkpoint that it
//! restored.
//!
//! A [`SpanContext`] names a span by its ids alone, such as one of another library.

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
    /// Creates an id. Returns `None` if all bytes are zero.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

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
    /// Creates an id. Returns `None` if all bytes are zero.
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

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

/// The ids of a span, by which another span names it as its parent or in a link.
///
/// It is the part of OpenTelemetry's `SpanContext` and of W3C's `traceparent` that identifies a
/// span. The [`Identity`] of a root converts into the ids of that root.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{Identity, SpanContext};
///
/// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let request = SpanContext::from_traceparent(header).ok_or("not a traceparent")?;
/// assert_eq!(request.span_id.to_string(), "b7ad6b7169203331");
///
/// let checkpoint = SpanContext::from(Identity::of(&["prod", "5c4b", "checkpoint", "7"]));
/// assert_eq!(checkpoint.span_id, checkpoint.trace_id.root_span_id());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
// Exhaustive: W3C identifies a span by these two ids.
pub struct SpanContext {
    /// The id of the trace.
    pub trace_id: TraceId,
    /// The id of the span within the trace.
    pub span_id: SpanId,
}

impl SpanContext {
    /// Parses the header `traceparent` of W3C Trace Context, such as
    /// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
    ///
    /// The flags do not matter. Returns `None` if the header is invalid, or if an id is zero.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut fields = header.trim_ascii().split('-');
        let (version, trace_id, span_id) = (fields.next()?, fields.next()?, fields.next()?);
        let [version] = hexadecimal(version)?;
        let [_flags] = hexadecimal(fields.next()?)?;
        // Later versions may add fields, and version 255 is forbidden.
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        let trace_id = TraceId::from_bytes(hexadecimal(trace_id)?)?;
        Some(Self { trace_id, span_id: SpanId::from_bytes(hexadecimal(span_id)?)? })
    }
}

impl From<Identity> for SpanContext {
    /// Returns the ids of the root with that identity.
    fn from(root: Identity) -> Self {
        let trace_id = root.trace_id();
        Self { trace_id, span_id: trace_id.root_span_id() }
    }
}

/// Parses lower-case hexadecimal digits, of which there must be two for each byte.
fn hexadecimal<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut bytes = [0; LEN];
    if pairs.len() != LEN {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
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
    fn traceparent_is_parsed_as_w3c_specifies() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parsed = SpanContext::from_traceparent(good).unwrap();
        assert_eq!(
            (parsed.trace_id.to_string(), parsed.span_id.to_string()),
            ("0af7651916cd43dd8448eb211c80319c".to_owned(), "b7ad6b7169203331".to_owned())
        );
        // Another version may have more fields.
        for same in [format!("  {good} "), good.replace("-01", "-00"), good.replacen("00", "cc", 1) + "-more"] {
            assert_eq!(SpanContext::from_traceparent(&same), Some(parsed), "{same}");
        }
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c0-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319ü-b7ad6b7169203331-01",
        ] {
            assert_eq!(SpanContext::from_traceparent(bad), None, "{bad}");
        }
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
