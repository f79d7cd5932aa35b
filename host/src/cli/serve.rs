//! `sangre serve`: the library's own server, until a signal.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::Sangre;

/// Serves the configuration at `config` until `shutdown`, or until it cannot go on.
pub async fn run(config: &Path, strict: bool, shutdown: CancellationToken) -> anyhow::Result<()> {
    Ok(Sangre::from_file(config).strict(strict).serve(shutdown.cancelled_owned()).await?)
}
