//! Reads the certificates to trust.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::ConfigProblem;

/// Reads the certificates in the file that `AWS_CA_BUNDLE` or `SSL_CERT_FILE` names. Returns `None`
/// if neither is set.
///
/// A proxy that inspects TLS requires them. They replace the compiled-in certificates, as in other
/// AWS clients.
///
/// # Errors
/// Returns [`ConfigProblem`] if the file cannot be read or contains no certificate.
pub fn read(
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Vec<TrustAnchor<'static>>>, ConfigProblem> {
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let Some(path) = variable(name).filter(|path| !path.is_empty()) else {
            continue;
        };
        let unusable = |fault: &str| ConfigProblem {
            variable: name,
            fault: format!("names a file that {fault}"),
            example: "/opt/ca-bundle.pem",
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|_| unusable("could not be read as PEM"))?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        return if roots.is_empty() {
            Err(unusable("contains no certificate"))
        } else {
            Ok(Some(roots.roots))
        };
    }
    Ok(None)
}
