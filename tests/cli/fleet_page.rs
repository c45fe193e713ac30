//! The commands of `docs/rotationctl-fleet.md`, run as the page shows them.

use std::fs;

use crate::fleet_account::{Fleet, SECOND, THIRD};
use crate::fleet_moving_over::{cloud_formation, stacks};
use crate::program::{Ended, end, home, program};
use crate::support::SECRET;
use crate::support::markdown::read;
use tokio::process::Command;

/// Each command ends with 0; those that change something run with `--dry-run`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_commands_run_as_shown() {
    let fleet = Fleet::rotated().await;
    let cloud_formation = cloud_formation(stacks()).await;
    let page = read("docs/rotationctl-fleet.md");
    let blocks = page.blocks();
    let blocks = blocks.iter().filter(|block| block.language == "bash");
    let lines = blocks.flat_map(|block| block.text.lines());
    let lines: Vec<_> = lines
        .filter(|line| line.starts_with("rotationctl "))
        .collect();
    assert!(lines.len() > 8, "{lines:#?}");
    for line in lines {
        let home = home();
        let document = fleet.document();
        fs::write(home.path().join("fleet-1.json"), document).expect("it can be written");
        let line = line
            .replace("shop/partner-b", SECOND)
            .replace("shop/partner-c", THIRD)
            .replace("shop/*", "fleet/*")
            .replace("shop/prd", "acme/prd")
            .replace("a1b2c3", &fleet.plan)
            .replace("--output fleet-1.json", "--output new.json");
        let ended = run(&fleet, &home, &line, &cloud_formation).await;
        assert_eq!(ended.status, 0, "{line}: {ended:#?}");
    }
    assert!(
        fleet
            .stored(crate::fleet_account::DOCUMENT)
            .contains(SECRET)
    );
}

/// Runs a line of the shell, in which `rotationctl` is the program.
async fn run(fleet: &Fleet, home: &tempfile::TempDir, line: &str, cloud_formation: &str) -> Ended {
    let direct = program(&fleet.env, home, &[]);
    let inherited = direct.as_std().get_envs();
    let mut shell = Command::new("sh");
    let line = line.replacen("rotationctl", env!("CARGO_BIN_EXE_rotationctl"), 1);
    shell
        .args(["-c", &format!("{line} --dry-run")])
        .env_clear()
        .envs(inherited.filter_map(|(name, value)| Some((name, value?))))
        .env("AWS_ENDPOINT_URL_CLOUDFORMATION", cloud_formation)
        .current_dir(home.path())
        .kill_on_drop(true);
    end(shell, None).await
}
