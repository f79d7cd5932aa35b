//! Arguments and sub-commands: which part of the library runs, and how it ends.
//!
//! Standard output is what was asked for, standard error is the log. A command that fails says why, down to the first cause, and
//! exits with 1; wrong arguments exit with 2.

mod check;
mod demo;
mod node;
mod process;
mod serve;
mod types;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Live, nested Postgres queries through WebAssembly nodes, streamed to clients as JSON Patch.
#[derive(Debug, Parser)]
#[command(name = "sangre", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A private Postgres, sample data, sample nodes and a web page; ends with Ctrl-C and leaves nothing
    Demo {
        /// The page's port [default: 4000, or a free one if that is taken]
        #[arg(long)]
        port: Option<u16>,
    },
    /// A starter sangre.yaml from the foreign keys of $DATABASE_URL
    #[command(hide = true)]
    Init(Unsupported),
    /// The server
    Serve {
        /// The configuration
        #[arg(short, long, default_value = "sangre.yaml")]
        config: PathBuf,
        /// Exit if any query does not resolve, in place of answering query_broken for it
        #[arg(long)]
        strict: bool,
    },
    /// Resolve every query and node against the database; exit 1 if there is any problem
    Check {
        /// The configuration
        #[arg(short, long, default_value = "sangre.yaml")]
        config: PathBuf,
        /// Print what the database's owner must run
        #[arg(long)]
        sql: bool,
    },
    /// TypeScript types of documents, parameters and node rows
    Types {
        /// The configuration
        #[arg(short, long, default_value = "sangre.yaml")]
        config: PathBuf,
    },
    /// Make, build, test and inspect nodes
    #[command(subcommand)]
    Node(node::NodeCommand),
}

/// The arguments of a command that does not exist yet: any.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
struct Unsupported {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    process::log_to_stderr();
    process::share_free_memory();
    process::allow_many_files();
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            // Whoever started this may have closed standard error; then nobody wants to know.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Demo { port } => demo::run(port, process::shutdown_signal()).await.map(|()| ExitCode::SUCCESS),
            Command::Serve { config, strict } => {
                serve::run(&config, strict, process::shutdown_signal()).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Check { config, sql } => check::run(&config, sql).await,
            Command::Init(_) => unsupported("sangre init"),
            Command::Types { config } => types::run(&config).await,
            Command::Node(command) => node::run(command, process::shutdown_signal()).await,
        }
    })
}

fn unsupported(name: &str) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`{name}` is not supported yet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
        for line in [
            "demo --port 0",
            "serve",
            "serve -c a.yaml --strict",
            "check --sql",
            "node test x.wasm --rows r.json",
            "node runtimes dist/runtimes",
            "types -c a",
        ] {
            Arguments::try_parse_from(["sangre"].into_iter().chain(line.split(' '))).expect(line);
        }
        for line in ["serve --port 1", "demo --port x", "nonsense"] {
            assert!(Arguments::try_parse_from(["sangre"].into_iter().chain(line.split(' '))).is_err(), "{line}");
        }
    }

    #[test]
    fn what_does_not_exist_is_refused_by_name() {
        let arguments = Arguments::try_parse_from(["sangre", "init", "--force"]).expect("any arguments");
        let error = run(arguments.command).expect_err("refused");
        assert_eq!(error.to_string(), "`sangre init` is not supported yet");
    }
}
