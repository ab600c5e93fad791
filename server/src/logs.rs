//! Opens logs on the real disk and says what their recovery found.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use protocol::Offset;
use queue::{Log, RealDisk};

/// Opens a log and says what recovery found. It gives out no offset below `floor`, which a reader of it has passed.
///
/// # Errors
/// When the folder can't be used, as when another process holds it.
pub fn open_log(dir: &Path, options: &queue::Options, floor: Offset) -> anyhow::Result<Log> {
    let (log, recovery) = Log::open_at_least(Arc::new(RealDisk), dir, options.clone(), floor)
        .with_context(|| format!("can't open the log in {}", dir.display()))?;
    tracing::info!(dir = %dir.display(), ?recovery, "log open");
    for damage in &recovery.damaged {
        tracing::error!(dir = %dir.display(), ?damage, "records of the log are damaged");
    }
    Ok(log)
}
