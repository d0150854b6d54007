//! Days as years, months and days of the Gregorian calendar.
//!
//! Years begin in March here, so that the leap day is the last one of its year and the months before it follow one rule.

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// From 1.
    pub(super) month: i64,
    /// From 1.
    pub(super) day: i64,
}

/// The calendar repeats after 400 years.
const DAYS_PER_CYCLE: i64 = 146_097;
/// From the first of March of the year 0000 to the epoch.
const EPOCH: i64 = 719_468;

impl Date {
    /// So many days after the epoch.
    pub(super) fn from_days(days: i64) -> Self {
        let days = days + EPOCH;
        let (cycle, in_cycle) = (days.div_euclid(DAYS_PER_CYCLE), days.rem_euclid(DAYS_PER_CYCLE));
        // Without the leap days before it, every year has 365.
        let year = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / (DAYS_PER_CYCLE - 1)) / 365;
        let in_year = in_cycle - days_before(year);
        let month = (5 * in_year + 2) / 153;
        let day = in_year - days_before_month(month) + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Self { year: cycle * 400 + year + next, month, day }
    }

    /// Days since the epoch; `None` if the calendar has no such day.
    pub(super) fn to_days(self) -> Option<i64> {
        let (year, month) = if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let (cycle, in_cycle) = (year.div_euclid(400), year.rem_euclid(400));
        let days = cycle * DAYS_PER_CYCLE + days_before(in_cycle) + days_before_month(month) + self.day - 1 - EPOCH;
        (Self::from_days(days) == self).then_some(days)
    }
}

/// The days of all years of a cycle before `year`.
fn days_before(year: i64) -> i64 {
    365 * year + year / 4 - year / 100
}

/// The days of a year before `month`, March being 0: 31, 30, 31, 30, 31, and again.
fn days_before_month(month: i64) -> i64 {
    (153 * month + 2) / 5
}
