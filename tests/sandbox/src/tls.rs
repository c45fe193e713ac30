//! TLS before what the sandbox serves, as behind a proxy that inspects it: by an authority that nobody knows.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// What a server's certificate says.
#[derive(Debug, Clone, Copy)]
pub struct Certificate {
    /// The host name that it is for.
    pub host: &'static str,
    /// The first year in which it is not valid any more.
    pub until: i32,
}

impl Default for Certificate {
    fn default() -> Certificate {
        Certificate {
            host: "localhost",
            until: 4000,
        }
    }
}

/// Who signs the certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    ///
    /// # Errors
    ///
    /// If no key can be made.
    pub fn new() -> anyhow::Result<Authority> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Authority(issuer))
    }

    /// Its own certificate, for whoever is to trust it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Takes TLS off and hands on to `behind`, an http URL of this machine, as long as the runtime lives. Returns the https URL.
    ///
    /// # Errors
    ///
    /// If it cannot listen, or `behind` is no such URL.
    pub async fn stand_before(&self, behind: &str) -> anyhow::Result<String> {
        self.stand_with(Certificate::default(), behind).await
    }

    /// The same with another certificate.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn stand_with(
        &self,
        certificate: Certificate,
        behind: &str,
    ) -> anyhow::Result<String> {
        let behind: SocketAddr = behind
            .strip_prefix("http://")
            .and_then(|address| address.parse().ok())
            .with_context(|| format!("{behind} is no address of this machine"))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([certificate.host.to_owned()])?;
        params.not_after = date_time_ymd(certificate.until, 1, 1);
        let certificate = params.signed_by(&key, &self.0)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust us hangs up.
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
        Ok(format!("https://localhost:{port}"))
    }
}
