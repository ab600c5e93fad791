//! The one binary `rivulet`: joins collector, log, processor, store and query into a server, and is its command line.
//!
//! Everything here is a shell: it moves bytes, keeps time and holds the parts together. What is accepted, what counts
//! once and what an answer means is decided by the pure crates. An event can be followed through `ingest.rs`,
//! `process.rs` and `query.rs`.

pub mod append;
pub mod balance;
pub mod body;
pub mod caller;
pub mod chart;
pub mod cli;
pub mod config;
pub mod delete;
pub mod door;
pub mod gate;
pub mod guard;
pub mod http;
pub mod ingest;
pub mod inspect;
pub mod jsonp;
pub mod kept;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod listen;
pub mod logs;
pub mod metadata;
pub mod places;
pub mod process;
pub mod projects;
pub mod quarantine;
pub mod query;
pub mod remember;
pub mod resolve;
pub mod routes;
pub mod scoped;
pub mod sealing;
pub mod serve;
pub mod share;
pub mod shed;
pub mod telemetry;
pub mod tls;
pub mod trace;
pub mod upkeep;
pub mod watch;
