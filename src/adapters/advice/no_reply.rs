//! Why a request received no complete reply.

use std::fmt;

use super::Cause;

/// Why a request received no complete reply. `Display` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// The connection was established, but no complete reply arrived in time.
    TimedOut,
    /// The connection was lost.
    ConnectionLost,
    /// No connection could be established.
    NoConnection,
    /// The authority that issued the server's certificate is not trusted, or the certificate is
    /// unusable for another reason.
    UnknownIssuer,
    /// The server's certificate has expired, or is not valid yet.
    CertificateExpired,
    /// The server's certificate is for another host.
    WrongHost,
    /// The proxy answered CONNECT with 407.
    ProxyCredentials,
    /// The proxy answered CONNECT with a status other than 200 and 407. (The HTTP client does not
    /// report which, SRC.)
    ProxyRefused,
    /// The request could not be sent.
    NotSent,
}

impl NoReply {
    /// Returns the cause.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self {
            Self::TimedOut | Self::ConnectionLost => Cause::Passing,
            Self::NoConnection => Cause::NoRoute,
            Self::UnknownIssuer => Cause::UnknownIssuer,
            Self::CertificateExpired => Cause::CertificateExpired,
            Self::WrongHost => Cause::WrongHost,
            Self::ProxyCredentials => Cause::ProxyCredentials,
            Self::ProxyRefused => Cause::ProxyRefused,
            Self::NotSent => Cause::NotSent,
        }
    }

    /// Whether another attempt within seconds may succeed.
    ///
    /// A missing route looks like a network that is down for a moment, and a proxy's 403 looks like
    /// its 502. So both are retried.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::TimedOut | Self::ConnectionLost | Self::NoConnection | Self::ProxyRefused => true,
            Self::UnknownIssuer
            | Self::CertificateExpired
            | Self::WrongHost
            | Self::ProxyCredentials
            | Self::NotSent => false,
        }
    }
}

impl fmt::Display for NoReply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TimedOut => "the request timed out",
            Self::ConnectionLost => "the connection was lost",
            Self::NoConnection => "no connection could be established",
            Self::UnknownIssuer => "the server's certificate is not trusted",
            Self::CertificateExpired => "the server's certificate has expired or is not valid yet",
            Self::WrongHost => "the server's certificate is for another host",
            Self::ProxyCredentials => "the proxy requires authentication (407)",
            Self::ProxyRefused => "the proxy refused to connect",
            Self::NotSent => "the request could not be sent",
        })
    }
}
