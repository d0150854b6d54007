//! The query string of a read: which columns, which rows, in which order, how many.

use super::failure::Failure;
use super::schema::Table;
use super::{MAX_ROWS, quoted};

/// A read, as SQL.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) columns: String,
    pub(super) condition: String,
    pub(super) order: String,
    pub(super) limit: u64,
    pub(super) offset: u64,
    pub(super) parameters: Vec<Option<String>>,
}

impl Selection {
    /// Reads the pairs of a query string; only names that `table` has get into the SQL, values become parameters.
    pub(super) fn read(pairs: &[(String, String)], table: &Table) -> Result<Self, Failure> {
        let mut selection = Self {
            columns: "*".into(),
            condition: "true".into(),
            order: String::new(),
            limit: MAX_ROWS,
            offset: 0,
            parameters: Vec::new(),
        };
        for (name, value) in pairs {
            match name.as_str() {
                "select" => selection.columns = columns(value, table)?,
                "order" => selection.order = order(value, table)?,
                "limit" => selection.limit = number(name, value)?.min(MAX_ROWS),
                "offset" => selection.offset = number(name, value)?,
                "and" | "or" | "not.and" | "not.or" | "columns" | "on_conflict" => return Err(Failure::query(name)),
                column => selection.add_condition(column, value, table)?,
            }
        }
        Ok(selection)
    }

    fn add_condition(&mut self, column: &str, value: &str, table: &Table) -> Result<(), Failure> {
        let kind = table.columns.get(column).ok_or_else(|| Failure::unknown_column(&table.name, column))?;
        let (negated, value) = value.strip_prefix("not.").map_or((false, value), |rest| (true, rest));
        let (operator, operand) =
            value.split_once('.').ok_or_else(|| Failure::query(&format!("\"{value}\" (no operator)")))?;
        let test = self.test(&quoted(column), kind, operator, operand)?;
        let negation = if negated { "not " } else { "" };
        self.condition = format!("{} and {negation}({test})", self.condition);
        Ok(())
    }

    fn test(&mut self, column: &str, kind: &str, operator: &str, operand: &str) -> Result<String, Failure> {
        let comparison = match operator {
            "eq" => "=",
            "neq" => "<>",
            "gt" => ">",
            "gte" => ">=",
            "lt" => "<",
            "lte" => "<=",
            "like" | "ilike" => {
                let pattern = self.parameter(operand.replace('*', "%"));
                return Ok(format!("{column}::text {operator} {pattern}"));
            }
            "is" => return is(column, operand),
            "in" => return self.is_in(column, kind, operand),
            other => return Err(Failure::query(&format!("the operator \"{other}\""))),
        };
        let operand = self.parameter(operand.into());
        Ok(format!("{column} {comparison} {operand}::{kind}"))
    }

    fn is_in(&mut self, column: &str, kind: &str, operand: &str) -> Result<String, Failure> {
        let list = operand.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let list = list.ok_or_else(|| Failure::query(&format!("\"{operand}\" (not a list in parentheses)")))?;
        let values: Vec<String> =
            items(list).into_iter().map(|value| format!("{}::{kind}", self.parameter(value))).collect();
        if values.is_empty() { Ok("false".into()) } else { Ok(format!("{column} in ({})", values.join(", "))) }
    }

    fn parameter(&mut self, value: String) -> String {
        self.parameters.push(Some(value));
        format!("${}::text", self.parameters.len())
    }
}

fn columns(list: &str, table: &Table) -> Result<String, Failure> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let names = names.map(|name| if name == "*" { Ok(name.to_owned()) } else { known(name, table) });
    let names = names.collect::<Result<Vec<_>, _>>()?;
    Ok(if names.is_empty() { "*".into() } else { names.join(", ") })
}

fn order(list: &str, table: &Table) -> Result<String, Failure> {
    let terms = list.split(',').map(|term| {
        let mut words = term.trim().split('.');
        let column = known(words.next().unwrap_or_default(), table)?;
        words.try_fold(column, |sql, word| match word {
            "asc" | "desc" => Ok(format!("{sql} {word}")),
            "nullsfirst" => Ok(format!("{sql} nulls first")),
            "nullslast" => Ok(format!("{sql} nulls last")),
            other => Err(Failure::query(&format!("the order \"{other}\""))),
        })
    });
    Ok(format!(" order by {}", terms.collect::<Result<Vec<_>, _>>()?.join(", ")))
}

/// A column's quoted name, if the table has it.
fn known(name: &str, table: &Table) -> Result<String, Failure> {
    if name.contains(['(', ':', '>', '!']) {
        return Err(Failure::query(&format!("\"{name}\" (only plain columns)")));
    }
    table.columns.get(name).map(|_| quoted(name)).ok_or_else(|| Failure::unknown_column(&table.name, name))
}

fn is(column: &str, operand: &str) -> Result<String, Failure> {
    match operand.to_ascii_lowercase().as_str() {
        value @ ("null" | "true" | "false" | "unknown") => Ok(format!("{column} is {value}")),
        "not_null" => Ok(format!("{column} is not null")),
        _ => Err(Failure::query(&format!("\"is.{operand}\""))),
    }
}

/// The items of `a,"b,c"`: double quotes protect commas, a backslash protects the next character within them.
fn items(list: &str) -> Vec<String> {
    let (mut items, mut item, mut is_quoted, mut characters) = (Vec::new(), String::new(), false, list.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => item.extend(characters.next()),
            ',' if !is_quoted => items.push(std::mem::take(&mut item)),
            other => item.push(other),
        }
    }
    if !list.is_empty() {
        items.push(item);
    }
    items
}

fn number(name: &str, value: &str) -> Result<u64, Failure> {
    value.parse().map_err(|_| Failure::query(&format!("{name}={value}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn table() -> Table {
        let columns = BTreeMap::from([("id", "uuid"), ("we\"ird", "integer")]);
        let columns: BTreeMap<_, _> =
            columns.into_iter().map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        serde_json::from_value(serde_json::json!({ "schema": "public", "name": "t", "columns": columns })).unwrap()
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Selection, Failure> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Selection::read(&pairs, &table())
    }

    #[test]
    fn values_never_get_into_the_sql() {
        let selection = read(&[("id", "eq.'; drop table t; --"), ("id", "not.in.(a,\"b,c\")")]).unwrap();
        assert_eq!(
            selection.condition,
            r#"true and ("id" = $1::text::uuid) and not ("id" in ($2::text::uuid, $3::text::uuid))"#
        );
        assert_eq!(selection.parameters, [Some("'; drop table t; --".into()), Some("a".into()), Some("b,c".into())]);
    }

    #[test]
    fn names_that_the_table_does_not_have_are_refused() {
        for pair in
            [("x", "eq.1"), ("select", "id,x"), ("order", "x.desc"), ("select", "id,other(*)"), ("select", "a:id")]
        {
            assert!(read(&[pair]).is_err(), "{pair:?}");
        }
        assert!(read(&[("we\"ird", "gt.1")]).unwrap().condition.contains(r#""we""ird" > $1"#));
    }

    #[test]
    fn what_this_server_does_not_know_is_refused_rather_than_ignored() {
        for pair in
            [("id", "1"), ("id", "fts.x"), ("or", "(id.eq.1)"), ("id", "is.x"), ("limit", "-1"), ("order", "id.up")]
        {
            assert!(read(&[pair]).is_err(), "{pair:?}");
        }
    }

    #[test]
    fn a_read_has_an_order_and_never_more_than_the_most_rows() {
        let selection = read(&[("order", "id.desc.nullslast"), ("limit", "5000"), ("offset", "3")]).unwrap();
        assert_eq!(selection.order, r#" order by "id" desc nulls last"#);
        assert_eq!((selection.limit, selection.offset), (MAX_ROWS, 3));
    }
}
