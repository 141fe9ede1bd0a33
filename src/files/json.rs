//! What is wrong with a JSON text, in this program's words instead of those of the parser's types.

/// Why a text is no such document: the key, where the parser names it, and what is wrong.
pub(crate) fn why(e: &serde_json::Error, text: &str) -> (Option<String>, String) {
    let message = e.to_string();
    // A text in the file may hold these words, too.
    let what = message.rsplit_once(" at line ").map_or(&*message, |(what, _)| what);
    if text.trim().is_empty() {
        return (None, "the file is empty".to_string());
    }
    if e.is_eof() {
        return (None, "the file ends before its JSON does".to_string());
    }
    if !e.is_data() {
        return (None, format!("not JSON: {what}"));
    }
    for (start, what) in [
        ("missing field `", "the key is missing"),
        ("duplicate field `", "the key is given twice"),
        ("unknown field `", "unknown key"),
    ] {
        if let Some((key, _)) = message.strip_prefix(start).and_then(|rest| rest.split_once('`')) {
            return (Some(key.to_string()), what.to_string());
        }
    }
    let pair = ["invalid type: ", "invalid value: ", "invalid length "];
    let pair = pair.iter().find_map(|start| what.strip_prefix(start)?.rsplit_once(", expected "));
    let what = match pair {
        Some((given, wanted)) => format!("{} is not {}", found(given), expected(wanted)),
        None => what.to_string(),
    };
    (None, what)
}

/// A value, from the parser's "integer `1`", "string \"x\"", "map" or the length of a list.
fn found(given: &str) -> String {
    let plain = |kind: &str| Some(given.strip_prefix(kind)?.strip_prefix(" `")?.strip_suffix('`')?.to_string());
    let number = ["integer", "floating point", "boolean"].into_iter().find_map(plain);
    let text = || Some(format!("'{}'", given.strip_prefix("string \"")?.strip_suffix('"')?));
    number.or_else(text).unwrap_or_else(|| match given {
        "map" => "a table of keys".to_string(),
        "sequence" => "a list".to_string(),
        length if length.bytes().all(|b| b.is_ascii_digit()) => format!("a list of {length}"),
        other => other.to_string(),
    })
}

/// What should be there.
fn expected(wanted: &str) -> String {
    let list = |start| Some(format!("a list of {}", wanted.strip_prefix(start)?.split(' ').next()?));
    let plain = match wanted {
        "a string" | "a borrowed string" => "a text",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number in range",
        "a map" => "a table of keys",
        _ if wanted.starts_with("struct ") => "a table of keys",
        other => {
            return list("an array of length ").or_else(|| list("a tuple of size ")).unwrap_or_else(|| other.into());
        }
    };
    plain.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Document {
        status: String,
        size: u32,
        part: Option<f64>,
        flag: Option<bool>,
        list: Option<Vec<[u64; 2]>>,
        map: Option<BTreeMap<String, u64>>,
    }

    #[test]
    fn nothing_is_said_of_the_parsers_types() {
        for (text, key, what) in [
            ("", None, "the file is empty"),
            ("{", None, "the file ends before its JSON does"),
            ("{\"status\" 1}", None, "not JSON: expected `:`"),
            ("1", None, "1 is not a table of keys"),
            ("\"x\"", None, "'x' is not a table of keys"),
            ("{}", Some("status"), "the key is missing"),
            ("{\"status\": \"a\", \"status\": \"b\"}", Some("status"), "the key is given twice"),
            ("{\"status\": 1.5}", None, "1.5 is not a text"),
            ("{\"status\": {}}", None, "a table of keys is not a text"),
            ("{\"status\": []}", None, "a list is not a text"),
            ("{\"status\": null}", None, "null is not a text"),
            ("{\"size\": -1}", None, "-1 is not a whole number in range"),
            ("{\"size\": 5000000000}", None, "5000000000 is not a whole number in range"),
            ("{\"part\": true}", None, "true is not a number"),
            ("{\"flag\": 1}", None, "1 is not true or false"),
            ("{\"list\": 1}", None, "1 is not a list"),
            ("{\"list\": [[1]]}", None, "a list of 1 is not a list of 2"),
            ("{\"map\": 1}", None, "1 is not a table of keys"),
        ] {
            let e = serde_json::from_str::<Document>(text).unwrap_err();
            assert_eq!(why(&e, text), (key.map(String::from), what.to_string()), "{e}");
        }
    }
}
