use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use platform::StoreError;
use quota::account::{Account, Changes, Operation, Outcome, Record};

use super::entry::{Entry, Texts};
use super::journal::{Batch, Found, Journal, read_row};
use super::rows::{Place, Rows};

/// The accounts, and the rows that their calls have left for the database: in memory, and in a journal if there is one.
pub(super) struct Books {
    accounts: HashMap<Arc<str>, Kept>,
    /// When each account has something to do without being asked.
    dues: BTreeSet<(u64, Arc<str>)>,
    pub(super) rows: Rows,
    pub(super) journal: Option<Journal>,
    /// Idle accounts are swept out when there are this many; it then becomes twice what is left.
    sweep_at: usize,
}

#[derive(Default)]
struct Kept {
    account: Account,
    due: Option<u64>,
}

const FIRST_SWEEP: usize = 1024;
const MAX_ACCOUNTS: usize = 100_000;
/// Rows that wait for the database; beyond, nothing more is accepted. In a journal: about 280 a second for an hour.
const MAX_ROWS_IN_JOURNAL: usize = 1_000_000;
const MAX_ROWS_IN_MEMORY: usize = 50_000;
/// Rows copied at a time while the journal is rewritten: others wait for no longer than that.
const COPIED_AT_ONCE: usize = 256;

impl Books {
    /// Without a journal: forgotten with the process.
    pub(super) fn in_memory() -> Self {
        Self {
            accounts: HashMap::new(),
            dues: BTreeSet::new(),
            rows: Rows::default(),
            journal: None,
            sweep_at: FIRST_SWEEP,
        }
    }

    /// As the journal has them.
    pub(super) fn read(journal: Journal, found: Found) -> io::Result<Self> {
        let mut books = Self { rows: found.rows, journal: Some(journal), ..Self::in_memory() };
        for (name, texts) in found.accounts {
            let (account, unread) = Account::load(texts.into_iter().map(|(name, text)| Record { name, text }));
            if let Some(Record { name: record, .. }) = unread.first() {
                return Err(io::Error::other(format!("of account {name}, \"{record}\" cannot be read")));
            }
            let mut kept = Kept { account, due: None };
            let name: Arc<str> = name.into();
            note_due(&mut books.dues, &name, &mut kept);
            books.accounts.insert(name, kept);
        }
        Ok(books)
    }

    /// Applies `operations` and keeps what they change. Where it cannot be kept, the answer is an error; what was done
    /// stands all the same, as if the answer had been lost on its way.
    pub(super) fn apply(&mut self, now: u64, name: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        self.make_room(now, name)?;
        if let Some(journal) = &mut self.journal {
            journal.ready().map_err(|error| unwritable(&error))?;
        }
        let name = match self.accounts.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => name.into(),
        };
        let kept = self.accounts.entry(Arc::clone(&name)).or_default();
        let outcomes = operations.iter().map(|operation| kept.account.apply(now, operation)).collect();
        note_due(&mut self.dues, &name, kept);
        let changes = kept.account.changes();
        let fleeting = if self.journal.is_some() {
            kept.account.fleeting_changes()
        } else {
            kept.account.drop_fleeting_changes();
            Texts::new()
        };
        self.keep(&name, changes, fleeting).map_err(|error| unwritable(&error))?;
        Ok(outcomes)
    }

    fn make_room(&mut self, now: u64, name: &str) -> Result<(), StoreError> {
        let most = if self.journal.is_some() { MAX_ROWS_IN_JOURNAL } else { MAX_ROWS_IN_MEMORY };
        if self.rows.len() >= most {
            return Err(StoreError::Unavailable(format!("{most} rows for the accounts wait for the database")));
        }
        if self.accounts.contains_key(name) {
            return Ok(());
        }
        if self.accounts.len() >= self.sweep_at {
            self.accounts.retain(|_, kept| !kept.account.is_idle(now));
            self.sweep_at = (self.accounts.len() * 2).clamp(FIRST_SWEEP, MAX_ACCOUNTS);
        }
        if self.accounts.len() >= MAX_ACCOUNTS {
            return Err(StoreError::Unavailable(format!("more than {MAX_ACCOUNTS} accounts are in use")));
        }
        Ok(())
    }

    fn keep(&mut self, name: &str, changes: Changes, fleeting: Texts) -> io::Result<()> {
        let Changes { binding, ended } = changes;
        let Some(journal) = &mut self.journal else {
            self.rows.extend(ended.into_values().map(Place::Memory));
            return Ok(());
        };
        let mut batch = Batch::default();
        for (number, row) in (self.rows.last() + 1..).zip(ended.into_values()) {
            batch.add(&Entry::Row(number, row))?;
        }
        batch.add(&Entry::Changed(name.to_owned(), binding, fleeting))?;
        let (places, written) = journal.write(&batch);
        self.rows.extend(places);
        written
    }

    /// The account that has something to do first, and when.
    pub(super) fn first_due(&self) -> Option<(u64, Arc<str>)> {
        self.dues.first().cloned()
    }

    /// The database has the rows up to `number`.
    pub(super) fn deliver(&mut self, number: u64) -> io::Result<()> {
        self.rows.deliver(number);
        match &mut self.journal {
            Some(journal) => journal.write(&Batch::of(&Entry::Delivered(number))?).1,
            None => Ok(()),
        }
    }

    /// Begins to write the journal anew: all accounts are to be added to it, and the rows up to the number.
    pub(super) fn begin_rewrite(&mut self) -> io::Result<(Vec<Arc<str>>, u64)> {
        let delivered = self.rows.delivered();
        self.journal()?.begin_rewrite(delivered)?;
        Ok((self.accounts.keys().cloned().collect(), self.rows.last()))
    }

    pub(super) fn rewrite_account(&mut self, name: &str) -> io::Result<()> {
        let Some(kept) = self.accounts.get(name) else { return Ok(()) };
        let batch = Batch::of(&Entry::Whole(name.to_owned(), kept.account.records()))?;
        self.journal()?.rewrite(&batch)
    }

    /// Copies some rows after number `after`; the number of the last one copied.
    pub(super) fn rewrite_rows(&mut self, after: u64, last: u64) -> io::Result<u64> {
        let rows = self.rows.after(after, COPIED_AT_ONCE);
        let (delivered, journal) = (self.rows.delivered(), self.journal()?);
        let (file, mut batch, mut copied) = (journal.file(), Batch::default(), last);
        for (number, place) in rows.into_iter().filter(|(number, _)| *number <= last) {
            batch.add(&Entry::Row(number, read_row(Some(&file), place)?))?;
            copied = number;
        }
        batch.add(&Entry::Delivered(delivered))?; // rows count when another line follows
        journal.rewrite(&batch)?;
        Ok(copied)
    }

    /// Goes on with what was written anew; the folder, which is to be synced.
    pub(super) fn finish_rewrite(&mut self) -> io::Result<PathBuf> {
        let journal = self.journal()?;
        let (folder, places) = (journal.folder().to_owned(), journal.finish_rewrite()?);
        let delivered = self.rows.delivered();
        self.rows = Rows::found(delivered, places).ok_or_else(|| io::Error::other("rows were lost"))?;
        Ok(folder)
    }

    #[cfg(test)]
    pub(super) fn view(&self, name: &str, now: u64) -> serde_json::Value {
        self.accounts.get(name).map_or_else(|| Account::default().view(now), |kept| kept.account.view(now))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.accounts.len()
    }

    fn journal(&mut self) -> io::Result<&mut Journal> {
        self.journal.as_mut().ok_or_else(|| io::Error::other("there is no journal"))
    }
}

fn note_due(dues: &mut BTreeSet<(u64, Arc<str>)>, name: &Arc<str>, kept: &mut Kept) {
    let due = kept.account.next_due();
    if due == kept.due {
        return;
    }
    if let Some(due) = kept.due {
        dues.remove(&(due, Arc::clone(name)));
    }
    dues.extend(due.map(|due| (due, Arc::clone(name))));
    kept.due = due;
}

fn unwritable(error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("the ledger's journal cannot be written: {error}"))
}
