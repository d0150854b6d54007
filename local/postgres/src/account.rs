//! The account that PostgreSQL runs as: it refuses to run as root.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::Error;

/// The unprivileged account that stands in for root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` for an ordinary user, who runs PostgreSQL itself.
    pub(crate) fn choose() -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = ["postgres", "nobody"].iter().find_map(|name| Self::named(name, &accounts));
        found.map(Some).ok_or(Error::NoAccount)
    }

    fn named(name: &str, accounts: &str) -> Option<Self> {
        let mut fields =
            accounts.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
        // macOS writes nobody's ids as -2, meaning the largest but one.
        let id = |text: &str| text.parse::<u32>().ok().or_else(|| Some(text.parse::<i32>().ok()?.cast_unsigned()));
        let uid = id(fields.nth(2)?)?;
        Some(Self { uid, gid: id(fields.next()?)? })
    }

    /// Makes `command` run as this account.
    pub(crate) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives `path` to this account.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(Error::io(format!("give {} to an unprivileged account", path.display())))
    }

    /// Whether this account can reach what is inside `folder`: it and all its parents can be passed through.
    pub(crate) fn reaches(self, folder: &Path) -> bool {
        folder.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|found| {
                let pass = match (found.uid() == self.uid, found.gid() == self.gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                found.mode() & pass != 0
            })
        })
    }

    pub(crate) fn uid(self) -> u32 {
        self.uid
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:*:-2:-2:Nobody:/var/empty:/usr/bin/false\n\
                            postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn reads_ids_of_linux_and_macos() {
        let postgres = Account::named("postgres", ACCOUNTS).unwrap();
        assert_eq!((postgres.uid, postgres.gid), (101, 104));
        let nobody = Account::named("nobody", ACCOUNTS).unwrap();
        assert_eq!((nobody.uid, nobody.gid), (u32::MAX - 1, u32::MAX - 1));
        assert!(Account::named("daemon", ACCOUNTS).is_none());
    }

    #[test]
    fn a_private_folder_of_another_user_cannot_be_reached() {
        let private = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        let stranger = Account { uid: 54_321, gid: 54_321 };
        assert!(stranger.reaches(Path::new("/")));
        assert!(!stranger.reaches(private.path()));
        assert!(!stranger.reaches(&private.path().join("missing")));
    }
}
