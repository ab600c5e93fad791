//! The log from outside: what its users may rely on, on a disk that fails as told and on a real one.
//!
//! One test binary, because linking one is faster than linking seven.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests: clippy.toml allows them in test functions, this allows them in what those call"
)]

mod append;
mod consumers;
mod full;
mod messages;
mod model;
mod real_disk;
mod recovery;
mod rot;
mod support;
