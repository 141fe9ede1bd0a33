//! Parts of a report in Markdown. Each ends in a line feed and is set off from the next by an empty line.

/// A heading of level 1 to 6.
pub fn heading(level: usize, text: &str) -> String {
    format!("{} {}\n\n", "#".repeat(level.clamp(1, 6)), on_one_line(text))
}

/// A paragraph, as it is.
pub fn paragraph(text: &str) -> String {
    format!("{}\n\n", text.trim_end())
}

/// A picture, with what is read where it is not shown.
pub fn image(description: &str, path: &str) -> String {
    let description = on_one_line(description).replace('[', "\\[").replace(']', "\\]");
    // In angle brackets a path may have spaces and parentheses.
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let path = if plain { path.to_string() } else { format!("<{}>", path.replace('<', "%3C").replace('>', "%3E")) };
    format!("![{description}]({path})\n\n")
}

/// A table, aligned also in its source; the columns named in `right` are flush right. Short rows are filled up, and the
/// header with them.
pub fn table(header: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0);
    if columns == 0 {
        return String::new();
    }
    let header: Vec<String> = header.iter().map(|&cell| escaped(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
    let all = || [&header].into_iter().chain(&rows);
    let width = |column: usize| {
        let cells = all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (at, row) in all().enumerate() {
        for (column, &width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            let space = " ".repeat(width - cell.chars().count());
            let (before, after) = if right.contains(&column) { (space.as_str(), "") } else { ("", space.as_str()) };
            out.extend(["| ", before, cell, after, " "]);
        }
        out.push_str("|\n");
        if at == 0 {
            for (column, &width) in widths.iter().enumerate() {
                out.push_str("| ");
                out.push_str(&"-".repeat(width - 1));
                out.push_str(if right.contains(&column) { ": " } else { "- " });
            }
            out.push_str("|\n");
        }
    }
    out.push('\n');
    out
}

/// A text that does not end its cell.
fn escaped(cell: &str) -> String {
    on_one_line(cell).replace('|', "\\|")
}

fn on_one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_cells_stay_cells() {
        let rows = [vec!["a|b".to_string(), "1,000".to_string()], vec!["two\nlines".to_string()]];
        let table = table(&["scheduler", "mean"], &rows, &[1]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            ["| scheduler |  mean |", "| --------- | ----: |", "| a\\|b      | 1,000 |", "| two lines |       |", ""]
        );
    }

    #[test]
    fn odd_tables_do_no_harm() {
        assert_eq!(table(&[], &[], &[]), "");
        let wide = table(&["a"], &[vec!["1".to_string(), "2".to_string()]], &[7]);
        assert_eq!(wide, "| a   |     |\n| --- | --- |\n| 1   | 2   |\n\n");
    }

    #[test]
    fn headings_and_images() {
        assert_eq!(heading(2, "Results\nof a run"), "## Results of a run\n\n");
        assert_eq!(heading(9, "deep"), "###### deep\n\n");
        assert_eq!(paragraph("text\n"), "text\n\n");
        assert_eq!(image("a [b]", "fig/a-1.svg"), "![a \\[b\\]](fig/a-1.svg)\n\n");
        assert_eq!(image("x", "my fig (1).svg"), "![x](<my fig (1).svg>)\n\n");
    }
}
