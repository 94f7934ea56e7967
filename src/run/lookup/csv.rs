//! `csvfile`: a column of the row whose key column has the term.

use super::inline::Terms;
use crate::template::{LookupCall, Value};

const OPTIONS: &[&str] = &["col", "default", "delimiter", "file", "encoding", "keycol"];

/// Runs the lookup; `read` gives the text of a file, in an encoding.
pub(super) fn run(call: &LookupCall<'_>, read: impl Fn(&str, &str) -> Result<String, String>) -> Result<Vec<Value>, String> {
    if call.terms.is_empty() {
        return Err("Search key is required but was not found".to_owned());
    }
    let mut found = Vec::new();
    for (key, options) in Terms::read(call, OPTIONS)?.each {
        let key = key.ok_or("Search key is required but was not found")?;
        let key_column = options.number("keycol", 0)?;
        let delimiter = options.text("delimiter").unwrap_or_else(|| "TAB".to_owned());
        let delimiter = match delimiter.as_str() {
            "TAB" | "\\t" => '\t',
            other => other.chars().next().unwrap_or(','),
        };
        let file = options.text("file").unwrap_or_else(|| "ansible.csv".to_owned());
        let text = read(&file, &options.text("encoding").unwrap_or_default())?;
        let row = rows(&text, delimiter).into_iter().find(|row| row.get(key_column).is_some_and(|cell| *cell == key));
        match row {
            Some(row) => {
                let column = options.number("col", 1)?;
                let cell = row.get(column).ok_or_else(|| format!("the row has {} columns; `col` {column} counts from 0", row.len()))?;
                found.push(Value::from(cell.as_str()));
            }
            None => found.extend(options.get("default").filter(|default| !default.to_text().is_empty()).cloned()),
        }
    }
    Ok(found)
}

/// The cells of each line. A cell in `"` may have delimiters, line feeds and doubled quotes in it.
fn rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            letter if letter == delimiter && !quoted => row.push(std::mem::take(&mut cell)),
            '\n' | '\r' if !quoted => {
                if !row.is_empty() || !cell.is_empty() {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
            }
            letter => cell.push(letter),
        }
    }
    if !row.is_empty() || !cell.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_spreadsheets_write() {
        let table: &[(&str, char, &[&[&str]])] = &[
            ("a,b\r\nc,d", ',', &[&["a", "b"], &["c", "d"]]),
            ("\"a, b\",1,\"x \"\"q\"\"\"\n\nfoo,bar\n", ',', &[&["a, b", "1", "x \"q\""], &["foo", "bar"]]),
            ("a\tb c\t\n", '\t', &[&["a", "b c", ""]]),
            ("\"two\nlines\";1", ';', &[&["two\nlines", "1"]]),
            ("mid\"quote,x", ',', &[&["mid\"quote", "x"]]),
            ("", ',', &[]),
        ];
        for (text, delimiter, expected) in table {
            assert_eq!(rows(text, *delimiter), *expected, "{text:?}");
        }
    }
}
