//! Measured figures and their aims.

use std::env::var_os;
use std::io::{IsTerminal as _, stdout};

use crate::table::table;

/// One line of the report.
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    function: String,
    empty: String,
    ratio: String,
    aim: String,
    pub(crate) met: bool,
}

impl Figure {
    /// Creates a figure of at most `aim`, in a unit. The empty function may have nothing to compare.
    pub(crate) fn amount(
        what: &'static str,
        unit: fn(u32) -> String,
        (function, empty): (u32, Option<u32>),
        aim: u32,
    ) -> Figure {
        let ratio = empty.map(|empty| f64::from(function) / f64::from(empty));
        Figure {
            what,
            function: unit(function),
            empty: empty.map(unit).unwrap_or_default(),
            ratio: ratio.map(times).unwrap_or_default(),
            aim: unit(aim),
            met: function <= aim,
        }
    }

    /// Creates a figure that counts only as a multiple of the empty function's. The one in parentheses has no aim.
    pub(crate) fn ratio(what: &'static str, (ratio, beside): (f64, f64), aim: f64) -> Figure {
        Figure {
            what,
            function: String::new(),
            empty: String::new(),
            ratio: format!("{} ({})", times(ratio), times(beside)),
            aim: times(aim),
            met: ratio <= aim,
        }
    }

    /// Adds, in parentheses, amounts without an aim.
    pub(crate) fn beside(mut self, function: &str, empty: &str) -> Figure {
        self.function = format!("{} ({function})", self.function);
        self.empty = format!("{} ({empty})", self.empty);
        self
    }
}

/// Returns all figures in columns, in colour only on a terminal and without `NO_COLOR` (<https://no-color.org>).
pub(crate) fn report(figures: &[Figure]) -> String {
    let head = ["", "function", "empty", "ratio", "at most", "ok?"];
    let rows = figures.iter().map(|figure| {
        let verdict = if figure.met { "ok" } else { "MISSED" };
        [
            figure.what.to_owned(),
            figure.function.clone(),
            figure.empty.clone(),
            figure.ratio.clone(),
            figure.aim.clone(),
            verdict.to_owned(),
        ]
    });
    let text = table(head, &rows.collect::<Vec<_>>());
    let unwanted = var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if unwanted || !stdout().is_terminal() {
        return text;
    }
    text.replace(" ok\n", " \x1b[32mok\x1b[0m\n")
        .replace(" MISSED\n", " \x1b[31mMISSED\x1b[0m\n")
}

/// Bytes of a file.
pub(crate) fn megabytes(bytes: u32) -> String {
    format!("{:.2} MB", f64::from(bytes) / 1e6)
}

/// Kibibytes of memory.
pub(crate) fn mebibytes(kibibytes: u32) -> String {
    format!("{:.2} MiB", f64::from(kibibytes) / 1024.0)
}

/// A multiple.
fn times(ratio: f64) -> String {
    format!("{ratio:.2} x")
}

/// A number with a comma before each three digits.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in (1..=digits.len()).rev().zip(digits.chars()) {
        text.push(digit);
        if place > 1 && place % 3 == 1 {
            text.push(',');
        }
    }
    text
}
