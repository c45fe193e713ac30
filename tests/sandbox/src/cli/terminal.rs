//! Standard output: colour and a line that changes in place, where there is a terminal for them.

use std::io::{IsTerminal as _, Write as _, stdout};

/// How a piece of text is to stand out.
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
    /// Whether the cursor is at the end of a line that may still change.
    open: bool,
}

impl Terminal {
    /// Standard output, with colour only on a terminal and not with `NO_COLOR`
    /// (<https://no-color.org>).
    pub(crate) fn stdout() -> Terminal {
        let interactive = stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Terminal {
            interactive,
            colour: interactive && !unwanted,
            open: false,
        }
    }

    /// Whether a line can change in place.
    pub(crate) fn is_terminal(&self) -> bool {
        self.interactive
    }

    /// Writes a line for good, in place of a changing one.
    pub(crate) fn line(&mut self, style: Style, text: &str) {
        let clear = if self.open { "\r\x1b[2K" } else { "" };
        self.open = false;
        let text = self.styled(style, text);
        // Who reads may have gone, as in `sandbox demo | head`; the rest is then for nobody.
        writeln!(stdout().lock(), "{clear}{text}").ok();
    }

    /// Writes a line that the next one replaces; to be called on a terminal only.
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
