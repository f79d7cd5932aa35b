//! A Postgres of one's own: started in a fresh folder on a free port of 127.0.0.1, gone without a trace at the end.
//!
//! The end comes by one path, whatever it is: a small shell process, the *watchdog*, waits on a pipe that this process holds.
//! When the pipe closes, because the value is dropped, because of a panic, or because the process was killed and could not do
//! anything, it stops Postgres and removes the folder. (`PR_SET_PDEATHSIG` would not do: it follows the thread that made
//! the child, not the process, and knows no folder.) Postgres and watchdog are outside the terminal's process group, so that
//! Ctrl-C reaches this process alone.
//!
//! Postgres refuses to run as root: then its processes run as `postgres` or `nobody`. The superuser has a random
//! password: the port is open to every user of the machine.
//!
//! All calls block; a start takes a second or two.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::programs::{self, Account, Programs};

/// How a private Postgres differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// Lines of its configuration. They come last, so they win.
    pub settings: Vec<(&'a str, &'a str)>,
    /// More arguments of `initdb`.
    pub initdb: Vec<&'a str>,
}

/// A running Postgres; the end of the value is the end of it.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: Cluster,
    port: u16,
    password: String,
    /// Its standard input is the pipe.
    watchdog: Child,
}

/// Programs and places.
#[derive(Debug)]
struct Cluster {
    programs: Programs,
    account: Option<Account>,
    folder: PathBuf,
}

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "cannot find the Postgres programs initdb and pg_ctl: install a Postgres server, or put its bin folder into PATH, or name its \
         pg_config in PG_CONFIG"
    )]
    NoPrograms,
    #[error("Postgres refuses to run as root, and there is neither a user postgres nor a user nobody to run it as")]
    NoAccount,
    #[error("cannot {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} failed: {output}")]
    Program { program: &'static str, output: String },
}

/// What the watchdog runs: arguments are pg_ctl, the data folder, the folder to remove.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
"$1" stop -D "$2" -m fast -w -t 20 || "$1" stop -D "$2" -m immediate -w -t 5 || kill -9 "$(head -n 1 "$2/postmaster.pid")"
rm -rf "$3"
"#;

/// How often another port is tried when somebody takes the free one first.
const PORT_TRIES: usize = 5;

impl PrivatePostgres {
    /// Makes a cluster and starts it: logical replication on, no fsync, one superuser `postgres`, one database `postgres`.
    pub fn start(options: &Options<'_>) -> Result<Self, PostgresError> {
        let programs = programs::find()?;
        let account = programs::account()?;
        // Other users cannot enter a folder that root's TMPDIR may name.
        let parent = if account.is_some() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("sangre-postgres-").tempdir_in(parent);
        let folder = folder.map_err(io_error("make a folder for Postgres"))?.keep();
        let cluster = Cluster { programs, account, folder };
        let watchdog = match cluster.own_folder().and_then(|()| cluster.watch()) {
            Ok(watchdog) => watchdog,
            Err(error) => {
                let _ = fs::remove_dir_all(&cluster.folder);
                return Err(error);
            }
        };
        // From here on the watchdog cleans up, also after an error.
        let password = random_password()?;
        let mut postgres = PrivatePostgres { cluster, port: 0, password, watchdog };
        postgres.create(options)?;
        Ok(postgres)
    }

    /// The address of a database, with user and password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Makes a folder, for whatever is to go with this Postgres at the end. Files in it go; put no folders there, for the watchdog
    /// may not own them.
    pub fn make_folder(&self, name: &str) -> Result<PathBuf, PostgresError> {
        let folder = self.cluster.folder.join(name);
        fs::create_dir(&folder).map_err(io_error("make a folder"))?;
        self.cluster.own(&folder)?;
        Ok(folder)
    }

    /// What Postgres has logged so far.
    pub fn log(&self) -> String {
        fs::read(self.cluster.log()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Stops it and removes everything. Returns when that is done; dropping the value does the same.
    pub fn stop(self) {}

    fn create(&mut self, options: &Options<'_>) -> Result<(), PostgresError> {
        self.cluster.initdb(&self.password, &options.initdb)?;
        let mut tries = 0;
        loop {
            tries += 1;
            self.port = free_port()?;
            self.cluster.configure(self.port, &options.settings)?;
            match self.cluster.start() {
                Err(_) if tries < PORT_TRIES && self.log().contains("could not bind") => {}
                result => return result,
            }
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        if let Err(error) = self.watchdog.wait() {
            tracing::warn!(%error, "cannot wait for the watchdog of the private Postgres");
        }
        // What this process put there may be more than the watchdog's user can remove.
        let _ = fs::remove_dir_all(&self.cluster.folder);
    }
}

impl Cluster {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn own_folder(&self) -> Result<(), PostgresError> {
        self.own(&self.folder)
    }

    /// Gives a file to the account that Postgres runs as.
    fn own(&self, path: &Path) -> Result<(), PostgresError> {
        let Some(account) = self.account else { return Ok(()) };
        let given = std::os::unix::fs::chown(path, Some(account.user), Some(account.group));
        given.map_err(io_error("give the folder to Postgres's user"))
    }

    /// A program as Postgres's user, away from the terminal and from settings meant for another Postgres.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        if let Some(account) = self.account {
            command.uid(account.user).gid(account.group).env("HOME", &self.folder);
        }
        command
    }

    fn watch(&self) -> Result<Child, PostgresError> {
        let mut command = self.command("/bin/sh");
        command.arg("-c").arg(WATCHDOG).arg("sangre-watchdog");
        command.arg(&self.programs.pg_ctl).arg(self.data()).arg(&self.folder);
        // The watchdog removes the folder, so it must not stand in it.
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(io_error("start /bin/sh"))
    }

    fn initdb(&self, password: &str, more: &[&str]) -> Result<(), PostgresError> {
        let file = self.folder.join("password");
        fs::write(&file, password).map_err(io_error("write Postgres's password"))?;
        self.own(&file)?;
        let mut command = self.command(&self.programs.initdb);
        command.arg("-D").arg(self.data()).args(["-U", "postgres", "-A", "scram-sha-256"]).arg("--pwfile").arg(&file);
        command.args(["-E", "UTF8", "--locale=C", "--no-sync"]).args(more);
        run("initdb", command)?;
        fs::remove_file(&file).map_err(io_error("remove Postgres's password file"))
    }

    /// Appends to the configuration: of a repeated setting the last line counts.
    fn configure(&self, port: u16, more: &[(&str, &str)]) -> Result<(), PostgresError> {
        let port = port.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &*port),
            ("unix_socket_directories", ""),
            ("wal_level", "logical"),
            ("fsync", "off"),
            ("full_page_writes", "off"),
        ];
        let mut lines = String::from("\n");
        for (name, value) in ours.iter().chain(more) {
            let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
        }
        let file = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        file.and_then(|mut file| io::Write::write_all(&mut file, lines.as_bytes()))
            .map_err(io_error("write Postgres's configuration"))
    }

    fn start(&self) -> Result<(), PostgresError> {
        let log = self.log();
        let log = log.to_string_lossy();
        let started = self.pg_ctl(&["start", "-t", "60", "-l", &log]);
        started.map_err(|error| match (error, fs::read_to_string(&*log)) {
            // pg_ctl says no more than "examine the log output".
            (PostgresError::Program { program, .. }, Ok(text)) => {
                let from = text.lines().count().saturating_sub(5);
                let output = text.lines().skip(from).collect::<Vec<_>>().join("\n");
                PostgresError::Program { program, output }
            }
            (error, _) => error,
        })
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<(), PostgresError> {
        let mut command = self.command(&self.programs.pg_ctl);
        command.args(arguments).arg("-w").arg("-D").arg(self.data());
        run("pg_ctl", command)
    }
}

fn run(program: &'static str, mut command: Command) -> Result<(), PostgresError> {
    let output = command.output().map_err(io_error("run the Postgres programs"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    Err(PostgresError::Program { program, output: text.join("\n").trim().to_owned() })
}

fn free_port() -> Result<u16, PostgresError> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(io_error("find a free port"))?.port())
}

fn random_password() -> Result<String, PostgresError> {
    let mut bytes = [0u8; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(io_error("read /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> PostgresError {
    move |source| PostgresError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(url: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
            let connection = tokio::spawn(connection);
            let value = client.query_one(sql, &[]).await?.get(0);
            drop(client);
            let _ = connection.await;
            Ok(value)
        })
    }

    fn is_running(pid: u32) -> bool {
        // A zombie, whose parent in a container may never look, has ended.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    }

    #[test]
    fn it_runs_and_leaves_nothing() {
        let options = Options { settings: vec![("application_name", "it's me")], initdb: vec![] };
        let postgres = PrivatePostgres::start(&options).expect("a private Postgres");
        let url = postgres.url("postgres");
        assert_eq!(query(&url, "show wal_level").expect("an answer"), "logical");
        assert_eq!(query(&url, "show port").expect("an answer"), postgres.port.to_string());
        assert!(query(&url.replace(&postgres.password, "wrong"), "show port").is_err());

        let file = fs::read_to_string(postgres.cluster.data().join("postmaster.pid")).expect("it runs");
        let pid = file.lines().next().and_then(|line| line.trim().parse().ok()).expect("a process id");
        assert!(is_running(pid));
        let folder = postgres.cluster.folder.clone();
        postgres.stop();
        assert!(!folder.exists());
        assert!(!is_running(pid));
    }

    #[test]
    fn a_bad_setting_is_shown_and_leaves_nothing() {
        let options = Options { settings: vec![("wal_level", "sideways")], initdb: vec![] };
        let error = PrivatePostgres::start(&options).expect_err("a wrong setting");
        assert!(error.to_string().contains("sideways"), "{error}");
    }
}
