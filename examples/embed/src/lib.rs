//! The tutorial `docs/embedding.md`, whose steps are compiled and run as documentation tests.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Tutorial;
