//! Tables of text with aligned columns.

use crate::console::{Colour, Console};

/// A cell, with the colour of its text.
pub(crate) type Cell = (String, Option<Colour>);

/// Returns a cell without a colour.
pub(crate) fn plain(text: impl Into<String>) -> Cell {
    (text.into(), None)
}

/// Prints a table below a heading line, unless it has no rows.
pub(crate) fn print<const N: usize>(console: &Console, headings: [&str; N], rows: &[[Cell; N]]) {
    if rows.is_empty() {
        return;
    }
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, (text, _)) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let headings = headings.map(plain);
    console.line("");
    for row in std::iter::once(&headings).chain(rows) {
        let cells = row.iter().zip(widths).map(|((text, colour), width)| {
            // The colour's own characters take no room.
            let room = " ".repeat(width.saturating_sub(text.chars().count()));
            let text = colour.map_or_else(|| text.clone(), |colour| console.paint(text, colour));
            text + &room
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        console.line(line.trim_end());
    }
}
