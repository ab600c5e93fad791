//! Says whether a user agent is a robot's.
//!
//! Apart because it knows names of robots and nothing of requests.

/// Whether this agent says of itself that it is a robot.
pub(crate) fn is_bot(user_agent: &str) -> bool {
    user_agent.contains("bot/")
}
