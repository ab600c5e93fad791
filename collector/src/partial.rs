//! Changes an answer when only a part of the accepted events could be made durable.
//!
//! Apart because only a shell knows what it could not store, and only the collector may write an answer. It must not
//! know where events are stored, nor why some were not.

use std::ops::Range;

use protocol::batch::BatchAnswer;

use crate::reply::Reply;
use crate::route::{Asked, Form};

impl Asked {
    /// The reply when of the accepted events those at `lost` (places among the accepted, from 0, ascending) are not
    /// durable. `retry_after_s` says when to send them again.
    ///
    /// Our batch form names them in `retry`, and the others stay accepted. Keen's forms can't say it to clients that look
    /// at the status alone, so there all of it is to be sent again: twice counted is what an event without an id of
    /// its own risks, but none is lost. So it is, too, when nothing was stored.
    #[must_use]
    pub fn partly(&self, reply: Reply, lost: &[Range<u64>], retry_after_s: u32) -> Reply {
        if lost.iter().all(Range::is_empty) {
            return reply;
        }
        let answer = match self.form {
            Form::Batch => without(&reply.body, lost),
            Form::Single { .. } | Form::Bulk | Form::Written { .. } | Form::Segment(_) => None,
        };
        answer.map_or_else(|| Reply::unavailable(retry_after_s), |body| Reply { body, ..reply }.after(retry_after_s))
    }
}

/// The answer without what was lost; none when nothing else was accepted.
fn without(body: &[u8], lost: &[Range<u64>]) -> Option<Vec<u8>> {
    let mut answer: BatchAnswer = serde_json::from_slice(body).ok()?;
    let mut refused = answer.refused.iter().map(|refused| refused.index).peekable();
    let mut retry = Vec::new();
    let mut index = 0_u64;
    for place in 0..answer.accepted {
        // The batch's places are those of accepted and refused events together.
        while refused.next_if_eq(&index).is_some() {
            index += 1;
        }
        if lost.iter().any(|range| range.contains(&place)) {
            retry.push(index);
        }
        index += 1;
    }
    answer.accepted = answer.accepted.checked_sub(u64::try_from(retry.len()).ok()?).filter(|left| *left > 0)?;
    answer.retry = retry;
    serde_json::to_vec(&answer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Head, Headers, Routed, route};
    use protocol::limits::Limits;

    fn asked(path: &str) -> Asked {
        let target = format!("/3.0/projects/p/{path}");
        let head = Head { method: "POST", target: &target, headers: Headers::default() };
        match route(&head, &Limits::default()) {
            Routed::Ask(asked) => asked,
            Routed::Reply(reply) => panic!("{reply:?}"),
        }
    }

    #[test]
    fn a_batch_learns_the_places_of_what_was_not_stored_and_others_send_all_again() {
        let refused = r#","refused":[{"index":0,"code":"C","message":"m"},{"index":2,"code":"C","message":"m"}]"#;
        let plain = r#"{"accepted":3}"#.to_owned();
        let mixed = format!(r#"{{"batch_id":"b","accepted":3{refused}}}"#);
        for (path, body, lost, expected) in [
            ("batches", &plain, &[][..], Some(plain.clone())),
            ("batches", &plain, &[(0, 0)][..], Some(plain.clone())),
            ("batches", &plain, &[(1, 2)][..], Some(r#"{"accepted":2,"retry":[1]}"#.to_owned())),
            ("batches", &plain, &[(0, 1), (2, 3)][..], Some(r#"{"accepted":1,"retry":[0,2]}"#.to_owned())),
            ("batches", &plain, &[(0, 3)][..], None),
            // Accepted are the places 1, 3 and 4 of the batch.
            (
                "batches",
                &mixed,
                &[(0, 2)][..],
                Some(format!(r#"{{"batch_id":"b","accepted":1{refused},"retry":[1,3]}}"#)),
            ),
            (
                "batches",
                &mixed,
                &[(2, 3)][..],
                Some(format!(r#"{{"batch_id":"b","accepted":2{refused},"retry":[4]}}"#)),
            ),
            ("events", &plain, &[(1, 2)][..], None),
            ("events/c", &plain, &[(0, 1)][..], None),
        ] {
            let ranges: Vec<_> = lost.iter().map(|(first, end)| *first..*end).collect();
            let reply = asked(path).partly(Reply::json(200, body.clone().into_bytes()), &ranges, 7);
            match expected {
                Some(expected) => {
                    assert_eq!(String::from_utf8_lossy(&reply.body), expected, "{path} {body} {lost:?}");
                    assert_eq!(reply.status, 200, "{path} {body} {lost:?}");
                    assert_eq!(reply.header("retry-after").is_some(), expected.contains("retry"), "{lost:?}");
                }
                None => assert_eq!((reply.status, reply.header("retry-after")), (503, Some("7")), "{path} {lost:?}"),
            }
        }
    }
}
