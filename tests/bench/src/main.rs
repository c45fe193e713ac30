//! Measures the function next to an empty one, and says where it misses an aim: `bench OURS EMPTY`.
//!
//! Absolute times depend on the machine, so there are none here: a start is told as a multiple of the empty function's.

mod callgrind;
mod calls;
mod figure;
mod process;
mod runtime;
mod start;
mod table;
mod world;

use std::env::args_os;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use sandbox::STEPS;

use crate::callgrind::Callgrind;
use crate::figure::{Figure, instructions, megabytes, memory};
use crate::process::Process;
use crate::runtime::Runtime;
use crate::world::{SECRET, Variant, World};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = args_os().skip(1).map(PathBuf::from).collect();
    let [ours, empty] = arguments.as_slice() else {
        eprintln!("usage: bench OURS EMPTY, the paths of two functions; `make bench` builds both");
        return ExitCode::FAILURE;
    };
    match bench(ours, empty).await {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("missed: {}", missed.join("; "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints everything. Returns the aims that were missed.
async fn bench(ours: &Path, empty: &Path) -> anyhow::Result<Vec<&'static str>> {
    callgrind::check()?;
    let world = World::start(ours, Variant::Ordinary).await?;

    let mut figures = vec![Figure::amount(
        "size of the binary",
        size(ours)?,
        Some(size(empty)?),
        6_000_000,
        megabytes,
    )];

    progress("instructions to the first request for work");
    figures.push(Figure::amount(
        "instructions to the first request for work",
        instructions_to_first_request(&world, ours)?,
        Some(instructions_to_first_request(&world, empty)?),
        1_000_000,
        instructions,
    ));

    progress("instructions to the first reply of a createSecret");
    figures.push(Figure::amount(
        "instructions to the first reply of a createSecret",
        instructions_to_first_reply(&world, ours).await?,
        None,
        5_000_000,
        instructions,
    ));

    progress("memory");
    let world = World::start(ours, Variant::Ordinary).await?;
    figures.push(Figure::memory(
        "memory after a rotation (at most until then)",
        memory_after_rotation(&world, ours).await?,
        memory_after_reply(&world, empty).await?,
        8 * 1024,
    ));

    progress("time to the first request for work");
    let start = start::compare(&world, ours, empty)?;
    figures.push(Figure::ratio("time to the first request for work, median", start.medians, 1.4));
    figures.push(Figure::ratio("time to the first request for work, least", start.minimums, 1.4));

    progress("calls of a rotation");
    let calls = calls::table(ours).await?;
    Ok(Vec::new())
}
