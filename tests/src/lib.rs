//! What tests of the parts together share: a server as a process of its own, and small HTTP calls.
//!
//! Nothing here decides whether a test passes; that stands in the tests.

pub mod corpus;
pub mod edge;
pub mod scenario;
pub mod server;
pub mod standin;
