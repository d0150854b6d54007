//! Where a server's files are, and that only one process uses them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::account::Account;

/// A Unix socket's path holds about 100 bytes on every system; the file name takes `.s.PGSQL.65535`.
const LONGEST_SOCKET_FOLDER: usize = 85;

/// The folder of one server; nobody else uses it while this exists.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    #[expect(dead_code, reason = "held: the operating system releases it when this process ends, however it ends")]
    lock: File,
}

impl Place {
    /// Makes and locks the folder: `wanted`, or one in the system's temporary folder when `account` cannot reach `wanted`.
    pub(crate) fn take(wanted: &Path, account: Option<Account>) -> Result<Self, Error> {
        create(wanted)?;
        let wanted = wanted.canonicalize().map_err(Error::io(format!("find {}", wanted.display())))?;
        let folder = match account {
            Some(account) if !wanted.parent().is_none_or(|parent| account.reaches(parent)) => moved(&wanted, account)?,
            _ => wanted,
        };
        let lock = lock(&folder)?;
        if let Some(account) = account {
            account.own(&folder)?;
        }
        Ok(Self { folder, lock })
    }

    /// PostgreSQL's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The superuser's password.
    pub(crate) fn password(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// The server's own log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The folder for the Unix socket, if its path is short enough and means itself in PostgreSQL's settings.
    pub(crate) fn socket_folder(&self) -> Option<&str> {
        let path = self.folder.to_str()?;
        (path.len() <= LONGEST_SOCKET_FOLDER && !path.contains([',', '"', '\''])).then_some(path)
    }
}

fn create(folder: &Path) -> Result<(), Error> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(Error::io(format!("create {}", parent.display())))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let me = rustix::process::geteuid();
            if !me.is_root() && fs::metadata(folder).is_ok_and(|found| found.uid() != me.as_raw()) {
                return Err(Error::NotOurs(folder.to_owned()));
            }
            fs::set_permissions(folder, Permissions::from_mode(0o700))
                .map_err(Error::io(format!("make {} private", folder.display())))
        }
        other => other.map_err(Error::io(format!("create {}", folder.display()))),
    }
}

/// The same folder under the system's temporary folder, named after `wanted` so that the next start finds it again.
fn moved(wanted: &Path, account: Account) -> Result<PathBuf, Error> {
    let name = wanted.as_os_str().as_encoded_bytes();
    let hash = name
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let folder = std::env::temp_dir().join(format!("local-postgres-{hash:016x}"));
    match fs::symlink_metadata(&folder) {
        // Anybody may create a folder in the temporary folder: one that is not ours must not hold our data.
        Ok(found) if !found.is_dir() || ![0, account.uid()].contains(&found.uid()) => Err(Error::NotOurs(folder)),
        _ => create(&folder).map(|()| folder),
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let step = || Error::io(format!("lock {}", path.display()));
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(step())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(Error::InUse { folder: folder.to_owned(), owner });
        }
        Err(TryLockError::Error(error)) => return Err(step()(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(step())?;
    file.write_all(std::process::id().to_string().as_bytes()).map_err(step())?;
    Ok(file)
}
