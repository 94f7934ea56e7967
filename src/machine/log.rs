//! The text of a journal's log: one line of JSON for each record, closed by a checksum.

use std::io;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::journal::Line;
use super::look::hex;

/// The version of the log's lines; a reader refuses another.
const VERSION: u32 = 1;
/// How many digits of a line's checksum are kept.
const SUM: usize = 16;

/// A line as it stands in the log: JSON whose last member is the checksum of all that is before it.
pub(super) fn write_line(line: &Line) -> io::Result<String> {
    let head = format!("{{\"v\":{VERSION},\"entry\":{}", serde_json::to_string(line)?);
    Ok(format!("{head},\"sum\":\"{}\"}}\n", sum(&head)))
}

fn sum(text: &str) -> String {
    let mut sum = hex(&Sha256::digest(text.as_bytes()));
    sum.truncate(SUM);
    sum
}

#[derive(Deserialize)]
struct Written {
    v: u32,
    entry: Line,
}

/// The whole lines of a log, and how many bytes they have. Only the last line may be torn.
pub(super) fn parse(text: &[u8]) -> Result<(Vec<Line>, usize), String> {
    let mut lines = Vec::new();
    let mut length = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let last = length + line.len() == text.len();
        match parse_line(line) {
            Ok(parsed) => lines.push(parsed),
            Err(_) if last => break,
            Err(reason) => return Err(format!("line {}: {reason}", lines.len() + 1)),
        }
        length += line.len();
    }
    Ok((lines, length))
}

fn parse_line(line: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let whole = text.strip_suffix("\"}\n").ok_or("it has no end")?;
    let (head, found) = whole.rsplit_once(",\"sum\":\"").ok_or("it has no checksum")?;
    if sum(head) != found {
        return Err("its checksum does not fit".to_owned());
    }
    let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if written.v != VERSION {
        return Err(format!("it has version {}; this build reads version {VERSION}", written.v));
    }
    Ok(written.entry)
}

#[cfg(test)]
mod tests {
    use super::super::journal::Cause;
    use super::*;

    #[test]
    fn a_torn_last_line_is_left_out_and_a_damaged_middle_is_refused() {
        let whole =
            [Line::Committed, Line::Ended { cause: Cause::Aborted }].iter().map(|line| write_line(line).unwrap()).collect::<String>();
        let (lines, length) = parse(whole.as_bytes()).unwrap();
        assert_eq!((lines.len(), length), (2, whole.len()));
        let first = write_line(&Line::Committed).unwrap().len();
        for cut in first..whole.len() {
            let (lines, length) = parse(&whole.as_bytes()[..cut]).unwrap();
            assert_eq!((lines.len(), length), (1, first), "cut at {cut}");
        }
        let damaged = whole.replacen("committed", "committee", 1);
        assert_eq!(parse(damaged.as_bytes()).unwrap_err(), "line 1: its checksum does not fit");
    }

    #[test]
    fn a_line_of_another_version_says_so() {
        let head = "{\"v\":9,\"entry\":\"committed\"";
        let line = format!("{head},\"sum\":\"{}\"}}\n", sum(head));
        assert_eq!(parse_line(line.as_bytes()).unwrap_err(), "it has version 9; this build reads version 1");
    }
}
