//! The database before the first request: roles and schemas, then the project's migrations, then its seed.

use std::fs;
use std::path::{Path, PathBuf};

use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::{Client, Config, Transaction};

use crate::Error;
use crate::database::{self, Login};

/// Two programs that start at once must not migrate one database at once; any number will do if it is always the same.
const LOCK: i64 = 0x51_4c_50;

/// Prepares the database of `database_url` (a superuser's) as a hosted project is, applies what is new of the migrations
/// in `folder`, from the folder above `prices.json` whenever it is another one, and at the first time `seed.sql`; returns
/// the names of what was applied.
pub async fn prepare(database_url: &str, folder: &Path) -> Result<Vec<String>, Error> {
    let config = database::parse(database_url)?;
    let mut client = database::connect(&config).await?;
    require_superuser(&client).await?;
    client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    bootstrap(&mut client, &config).await?;

    let mut applied = Vec::new();
    for migration in Migration::all_in(folder)? {
        if migration.apply(&mut client).await? {
            applied.push(migration.name);
        }
    }
    if prices(&mut client, folder).await? {
        applied.push("prices.json".into());
    }
    if seed(&mut client, folder).await? {
        applied.push("seed.sql".into());
    }
    Ok(applied)
}

async fn require_superuser(client: &Client) -> Result<(), Error> {
    let row =
        client.query_one("select rolsuper, rolname::text from pg_roles where rolname = current_user", &[]).await?;
    if row.get(0) { Ok(()) } else { Err(Error::NotSuperuser(row.get(1))) }
}

/// Roles belong to the whole cluster, and PostgreSQL fails where two sessions change one at once: one after the other.
async fn bootstrap(client: &mut Client, config: &Config) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("lock table pg_catalog.pg_authid in share row exclusive mode").await?;
    transaction.batch_execute(include_str!("bootstrap.sql")).await?;
    for login in Login::ALL {
        let statement = format!("alter role {} password '{}'", login.role(), login.password(config));
        transaction.batch_execute(&statement).await?;
    }
    Ok(transaction.commit().await?)
}

struct Migration {
    version: String,
    name: String,
    file: PathBuf,
    sql: String,
}

impl Migration {
    /// The migrations in `folder`, in order.
    fn all_in(folder: &Path) -> Result<Vec<Self>, Error> {
        let listing = fs::read_dir(folder).map_err(Error::io(format!("read {}", folder.display())))?;
        let mut files: Vec<_> = listing.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
        files.sort_unstable();
        files.into_iter().map(Self::read).collect()
    }

    fn read(file: PathBuf) -> Result<Self, Error> {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Some((version, name)) =
            stem.split_once('_').filter(|(version, name)| is_version(version) && !name.is_empty())
        else {
            return Err(Error::MigrationName(file));
        };
        let (version, name) = (version.to_owned(), name.to_owned());
        let sql = fs::read_to_string(&file).map_err(Error::io(format!("read {}", file.display())))?;
        Ok(Self { version, name, file, sql })
    }

    /// Applies it unless that was done before; one transaction with the note that it was done.
    async fn apply(&self, client: &mut Client) -> Result<bool, Error> {
        const FIND: &str = "select statements from supabase_migrations.schema_migrations where version = $1";
        const NOTE: &str = "insert into supabase_migrations.schema_migrations values ($1, array[$2], $3)";
        if let Some(row) = client.query_opt(FIND, &[&self.version]).await? {
            let statements: Option<Vec<String>> = row.get(0);
            let was_changed = matches!(statements.as_deref(), Some([sql]) if bare(sql) != bare(&self.sql));
            return if was_changed { Err(Error::ChangedMigration(self.file.clone())) } else { Ok(false) };
        }
        let transaction = client.transaction().await?;
        run_as_owner(&transaction, &self.file, &self.sql).await?;
        transaction.execute(NOTE, &[&self.version, &self.sql, &self.name]).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Without what the Supabase CLI leaves out when it notes a migration of one statement; of several it notes each.
fn bare(sql: &str) -> &str {
    sql.trim().trim_end_matches(';')
}

fn is_version(text: &str) -> bool {
    text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Stores the price table, as an operator does, unless it is there already.
async fn prices(client: &mut Client, folder: &Path) -> Result<bool, Error> {
    const NOTE: &str = "insert into supabase_migrations.seed_files as kept
                        values ('supabase/prices.json', encode(sha256(convert_to($1, 'UTF8')), 'hex'))
                        on conflict (path) do update set hash = excluded.hash where kept.hash <> excluded.hash";
    let file = folder.parent().unwrap_or(folder).join("prices.json");
    if !file.exists() {
        return Ok(false);
    }
    let json = fs::read_to_string(&file).map_err(Error::io(format!("read {}", file.display())))?;
    let transaction = client.transaction().await?;
    if transaction.execute(NOTE, &[&json]).await? == 0 {
        return Ok(false);
    }
    transaction.execute("select api.set_model_prices($1::text::jsonb)", &[&json]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Runs `seed.sql` unless that was done before; a later change of it is for new databases.
async fn seed(client: &mut Client, folder: &Path) -> Result<bool, Error> {
    const FIND: &str = "select from supabase_migrations.seed_files where path = 'supabase/seed.sql'";
    const NOTE: &str = "insert into supabase_migrations.seed_files \
                        values ('supabase/seed.sql', encode(sha256(convert_to($1, 'UTF8')), 'hex'))";
    let file = folder.parent().unwrap_or(folder).join("seed.sql");
    if !file.exists() || client.query_opt(FIND, &[]).await?.is_some() {
        return Ok(false);
    }
    let sql = fs::read_to_string(&file).map_err(Error::io(format!("read {}", file.display())))?;
    let transaction = client.transaction().await?;
    run_as_owner(&transaction, &file, &sql).await?;
    transaction.execute(NOTE, &[&sql]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Runs a file as the role that owns the project, which is no superuser, as on a hosted project.
async fn run_as_owner(transaction: &Transaction<'_>, file: &Path, sql: &str) -> Result<(), Error> {
    transaction.batch_execute("set local session authorization project_owner").await?;
    transaction.batch_execute(sql).await.map_err(|error| match error.as_db_error() {
        Some(db) => Error::Migration { file: file.to_owned(), line: line_of(db, sql), message: message_of(db) },
        None => error.into(),
    })?;
    transaction.batch_execute("reset session authorization").await?;
    Ok(())
}

fn line_of(error: &DbError, sql: &str) -> usize {
    let Some(ErrorPosition::Original(position)) = error.position() else { return 1 };
    let before = usize::try_from(*position).unwrap_or_default().saturating_sub(1);
    1 + sql.chars().take(before).filter(|character| *character == '\n').count()
}

fn message_of(error: &DbError) -> String {
    let detail = error.detail().map(|detail| format!("; {detail}")).unwrap_or_default();
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{detail}{hint}", error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_fourteen_digits() {
        assert!(is_version("20261121000000"));
        assert!(!is_version("2026112100000"));
        assert!(!is_version("2026112100000x"));
    }
}
