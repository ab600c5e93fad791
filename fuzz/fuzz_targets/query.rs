//! Any bytes as a query: a refusal or a plan whose buckets touch, and an answer to a store that found nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::Timestamp;
use protocol::limits::QueryLimits;
use protocol::query::Analysis;
use query::plan::Output;

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let (analysis, _) = Analysis::ALL[usize::from(*choice) % Analysis::ALL.len()];
    let Ok(params) = query::params_from_json(body) else { return };
    let project = "p".parse().expect("a project id");
    let now = Timestamp::from_millis(1_577_836_800_000);
    let Ok(plan) = query::plan(&project, analysis, &params, &[], now, &QueryLimits::default()) else { return };
    assert!(plan.buckets.iter().all(|bucket| bucket.start < bucket.end));
    assert!(plan.buckets.windows(2).all(|pair| pair[0].end == pair[1].start));
    let _ = query::answer(&plan, &Output::default());
});
