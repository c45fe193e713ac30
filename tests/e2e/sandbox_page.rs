//! The page of `make sandbox`, in a real browser and with the keyboard only. `make e2e` runs this, `make picture` writes the
//! picture in docs/images.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::binary;
use crate::support::programs::{Group, PATIENCE, free_port};
use crate::webdriver::{Browser, ENTER, TAB};

/// The state of each key and what its client gets, oldest first.
const KEYS: &str = "return [...document.querySelectorAll('#keys .facts')].map((facts) => \
    [facts.querySelector('.state').textContent, facts.querySelector('strong').textContent])";
/// The states of the first bar.
const FIRST_BAR: &str = "const bar = document.querySelector('#keys .track'); \
    return [...bar.querySelectorAll('.phase')].map((phase) => phase.textContent)";
const STATUS: &str = "return document.getElementById('status').textContent";

/// A rotation, a day and a week, as an operator without a mouse sees them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyboard_rotates_and_retires_key() {
    let sandbox = Sandbox::start().await;
    let browser = Browser::start().await;
    browser.open(&sandbox.page, 1280, "light").await;
    browser.until(KEYS, &json!([])).await;

    press_button(&browser, "Rotate").await;
    browser.until(KEYS, &json!([["in use", "200"]])).await;
    browser
        .until(FIRST_BAR, &json!(["pending", "in use"]))
        .await;
    press_button(&browser, "Rotate").await;
    let both = json!([["superseded", "200"], ["in use", "200"]]);
    browser.until(KEYS, &both).await;

    press_button(&browser, "1 day").await;
    let disabled = json!([["disabled", "403"], ["in use", "200"]]);
    browser.until(KEYS, &disabled).await;
    press_button(&browser, "1 week").await;
    let deleted = json!([["deleted", "403"], ["in use", "200"]]);
    browser.until(KEYS, &deleted).await;
    let whole = json!(["pending", "in use", "superseded", "disabled", "deleted"]);
    browser.until(FIRST_BAR, &whole).await;

    let calls = "return document.querySelectorAll('#calls tr').length > 20";
    assert_eq!(browser.script(calls).await, true);
    end(browser, &sandbox).await;
}

/// A step that fails is said, and the retry after the fix succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buttons_break_and_fix_doppler() {
    let sandbox = Sandbox::start().await;
    let browser = Browser::start().await;
    browser.open(&sandbox.page, 1280, "dark").await;
    browser.until(STATUS, &json!("Ready.")).await;
    press_button(&browser, "Kill at next call").await;
    let pressed = "return [...document.querySelectorAll('[aria-pressed=true]')]\
        .map((button) => button.textContent)";
    browser.until(pressed, &json!(["Kill at next call"])).await;
    press_button(&browser, "Kill at next call").await;
    browser.until(pressed, &json!([])).await;

    press_button(&browser, "Doppler down").await;
    browser.until(pressed, &json!(["Doppler down"])).await;
    press_button(&browser, "Rotate").await;
    let dropped = "return [...document.querySelectorAll('#calls tr')]\
        .some((row) => row.textContent.includes('connection dropped'))";
    browser.until(dropped, &json!(true)).await;
    press_button(&browser, "Fix all").await;
    browser.until(pressed, &json!([])).await;
    browser.until(KEYS, &json!([["in use", "200"]])).await;
    end(browser, &sandbox).await;
}

/// The page connects again to a sandbox that was started again, and shows what that one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_connects_to_restarted_sandbox() {
    let ports = ports();
    let sandbox = Sandbox::start_at(ports).await;
    let browser = Browser::start().await;
    browser.open(&sandbox.page, 1280, "light").await;
    press_button(&browser, "Rotate").await;
    browser.until(KEYS, &json!([["in use", "200"]])).await;
    drop(sandbox);
    let connection = "return document.getElementById('connection').textContent";
    browser
        .until(connection, &json!("lost, connecting again"))
        .await;
    let _sandbox = Sandbox::start_at(ports).await;
    browser.until(connection, &json!("live")).await;
    browser.until(KEYS, &json!([])).await;
    browser.close().await;
}

/// The page of `--fleet`: each secret with its state, and the keys of the one that is chosen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_page_shows_each_secret() {
    let sandbox = Sandbox::start_with(ports(), &["--fleet"]).await;
    let browser = Browser::start().await;
    browser.open(&sandbox.page, 1280, "light").await;
    let states = "return [...document.querySelectorAll('#secrets tr')]\
        .map((row) => row.cells[1].textContent)";
    browser.until(states, &json!(vec!["no key"; 12])).await;
    press_button(&browser, "Rotate all").await;
    browser.until(states, &json!(vec!["ok"; 12])).await;
    browser.until(KEYS, &json!([["in use", "200"]])).await;

    press_button(&browser, "Target of partner-h taken").await;
    press_button(&browser, "app/partner-h").await;
    let chosen = "return document.getElementById('secret').textContent";
    browser.until(chosen, &json!("app/partner-h")).await;
    press_button(&browser, "Rotate all").await;
    // A page that was just opened has no rows yet.
    let failed = "return document.querySelectorAll('#secrets tr')[7]?.cells[1].textContent";
    let error = json!("rotation failed: DopplerTargetTaken");
    browser.until(failed, &error).await;
    let targets = "return [...document.querySelectorAll('#targets tr')]\
        .map((row) => row.cells[2].textContent)";
    let held = json!(["the same key", "another key"]);
    browser.until(targets, &held).await;
    for width in [360, 1280] {
        browser.open(&sandbox.page, width, "dark").await;
        browser.until(failed, &error).await;
        let overflow = "const root = document.documentElement; \
            return root.scrollWidth - root.clientWidth";
        assert_eq!(browser.script(overflow).await, 0, "at {width} pixels");
        let name = format!("sandbox-fleet-{width}.png");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        browser.picture(&path).await;
    }
    press_button(&browser, "Fix all").await;
    browser.until(states, &json!(vec!["ok"; 12])).await;
    end(browser, &sandbox).await;
}

/// Nothing is cut off on a telephone, and both colour schemes differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_fits_widths_and_colour_schemes() {
    let sandbox = Sandbox::start().await;
    let browser = Browser::start().await;
    browser.open(&sandbox.page, 1280, "light").await;
    for (button, keys) in [
        ("Rotate", json!([["in use", "200"]])),
        ("Rotate", json!([["superseded", "200"], ["in use", "200"]])),
        ("1 day", json!([["disabled", "403"], ["in use", "200"]])),
        (
            "Rotate",
            json!([
                ["disabled", "403"],
                ["superseded", "200"],
                ["in use", "200"]
            ]),
        ),
        (
            "1 week",
            json!([["deleted", "403"], ["disabled", "403"], ["in use", "200"]]),
        ),
        (
            "Rotate",
            json!([
                ["deleted", "403"],
                ["disabled", "403"],
                ["superseded", "200"],
                ["in use", "200"]
            ]),
        ),
    ] {
        press_button(&browser, button).await;
        browser.until(KEYS, &keys).await;
    }
    let mut backgrounds = Vec::new();
    for (width, scheme) in [
        (360, "light"),
        (360, "dark"),
        (1280, "dark"),
        (1280, "light"),
    ] {
        browser.open(&sandbox.page, width, scheme).await;
        browser.until(STATUS, &json!("Ready.")).await;
        let overflow = "const root = document.documentElement; \
            return root.scrollWidth - root.clientWidth";
        assert_eq!(browser.script(overflow).await, 0, "at {width} pixels");
        let background = "return getComputedStyle(document.body).backgroundColor";
        backgrounds.push(browser.script(background).await);
        let name = format!("sandbox-page-{width}-{scheme}.png");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        browser.picture(&path).await;
    }
    assert_eq!(backgrounds[0], backgrounds[3]);
    assert_eq!(backgrounds[1], backgrounds[2]);
    assert_ne!(backgrounds[0], backgrounds[1]);
    if let Some(path) = std::env::var_os("PICTURE") {
        browser.picture(&PathBuf::from(path)).await;
    }
    end(browser, &sandbox).await;
}

/// Goes to a button by Tab, and presses it by Enter.
async fn press_button(browser: &Browser, name: &str) {
    let focused = "const focused = document.activeElement; \
        return [focused.textContent, focused.matches(':focus-visible'), \
                getComputedStyle(focused).outlineStyle]";
    for _ in 0..40 {
        browser.press(TAB).await;
        let found = browser.script(focused).await;
        if found[0] == name {
            assert_eq!(
                found,
                json!([name, true, "solid"]),
                "the focus is not visible"
            );
            browser.press(ENTER).await;
            return;
        }
    }
    panic!("Tab does not reach the button {name}");
}

/// Demands that the console has no complaint and that nothing was fetched from elsewhere.
async fn end(browser: Browser, sandbox: &Sandbox) {
    let complaints = browser.log("browser").await;
    assert_eq!(complaints, [] as [Value; 0], "the console has complaints");
    let mut count = 0;
    for entry in browser.log("performance").await {
        let message: Value = entry["message"]
            .as_str()
            .and_then(|message| serde_json::from_str(message).ok())
            .expect("an entry has a message");
        let message = &message["message"];
        if message["method"] == "Network.requestWillBeSent" {
            count += 1;
            let url = message["params"]["request"]["url"].as_str();
            let url = url.expect("a request has a URL");
            assert!(url.starts_with(&sandbox.page), "{url} was fetched");
        }
    }
    assert!(count > 5, "only {count} requests");
    browser.close().await;
}

/// `make sandbox` at free ports.
struct Sandbox {
    page: String,
    _process: Group,
}

impl Sandbox {
    async fn start() -> Sandbox {
        Sandbox::start_at(ports()).await
    }

    async fn start_at(ports: [u16; 4]) -> Sandbox {
        Sandbox::start_with(ports, &[]).await
    }

    async fn start_with(ports: [u16; 4], arguments: &[&str]) -> Sandbox {
        let program = Path::new(env!("CARGO_BIN_EXE_api-key-rotation")).with_file_name("sandbox");
        let mut command = Command::new(program);
        command
            .args(["serve", "--propagation", "1s", "--function"])
            .arg(binary())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let names = ["aws", "gateway", "doppler", "runtime"];
        for (name, port) in names.into_iter().zip(ports) {
            command.args([format!("--{name}-port"), port.to_string()]);
        }
        let mut process = Group::start(command);
        let stdout = process.leader.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        // The banner says where the page is.
        let page = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.expect("it writes text");
                let line = line.expect("it says where the page is");
                if let Some(rest) = line.trim().strip_prefix("page ") {
                    let page = rest.split_whitespace().next();
                    break page.expect("the line has a URL").to_owned();
                }
            }
        });
        let page = page.await.expect("it starts in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Sandbox {
            page,
            _process: process,
        }
    }
}

fn ports() -> [u16; 4] {
    [(); 4].map(|()| free_port())
}
