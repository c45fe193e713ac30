//! What the page may fetch, and whom the sandbox refuses.

use http::StatusCode;
use sandbox::{Options, Sandbox};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::client::{post, send, start};

#[tokio::test]
async fn page_and_files_may_fetch_nothing_elsewhere() {
    let sandbox = start().await;
    for (path, media_type) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let response = send(&sandbox, "GET", path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let header = |name: &str| response.headers()[name].to_str().expect("it is text");
        assert!(header("content-type").starts_with(media_type), "{path}");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = std::str::from_utf8(response.body()).expect("it is text");
        let other = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!other.contains("://"), "{path} names another host");
        assert!(
            !text.contains("style=") && !text.contains("<script>"),
            "{path}"
        );
    }
    let bare = send(&sandbox, "GET", "", &[]).await;
    assert_eq!(bare.headers()["location"], "/_sandbox/");
    let other = send(&sandbox, "GET", "/nothing", &[]).await;
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sandbox_without_page_has_only_its_clock() {
    let sandbox = Sandbox::start(Options::default()).await.expect("it starts");
    let page = send(&sandbox, "GET", "/", &[]).await;
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    post(&sandbox, "/clock?advance=1h", StatusCode::OK).await;
}

/// The page listens where every web page that is open on this machine can send requests.
#[tokio::test]
async fn requests_of_other_web_pages_are_refused() {
    let sandbox = start().await;
    let own = sandbox.aws_url();
    let port = own.rsplit(':').next().expect("it has a port");
    let localhost = format!("localhost:{port}");
    let local_origin = format!("http://{localhost}");
    for path in ["/rotate", "/fix", "/clock?advance=1h"] {
        for headers in [
            &[("origin", "http://elsewhere.example")] as &[_],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:1")],
            &[("origin", &local_origin)],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", &own), ("sec-fetch-site", "cross-site")],
        ] {
            let response = send(&sandbox, "POST", path, headers).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{headers:?}");
        }
    }
    for headers in [
        &[] as &[_],
        &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
    ] {
        let response = send(&sandbox, "POST", "/fix", headers).await;
        assert_eq!(response.status(), StatusCode::OK, "{headers:?}");
    }
}

/// A name that its owner lets resolve to loopback would make a web page of the same origin.
#[tokio::test]
async fn only_addresses_and_localhost_are_hosts() {
    let sandbox = start().await;
    let url = sandbox.aws_url();
    let address = url.strip_prefix("http://").expect("it is http");
    for (host, status) in [
        (address, "200"),
        ("localhost:4600", "200"),
        ("[::1]:4600", "200"),
        ("elsewhere.example:4600", "403"),
        ("localhost.elsewhere.example", "403"),
        ("", "403"),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET /_sandbox/ HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("it takes the request");
        let line = BufReader::new(stream).lines().next_line().await;
        let line = line.expect("it is text").expect("it answers");
        assert!(line.contains(status), "{host}: {line}");
    }
}
