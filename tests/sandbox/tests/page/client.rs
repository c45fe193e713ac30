//! What the tests have in common: a sandbox with a page, and requests to it.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use sandbox::{DopplerTarget, Function, Options, PageContent, PageSecret, Sandbox, http_client};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far more than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const SECRET: &str = "app/key";
pub(crate) const FIRST: &str = "first-value-of-the-key";
pub(crate) const SECOND: &str = "second-value-of-the-key";

pub(crate) async fn start() -> Sandbox {
    let target = DopplerTarget {
        project: "acme".to_owned(),
        config: "prd".to_owned(),
        name: "KEY".to_owned(),
    };
    let options = Options {
        rotation_attempts: 1,
        ..showing(PageContent {
            secrets: vec![PageSecret {
                name: SECRET.to_owned(),
                targets: vec![target],
            }],
            ..PageContent::default()
        })
    };
    let sandbox = Sandbox::start(options).await.expect("it starts");
    sandbox.create_secret(SECRET, None);
    sandbox.enable_rotation(SECRET);
    sandbox.doppler().create_project("acme");
    sandbox
}

/// Returns the options of a sandbox with this page.
pub(crate) fn showing(content: PageContent) -> Options {
    Options {
        page: Some(content),
        ..Options::default()
    }
}

pub(crate) async fn start_with_function() -> Sandbox {
    let sandbox = start().await;
    let function = Function::new(env!("CARGO_BIN_EXE_template-function"));
    sandbox.deploy(function).await;
    sandbox
}

/// Sends a request to the page with these headers.
pub(crate) async fn send(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<bytes::Bytes> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}/_sandbox{path}", sandbox.aws_url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body("").expect("the request is valid");
    http_client::send(request).await.expect("it answers")
}

/// Posts as curl does and returns the answer's message.
pub(crate) async fn post(sandbox: &Sandbox, path: &str, expected: StatusCode) -> String {
    let response = send(sandbox, "POST", path, &[]).await;
    let body: Value = serde_json::from_slice(response.body()).expect("it is JSON");
    assert_eq!(response.status(), expected, "{body}");
    body["message"].as_str().unwrap_or_default().to_owned()
}

/// A connected page.
pub(crate) struct Stream {
    lines: Lines<BufReader<TcpStream>>,
    /// Everything that has come.
    pub(crate) read: String,
}

impl Stream {
    pub(crate) async fn open(sandbox: &Sandbox) -> Stream {
        let url = sandbox.aws_url();
        let host = url.strip_prefix("http://").expect("it is http");
        let mut stream = TcpStream::connect(host).await.expect("it listens");
        let request = format!("GET /_sandbox/events HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("it takes the request");
        Stream {
            lines: BufReader::new(stream).lines(),
            read: String::new(),
        }
    }

    /// The data of the next event with this name that meets `wanted`.
    pub(crate) async fn until(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut latest = Value::Null;
        let found = timeout(PATIENCE, async {
            loop {
                if self.line().await == format!("event: {event}") {
                    let line = self.line().await;
                    let data = line.strip_prefix("data: ").expect("an event has data");
                    latest = serde_json::from_str(data).expect("it is JSON");
                    if wanted(&latest) {
                        return;
                    }
                }
            }
        });
        let found = found.await.is_ok();
        assert!(found, "no such {event}; the latest is {latest}");
        latest
    }

    async fn line(&mut self) -> String {
        let line = self.lines.next_line().await.expect("it is text");
        let line = line.expect("the stream continues");
        self.read += &line;
        line
    }

    pub(crate) async fn snapshot(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until("snapshot", wanted).await
    }
}
