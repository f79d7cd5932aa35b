//! Runs the transactions of a case, each writer on its own connection.

use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use tokio_postgres::Client;

use super::case::{Case, End, Part, Transaction};
use super::postgres::Database;

/// How many transactions have ended; more than any number once all have.
pub type Progress = watch::Receiver<usize>;

/// Runs all writers to their end.
pub async fn run(case: &Case, database: &Database, progress: &watch::Sender<usize>) -> Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for transactions in &case.writers {
        let client = session(case, database).await?;
        let (transactions, progress) = (transactions.clone(), progress.clone());
        running.spawn(async move {
            for transaction in &transactions {
                execute(&client, transaction).await?;
                ensure!(!client.is_closed(), "Postgres closed the connection of a writer");
                progress.send_modify(|count| *count += 1);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    progress.send_replace(usize::MAX);
    Ok(())
}

/// A session as writers use it.
pub async fn session(case: &Case, database: &Database) -> Result<Client> {
    let client = database.connect().await?;
    client.batch_execute(&case.session.join("; ")).await.context("a writer's session")?;
    Ok(client)
}

/// One transaction. Statements may fail; only what ends a transaction must succeed.
pub async fn execute(client: &Client, transaction: &Transaction) -> Result<()> {
    client.batch_execute("begin").await?;
    for part in &transaction.parts {
        match part {
            Part::Run(sql) => {
                if client.batch_execute(sql).await.is_err() {
                    return Ok(client.batch_execute("rollback").await?);
                }
            }
            Part::Savepoint { statements, keep } => {
                client.batch_execute("savepoint s").await?;
                let mut good = *keep;
                for sql in statements {
                    if client.batch_execute(sql).await.is_err() {
                        good = false;
                        break;
                    }
                }
                client.batch_execute(if good { "release s" } else { "rollback to s" }).await?;
            }
        }
    }
    match &transaction.end {
        End::Rollback => client.batch_execute("rollback").await?,
        // A serializable transaction may fail as late as this; then it is rolled back.
        End::Commit => client.batch_execute("commit").await.unwrap_or(()),
        End::Prepare(name) => {
            if client.batch_execute(&format!("prepare transaction '{name}'")).await.is_ok() {
                client.batch_execute(&format!("commit prepared '{name}'")).await?;
            }
        }
    }
    Ok(())
}
