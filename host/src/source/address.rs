//! The database's address: everything libpq takes as a connection string, URL or keywords, with its environment.
//!
//! tokio-postgres reads such strings too, but refuses what it does not do itself (`sslmode=verify-full`, `sslrootcert`,
//! `passfile`), gives `tcp_user_timeout` another unit, and reads no environment. So they are read here, once, and both
//! clients are set up from the result.
//!
//! - What the string leaves out comes from `PG*` variables, then from libpq's defaults.
//! - A socket directory is a host that begins with `/`; TLS is never used there, whatever `sslmode` says.
//! - `sslmode=require` with a `sslrootcert` verifies the chain, as libpq does for compatibility.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::error::{DefiniteError, SourceError};

/// How much of TLS is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    /// TLS if the server has it.
    Prefer,
    /// TLS, without looking at the certificate.
    Require,
    /// A certificate of a known authority, for whatever name.
    VerifyCa,
    /// A certificate of a known authority for this host.
    VerifyFull,
}

/// One server of the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name, an IP address, or a socket directory.
    pub name: String,
    /// Where to connect instead of looking up the name.
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// A parsed connection string. Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub hosts: Vec<Host>,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    pub ssl_mode: SslMode,
    /// Where trusted authorities are; `None`: those that browsers trust.
    pub ssl_root_cert: Option<PathBuf>,
    pub ssl_cert: Option<PathBuf>,
    pub ssl_key: Option<PathBuf>,
    /// Startup options of the user's own, such as `-c role=app`.
    pub options: Option<String>,
    pub application_name: Option<String>,
    pub connect_timeout: Duration,
    /// Whether a server that is read-only is passed over.
    pub primary_only: bool,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Address {
    /// User, hosts and database: what a log may show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
        write!(f, "{}@{}/{}", self.user, hosts.join(","), self.database)
    }
}

type Pairs = Vec<(String, String)>;

impl Address {
    /// Reads a connection string (PostgreSQL, "Connection Strings").
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        Self::parse_with(text, &|name| std::env::var(name).ok())
    }

    fn parse_with(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, SourceError> {
        let pairs = split(text).map_err(DefiniteError::Address)?;
        Self::from_pairs(&pairs, env).map_err(|message| DefiniteError::Address(message).into())
    }

    fn from_pairs(pairs: &Pairs, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
            return Err(format!("\"{name}\" is not a connection parameter"));
        }
        if let Some((name, _)) = pairs.iter().find(|(name, _)| REFUSED.contains(&name.as_str())) {
            return Err(format!("connection parameter \"{name}\" is not supported yet"));
        }
        let given = |name: &str| pairs.iter().rev().find(|(have, _)| have == name).map(|(_, value)| value.clone());
        let setting =
            |name: &str, variable: &str| given(name).or_else(|| env(variable)).filter(|value| !value.is_empty());
        let user = setting("user", "PGUSER")
            .or_else(|| env("USER").or_else(|| env("LOGNAME")))
            .unwrap_or_else(|| "postgres".into());
        let database = setting("dbname", "PGDATABASE").unwrap_or_else(|| user.clone());
        let hosts = hosts(setting("host", "PGHOST"), setting("hostaddr", "PGHOSTADDR"), setting("port", "PGPORT"))?;
        let password = setting("password", "PGPASSWORD").or_else(|| {
            let file =
                setting("passfile", "PGPASSFILE").or_else(|| env("HOME").map(|home| format!("{home}/.pgpass")))?;
            let text = std::fs::read_to_string(file).ok()?;
            hosts.iter().find_map(|host| from_passfile(&text, host, &database, &user))
        });
        let ssl_root_cert = setting("sslrootcert", "PGSSLROOTCERT").filter(|path| path != "system").map(PathBuf::from);
        let mut ssl_mode = ssl_mode(&setting("sslmode", "PGSSLMODE").unwrap_or_else(|| "prefer".into()))?;
        if ssl_mode == SslMode::Require && ssl_root_cert.is_some() {
            ssl_mode = SslMode::VerifyCa;
        }
        let seconds =
            setting("connect_timeout", "PGCONNECT_TIMEOUT").map(|text| number::<u64>("connect_timeout", &text));
        let connect_timeout = seconds.transpose()?.filter(|&seconds| seconds > 0).unwrap_or(10);
        let target = setting("target_session_attrs", "PGTARGETSESSIONATTRS").unwrap_or_else(|| "any".into());
        if matches!(target.as_str(), "read-only" | "standby") {
            return Err(format!("target_session_attrs={target} cannot work: a primary is needed"));
        }
        Ok(Address {
            hosts,
            user,
            password,
            database,
            ssl_mode,
            ssl_root_cert,
            ssl_cert: setting("sslcert", "PGSSLCERT").map(PathBuf::from),
            ssl_key: setting("sslkey", "PGSSLKEY").map(PathBuf::from),
            options: setting("options", "PGOPTIONS"),
            application_name: setting("application_name", "PGAPPNAME"),
            connect_timeout: Duration::from_secs(connect_timeout),
            primary_only: matches!(target.as_str(), "read-write" | "primary"),
        })
    }
}

/// Parameters that may stand in a connection string. Those not read anywhere (compression, Kerberos, keepalives: ours
/// are stricter) change nothing that Sangre does.
const KNOWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Parameters that somebody relies on for safety or reachability, and that would be ignored.
const REFUSED: &[&str] = &["service", "sslcrl", "sslcrldir", "sslpassword", "sslnegotiation"];

fn ssl_mode(text: &str) -> Result<SslMode, String> {
    Ok(match text {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => {
            return Err(format!(
                "sslmode \"{text}\" is none of disable, allow, prefer, require, verify-ca, verify-full"
            ));
        }
    })
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("{name} \"{text}\" is not a number"))
}

fn hosts(names: Option<String>, addresses: Option<String>, ports: Option<String>) -> Result<Vec<Host>, String> {
    let list = |text: Option<String>| -> Vec<String> {
        text.map(|text| text.split(',').map(|part| part.trim().to_string()).collect()).unwrap_or_default()
    };
    let (names, addresses, ports) = (list(names), list(addresses), list(ports));
    let count = names.len().max(addresses.len()).max(1);
    for (what, have) in [("host", names.len()), ("hostaddr", addresses.len())] {
        if have != 0 && have != count {
            return Err(format!("{have} values of {what} for {count} hosts"));
        }
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(format!("{} ports for {count} hosts", ports.len()));
    }
    (0..count)
        .map(|index| {
            let port = match ports.get(if ports.len() == 1 { 0 } else { index }) {
                Some(text) if !text.is_empty() => number("port", text)?,
                _ => 5432,
            };
            let address = match addresses.get(index).filter(|text| !text.is_empty()) {
                Some(text) => Some(text.parse().map_err(|_| format!("hostaddr \"{text}\" is not an IP address"))?),
                None => None,
            };
            let name = names.get(index).filter(|name| !name.is_empty()).cloned();
            let name = name
                .unwrap_or_else(|| address.map_or_else(|| default_host(port), |address: IpAddr| address.to_string()));
            Ok(Host { name, address, port })
        })
        .collect()
}

/// Where a server of this machine listens: its socket, if there is one.
fn default_host(port: u16) -> String {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|folder| std::path::Path::new(folder).join(format!(".s.PGSQL.{port}")).exists())
        .unwrap_or("localhost")
        .to_string()
}

/// The password for this server, by PostgreSQL's "The Password File".
fn from_passfile(text: &str, host: &Host, database: &str, user: &str) -> Option<String> {
    let local = host.name.starts_with('/');
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = passfile_fields(line);
        let [name, port, for_database, for_user, password] = fields.as_slice() else { return None };
        let is = |field: &str, value: &str| field == "*" || field == value;
        let named = is(name, &host.name) || (local && name == "localhost");
        let all = named && is(port, &host.port.to_string()) && is(for_database, database) && is(for_user, user);
        all.then(|| password.clone())
    })
}

fn passfile_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => fields.last_mut().expect("never empty").extend(chars.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            c => fields.last_mut().expect("never empty").push(c),
        }
    }
    fields
}

/// Connection parameters in the order given.
fn split(text: &str) -> Result<Pairs, String> {
    match ["postgres://", "postgresql://"].iter().find_map(|scheme| text.trim().strip_prefix(scheme)) {
        Some(rest) => split_url(rest),
        None if text.contains("://") => Err("it must begin with postgres:// or postgresql://".into()),
        None => split_keywords(text),
    }
}

fn decode(text: &str) -> Result<String, String> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| "it is not UTF-8 once percent-decoded".into())
}

fn split_url(rest: &str) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let mut add = |name: &str, value: &str| -> Result<(), String> {
        if !value.is_empty() {
            pairs.push((name.into(), decode(value)?));
        }
        Ok(())
    };
    add("user", user)?;
    add("password", password)?;
    add("dbname", database)?;
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for server in servers.split(',') {
        let (name, port) = split_server(server)?;
        names.push(name);
        ports.push(port);
    }
    if names.iter().any(|name| !name.is_empty()) {
        add("host", &names.join(","))?;
    }
    if ports.iter().any(|port| !port.is_empty()) {
        add("port", &ports.join(","))?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("\"{pair}\" has no value"))?;
        let (name, value) = (decode(name)?, decode(value)?);
        // JDBC's spelling, which libpq takes as well.
        if name == "ssl" && value == "true" {
            pairs.push(("sslmode".into(), "require".into()));
        } else {
            pairs.push((name, value));
        }
    }
    Ok(pairs)
}

fn split_server(server: &str) -> Result<(&str, &str), String> {
    if let Some(rest) = server.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or("an IPv6 address lacks its closing bracket")?;
        return Ok((name, rest.strip_prefix(':').unwrap_or("")));
    }
    Ok(server.split_once(':').unwrap_or((server, "")))
}

fn split_keywords(text: &str) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|&c| c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(format!("\"=\" is missing after \"{name}\""));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                Some(c) if !quoted && c.is_whitespace() => break,
                Some(c) => value.push(c),
                None if quoted => return Err(format!("the value of \"{name}\" lacks its closing quote")),
                None => break,
            }
        }
        pairs.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, SourceError> {
        Address::parse_with(text, &|name| (name == "USER").then(|| "me".to_string()))
    }

    #[test]
    fn urls() {
        let address = parse("postgres://a%40b:p%3Aw@h1:1,[::1]:2/db?sslmode=verify-full&sslrootcert=/ca.pem").unwrap();
        assert_eq!((address.user.as_str(), address.password.as_deref()), ("a@b", Some("p:w")));
        assert_eq!(address.to_string(), "a@b@h1:1,::1:2/db");
        assert_eq!((address.ssl_mode, address.ssl_root_cert), (SslMode::VerifyFull, Some("/ca.pem".into())));
        let socket = parse("postgresql://%2Ftmp%2Fx:77/db").unwrap();
        assert_eq!(socket.hosts, [Host { name: "/tmp/x".into(), address: None, port: 77 }]);
        assert_eq!(parse("postgresql:///db?host=/run&port=7").unwrap().to_string(), "me@/run:7/db");
        assert_eq!(parse("postgres://u@h").unwrap().to_string(), "u@h:5432/u");
    }

    #[test]
    fn keywords() {
        let address = parse(r"host=h user = 'o''' password='it\'s' dbname=d sslmode=require sslrootcert=/x");
        assert!(address.is_err(), "a quote ends the value");
        let address = parse(r"host=h password='it\'s \\' sslmode=require sslrootcert=/x connect_timeout=3").unwrap();
        assert_eq!(address.password.as_deref(), Some(r"it's \"));
        assert_eq!((address.ssl_mode, address.connect_timeout), (SslMode::VerifyCa, Duration::from_secs(3)));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in [
            ("mysql://h/d", "postgres://"),
            ("host=h nonsense=1", "nonsense"),
            ("host=h port=x", "port"),
            ("host=h sslmode=maybe", "sslmode"),
            ("host=h service=s", "service"),
            ("host=h password='x", "closing quote"),
            ("host=a,b port=1,2,3", "ports"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        assert!(!format!("{:?}", parse("postgres://u:secret@h/d").unwrap()).contains("secret"));
    }

    #[test]
    fn password_file() {
        let host = Host { name: "h".into(), address: None, port: 1 };
        let text = "# note\nx:*:*:*:no\nh:1:d:u:a\\:b:c\n*:*:*:*:last\n";
        assert_eq!(from_passfile(text, &host, "d", "u").as_deref(), Some("a:b:c"));
        assert_eq!(from_passfile(text, &host, "e", "u").as_deref(), Some("last"));
    }
}
