use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::civil::Date;
use super::{NANOS_PER_SECOND, Timestamp};

/// The text is no date and time of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a time such as 2026-11-21T10:00:00Z")]
pub struct NoTimestamp;

/// `2026-11-21T10:00:00.123456789Z`.
const LONGEST: usize = 30;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
const FRACTION_DIGITS: usize = 9;

/// A text in the making; no formatting machinery is needed for digits.
struct Text {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Text {
    /// With so many digits of the second, or as many as are not zero.
    fn of(time: Timestamp, digits: Option<usize>) -> Self {
        let date = Date::from_days(time.second.div_euclid(SECONDS_PER_DAY));
        let of_day = time.second.rem_euclid(SECONDS_PER_DAY);
        let mut text = Self { bytes: [0; LONGEST], length: 0 };
        let parts = [date.month, date.day, of_day / 3600, of_day / 60 % 60, of_day % 60];
        text.digits(date.year / 100);
        text.digits(date.year % 100);
        for (mark, part) in [b'-', b'-', b'T', b':', b':'].into_iter().zip(parts) {
            text.push(mark);
            text.digits(part);
        }
        text.fraction(time.nanosecond, digits);
        text.push(b'Z');
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// A number of two digits.
    fn digits(&mut self, number: i64) {
        for digit in [number / 10, number % 10] {
            self.push(b'0' + u8::try_from(digit).unwrap_or_default());
        }
    }

    fn fraction(&mut self, nanosecond: u32, digits: Option<usize>) {
        let (mut rest, mut unit) = (nanosecond, NANOS_PER_SECOND / 10);
        for place in 0..digits.unwrap_or(FRACTION_DIGITS).min(FRACTION_DIGITS) {
            if digits.is_none() && rest == 0 {
                return;
            }
            if place == 0 {
                self.push(b'.');
            }
            self.push(b'0' + u8::try_from(rest / unit).unwrap_or_default());
            rest %= unit;
            unit /= 10;
        }
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Text::of(*self, f.precision()).as_str())
    }
}

/// The rest of a text that is read from its beginning.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn mark(&mut self, marks: &[u8]) -> Option<u8> {
        self.next().filter(|byte| marks.contains(byte))
    }

    fn digit(&mut self) -> Option<u32> {
        self.next().filter(u8::is_ascii_digit).map(|byte| u32::from(byte - b'0'))
    }

    /// A number of two digits, below `bound`.
    fn two(&mut self, bound: i64) -> Option<i64> {
        let number = i64::from(self.digit()? * 10 + self.digit()?);
        (number < bound).then_some(number)
    }

    fn date(&mut self) -> Option<Date> {
        let year = self.two(100)? * 100 + self.two(100)?;
        self.mark(b"-")?;
        let month = self.two(13)?;
        self.mark(b"-")?;
        Some(Date { year, month, day: self.two(32)? })
    }

    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.two(24)?;
        self.mark(b":")?;
        let minute = self.two(60)?;
        self.mark(b":")?;
        // A leap second counts as the second before it.
        Some((hour * 60 + minute) * 60 + self.two(61)?.min(59))
    }

    fn fraction(&mut self) -> Option<u32> {
        if self.0.first() != Some(&b'.') {
            return Some(0);
        }
        self.next();
        let (mut nanosecond, mut unit) = (self.digit()? * (NANOS_PER_SECOND / 10), NANOS_PER_SECOND / 100);
        while self.0.first().is_some_and(u8::is_ascii_digit) {
            nanosecond += self.digit()? * (unit > 0).then_some(unit)?;
            unit /= 10;
        }
        Some(nanosecond)
    }

    /// In seconds.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.mark(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hour = self.two(24)?;
        self.mark(b":")?;
        Some(sign * (hour * 60 + self.two(60)?) * 60)
    }

    fn timestamp(mut self) -> Option<Timestamp> {
        let days = self.date()?.to_days()?;
        self.mark(b"Tt ")?;
        let second = days * SECONDS_PER_DAY + self.time_of_day()?;
        let nanosecond = self.fraction()?;
        let second = second - self.offset()?;
        if self.0.is_empty() { Timestamp::new(second, nanosecond) } else { None }
    }
}

impl FromStr for Timestamp {
    type Err = NoTimestamp;

    fn from_str(text: &str) -> Result<Self, NoTimestamp> {
        Reader(text.as_bytes()).timestamp().ok_or(NoTimestamp)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Text::of(*self, None).as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse;

        impl Visitor<'_> for Parse {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-11-21T10:00:00Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Parse)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oracle(time: Timestamp) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(time.as_nanosecond()).unwrap()
    }

    proptest! {
        #[test]
        fn prints_what_jiff_prints_and_reads_it_back(
            second in Timestamp::MIN.second..253_402_207_200, nanosecond in 0..NANOS_PER_SECOND, digits in 0_u32..=9,
        ) {
            let unit = 10_u32.pow(digits);
            let time = Timestamp::new(second, nanosecond / unit * unit).unwrap();
            let text = time.to_string();
            prop_assert_eq!(&text, &oracle(time).to_string());
            prop_assert_eq!(format!("{time:.3}"), format!("{:.3}", oracle(time)));
            prop_assert_eq!(text.parse(), Ok(time));
        }

        #[test]
        fn reads_every_date_as_jiff_reads_it(year in 1..9_999, month in 0..14, day in 0..33, hour in -23..24) {
            let text = format!("{year:04}-{month:02}-{day:02}T12:30:60.25{hour:+03}:30");
            let expected = text.parse::<jiff::Timestamp>().ok().map(|time| time.to_string());
            prop_assert_eq!(text.parse::<Timestamp>().ok().map(|time| time.to_string()), expected, "{}", text);
        }

        #[test]
        fn never_reads_what_jiff_refuses(text in "[0-9]{1,4}-[01][0-9]-[0-3][0-9][Tt _]?[0-9:.]{0,12}[Zz+-]?[0-9:]{0,6}") {
            if let Ok(time) = text.parse::<Timestamp>() {
                prop_assert_eq!(Some(oracle(time)), text.parse().ok(), "{}", text);
            }
        }
    }

    #[test]
    fn what_rfc_3339_does_not_have_is_refused() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T10:00:00",
            "2026-11-21T10:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T10:60:00Z",
            "2026-11-21T10:00:61Z",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00:00.1234567890Z",
            "2026-11-21T10:00:00+1",
            "2026-11-21T10:00:00+01",
            "2026-11-21T10:00:00+24:00",
            "2026-11-21T10:00:00Z ",
            "2026-02-29T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "+2026-11-21T10:00:00Z",
            "0000-01-01T00:00:00+00:01",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NoTimestamp), "{text}");
        }
    }

    #[test]
    fn the_first_and_the_last_time_are_written_in_full() {
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999999Z");
        assert_eq!("2024-02-29T23:30:00-00:45".parse::<Timestamp>().unwrap().to_string(), "2024-03-01T00:15:00Z");
        assert_eq!(format!("{:.0}", Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
