//! Days and months of UTC, in seconds since the epoch.

use super::Per;

const DAY: u64 = 86_400;

/// When the period of `per` that contains `seconds` began, and when it ends. None for what is no budget.
pub(super) fn period(per: Per, seconds: u64) -> Option<(u64, u64)> {
    match per {
        Per::Day => {
            let start = seconds - seconds % DAY;
            Some((start, start.saturating_add(DAY)))
        }
        Per::Month => {
            let (year, month) = month_of(seconds / DAY);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            Some((first_day(year, month) * DAY, first_day(next_year, next_month) * DAY))
        }
        Per::Seconds(_) | Per::Moment => None,
    }
}

/// The end of the period of `per` that began at `start`.
pub(super) fn end(per: Per, start: u64) -> u64 {
    period(per, start).map_or(start, |(_, end)| end)
}

/// Year and month of a day since the epoch, in the proleptic Gregorian calendar. Years begin in March here, so that the
/// leap day comes last.
fn month_of(days: u64) -> (u64, u64) {
    let days = days + 719_468; // since 1 March of the year 0
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month)
}

/// The day since the epoch on which a month begins.
fn first_day(year: u64, month: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        // 2024-02-29T12:00:00Z lies between 2024-02-01 and 2024-03-01.
        assert_eq!(period(Per::Month, 1_709_208_000), Some((1_706_745_600, 1_709_251_200)));
        // 2026-12-31T23:59:59Z and the second after it.
        assert_eq!(period(Per::Month, 1_798_761_599), Some((1_796_083_200, 1_798_761_600)));
        assert_eq!(period(Per::Month, 1_798_761_600), Some((1_798_761_600, 1_801_440_000)));
        assert_eq!(period(Per::Month, 0), Some((0, 31 * DAY)));
    }

    #[test]
    fn every_day_lies_in_its_month_and_months_follow_each_other() {
        let mut expected = 0;
        for day in 0..150_000 {
            let (start, end) = period(Per::Month, day * DAY).unwrap();
            assert!(start <= day * DAY && day * DAY < end);
            assert!((28 * DAY..=31 * DAY).contains(&(end - start)));
            if day * DAY == end - DAY {
                assert_eq!(start, expected);
                expected = end;
            }
        }
    }

    #[test]
    fn a_day_is_a_day() {
        assert_eq!(period(Per::Day, 1_709_208_000), Some((1_709_164_800, 1_709_251_200)));
        assert_eq!(end(Per::Day, 1_709_164_800), 1_709_251_200);
    }
}
