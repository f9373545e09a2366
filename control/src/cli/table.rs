//! Tables on a terminal: columns as wide as they need.

use crate::cli::{Failure, say};

/// Prints `rows` under `headings`.
///
/// # Errors
///
/// When nobody reads.
pub fn print<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    say::text(format_args!("{}", render(headings, rows)))
}

/// The table as text.
#[must_use]
pub fn render<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let headings = headings.map(str::to_owned);
    let lines = std::iter::once(&headings).chain(rows).map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_their_text() {
        let rows = [["a".to_owned(), "1".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(render(["NAME", "N"], &rows), "NAME  N\na     1\nlong\n");
    }
}
