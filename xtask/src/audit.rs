use std::fmt;

use local_stack::Description;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::{Client, NoTls, Transaction};
use sha2::{Digest as _, Sha256};

use crate::state;

/// `cargo xtask audit`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Recompute the hash chains of the audit log, straight from the database that DATABASE_URL or the running stack names.
    Verify {
        /// Only this organization's chain; all zeros: events of none.
        #[arg(long, value_name = "ID")]
        org: Option<String>,
    },
}

/// What became of one chain.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is whole and has this many entries.
    Whole(i64),
    /// The first entry that is changed, missing or too many.
    Bad(i64),
}

type Hash = [u8; 32];

/// As text: identifiers are only compared and shown.
const CHAINS: &str = "
    select org_id::text from (select org_id from public.audit_logs union select org_id from private.audit_heads) chains
    where $1::text is null or org_id::text = lower($1) order by 1";
const ENTRIES: &str =
    "select seq, entry, prev_hash, hash from public.audit_logs where org_id = $1::text::uuid order by seq";
const HEAD: &str = "select seq, hash from private.audit_heads where org_id = $1::text::uuid";

/// Verifies and prints one line for each chain; an error if one is bad.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Command::Verify { org } = &arguments.command;
    let mut client = Client::connect(&database_url()?, NoTls).map_err(|error| format!("the database: {error}"))?;
    let verdicts = verify(&mut client, org.as_deref()).map_err(|error| format!("the audit log: {error}"))?;
    for (org, verdict) in &verdicts {
        println!("{org} {verdict}");
    }
    let bad = verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Bad(_))).count();
    match (verdicts.len(), bad) {
        (0, _) if org.is_some() => Err("there is no chain of this organization".into()),
        (_, 0) => Ok(()),
        (all, bad) => Err(format!("{bad} of {all} chains are not whole")),
    }
}

fn database_url() -> Result<String, String> {
    if let Ok(url) = std::env::var("DATABASE_URL") {
        return Ok(url);
    }
    let stack = Description::read(&state().join("stack.json")).map_err(|error| error.to_string())?;
    stack.database_url.ok_or_else(|| "set DATABASE_URL: the stack runs without a database of its own".into())
}

/// Every chain of one and the same moment, or that of one organization.
fn verify(client: &mut Client, org: Option<&str>) -> Result<Vec<(String, Verdict)>, postgres::Error> {
    let moment = client.build_transaction();
    let mut moment = moment.read_only(true).isolation_level(postgres::IsolationLevel::RepeatableRead).start()?;
    let orgs: Vec<String> = moment.query(CHAINS, &[&org])?.iter().map(|row| row.get(0)).collect();
    orgs.into_iter().map(|org| verify_chain(&mut moment, &org).map(|verdict| (org, verdict))).collect()
}

/// Follows a chain from 32 zero bytes to its head. The entries are read as they come, so that a chain may be long.
fn verify_chain(moment: &mut Transaction<'_>, org: &str) -> Result<Verdict, postgres::Error> {
    let head = moment.query_opt(HEAD, &[&org])?.map(|row| (row.get::<_, i64>(0), row.get::<_, Vec<u8>>(1)));
    let (mut seq, mut expected): (i64, Hash) = (0, [0; 32]);
    let mut entries = moment.query_raw(ENTRIES, [org])?;
    while let Some(row) = entries.next()? {
        let (entry, previous, hash): (String, Vec<u8>, Vec<u8>) = (row.get(1), row.get(2), row.get(3));
        let computed: Hash = Sha256::new().chain_update(expected).chain_update(&entry).finalize().into();
        if row.get::<_, i64>(0) != seq + 1 || previous != expected || hash != computed {
            return Ok(Verdict::Bad(seq + 1));
        }
        (seq, expected) = (seq + 1, computed);
    }
    let ends_at_its_head = match head {
        Some((last, hash)) => last == seq && hash == expected,
        None => seq == 0,
    };
    Ok(if ends_at_its_head { Verdict::Whole(seq) } else { Verdict::Bad(seq + 1) })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(entries) => write!(f, "ok {entries} entries"),
            Self::Bad(seq) => write!(f, "bad from seq {seq} on"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test fails by panicking

    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use local_postgres::{Options, Server};

    use super::*;

    const ORG: &str = "00000000-0000-4000-8000-00000000000a";
    const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
    const RECORD: &str = "
        select api.record_audit(jsonb_build_object('events', jsonb_agg(jsonb_build_object(
          'id', gen_random_uuid(), 'org_id', $1::text, 'action', 'session.created', 'user_agent', 'Ünïcode \"' || n
        )))) from generate_series(1, 5) n";
    const UNGUARD: &str = "
        alter table public.audit_logs disable trigger user,
          drop constraint audit_logs_hash, drop constraint audit_logs_canonical";

    /// What the verifier says after the superuser has done `damage` to the chain.
    fn after(client: &mut Client, damage: &str) -> Verdict {
        let mut transaction = client.transaction().unwrap();
        transaction.batch_execute(UNGUARD).unwrap();
        transaction.batch_execute(&damage.replace("ORG", &format!("'{ORG}'"))).unwrap();
        verify_chain(&mut transaction, ORG).unwrap()
    }

    #[test]
    fn a_changed_a_missing_and_an_added_entry_is_found() {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap();
        let directory = folder.path().join("postgres");
        let server = Server::start(&Options { directory, project: crate::root(), durable: false }).unwrap();
        let url = server.url("postgres");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(local_supabase::prepare(&url, &crate::root().join("supabase/migrations"))).unwrap();
        let mut client = Client::connect(&url, NoTls).unwrap();
        for org in [ORG, NOBODY] {
            client.execute(RECORD, &[&org]).unwrap();
        }

        let all = verify(&mut client, None).unwrap();
        assert_eq!(all, [(NOBODY.to_owned(), Verdict::Whole(5)), (ORG.to_owned(), Verdict::Whole(5))]);
        assert_eq!(verify(&mut client, Some(ORG)).unwrap(), all[1..]);
        assert_eq!(verify(&mut client, Some("nobody's")).unwrap(), []);

        let change =
            "update public.audit_logs set entry = replace(entry, 'created', 'removed') where org_id = ORG and seq = 3;";
        let rehash =
            "update public.audit_logs set hash = sha256(prev_hash || convert_to(entry, 'UTF8')) where org_id = ORG;";
        for (damage, verdict) in [
            ("", Verdict::Whole(5)),
            (change, Verdict::Bad(3)),
            (&format!("{change}{rehash}"), Verdict::Bad(4)),
            ("delete from public.audit_logs where org_id = ORG and seq = 1", Verdict::Bad(1)),
            ("delete from public.audit_logs where org_id = ORG and seq = 4", Verdict::Bad(4)),
            ("delete from public.audit_logs where org_id = ORG and seq = 5", Verdict::Bad(5)),
            ("delete from public.audit_logs where org_id = ORG", Verdict::Bad(1)),
            ("delete from private.audit_heads where org_id = ORG", Verdict::Bad(6)),
            ("update private.audit_heads set seq = 4 where org_id = ORG", Verdict::Bad(6)),
        ] {
            assert_eq!(after(&mut client, damage), verdict, "{damage}");
        }
        assert_eq!(Verdict::Whole(5).to_string(), "ok 5 entries");
        assert_eq!(Verdict::Bad(3).to_string(), "bad from seq 3 on");
    }
}
