//! `make sandbox` for programs in containers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::support::markdown::repository;
use crate::support::programs::{AwsCli, Group, PATIENCE, free_port, keep, text};
use crate::support::{SECRET, key_in};
use sandbox::http_client::send;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs `make sandbox ARGS='--by-hand --also-listen-on …'` at free ports, with the settings for a
/// function in a container.
pub(crate) struct Sandbox {
    pub(crate) cli: AwsCli,
    /// The address of its AWS in the containers' network.
    pub(crate) url: String,
    gateway: String,
    pub(crate) settings: PathBuf,
    _process: Group,
}

impl Sandbox {
    /// Starts it for containers that reach this machine at `address`. It invokes `function` itself,
    /// unless a container runs the function.
    pub(crate) async fn start(address: &str, function: Option<&Path>) -> Sandbox {
        let [aws, gateway, doppler, runtime] = [(); 4].map(|()| free_port());
        let program = Path::new(env!("CARGO_BIN_EXE_api-key-rotation")).with_file_name("sandbox");
        let mut sandbox = Command::new(program);
        sandbox
            .args(["serve", "--by-hand", "--propagation", "1s"])
            .args(["--also-listen-on", address])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(function) = function {
            sandbox.arg("--function").arg(function);
        }
        for (name, port) in [
            ("aws", aws),
            ("gateway", gateway),
            ("doppler", doppler),
            ("runtime", runtime),
        ] {
            sandbox.args([format!("--{name}-port"), port.to_string()]);
        }
        let mut process = Group::start(sandbox);
        let stdout = process.leader.stdout.take().expect("the output is piped");
        announced(stdout, "The sandbox is up").await;

        let cli = AwsCli::at(format!("http://127.0.0.1:{aws}"));
        let settings = std::fs::read_to_string(repository().join("events/env.json"));
        let mut settings = settings.expect("the output has the settings");
        for (usual, port) in [(4600, aws), (4601, gateway), (4602, doppler)] {
            let (from, to) = (
                format!("//172.17.0.1:{usual}"),
                format!("//{address}:{port}"),
            );
            assert!(settings.contains(&from), "{from} is not in the settings");
            settings = settings.replace(&from, &to);
        }
        let path = cli.path("env.json");
        std::fs::write(&path, settings).expect("the file can be written");
        Sandbox {
            cli,
            url: format!("http://{address}:{aws}"),
            gateway: format!("http://127.0.0.1:{gateway}/prod/ping"),
            settings: path,
            _process: process,
        }
    }

    /// Returns the current key.
    pub(crate) async fn current_key(&self) -> String {
        let question = format!("secretsmanager get-secret-value --secret-id {SECRET}");
        let answer = self.cli.run(&question).await;
        assert_eq!(
            text(&answer, "/VersionId"),
            "11111111-1111-4111-8111-111111111111",
            "the version of the events"
        );
        key_in(text(&answer, "/SecretString")).expect("the secret holds a key")
    }

    /// Returns the status of a request to the gateway.
    pub(crate) async fn gateway_answer(&self, key: &str) -> u16 {
        let request = http::Request::get(&self.gateway).header("x-api-key", key);
        let answer = send(request.body("").expect("the request is valid")).await;
        answer.expect("the gateway responds").status().as_u16()
    }
}

/// Reads what a program writes until these words, and continues to read in the background.
pub(crate) async fn announced(stream: impl AsyncRead + Send + Unpin + 'static, words: &str) {
    let mut lines = BufReader::new(stream).lines();
    let said = async {
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.expect("the output is text") {
            if line.contains(words) {
                return;
            }
            said = said + &line + "\n";
        }
        panic!("the program ended: {said}");
    };
    timeout(PATIENCE, said)
        .await
        .expect("the program starts in time");
    keep(&Arc::<Mutex<String>>::default(), lines.into_inner());
}
