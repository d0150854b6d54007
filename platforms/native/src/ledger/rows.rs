use std::collections::{BTreeMap, VecDeque};

/// The rows for the accounts that the database does not have yet: numbered without gaps, oldest first.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// How many the database has.
    delivered: u64,
    places: VecDeque<Place>,
}

/// Where a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Memory(String),
    /// A line of the journal.
    Journal {
        offset: u64,
        length: usize,
    },
}

impl Rows {
    /// As they were found. `None` if one is missing.
    pub(super) fn found(delivered: u64, mut places: BTreeMap<u64, Place>) -> Option<Self> {
        places.retain(|number, _| *number > delivered);
        let complete = places.keys().zip(delivered + 1..).all(|(number, expected)| *number == expected);
        complete.then(|| Self { delivered, places: places.into_values().collect() })
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The number of the newest one.
    pub(super) fn last(&self) -> u64 {
        self.delivered + self.places.len() as u64
    }

    pub(super) fn extend(&mut self, places: impl IntoIterator<Item = Place>) {
        self.places.extend(places);
    }

    /// At most `count` after number `after`, with their numbers.
    pub(super) fn after(&self, after: u64, count: usize) -> Vec<(u64, Place)> {
        let known = usize::try_from(after.saturating_sub(self.delivered)).unwrap_or(usize::MAX);
        let numbers = after.max(self.delivered) + 1..;
        numbers.zip(self.places.iter().skip(known).take(count).cloned()).collect()
    }

    /// The database has all up to `number`.
    pub(super) fn deliver(&mut self, number: u64) {
        while self.delivered < number && self.places.pop_front().is_some() {
            self.delivered += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> Place {
        Place::Memory(number.to_string())
    }

    #[test]
    fn rows_leave_in_the_order_in_which_they_came() {
        let mut rows = Rows::default();
        rows.extend((1..=5).map(row));
        assert_eq!(rows.after(0, 2), [(1, row(1)), (2, row(2))]);
        rows.deliver(2);
        assert_eq!((rows.len(), rows.delivered(), rows.last()), (3, 2, 5));
        assert_eq!(rows.after(0, 1), [(3, row(3))]);
        assert_eq!(rows.after(4, 9), [(5, row(5))]);
        rows.deliver(1);
        assert_eq!(rows.len(), 3, "an older word changes nothing");
    }

    #[test]
    fn a_missing_row_is_noticed_and_a_delivered_one_is_not_missed() {
        let found = |delivered, numbers: &[u64]| {
            Rows::found(delivered, numbers.iter().map(|number| (*number, row(*number))).collect())
        };
        assert_eq!(found(2, &[1, 3, 4]).unwrap().after(0, 9), [(3, row(3)), (4, row(4))]);
        assert!(found(2, &[4]).is_none() && found(0, &[1, 3]).is_none());
    }
}
