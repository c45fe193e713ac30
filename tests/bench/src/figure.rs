//! What was measured, beside its aim.

use std::io::{IsTerminal as _, stdout};

use crate::process::Memory;
use crate::table::table;

/// One line of the report.
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    ours: String,
    empty: String,
    ratio: Option<f64>,
    aim: String,
    met: bool,
}

impl Figure {
    /// Bytes of a file.
    pub(crate) fn size(what: &'static str, ours: u32, empty: u32, aim: u32) -> Figure {
        Figure {
            what,
            ours: megabytes(ours),
            empty: megabytes(empty),
            ratio: Some(f64::from(ours) / f64::from(empty)),
            aim: megabytes(aim),
            met: ours <= aim,
        }
    }

    /// Instructions; the empty function may have nothing to compare.
    pub(crate) fn instructions(
        what: &'static str,
        ours: u32,
        empty: Option<u32>,
        aim: u32,
    ) -> Figure {
        Figure {
            what,
            ours: grouped(ours),
            empty: empty.map(grouped).unwrap_or_default(),
            ratio: empty.map(|empty| f64::from(ours) / f64::from(empty)),
            aim: grouped(aim),
            met: ours <= aim,
        }
    }

    /// Memory, with the peak in parentheses; `aim` is in kibibytes and for what stays.
    pub(crate) fn memory(what: &'static str, ours: Memory, empty: Memory, aim: u32) -> Figure {
        let text = |memory: Memory| {
            let [now, peak] = [memory.now, memory.peak].map(mebibytes);
            format!("{now:.1} MiB ({peak:.1})")
        };
        Figure {
            what,
            ours: text(ours),
            empty: text(empty),
            ratio: Some(f64::from(ours.now) / f64::from(empty.now)),
            aim: format!("{:.1} MiB", mebibytes(aim)),
            met: ours.now <= aim,
        }
    }

    /// A time, of which only the ratio says something.
    pub(crate) fn time(what: &'static str, ratio: f64, aim: f64) -> Figure {
        Figure {
            what,
            ours: String::new(),
            empty: String::new(),
            ratio: Some(ratio),
            aim: format!("ratio {aim:.2}"),
            met: ratio <= aim,
        }
    }

    /// Whether the aim is reached.
    pub(crate) fn is_met(&self) -> bool {
        self.met
    }
}
