//! The tutorial `docs/embedding.md`, whose blocks are documentation tests.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Tutorial;
