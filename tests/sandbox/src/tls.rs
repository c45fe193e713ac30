//! A TLS proxy in front of the sandbox's services, with a certificate authority that clients do not
//! trust by default. It imitates a proxy that inspects TLS.

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

/// The contents of a server certificate.
#[derive(Debug, Clone, Copy)]
pub struct Certificate {
    /// The host name that the certificate is valid for.
    pub host: &'static str,
    /// The first year in which the certificate is no longer valid.
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

/// A certificate authority that signs server certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Creates an authority with a new key.
    ///
    /// # Errors
    ///
    /// Returns an error if no key can be generated.
    pub fn new() -> anyhow::Result<Authority> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Authority(issuer))
    }

    /// Returns the authority's own certificate, which a client needs to trust it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Terminates TLS and forwards connections to `upstream`. Returns the https URL.
    ///
    /// `upstream` is an http URL with an IP address. The proxy runs until the runtime ends.
    ///
    /// # Errors
    ///
    /// Returns an error if no port can be opened, or if `upstream` is not an http URL with an IP
    /// address.
    pub async fn proxy(&self, upstream: &str) -> anyhow::Result<String> {
        self.proxy_with(Certificate::default(), upstream).await
    }

    /// As `proxy`, with a different server certificate.
    ///
    /// # Errors
    ///
    /// Returns an error as `proxy` does.
    pub async fn proxy_with(
        &self,
        certificate: Certificate,
        upstream: &str,
    ) -> anyhow::Result<String> {
        let upstream: SocketAddr = upstream
            .strip_prefix("http://")
            .and_then(|address| address.parse().ok())
            .with_context(|| format!("{upstream} is not an http URL with an IP address"))?;
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
                    // A client that does not trust the authority closes the connection.
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    let Ok(mut server) = TcpStream::connect(upstream).await else {
                        return;
                    };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Ok(format!("https://localhost:{port}"))
    }
}
