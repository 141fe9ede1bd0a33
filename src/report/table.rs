//! Columns of text, aligned, and fields of CSV.

/// Rows of cells as lines, indented by two; the columns named in `right` are flush right. A row's last cell is as wide
/// as it likes.
pub(super) fn to_text(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > column + 1).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let gap = if column == 1 { " " } else { "  " };
            let space = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let (before, after) = if right.contains(&column) { (space.as_str(), "") } else { ("", space.as_str()) };
            line.extend([if column == 0 { " " } else { gap }, before, cell, after]);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A field of CSV: in quotes where it must be (RFC 4180).
#[cfg(all(feature = "simulation", feature = "files"))]
pub(crate) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cells_are_aligned_and_nothing_trails() {
        let rows = [vec!["*", "α", "n"], vec!["", "wide", "100"], vec!["", "x", "a long last cell"], vec!["", "y"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| (*c).to_string()).collect()).collect();
        assert_eq!(super::to_text(&rows, &[1]), "  *    α  n\n    wide  100\n       x  a long last cell\n       y\n");
    }

    #[cfg(all(feature = "simulation", feature = "files"))]
    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let fields = ["bloom-3b", "a, \"b\"", "a\rb"].map(super::quoted);
        assert_eq!(fields, ["bloom-3b", "\"a, \"\"b\"\"\"", "\"a\rb\""]);
    }
}
