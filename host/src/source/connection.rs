//! Connections: one kind for SQL, one for the stream, both from one [`Address`].
//!
//! # Both must print values alike
//!
//! A row arrives by the stream or by an upquery; its text must be the same, whatever the database or the role has set.
//! Settings of the database reach the walsender too, so its session is pinned by startup options. SQL sessions may come
//! out of a pooler, which refuses startup options or hands the session to somebody else after each transaction, so
//! every transaction of ours begins with [`PINNED_SQL`] instead.
//!
//! # A peer that vanished
//!
//! A half-open connection (the peer's power is gone, a firewall forgot us) looks like silence. On SQL connections the
//! kernel finds out within [`NOTICE`]: keep-alive probes while idle, the user timeout while something is unanswered. The
//! replication client owns its socket, so the stream is watched from above: the walsender is told to speak up at least
//! every half [`SENDER_TIMEOUT_MS`], and `stream` looks into a longer silence.

use std::time::Duration;

use pgwire_replication::{ReplicationClient, ReplicationConfig, SslMode as WireSslMode, TlsConfig};
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode as SqlSslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Host, SslMode};
use super::error::{DefiniteError, SourceError};
use super::tls;

/// Within which time a vanished peer is noticed.
pub(super) const NOTICE: Duration = Duration::from_secs(10);

/// `wal_sender_timeout` of our session: the walsender asks for a sign of life after half of it, and gives up after it, so
/// a dead client of ours keeps its slot no longer.
pub(super) const SENDER_TIMEOUT_MS: u32 = 6_000;

/// How values are printed; what `to_jsonb` shows is defined under these (see the interface).
const PINNED: &[(&str, &str)] = &[
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO,MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("search_path", ""),
    ("quote_all_identifiers", "off"),
];

/// [`PINNED`] for one transaction. `SET LOCAL` takes no snapshot, unlike `SELECT set_config(...)`.
pub(super) const PINNED_SQL: &str = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO,MDY'; \
    SET LOCAL IntervalStyle = 'postgres'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL lc_monetary = 'C'; SET LOCAL search_path = ''; SET LOCAL quote_all_identifiers = off; ";

/// Opens an SQL connection. Its task ends with the client.
pub(super) async fn connect(address: &Address) -> Result<Client, SourceError> {
    let mut config = sql_config(address);
    config.connect_timeout(address.connect_timeout);
    let attempt = async {
        if address.ssl_mode == SslMode::Disable || address.hosts.iter().all(is_socket) {
            let (client, connection) = config.ssl_mode(SqlSslMode::Disable).connect(tokio_postgres::NoTls).await?;
            tokio::spawn(run(connection));
            return Ok(Ok(client));
        }
        let tls = match tls::client_config(address) {
            Ok(tls) => MakeRustlsConnect::new(tls),
            Err(error) => return Ok(Err(error)),
        };
        let (client, connection) = config.connect(tls).await?;
        tokio::spawn(run(connection));
        Ok(Ok(client))
    };
    // The configuration's own limit covers the socket only, not a server that accepts and says nothing.
    let limit = address.connect_timeout * u32::try_from(address.hosts.len()).unwrap_or(1) + NOTICE;
    match timeout(limit, attempt).await {
        Ok(Ok(client)) => Ok(client?),
        Ok(Err(error)) => Err(placed(SourceError::from_sql(&error), &address.to_string())),
        Err(_) => Err(SourceError::transient(format!("{address} does not answer"))),
    }
}

/// Says of which server an error is, which the system's words for it ("connection refused") do not.
fn placed(error: SourceError, server: &str) -> SourceError {
    match error {
        SourceError::Transient(text) => SourceError::Transient(format!("{server}: {text}")),
        SourceError::Leaving(text) => SourceError::Leaving(format!("{server}: {text}")),
        error @ SourceError::Definite(_) => error,
    }
}

async fn run<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an SQL connection ended");
    }
}

fn is_socket(host: &Host) -> bool {
    host.name.starts_with('/')
}

fn sql_config(address: &Address) -> Config {
    let mut config = Config::new();
    config.user(&address.user).dbname(&address.database).channel_binding(ChannelBinding::Prefer);
    config.application_name(address.application_name.as_deref().unwrap_or("sangre"));
    if let Some(password) = &address.password {
        config.password(password);
    }
    if let Some(options) = &address.options {
        config.options(options);
    }
    config.ssl_mode(match address.ssl_mode {
        SslMode::Disable => SqlSslMode::Disable,
        SslMode::Prefer => SqlSslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => SqlSslMode::Require,
    });
    for host in &address.hosts {
        config.host(&host.name).port(host.port);
    }
    if address.hosts.iter().all(|host| host.address.is_some()) {
        for host in &address.hosts {
            config.hostaddr(host.address.expect("just checked"));
        }
    }
    if address.primary_only {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config.keepalives(true).keepalives_idle(NOTICE / 2).keepalives_interval(NOTICE / 5).keepalives_retries(2);
    config.tcp_user_timeout(NOTICE);
    config
}

/// Opens a replication session and leaves it waiting for commands, on the first host that is a primary.
///
/// `slot` and `publication` are what its `START_REPLICATION` will name.
pub(super) async fn connect_replication(
    address: &Address,
    slot: &str,
    publication: &str,
) -> Result<ReplicationClient, SourceError> {
    tls::install_provider();
    let mut last = None;
    for host in &address.hosts {
        let config = replication_config(address, host, slot, publication);
        let mut opened = open(address, host, config.clone()).await;
        if let Err(SourceError::Definite(DefiniteError::Tls(message))) = &opened
            && let Some(name) = only_name(message)
            && address.ssl_mode == SslMode::VerifyCa
        {
            // The client compares names even where only the authority is asked for; so it is told to expect this one,
            // and still verifies the chain.
            let mut config = config;
            config.tls.sni_hostname = Some(name);
            opened = open(address, host, config).await;
        }
        match opened {
            Ok(client) => return Ok(client),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| DefiniteError::Address("it names no host".into()).into()))
}

/// The name in a certificate that was refused for having another.
fn only_name(message: &str) -> Option<String> {
    let (_, names) = message.split_once("certificate is only valid for ")?;
    names.split('"').nth(1).map(str::to_string)
}

async fn open(address: &Address, host: &Host, config: ReplicationConfig) -> Result<ReplicationClient, SourceError> {
    let server = format!("{}:{}", host.name, host.port);
    let wire = |error| placed(SourceError::from_replication(&error), &server);
    let mut client = ReplicationClient::connect_gated(config).await.map_err(wire)?;
    // The first answer also tells that connecting and logging in went well.
    let asked = client.simple_query("SELECT pg_catalog.pg_is_in_recovery()");
    let Ok(asked) = timeout(address.connect_timeout + NOTICE, asked).await else {
        client.abort();
        return Err(SourceError::transient(format!("{server} does not answer")));
    };
    let rows =
        asked.map_err(|error| login_error(address, SourceError::from_replication(&error), &error.to_string()))?;
    match rows.first().and_then(|row| row.first()).and_then(Option::as_deref) {
        Some(b"f") => Ok(client),
        Some(b"t") => Err(SourceError::transient(format!("{server} is in recovery: a primary is needed"))),
        _ => Err(DefiniteError::Pooler("it did not answer as PostgreSQL does".into()).into()),
    }
}

fn login_error(address: &Address, error: SourceError, text: &str) -> SourceError {
    if text.contains("SQLSTATE 42501") {
        let quoted = crate::data::quote_identifier(&address.user);
        return DefiniteError::NoReplication { role: address.user.clone(), quoted }.into();
    }
    error
}

fn replication_config(address: &Address, host: &Host, slot: &str, publication: &str) -> ReplicationConfig {
    let target = host.address.map_or_else(|| host.name.clone(), |address| address.to_string());
    let tls = TlsConfig {
        mode: match address.ssl_mode {
            _ if is_socket(host) => WireSslMode::Disable,
            SslMode::Disable => WireSslMode::Disable,
            SslMode::Prefer => WireSslMode::Prefer,
            SslMode::Require => WireSslMode::Require,
            SslMode::VerifyCa => WireSslMode::VerifyCa,
            SslMode::VerifyFull => WireSslMode::VerifyFull,
        },
        ca_pem_path: address.ssl_root_cert.clone(),
        // Said even where it is the host: the client refuses to verify a bare IP address otherwise.
        sni_hostname: Some(host.name.clone()),
        client_cert_pem_path: address.ssl_cert.clone(),
        client_key_pem_path: address.ssl_key.clone(),
    };
    // The server splits the list of publications like identifiers, folding what is not quoted.
    let publication = format!("\"{}\"", publication.replace('"', "\"\""));
    let mut options = address.options.clone().unwrap_or_default();
    for (name, value) in PINNED {
        options.push_str(&format!(" -c {name}={value}"));
    }
    options.push_str(&format!(" -c wal_sender_timeout={SENDER_TIMEOUT_MS} -c client_connection_check_interval=2000"));
    options.push_str(" -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0");
    let password = address.password.clone().unwrap_or_default();
    let mut config = ReplicationConfig::new(target, &address.user, password, &address.database, slot, publication)
        .with_port(host.port)
        .with_tls(tls)
        .with_options(options.trim_start())
        // Every quarter second at most, so that little log is held and a keepalive follows each commit soon.
        .with_status_interval(Duration::from_millis(250))
        .with_wakeup_interval(Duration::from_secs(2))
        .with_buffer_size(256);
    config.application_name = Some(slot.to_string());
    config
}
