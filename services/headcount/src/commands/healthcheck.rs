//! `headcount healthcheck`: asks a node's admin port whether the process is alive, for containers without curl.

use std::time::Duration;

use anyhow::Context;

use super::client;
use crate::options::HealthcheckOptions;

/// A process that takes longer to say a word is not alive.
const PATIENCE: Duration = Duration::from_secs(2);

/// Fails where the node is not alive.
///
/// # Errors
/// No answer in time, or another than 200.
pub(crate) fn run(options: &HealthcheckOptions) -> anyhow::Result<()> {
    let uri = format!("http://{}/healthz", options.admin).parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, client::get(&uri)).await.context("no answer in time")??;
        Ok(())
    })
}
