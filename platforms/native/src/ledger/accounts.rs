use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use platform::{Clock, StoreError};
use quota::account::{Operation, Outcome};
use tokio::sync::Notify;

use super::books::Books;
use super::journal::{Journal, read_row};

/// The books, of which one caller at a time has hold, and what waits for something to happen to them.
pub(super) struct Accounts {
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
    /// There are rows to be delivered.
    pub(super) row_came: Notify,
    /// Something is due earlier than what was due first until now.
    pub(super) due_came: Notify,
}

impl Accounts {
    /// Accounts that are forgotten with the process.
    pub(super) fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, Books::in_memory())
    }

    /// Accounts that are kept in `folder`.
    pub(super) fn open(clock: Arc<dyn Clock>, folder: &Path) -> io::Result<Self> {
        let (journal, found) = Journal::open(folder)?;
        Ok(Self::new(clock, Books::read(journal, found)?))
    }

    fn new(clock: Arc<dyn Clock>, books: Books) -> Self {
        Self { clock, books: Mutex::new(books), row_came: Notify::new(), due_came: Notify::new() }
    }

    /// In nanoseconds since the epoch.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_nanosecond()).unwrap_or(0)
    }

    pub(super) fn apply(&self, name: &str, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let mut books = self.books();
        let now = self.now(); // under the lock, so that it goes forward from call to call
        let (first_due, last_row) = (books.first_due(), books.rows.last());
        let outcomes = books.apply(now, name, operations);
        let is_earlier = books.first_due().is_some_and(|(due, _)| first_due.is_none_or(|(first, _)| due < first));
        let has_row = books.rows.last() > last_row;
        drop(books);
        if is_earlier {
            self.due_came.notify_one();
        }
        if has_row {
            self.row_came.notify_one();
        }
        outcomes
    }

    /// The account that has something to do first without being asked, and when.
    pub(super) fn first_due(&self) -> Option<(u64, Arc<str>)> {
        self.books().first_due()
    }

    /// The oldest rows that the database does not have, at most `count` and about `bytes`; the number of the last one.
    pub(super) fn undelivered(&self, count: usize, bytes: usize) -> io::Result<(u64, Vec<String>)> {
        let mut books = self.books();
        let (places, mut last) = (books.rows.after(0, count), books.rows.delivered());
        let file = match &mut books.journal {
            Some(journal) => Some(journal.ready().map(|()| journal.file())?),
            None => None,
        };
        drop(books);
        let (mut rows, mut size) = (Vec::new(), 0);
        for (number, place) in places {
            let row = read_row(file.as_deref(), place)?;
            size += row.len();
            if size > bytes && !rows.is_empty() {
                break;
            }
            rows.push(row);
            last = number;
        }
        Ok((last, rows))
    }

    /// The database has the rows up to `number`.
    pub(super) fn deliver(&self, number: u64) -> io::Result<()> {
        self.books().deliver(number)
    }

    /// How many rows the database does not have.
    pub(super) fn waiting(&self) -> usize {
        self.books().rows.len()
    }

    /// Has the disk confirm what was written; where that fails, or much of the journal is out of date, writes it anew.
    pub(super) fn maintain(&self) -> io::Result<()> {
        let file = self.books().journal.as_mut().and_then(Journal::unsynced);
        if let Some(Err(error)) = file.map(|file| file.sync_data()) {
            tracing::error!(%error, "the ledger's journal could not be synced and is written anew");
            if let Some(journal) = &mut self.books().journal {
                journal.doubt();
            }
        }
        if !self.books().journal.as_ref().is_some_and(Journal::wants_rewriting) {
            return Ok(());
        }
        self.rewrite().inspect_err(|_| {
            if let Some(journal) = &mut self.books().journal {
                journal.abandon_rewrite();
            }
        })
    }

    /// Writes the journal anew, piece by piece; what happens in between goes into both.
    pub(super) fn rewrite(&self) -> io::Result<()> {
        let (names, last) = self.books().begin_rewrite()?;
        for name in names {
            self.books().rewrite_account(&name)?;
        }
        let mut copied = 0;
        while copied < last {
            copied = self.books().rewrite_rows(copied, last)?;
        }
        // Before it takes the other's place, and while others go on.
        let file = self.books().journal.as_mut().map(Journal::unsynced_rewrite).transpose()?;
        file.map_or(Ok(()), |file| file.sync_data())?;
        let folder = self.books().finish_rewrite()?;
        Journal::sync_folder(&folder)
    }

    /// An account as it is, for comparison.
    #[cfg(test)]
    pub(super) fn view(&self, name: &str) -> serde_json::Value {
        self.books().view(name, self.now())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.books().len()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
