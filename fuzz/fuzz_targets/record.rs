//! Any bytes as a record of the log: rows or quarantine, never a panic, and never both lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use processor::Processor;

fuzz_target!(|input: &[u8]| {
    let processed = Processor::default().process(input);
    assert!(processed.tally.is_some() || !processed.quarantined.is_empty());
});
