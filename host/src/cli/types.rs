//! `sangre types`: what clients and nodes of a configuration hold in their hands, as TypeScript.
//!
//! Types go to standard output, so that they can be written to a file; a query that does not resolve has none, and is told as
//! `sangre check` tells it.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::api::recipe::source_config;
use crate::config::Settings;
use crate::query::typescript::declarations;
use crate::source::PostgresSource;

/// Prints the types of the configuration at `config`; fails if any query has none.
pub async fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config)?;
    let catalogue = PostgresSource::check(&source_config(&settings)).await;
    let catalogue = catalogue.context("cannot resolve the queries against the database")?;
    let declared = declarations(&settings.definitions(), &catalogue);
    let head =
        format!("// Types of {}, printed by `sangre types`: print them again when it changes.\n\n", settings.file);
    std::io::stdout().write_all((head + declared.text.trim_end() + "\n").as_bytes())?;
    let mut problems = declared.problems.0;
    problems.sort_by_key(|problem| problem.place);
    for problem in &problems {
        writeln!(std::io::stderr(), "{}", problem.in_file(&settings.file))?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
