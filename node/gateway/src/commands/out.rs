//! Data on stdout, everything else on stderr. A reader that has gone away is no failure of ours.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::{Exit, Failure, Output};

/// Prints a line of data.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    self::text(&format!("{text}\n"))
}

/// Prints data as it is.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Prints data as it is.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(bytes).and_then(|()| stdout.flush());
    printed.map_err(|error| {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        if gone {
            Failure::Closed
        } else {
            Failure::Stdout(error)
        }
    })
}

/// Prints one JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    text(&json_line(value)?)
}

/// One JSON document on one line.
pub(super) fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Stdout(error.into()))?;
    Ok(text + "\n")
}

/// Prints a list: as a table, one JSON array, or one object a line.
pub(super) fn list<T: Serialize>(
    output: Output,
    items: &[T],
    heads: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    match output {
        Output::Json => json(&items),
        Output::Jsonl => items.iter().try_for_each(json),
        Output::Table => table(heads, items.iter().map(row)),
    }
}

/// Prints one object: as two columns or as JSON.
pub(super) fn object<T: Serialize>(
    output: Output,
    item: &T,
    rows: &[(&str, String)],
) -> Result<(), Failure> {
    match output {
        Output::Json | Output::Jsonl => json(item),
        Output::Table => {
            let cells = rows
                .iter()
                .map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
            table(&[], cells)
        }
    }
}

/// What a command exits with that has found something: a reader who goes away changes no verdict.
pub(super) fn verdict(exit: Exit, printed: Result<(), Failure>) -> Result<Exit, Failure> {
    match printed {
        Ok(()) | Err(Failure::Closed) => Ok(exit),
        Err(failure) => Err(failure),
    }
}

/// Says something to the person at the terminal. That nobody can hear it changes nothing.
pub fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Says what works but wants a look.
pub fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if !heads.is_empty() {
        table.set_header(heads.iter().map(|head| head.to_uppercase()));
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    text(
        &lines
            .iter()
            .fold(String::new(), |all, line| all + line + "\n"),
    )
}

/// A value that may be missing, in a table.
pub(super) fn or_dash(value: Option<&str>) -> String {
    value.unwrap_or("-").to_owned()
}
