//! Measures the function next to one that does nothing, and reports missed aims: `bench FUNCTION EMPTY`.

mod calls;
mod env;
mod figure;
mod instructions;
mod memory;
mod process;
mod runtime;
mod sizes;
mod start;
mod table;

use std::env::args_os;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::figure::{Figure, grouped, mebibytes, megabytes};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = args_os().skip(1).map(PathBuf::from).collect();
    let [function, empty] = arguments.as_slice() else {
        eprintln!(
            "usage: bench FUNCTION EMPTY, the paths of two functions; `make bench` builds both"
        );
        return ExitCode::FAILURE;
    };
    match bench(function, empty).await {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("\nMissed: {}", missed.join("; "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints what was measured, and returns the aims that were missed.
async fn bench(function: &Path, empty: &Path) -> anyhow::Result<Vec<&'static str>> {
    instructions::check_tool()?;
    let figures = figures(function, empty).await?;
    progress("the calls of a rotation");
    let calls = calls::count(function).await?;

    progress("the effect of each memory size");
    let sizes = sizes::compare(function).await?;

    println!("\n{}\n{sizes}\n{calls}", figure::report(&figures));
    let missed = figures.iter().filter(|figure| !figure.met);
    Ok(missed.map(|figure| figure.what).collect())
}

async fn figures(function: &Path, empty: &Path) -> anyhow::Result<Vec<Figure>> {
    let sizes = (size(function)?, Some(size(empty)?));

    progress("the instructions to the first request for work");
    let started = instructions::to_first_request(function).await?;
    let empty_started = instructions::to_first_request(empty).await?;

    progress("the instructions to the first reply of a createSecret");
    let replied = instructions::to_first_reply(function).await?;

    progress("the memory after a rotation");
    let rotated = memory::after_rotation(function).await?;
    let empty_replied = memory::after_reply(empty).await?;

    progress("the time to the first request for work");
    let start = start::compare(function, empty).await?;

    Ok(vec![
        Figure::amount("size of the binary", megabytes, sizes, 6_000_000),
        Figure::amount(
            "instructions to the first request for work",
            grouped,
            (started, Some(empty_started)),
            1_000_000,
        ),
        Figure::amount(
            "instructions to the first reply of a createSecret",
            grouped,
            (replied, None),
            5_000_000,
        ),
        Figure::amount(
            "memory after a rotation (peak)",
            mebibytes,
            (rotated.now, Some(empty_replied.now)),
            8 * 1024,
        )
        .beside(&mebibytes(rotated.peak), &mebibytes(empty_replied.peak)),
        Figure::ratio(
            "time to the first request for work, median (shortest)",
            (start.medians, start.shortest),
            1.4,
        ),
    ])
}

fn size(binary: &Path) -> anyhow::Result<u32> {
    let file = binary
        .metadata()
        .with_context(|| format!("there is no function at {}", binary.display()))?;
    Ok(u32::try_from(file.len())?)
}

/// Prints what is being measured, on standard error because the results may be redirected.
fn progress(what: &str) {
    eprintln!("Measuring {what} ...");
}
