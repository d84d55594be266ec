//! `headcount healthcheck`: asks a node's admin port whether the node is alive, for containers without curl.

use std::time::Duration;

use anyhow::Context;

use super::client;
use crate::options::HealthcheckOptions;

/// A node that takes longer to answer is not alive.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Checks that the node is alive.
///
/// # Errors
/// Fails if there is no answer in time, or one with another status than 200.
pub(crate) fn run(options: &HealthcheckOptions) -> anyhow::Result<()> {
    let uri = format!("http://{}/healthz", options.admin).parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(TIMEOUT, client::get(&uri)).await.context("no answer in time")??;
        Ok(())
    })
}
