use std::ops::Add;
use std::time::{Duration, SystemTime};

mod civil;
mod rfc3339;

pub use rfc3339::NoTimestamp;

/// A point in time, UTC, from the year 0000 to the year 9999, to the nanosecond.
///
/// Printed and read as RFC 3339 has it (`2026-11-21T10:00:00.5Z`); `{:.3}` prints that many digits of the second.
/// Every component carries this type, so it knows no time zones and no calendars: what the functions do needs none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since the epoch, rounded down.
    second: i64,
    /// What has passed since.
    nanosecond: u32,
}

const NANOS_PER_SECOND: u32 = 1_000_000_000;
const NANOS_PER_MILLI: u32 = 1_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self { second: 0, nanosecond: 0 };
    /// 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self { second: -62_167_219_200, nanosecond: 0 };
    /// The last nanosecond of the year 9999.
    pub const MAX: Self = Self { second: 253_402_300_799, nanosecond: NANOS_PER_SECOND - 1 };

    /// So many seconds after the epoch; `None` beyond [`Self::MIN`] and [`Self::MAX`].
    pub fn from_second(second: i64) -> Option<Self> {
        Self::new(second, 0)
    }

    /// So many milliseconds after the epoch.
    pub fn from_millisecond(millisecond: i64) -> Option<Self> {
        let part = u32::try_from(millisecond.rem_euclid(1000)).ok()?;
        Self::new(millisecond.div_euclid(1000), part * NANOS_PER_MILLI)
    }

    /// So many seconds after the epoch, as JSON numbers tell them.
    pub fn from_secs_f64(seconds: f64) -> Option<Self> {
        let whole = seconds.floor();
        let in_range = (-1e12..1e12).contains(&whole);
        // In range both casts are exact, but for the part of a nanosecond that is cut off.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (second, nanosecond) = (whole as i64, ((seconds - whole) * f64::from(NANOS_PER_SECOND)) as u32);
        if in_range { Self::new(second, nanosecond.min(NANOS_PER_SECOND - 1)) } else { None }
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn as_second(self) -> i64 {
        self.second
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub fn as_millisecond(self) -> i64 {
        self.second * 1000 + i64::from(self.nanosecond / NANOS_PER_MILLI)
    }

    /// Nanoseconds since the epoch.
    pub fn as_nanosecond(self) -> i128 {
        i128::from(self.second) * i128::from(NANOS_PER_SECOND) + i128::from(self.nanosecond)
    }

    /// Seconds since the epoch, to a microsecond.
    pub fn as_secs_f64(self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // the years of a timestamp fit into 38 bits
        let whole = self.second as f64;
        whole + f64::from(self.nanosecond) / f64::from(NANOS_PER_SECOND)
    }

    /// This time and `duration`; `None` beyond [`Self::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let nanosecond = self.nanosecond + duration.subsec_nanos();
        let carry = i64::from(nanosecond >= NANOS_PER_SECOND);
        let second = self.second.checked_add_unsigned(duration.as_secs())?.checked_add(carry)?;
        Self::new(second, nanosecond % NANOS_PER_SECOND)
    }

    /// This time and `duration`, at most [`Self::MAX`].
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn duration_since(self, earlier: Self) -> Duration {
        // Both are within the years 0000 to 9999, so that the seconds between them fit.
        let seconds = u64::try_from(self.second - earlier.second).map(Duration::from_secs);
        let (gained, lost) =
            (Duration::from_nanos(self.nanosecond.into()), Duration::from_nanos(earlier.nanosecond.into()));
        seconds.map_or(Duration::ZERO, |seconds| (seconds + gained).saturating_sub(lost))
    }

    fn new(second: i64, nanosecond: u32) -> Option<Self> {
        (Self::MIN.second..=Self::MAX.second).contains(&second).then_some(Self { second, nanosecond })
    }
}

/// [`Timestamp::MAX`] at most.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }
}

/// The epoch, if the machine's clock shows a time before it.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::UNIX_EPOCH + time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANGE: std::ops::RangeInclusive<i64> = Timestamp::MIN.second..=Timestamp::MAX.second;

    prop_compose! {
        fn timestamp()(second in RANGE, nanosecond in 0..NANOS_PER_SECOND) -> Timestamp {
            Timestamp::new(second, nanosecond).unwrap()
        }
    }

    #[test]
    fn adding_stops_at_the_last_time() {
        let second = Duration::from_secs(1);
        assert_eq!(Timestamp::UNIX_EPOCH.saturating_add(second), Timestamp::from_second(1).unwrap());
        assert_eq!(Timestamp::MAX.saturating_add(second), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn what_is_added_is_what_has_passed_since(time in timestamp(), seconds in 0_u64..1 << 40, nanos in 0..NANOS_PER_SECOND) {
            let duration = Duration::new(seconds, nanos);
            match time.checked_add(duration) {
                Some(later) => {
                    prop_assert_eq!(later.duration_since(time), duration);
                    prop_assert_eq!(later.as_nanosecond() - time.as_nanosecond(), i128::try_from(duration.as_nanos()).unwrap());
                    prop_assert_eq!(time.duration_since(later) > Duration::ZERO, false);
                }
                None => prop_assert!(time.as_nanosecond() + i128::try_from(duration.as_nanos()).unwrap() > Timestamp::MAX.as_nanosecond()),
            }
        }

        #[test]
        fn milliseconds_and_seconds_are_rounded_down(time in timestamp()) {
            prop_assert_eq!(i128::from(time.as_second()), time.as_nanosecond().div_euclid(1_000_000_000));
            prop_assert_eq!(i128::from(time.as_millisecond()), time.as_nanosecond().div_euclid(1_000_000));
            let again = Timestamp::from_millisecond(time.as_millisecond()).unwrap();
            prop_assert!(again <= time && time.duration_since(again) < Duration::from_millis(1));
        }

        #[test]
        fn a_number_of_seconds_is_that_time_to_the_precision_of_the_number(seconds in -6e10..2.5e11) {
            let time = Timestamp::from_secs_f64(seconds).unwrap();
            prop_assert!((time.as_secs_f64() - seconds).abs() < 1e-4, "{}", time);
        }
    }

    #[test]
    fn there_is_no_time_beyond_the_first_and_the_last() {
        let outside = [Timestamp::MIN.second - 1, Timestamp::MAX.second + 1, i64::MIN, i64::MAX];
        assert!(outside.into_iter().all(|second| Timestamp::from_second(second).is_none()));
        for number in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e300, -1e11] {
            assert_eq!(Timestamp::from_secs_f64(number), None, "{number}");
        }
        assert_eq!(Timestamp::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
    }
}
