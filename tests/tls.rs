//! Behind a proxy that inspects TLS: certificates that are not compiled in.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sandbox::Sandbox;
use support::{SECRET, Setup};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// An authority of its own, as such a proxy has one.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("a certificate")
}

/// Takes TLS off and hands on to `behind`. Returns its URL.
async fn inspect(authority: &CertifiedIssuer<'static, KeyPair>, behind: &str) -> String {
    let behind: SocketAddr = behind
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a valid name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("the key belongs to the certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us hangs up, which is what one of the tests is about.
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                let Ok(mut server) = TcpStream::connect(behind).await else {
                    return;
                };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_of_certificates_is_honoured_for_aws_and_doppler_and_nothing_else_is_trusted_then()
{
    let world = Setup::default().start().await;
    let authority = authority();
    let sandbox: &Sandbox = &world.sandbox;
    let (aws, doppler) = (
        inspect(&authority, &sandbox.aws_url()).await,
        inspect(&authority, &sandbox.doppler_url()).await,
    );
    let directory = tempfile::tempdir().expect("a directory");
    let bundle = directory.path().join("bundle.pem");
    std::fs::write(&bundle, authority.pem()).expect("it is written");
    let bundle = bundle.to_str().expect("a plain path");

    let through = [
        ("AWS_ENDPOINT_URL", aws.as_str()),
        ("DOPPLER_API_URL", doppler.as_str()),
    ];
    world.redeploy(&through).await;
    let token = sandbox.begin_rotation(SECRET);
    let message = world
        .step_fails(&token, "createSecret", "SecretsManagerFailed")
        .await;
    assert!(message.contains("AWS_CA_BUNDLE"), "{message}");
    sandbox.move_label(SECRET, "AWSPENDING", Some(&token), None);

    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        world
            .redeploy(&[through[0], through[1], (variable, bundle)])
            .await;
        world.rotate().await;
        world.assert_agreement().await;
    }

    // A bundle replaces what is compiled in, as it does elsewhere: another authority's proxy is not trusted with it.
    let stranger = inspect(&self::authority(), &sandbox.aws_url()).await;
    world
        .redeploy(&[("AWS_ENDPOINT_URL", &stranger), ("AWS_CA_BUNDLE", bundle)])
        .await;
    let token = sandbox.begin_rotation(SECRET);
    world
        .step_fails(&token, "createSecret", "SecretsManagerFailed")
        .await;
}
