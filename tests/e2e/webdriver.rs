//! A headless Chromium, driven by the `WebDriver` protocol (W3C) and Chromium's own extensions of it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use http::Request;
use sandbox::http_client::send;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Duration, Instant, sleep};

use crate::support::programs::{Group, PATIENCE, free_port};

/// The Tab key, as `WebDriver` names it.
pub(crate) const TAB: &str = "\u{E004}";
/// The Enter key.
pub(crate) const ENTER: &str = "\u{E007}";

/// A browser with one window. It ends with its test.
pub(crate) struct Browser {
    session: String,
    process: u64,
    _driver: Group,
    _home: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Browser {
        let home = TempDir::new().expect("a temporary directory can be made");
        let port = free_port();
        let mut driver = Command::new("chromedriver");
        driver
            .args([format!("--port={port}"), "--log-level=SEVERE".to_owned()])
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let driver = Group::start(driver);
        let url = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        while request("GET", &format!("{url}/status"), None)
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "chromedriver does not answer");
            sleep(Duration::from_millis(50)).await;
        }
        let session = request("POST", &format!("{url}/session"), Some(capabilities())).await;
        let session = session.expect("the browser starts");
        let id = session["sessionId"].as_str().expect("a session has an id");
        Browser {
            session: format!("{url}/session/{id}"),
            process: session["capabilities"]["goog:processID"]
                .as_u64()
                .expect("Chromium says its process"),
            _driver: driver,
            _home: home,
        }
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        let url = format!("{}/{command}", self.session);
        let answer = request("POST", &url, Some(body)).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Opens a page in a window of this width, for a reader with this colour scheme.
    pub(crate) async fn open(&self, url: &str, width: u32, scheme: &str) {
        let metrics = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": scheme }))
            .await;
        self.post("url", json!({ "url": url })).await;
    }

    /// What a script in the page returns.
    pub(crate) async fn script(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.post("execute/sync", body).await
    }

    /// Waits until a script in the page returns this.
    pub(crate) async fn until(&self, script: &str, wanted: &Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.script(script).await;
            if found == *wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{script}\nis {found}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses a key and lets it go.
    pub(crate) async fn press(&self, key: &str) {
        let press = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": press });
        self.post("actions", json!({ "actions": [keyboard] })).await;
    }

    /// The entries of a log since it was last read: `browser` is the console, `performance` the network.
    pub(crate) async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("se/log", json!({ "type": kind })).await;
        entries.as_array().expect("a log is a list").clone()
    }

    /// Writes a picture of the whole page.
    pub(crate) async fn picture(&self, path: &Path) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", whole).await;
        let text = path.with_extension("base64");
        std::fs::write(&text, picture["data"].as_str().expect("a picture"))
            .expect("it can be written");
        let file = std::fs::File::create(path).expect("it can be written");
        let mut decode = Command::new("base64");
        decode.arg("--decode").arg(&text).stdout(file);
        let status = decode.status().await.expect("there is a base64");
        assert!(status.success(), "the picture cannot be decoded");
        std::fs::remove_file(text).expect("it was written");
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("goog/cdp/execute", body).await
    }

    /// Closes the browser, which otherwise outlives the driver.
    pub(crate) async fn close(self) {
        let closed = request("DELETE", &self.session, None).await;
        closed.expect("the browser closes");
    }
}

impl Drop for Browser {
    /// Ends the browser of a test that failed. One that was closed is not there any more.
    fn drop(&mut self) {
        let kill = format!("kill -s KILL {} 2>/dev/null", self.process);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &kill]).status().ok();
    }
}

fn capabilities() -> Value {
    let mut arguments = vec!["--headless=new", "--hide-scrollbars"];
    let uid = std::fs::metadata("/proc/self").expect("there is a /proc");
    if uid.uid() == 0 {
        // Chromium refuses to run as root with its own sandbox.
        arguments.push("--no-sandbox");
    }
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    } } })
}

/// Sends one command and returns the value of its answer.
async fn request(method: &str, url: &str, body: Option<Value>) -> Result<Value, String> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json")
        .body(body)
        .expect("the request is valid");
    let response = tokio::time::timeout(PATIENCE, send(request)).await;
    let response = response.map_err(|_| "no answer in time".to_owned())?;
    let response = response.map_err(|error| format!("{error:#}"))?;
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    if response.status().is_success() {
        return Ok(answer["value"].clone());
    }
    let message = answer["value"]["message"].as_str().unwrap_or_default();
    Err(message.lines().next().unwrap_or_default().to_owned())
}
