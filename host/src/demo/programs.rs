//! Where Postgres's programs are, and who may run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::private_postgres::PostgresError;

/// The programs that a private Postgres needs.
#[derive(Clone, Debug)]
pub struct Programs {
    pub initdb: PathBuf,
    pub pg_ctl: PathBuf,
}

/// An account of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: u32,
    pub group: u32,
}

/// The first folder that has both programs: of `PATH`, the one `PG_CONFIG` says, then where systems install Postgres, the
/// highest version first.
pub fn find() -> Result<Programs, PostgresError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os("PG_CONFIG").and_then(|pg_config| {
        let output = Command::new(pg_config).arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    });
    let installed = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
    ];
    let installed = installed.iter().flat_map(|(parent, prefix, bin)| versions(Path::new(parent), prefix, bin));
    let folders = std::env::split_paths(&path).chain(named).chain(installed);
    let programs = folders.map(|folder| Programs { initdb: folder.join("initdb"), pg_ctl: folder.join("pg_ctl") });
    let mut complete = programs.filter(|programs| programs.initdb.is_file() && programs.pg_ctl.is_file());
    complete.next().ok_or(PostgresError::NoPrograms)
}

/// The folders `parent/<prefix>*/bin`, the highest version first.
fn versions(parent: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<(u32, PathBuf)> = names
        .filter(|name| name.starts_with(prefix))
        .map(|name| {
            let digits: String =
                name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            (digits.parse().unwrap_or(0), parent.join(name).join(bin))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Who runs Postgres; none: whoever runs this.
pub fn account() -> Result<Option<Account>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    // `id` asks whatever directory the system uses; a file alone may not have the user.
    let number = |flag: &str, user: &str| -> Option<u32> {
        let output = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    let account = |user| Some(Account { user: number("-u", user)?, group: number("-g", user)? });
    ["postgres", "nobody"].into_iter().find_map(account).map(Some).ok_or(PostgresError::NoAccount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["9.6", "15", "17", "other"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let found = versions(folder.path(), "", "bin");
        let names: Vec<_> = found.iter().map(|bin| bin.parent().and_then(Path::file_name).expect("a name")).collect();
        assert_eq!(names, ["17", "15", "9.6", "other"]);
    }
}
