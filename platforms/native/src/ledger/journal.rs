//! The file behind the ledger: a line that names its format, then the lines of [`Entry`], only ever appended. One batch
//! of lines is one call of `write`, before the answer, so that the end of the process loses nothing that was answered.
//! The file is synced about every second: the end of the machine may lose the last second.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::Entry;
use super::rows::{Place, Rows};

/// An open journal. Nobody else has it open.
pub(super) struct Journal {
    folder: PathBuf,
    file: Arc<File>,
    length: u64,
    /// What a failed write has left over: it comes before everything else.
    unwritten: Vec<u8>,
    /// A write has failed halfway: what it left beyond `length` is to be cut off.
    torn: bool,
    /// A sync has failed: nobody knows what the disk has.
    doubtful: bool,
    is_unsynced: bool,
    /// Its length when it was last rewritten.
    rewritten: u64,
    rewrite: Option<Rewrite>,
    _lock: File,
}

/// What the journal holds when it is opened.
#[derive(Default)]
pub(super) struct Found {
    /// Per account its texts by name.
    pub(super) accounts: HashMap<String, BTreeMap<String, String>>,
    pub(super) rows: Rows,
}

/// Lines to be written together, and where in them rows are.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Number, offset, length.
    rows: Vec<(u64, usize, usize)>,
}

/// The journal's successor while it is written: it gets what the journal gets, and piece by piece what was there
/// before.
struct Rewrite {
    file: Arc<File>,
    length: u64,
    rows: BTreeMap<u64, Place>,
}

const FORMAT: &[u8] = b"qlp-edge ledger 1\n";
const NAME: &str = "journal";
const SUCCESSOR: &str = "journal.new";
/// It says who used what.
const OURS_ALONE: u32 = 0o600;
/// Below this length nothing is gained by rewriting.
const WORTH_REWRITING: u64 = 2 << 20;

impl Batch {
    pub(super) fn of(entry: &Entry) -> io::Result<Self> {
        let mut batch = Self::default();
        batch.add(entry)?;
        Ok(batch)
    }

    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        let offset = self.bytes.len();
        let length = entry.write(&mut self.bytes)?;
        if let Entry::Row(number, _) = entry {
            self.rows.push((*number, offset, length));
        }
        Ok(())
    }

    /// The rows' places if the batch is written at `offset`.
    fn places(&self, offset: u64) -> impl Iterator<Item = (u64, Place)> {
        self.rows
            .iter()
            .map(move |&(number, start, length)| (number, Place::Journal { offset: offset + start as u64, length }))
    }
}

impl Journal {
    /// Opens the journal in `folder`, or begins one. What the end of the machine has left half written at its end is
    /// cut off; anything else that cannot be read is an error that says where.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Found)> {
        fs::create_dir_all(folder)?;
        let lock = lock(&folder.join("lock"))?;
        let path = folder.join(NAME);
        if !path.try_exists()? {
            write_format(&folder.join(SUCCESSOR))?.sync_all()?;
            fs::rename(folder.join(SUCCESSOR), &path)?;
            File::open(folder)?.sync_all()?;
        }
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let (found, sound) = Reader::read(&file)?;
        let length = file.metadata()?.len();
        if sound < length {
            tracing::warn!(bytes = length - sound, "the ledger's last lines were half written and are cut off");
            file.set_len(sound)?;
        }
        let journal = Self {
            folder: folder.to_owned(),
            file: Arc::new(file),
            length: sound,
            unwritten: Vec::new(),
            torn: false,
            doubtful: false,
            is_unsynced: true,
            rewritten: 0,
            rewrite: None,
            _lock: lock,
        };
        Ok((journal, found))
    }

    /// Whether something can be written. A batch that could not be is tried again first.
    pub(super) fn ready(&mut self) -> io::Result<()> {
        if self.doubtful {
            return Err(io::Error::other("the disk did not confirm what was written before"));
        }
        self.write_out()
    }

    /// Writes a batch; the places of its rows. If it fails, the batch stays and is written before the next one.
    pub(super) fn write(&mut self, batch: &Batch) -> (Vec<Place>, io::Result<()>) {
        let places = batch.places(self.length + self.unwritten.len() as u64).map(|(_, place)| place).collect();
        self.unwritten.extend_from_slice(&batch.bytes);
        if self.rewrite.as_mut().is_some_and(|rewrite| rewrite.write(batch).is_err()) {
            self.rewrite = None; // whoever is at it will notice
        }
        (places, self.write_out())
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if self.torn {
            // Half a batch in the middle could not be told from a damaged one.
            self.file.set_len(self.length)?;
        }
        self.torn = true;
        (&*self.file).write_all(&self.unwritten)?;
        self.torn = false;
        self.length += self.unwritten.len() as u64;
        self.unwritten.clear();
        self.is_unsynced = true;
        Ok(())
    }

    /// The file, and whether it has changed since it was last asked for.
    pub(super) fn unsynced(&mut self) -> Option<Arc<File>> {
        std::mem::take(&mut self.is_unsynced).then(|| self.file())
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// A sync has failed. Nothing more is accepted until all of it has been written anew.
    pub(super) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Whether it has grown to more than twice of what it needs, or is in doubt.
    pub(super) fn wants_rewriting(&self) -> bool {
        self.doubtful || self.length > WORTH_REWRITING.max(2 * self.rewritten)
    }

    /// Begins a successor. The database has the rows up to `delivered`.
    pub(super) fn begin_rewrite(&mut self, delivered: u64) -> io::Result<()> {
        self.write_out()?;
        let file = Arc::new(write_format(&self.folder.join(SUCCESSOR))?);
        let mut rewrite = Rewrite { file, length: FORMAT.len() as u64, rows: BTreeMap::new() };
        rewrite.write(&Batch::of(&Entry::Delivered(delivered))?)?;
        self.rewrite = Some(rewrite);
        Ok(())
    }

    /// Adds to the successor alone.
    pub(super) fn rewrite(&mut self, batch: &Batch) -> io::Result<()> {
        self.successor()?.write(batch)
    }

    /// The successor, to be synced.
    pub(super) fn unsynced_rewrite(&mut self) -> io::Result<Arc<File>> {
        Ok(Arc::clone(&self.successor()?.file))
    }

    /// Puts the successor in the journal's place; where the rows are now. The folder is to be synced after it.
    pub(super) fn finish_rewrite(&mut self) -> io::Result<BTreeMap<u64, Place>> {
        self.successor()?;
        fs::rename(self.folder.join(SUCCESSOR), self.folder.join(NAME))?;
        let Some(rewrite) = self.rewrite.take() else { return Ok(BTreeMap::new()) };
        (self.file, self.length, self.rewritten) = (rewrite.file, rewrite.length, rewrite.length);
        // The successor has had it as well.
        self.unwritten.clear();
        (self.torn, self.doubtful, self.is_unsynced) = (false, false, true);
        Ok(rewrite.rows)
    }

    pub(super) fn abandon_rewrite(&mut self) {
        self.rewrite = None;
        let _ = fs::remove_file(self.folder.join(SUCCESSOR)); // the next one begins it anew anyway
    }

    pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn successor(&mut self) -> io::Result<&mut Rewrite> {
        self.rewrite.as_mut().ok_or_else(|| io::Error::other("the journal's successor could not be written"))
    }
}

impl Rewrite {
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        (&*self.file).write_all(&batch.bytes)?;
        self.rows.extend(batch.places(self.length));
        self.length += batch.bytes.len() as u64;
        Ok(())
    }
}

/// The text of a row, which may be in `file`.
pub(super) fn read_row(file: Option<&File>, place: Place) -> io::Result<String> {
    let (file, offset, length) = match (file, place) {
        (_, Place::Memory(text)) => return Ok(text),
        (Some(file), Place::Journal { offset, length }) => (file, offset, length),
        (None, Place::Journal { offset, .. }) => return Err(damaged(offset, "there is no file")),
    };
    let mut line = vec![0; length];
    file.read_exact_at(&mut line, offset)?;
    match Entry::read(line.strip_suffix(b"\n").unwrap_or(&line)) {
        Ok(Entry::Row(_, text)) => Ok(text),
        _ => Err(damaged(offset, "the row that was written there is not there any more")),
    }
}

fn damaged(offset: u64, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{NAME} is damaged: the line at byte {offset}: {what}"))
}

fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(OURS_ALONE).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another process has it open")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn write_format(path: &Path) -> io::Result<File> {
    // Not truncated through an open file: a predecessor may still be read.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let file = OpenOptions::new().create_new(true).read(true).append(true).mode(OURS_ALONE).open(path)?;
    (&file).write_all(FORMAT)?;
    Ok(file)
}

/// Reads a journal from its beginning.
#[derive(Default)]
struct Reader {
    found: Found,
    delivered: u64,
    rows: BTreeMap<u64, Place>,
    /// Rows of a batch whose end has not come yet.
    begun: Vec<(u64, Place)>,
}

impl Reader {
    /// What `file` holds, and up to where it is whole.
    fn read(file: &File) -> io::Result<(Found, u64)> {
        let mut lines = BufReader::with_capacity(1 << 20, file);
        let (mut reader, mut line) = (Self::default(), Vec::new());
        lines.read_until(b'\n', &mut line)?;
        if line != FORMAT {
            return Err(io::Error::other(format!("{NAME} is of another format than this version reads")));
        }
        let (mut offset, mut whole) = (line.len() as u64, line.len() as u64);
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let entry = Entry::read(text).map_err(|what| damaged(offset, what))?;
            let place = Place::Journal { offset, length: line.len() };
            offset += line.len() as u64;
            if reader.take(entry, place) {
                whole = offset;
            }
        }
        let missing = || damaged(whole, "before it, rows for the accounts are missing");
        reader.found.rows = Rows::found(reader.delivered, reader.rows).ok_or_else(missing)?;
        Ok((reader.found, whole))
    }

    /// Whether a batch ends with this line.
    fn take(&mut self, entry: Entry, place: Place) -> bool {
        match entry {
            Entry::Row(number, _) => {
                self.begun.push((number, place));
                return false;
            }
            Entry::Changed(account, binding, fleeting) => {
                let texts = self.found.accounts.entry(account).or_default();
                for (name, text) in binding.into_iter().chain(fleeting) {
                    match text {
                        Some(text) => texts.insert(name, text),
                        None => texts.remove(&name),
                    };
                }
            }
            Entry::Whole(account, records) => {
                let texts = records.into_iter().map(|record| (record.name, record.text)).collect();
                self.found.accounts.insert(account, texts);
            }
            Entry::Delivered(number) => {
                self.delivered = self.delivered.max(number);
                self.rows = self.rows.split_off(&(self.delivered + 1));
            }
        }
        self.rows.extend(self.begun.drain(..));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn row(number: u64) -> Batch {
        let mut batch = Batch::of(&Entry::Row(number, format!("row {number}"))).unwrap();
        batch.add(&Entry::Whole("org".into(), Vec::new())).unwrap();
        batch
    }

    fn rows(folder: &TempDir) -> Vec<String> {
        let (mut journal, found) = Journal::open(folder.path()).unwrap();
        journal.ready().unwrap();
        let places = found.rows.after(0, 99);
        places.into_iter().map(|(_, place)| read_row(Some(&journal.file()), place).unwrap()).collect()
    }

    /// As a full disk would.
    fn fail(journal: &mut Journal) -> Arc<File> {
        let read_only = File::open(journal.folder.join(NAME)).unwrap();
        std::mem::replace(&mut journal.file, Arc::new(read_only))
    }

    #[test]
    fn a_batch_that_could_not_be_written_comes_before_the_next_one() {
        let folder = TempDir::new().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.write(&row(1)).1.unwrap();
        let good = fail(&mut journal);
        let (places, written) = journal.write(&row(2));
        assert!(written.is_err() && journal.ready().is_err());
        // It got halfway.
        (&*good).write_all(b"0123 half a li").unwrap();
        journal.file = good;
        journal.ready().unwrap();
        assert_eq!(read_row(Some(&journal.file()), places[0].clone()).unwrap(), "row 2");
        journal.write(&row(3)).1.unwrap();
        drop(journal);
        assert_eq!(rows(&folder), ["row 1", "row 2", "row 3"]);
    }

    #[test]
    fn nothing_is_accepted_after_a_failed_sync_until_all_is_written_anew() {
        let folder = TempDir::new().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        let (places, written) = journal.write(&row(1));
        written.unwrap();
        journal.doubt();
        assert!(journal.ready().is_err() && journal.wants_rewriting());
        journal.begin_rewrite(0).unwrap();
        let text = read_row(Some(&journal.file()), places[0].clone()).unwrap();
        let mut copy = Batch::of(&Entry::Row(1, text)).unwrap();
        copy.add(&Entry::Delivered(0)).unwrap();
        journal.rewrite(&copy).unwrap();
        assert_eq!(journal.finish_rewrite().unwrap().len(), 1);
        assert!(journal.ready().is_ok() && !journal.wants_rewriting());
        drop(journal);
        assert_eq!(rows(&folder), ["row 1"]);
    }

    #[test]
    fn a_successor_that_was_not_finished_is_no_harm() {
        let folder = TempDir::new().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.write(&row(1)).1.unwrap();
        journal.begin_rewrite(0).unwrap();
        drop(journal);
        assert!(folder.path().join(SUCCESSOR).exists());
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.begin_rewrite(0).unwrap();
        journal.write(&row(2)).1.unwrap();
        journal.abandon_rewrite();
        assert!(journal.finish_rewrite().is_err());
        drop(journal);
        assert_eq!(rows(&folder), ["row 1", "row 2"]);
    }
}
