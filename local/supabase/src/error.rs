use std::path::PathBuf;

/// Why the surface does not start. Every message says where and what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL cannot be reached or refuses.
    #[error("PostgreSQL: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A pool of connections cannot be made.
    #[error("PostgreSQL: {0}")]
    Pool(String),
    /// The connection URL is no connection URL.
    #[error("the database URL is not valid: {0}")]
    DatabaseUrl(tokio_postgres::Error),
    /// Roles can only be made by a superuser.
    #[error("the database URL must name a superuser; `{0}` is none")]
    NotSuperuser(String),
    /// A migration fails.
    #[error("{} line {line}: {message}", .file.display())]
    Migration {
        /// The file.
        file: PathBuf,
        /// The line in it, from 1.
        line: usize,
        /// PostgreSQL's message.
        message: String,
    },
    /// A migration that has been applied was changed afterwards.
    #[error("{} was changed after it was applied; put the change into a new migration, or delete the database to start \
             afresh", .0.display())]
    ChangedMigration(PathBuf),
    /// A name that the Supabase CLI would not take either.
    #[error("{} is not named <14 digits>_<name>.sql", .0.display())]
    MigrationName(PathBuf),
    /// The file system or the network refuses.
    #[error("could not {step}: {source}")]
    Io {
        /// What was tried.
        step: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The imported keys cannot be read.
    #[error("IMPORTED_KEYS is no JSON Web Key Set with keys on P-256 that have a `kid`")]
    ImportedKeys,
    /// The file with the keys is damaged.
    #[error("{} is damaged ({reason}); delete it to get new keys", .file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `map_err`.
    pub(crate) fn io(step: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let step = step.into();
        move |source| Self::Io { step, source }
    }
}

/// The database's own words where it said something: the library's summary is only "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{} ({})", db.message(), db.code().code()))
}
