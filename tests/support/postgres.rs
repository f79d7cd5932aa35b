//! Private Postgres clusters: one that all tests share, and others for tests that stop theirs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use tokio_postgres::{Client, NoTls};

use super::watchdog::Watchdog;

/// A cluster in a temporary folder; stopped and removed when it is dropped or the process ends.
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    databases: AtomicUsize,
    _watchdog: Watchdog,
}

/// A database of a cluster.
#[derive(Clone, Debug)]
pub struct Database {
    pub name: String,
    /// For clients, as a URL.
    pub url: String,
}

/// Sessions of tests see values as the interface says they are written (but find types and tables without `public.`).
const PINNED: &str = "set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; \
     set extra_float_digits = 1; set bytea_output = 'hex'; set lc_monetary = 'C'; set search_path = public; \
     set default_transaction_isolation = 'read committed'";

/// The cluster of all tests that do not stop theirs.
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(&[]).expect("a private Postgres"));
    &SHARED
}

impl Cluster {
    /// Makes and starts a cluster with these settings (`name=value`) besides the usual ones.
    pub fn start(settings: &[&str]) -> Result<Cluster> {
        let bin = programs()?;
        let user = unprivileged()?;
        let folder = tempfile::Builder::new().prefix("sangre-test-pg-").tempdir()?.keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid))?;
        }
        let (program, data) = (bin.join("pg_ctl"), folder.join("data"));
        let clean = format!(
            "'{}' -D '{}' -m immediate -t 20 stop; rm -rf '{}'",
            program.display(),
            data.display(),
            folder.display()
        );
        let watchdog = Watchdog::new(&clean, user)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let cluster = Cluster { bin, folder, port, user, databases: AtomicUsize::new(0), _watchdog: watchdog };
        cluster.run("initdb", &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"])?;
        cluster.configure(settings)?;
        cluster.up()?;
        Ok(cluster)
    }

    fn configure(&self, settings: &[&str]) -> Result<()> {
        let file = self.folder.join("data/postgresql.conf");
        let folder = self.folder.display();
        let mut text = fs::read_to_string(&file)?;
        text.push_str(&format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{folder}'\nfsync = off\n\
             wal_level = logical\nmax_wal_senders = 60\nmax_replication_slots = 60\nmax_connections = 300\n\
             max_prepared_transactions = 50\ndeadlock_timeout = 50ms\nautovacuum = off\njit = off\n",
            self.port
        ));
        settings.iter().for_each(|setting| text.push_str(&format!("{setting}\n")));
        Ok(fs::write(file, text)?)
    }

    /// Starts the server again after [`Cluster::down`].
    pub fn up(&self) -> Result<()> {
        let log = self.folder.join("log");
        let log = log.to_str().context("a path in UTF-8")?;
        self.run("pg_ctl", &["-w", "-t", "60", "-s", "-l", log, "start", "-D"])
            .with_context(|| fs::read_to_string(self.folder.join("log")).unwrap_or_default())
    }

    /// Stops the server; `mode` is `fast` or `immediate`.
    pub fn down(&self, mode: &str) -> Result<()> {
        self.run("pg_ctl", &["-w", "-s", "-m", mode, "stop", "-D"])
    }

    /// Copies the data folder of the stopped server.
    pub fn back_up(&self) -> Result<()> {
        self.copy("data", "backup")
    }

    /// Makes the data folder of the stopped server what it was at [`Cluster::back_up`].
    pub fn restore(&self) -> Result<()> {
        self.copy("backup", "data")
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let _ = fs::remove_dir_all(self.folder.join(to));
        let status = Command::new("cp").arg("-a").args([from, to].map(|name| self.folder.join(name))).status()?;
        ensure!(status.success(), "cannot copy {from}");
        Ok(())
    }

    /// Has the stopped server begin a new timeline at its next start, as a restore from an archive does.
    pub fn fork(&self) -> Result<()> {
        let mut settings = fs::OpenOptions::new().append(true).open(self.folder.join("data/postgresql.conf"))?;
        std::io::Write::write_all(&mut settings, b"restore_command = 'false'\n")?;
        let signal = self.folder.join("data/recovery.signal");
        fs::write(&signal, "")?;
        if let Some((uid, gid)) = self.user {
            chown(&signal, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Runs one of Postgres's programs on the data folder, whose path is the last argument.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).arg(self.folder.join("data")).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        // The postmaster inherits standard error, so waiting for its end would wait for ever; a file does not.
        let errors = self.folder.join("errors");
        command.stderr(fs::File::create(&errors)?);
        let status = command.status().with_context(|| format!("cannot run {program}"))?;
        ensure!(status.success(), "{program} failed: {}", fs::read_to_string(&errors).unwrap_or_default());
        Ok(())
    }

    /// What its server has logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("log"))?)
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A new, empty database.
    pub async fn database(&self) -> Result<Database> {
        self.database_with("").await
    }

    /// A new database made with these options of `CREATE DATABASE`.
    pub async fn database_with(&self, options: &str) -> Result<Database> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = connect(&self.url("postgres")).await?;
        client.batch_execute(&format!("create database {name} template template0 {options}")).await?;
        Ok(Database { url: self.url(&name), name })
    }

    /// Drops a database, its slots and whoever is still connected.
    pub async fn drop_database(&self, database: &Database) -> Result<()> {
        let client = connect(&database.url).await?;
        for row in client.query("select gid from pg_prepared_xacts where database = current_database()", &[]).await? {
            client.batch_execute(&format!("rollback prepared '{}'", row.get::<_, String>(0))).await?;
        }
        drop(client);
        let client = connect(&self.url("postgres")).await?;
        let kill = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1";
        client.query(kill, &[&database.name]).await?;
        let slots =
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1 and not active";
        client.query(slots, &[&database.name]).await?;
        Ok(client.batch_execute(&format!("drop database {} with (force)", database.name)).await?)
    }
}

impl Database {
    /// A session with the settings pinned that the interface names.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }
}

/// A session whose connection runs beside it until the client is dropped.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(PINNED).await?;
    Ok(client)
}

/// The folder of Postgres's programs, of the newest version.
fn programs() -> Result<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    let complete = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("pg_ctl").exists();
    folders.into_iter().find(complete).context("initdb and pg_ctl are needed: install postgresql")
}

/// Postgres refuses to run as root: the user to run it as, if this process is root.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    let own = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    if own.unwrap_or(1) != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string(Path::new("/etc/passwd"))?;
    for name in ["postgres", "nobody"] {
        let found = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|parts| parts[0] == name);
        if let Some(parts) = found {
            return Ok(Some((parts[2].parse()?, parts[3].parse()?)));
        }
    }
    bail!("running as root, and there is neither a user postgres nor nobody to run Postgres as")
}
