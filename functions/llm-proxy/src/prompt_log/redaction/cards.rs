//! Numbers of payment cards (ISO/IEC 7812), by their check digit.

use super::Found;

const FEWEST_DIGITS: usize = 13;
const MOST_DIGITS: usize = 19;

/// The longest card number that begins at `at`. Its digits may stand in groups, with a blank or a hyphen between.
pub(super) fn at(text: &str, at: usize) -> Option<Found> {
    let (mut digits, mut end) = (Vec::with_capacity(MOST_DIGITS), None);
    let mut position = at;
    while digits.len() < MOST_DIGITS {
        let Some(digit) = digit(text, position) else { break };
        digits.push(digit);
        position += 1;
        if self::digit(text, position).is_none() {
            if digits.len() >= FEWEST_DIGITS && has_check_digit(&digits) {
                end = Some(position);
            }
            if matches!(text.as_bytes().get(position), Some(b' ' | b'-')) {
                position += 1;
            }
        }
    }
    end.map(|end| Found { at: at..end, label: "[card]" })
}

fn digit(text: &str, at: usize) -> Option<u32> {
    char::from(*text.as_bytes().get(at)?).to_digit(10)
}

/// Luhn's algorithm.
fn has_check_digit(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let values = digits.iter().rev().enumerate();
    let sum: u32 = values.map(|(index, digit)| if index % 2 == 1 { doubled(*digit) } else { *digit }).sum();
    sum.is_multiple_of(10) && sum > 0
}
