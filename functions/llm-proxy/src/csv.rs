//! Comma-separated values (RFC 4180) that no spreadsheet takes for a formula.

/// Adds a record of `cells` to `text`; a missing one is empty.
pub(crate) fn push<'a>(text: &mut String, cells: impl Iterator<Item = Option<&'a str>>) {
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            text.push(',');
        }
        push_cell(text, cell.unwrap_or_default());
    }
    text.push_str("\r\n");
}

/// What a spreadsheet would compute gets an apostrophe in front, as OWASP's page on CSV injection has it.
fn push_cell(text: &mut String, cell: &str) {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let is_quoted = is_formula || cell.contains([',', '"', '\r', '\n']);
    if is_quoted {
        text.push('"');
    }
    if is_formula {
        text.push('\'');
    }
    for part in cell.split_inclusive('"') {
        text.push_str(part);
        if part.ends_with('"') {
            text.push('"');
        }
    }
    if is_quoted {
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(cells: &[&str]) -> String {
        let mut text = String::new();
        push(&mut text, cells.iter().map(|cell| Some(*cell)));
        text
    }

    /// A reader as RFC 4180 describes the format, one record.
    fn read(text: &str) -> Vec<String> {
        let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut rest = text.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '"' if quoted && rest.peek() == Some(&'"') => cell.push(rest.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(std::mem::take(&mut cell)),
                '\r' | '\n' if !quoted => panic!("a record ends early: {text:?}"),
                other => cell.push(other),
            }
        }
        assert!(!quoted, "{text:?}");
        cells.push(cell);
        cells
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(line(&["a", "b c", "", "1.5"]), "a,b c,,1.5\r\n");
        assert_eq!(line(&["a,b", "say \"hi\"", "two\nlines"]), "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n");
        let mut text = String::new();
        push(&mut text, [None, Some("x"), None].into_iter());
        assert_eq!(text, ",x,\r\n");
    }

    #[test]
    fn nothing_begins_like_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "＝1"] {
            let cells = read(&line(&["a", formula]));
            assert_eq!(cells, ["a", &format!("'{formula}")]);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(cells in proptest::collection::vec("[a,\"\r\n'=é -]{0,6}", 1..5)) {
            let texts: Vec<&str> = cells.iter().map(String::as_str).collect();
            let expected: Vec<String> = cells
                .iter()
                .map(|cell| if cell.starts_with(['=', '-', '\r', '\n']) { format!("'{cell}") } else { cell.clone() })
                .collect();
            prop_assert_eq!(read(&line(&texts)), expected);
        }
    }
}
