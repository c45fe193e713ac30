//! Standard output: colour and a line that changes in place, where a terminal shows it.

use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _, stdout};

use super::words::wrap;

/// How a piece of text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

/// Standard output, and what it can show.
pub(crate) struct Terminal {
    interactive: bool,
    colour: bool,
    /// Where long rows are broken.
    width: Option<usize>,
    /// Whether the cursor is at the end of a line that may still change.
    open: bool,
}

impl Terminal {
    /// Standard output, with colour only on a terminal and not with `NO_COLOR`
    /// (<https://no-color.org>). Rows longer than `width` are broken.
    pub(crate) fn stdout(width: Option<usize>) -> Terminal {
        let interactive = stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR");
        Terminal::new(interactive, no_color.as_deref(), width)
    }

    fn new(interactive: bool, no_color: Option<&OsStr>, width: Option<usize>) -> Terminal {
        let is_unwanted = no_color.is_some_and(|value| !value.is_empty());
        Terminal {
            interactive,
            colour: interactive && !is_unwanted,
            width,
            open: false,
        }
    }

    /// Whether a line can change in place.
    pub(crate) fn is_terminal(&self) -> bool {
        self.interactive
    }

    /// Writes a heading with an empty line before it.
    pub(crate) fn heading(&mut self, text: &str) {
        self.line(Style::Plain, "");
        self.line(Style::Bold, text);
    }

    /// Writes text for good, in place of a changing line.
    pub(crate) fn line(&mut self, style: Style, text: &str) {
        let rows = match self.width {
            Some(width) => wrap(text, width),
            None => vec![text.to_owned()],
        };
        for row in rows {
            let clear = if self.open { "\r\x1b[2K" } else { "" };
            self.open = false;
            let row = self.styled(style, &row);
            // The reader may have gone, as in `sandbox demo | head`.
            writeln!(stdout().lock(), "{clear}{row}").ok();
        }
    }

    /// Writes a line that the next one replaces. Call this only on a terminal.
    pub(crate) fn live(&mut self, style: Style, text: &str) {
        self.open = true;
        let text = self.styled(style, text);
        let mut out = stdout().lock();
        write!(out, "\r\x1b[2K{text}")
            .and_then(|()| out.flush())
            .ok();
    }

    fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "31",
            Style::Plain => "",
        };
        if self.colour && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_terminal_and_no_objection() {
        let shown = |interactive: bool, no_color: Option<&str>| {
            Terminal::new(interactive, no_color.map(OsStr::new), None).styled(Style::Good, "t")
        };
        assert_eq!(shown(true, None), "\x1b[32mt\x1b[0m");
        assert_eq!(shown(true, Some("")), shown(true, None));
        assert_eq!(shown(true, Some("1")), "t");
        assert_eq!(shown(false, None), "t");
    }
}
