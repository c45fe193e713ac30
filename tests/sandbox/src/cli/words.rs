//! Readable text: durations with units, and rows that fit the screen.

use std::time::Duration;

/// No row of the demo is longer, except one with a longer word.
pub(crate) const WIDTH: usize = 100;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long something took, such as `14 ms` and `5.1 s`.
pub(crate) fn took(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else if duration < Duration::from_secs(MINUTE) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        age(duration)
    }
}

/// How old something is, such as `24 h` and `7 d 23 h`. Days begin at two.
pub(crate) fn age(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..MINUTE => format!("{seconds} s"),
        seconds @ MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => match seconds % DAY / HOUR {
            0 => format!("{} d", seconds / DAY),
            hours => format!("{} d {hours} h", seconds / DAY),
        },
    }
}

/// `text` with its version ID cut to the first part, if it is one.
pub(crate) fn short_id(text: &str) -> String {
    let parts: Vec<&str> = text.split('-').collect();
    let is_id = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
    if is_id {
        format!("{}…", parts[0])
    } else {
        text.to_owned()
    }
}

/// Breaks a row at spaces into rows of at most `width` characters. Those that follow are indented
/// further than the first.
pub(crate) fn wrap(row: &str, width: usize) -> Vec<String> {
    let indent = row.len() - row.trim_start().len();
    let next_indent = " ".repeat(indent + 2);
    let (mut rows, mut rest) = (Vec::new(), row.to_owned());
    while rest.chars().count() > width {
        let begin = rest.len() - rest.trim_start().len();
        let end = rest.char_indices().nth(width + 1);
        let end = end.map_or(rest.len(), |(index, _)| index);
        let space = rest[begin..end].rfind(' ').map(|space| begin + space);
        let space = space.or_else(|| rest[end..].find(' ').map(|space| end + space));
        let Some(space) = space else {
            break;
        };
        let next = format!("{next_indent}{}", rest[space..].trim_start());
        rest.truncate(space);
        rows.push(rest.trim_end().to_owned());
        rest = next;
    }
    rows.push(rest);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_a_unit() {
        assert_eq!(took(Duration::from_millis(14)), "14 ms");
        assert_eq!(took(Duration::from_millis(5_120)), "5.1 s");
        assert_eq!(took(Duration::from_secs(150)), "2 min");
        assert_eq!(age(Duration::from_secs(6)), "6 s");
        assert_eq!(age(Duration::from_hours(24)), "24 h");
        assert_eq!(age(Duration::from_hours(7 * 24 + 23)), "7 d 23 h");
        assert_eq!(age(Duration::from_hours(8 * 24)), "8 d");
    }

    #[test]
    fn version_id_is_cut() {
        assert_eq!(
            short_id("9a6dc20c-e9cd-4d5e-bc06-e9bca4a5f3c5"),
            "9a6dc20c…"
        );
        assert_eq!(short_id("acme/prd"), "acme/prd");
    }

    #[test]
    fn long_row_is_broken_at_spaces() {
        let text = format!("    {}", "four ".repeat(50));
        let rows = wrap(&text, WIDTH);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.chars().count() <= WIDTH));
        assert!(rows[0].starts_with("    four"));
        assert!(rows[1].starts_with("      four"));
        assert_eq!(rows.join(" ").split_whitespace().count(), 50);
    }

    #[test]
    fn long_word_is_not_broken() {
        let word = "x".repeat(WIDTH + 1);
        assert_eq!(wrap(&word, WIDTH), [word.as_str()]);
        assert_eq!(wrap(&format!("{word} y"), WIDTH), [word.as_str(), "  y"]);
        let short = "    one row  of a table";
        assert_eq!(wrap(short, WIDTH), [short]);
    }
}
