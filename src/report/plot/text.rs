//! How much room a text takes. Without the viewer's fonts nobody knows: these are the widths of a wide one, so that
//! what fits in it fits in others.

/// About what a text is wide, in pixels.
pub(in crate::report) fn width_of(text: &str, size: i32) -> i32 {
    // The drawing library writes a text of size 12.4 with 10 pixels to the em.
    let em = f64::from(size) / 1.24;
    (text.chars().map(ems).sum::<f64>() * em).ceil() as i32
}

/// The width of a character of DejaVu Sans, rounded up.
fn ems(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '·' => 0.34,
        'f' | 't' | 'r' | '-' | '(' | ')' | '[' | ']' | '!' | '/' => 0.42,
        '⁰'..='⁹' | '⁻' | '²' | '³' | '¹' => 0.53,
        'm' | 'M' | 'W' | '@' | '%' | '…' | '—' => 1.0,
        'w' | 'A'..='Z' | '+' | '<' | '>' | '=' | '~' | '#' | '&' => 0.84,
        '\0'..='\u{7f}' => 0.64,
        '\u{1100}'..='\u{1fff}' | '\u{2e80}'.. => 1.0,
        _ => 0.84,
    }
}

/// A text as lines of at most so many pixels, broken at spaces, and within a word where the word alone is wider.
pub(in crate::report) fn broken(text: &str, width: i32, size: i32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        for (at, part) in pieces(word, width, size).into_iter().enumerate() {
            let last = lines.len() - 1;
            let line = &mut lines[last];
            if line.is_empty() {
                *line = part;
            } else if at > 0 || width_of(&format!("{line} {part}"), size) > width {
                lines.push(part);
            } else {
                line.push(' ');
                line.push_str(&part);
            }
        }
    }
    lines
}

/// A word in parts of at most so many pixels, but of a character at least.
fn pieces(word: &str, width: i32, size: i32) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in word.chars() {
        let last = parts.len() - 1;
        if !parts[last].is_empty() && width_of(&format!("{}{c}", parts[last]), size) > width {
            parts.push(String::new());
        }
        let last = parts.len() - 1;
        parts[last].push(c);
    }
    parts
}

/// Lines of a text, none for an empty one.
pub(in crate::report) fn lines(text: &str, width: i32, size: i32) -> Vec<String> {
    if text.trim().is_empty() { Vec::new() } else { broken(text, width, size) }
}

/// The width of the widest.
pub(in crate::report) fn widest<'t>(texts: impl IntoIterator<Item = &'t String>, size: i32) -> i32 {
    texts.into_iter().map(|text| width_of(text, size)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_broken_at_spaces() {
        let text = "word ".repeat(100);
        let lines = broken(text.trim(), 300, 13);
        assert!(lines.len() > 5 && lines.iter().all(|line| width_of(line, 13) <= 300 && !line.ends_with(' ')));
        assert_eq!(lines.join(" "), text.trim());
    }

    #[test]
    fn long_words_are_broken_anywhere() {
        let text = format!("a {} b", "m".repeat(200));
        let lines = broken(&text, 300, 13);
        assert!(lines.iter().all(|line| width_of(line, 13) <= 300), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert_eq!(broken("", 300, 13), [""]);
        assert_eq!(broken("mm", 0, 13), ["m", "m"]);
    }
}
