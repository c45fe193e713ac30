//! Why no whole reply came.

use std::fmt;

use super::Cause;

/// Why no whole reply came to a request. Displays as what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// A connection was there, and no whole reply came in time.
    TimedOut,
    /// A connection broke.
    ConnectionLost,
    /// No connection came about.
    NoConnection,
    /// The authority that issued the server's certificate is not trusted, or the certificate cannot be used otherwise.
    UnknownIssuer,
    /// The server's certificate has expired, or is not valid yet.
    CertificateExpired,
    /// The server's certificate is for another host.
    WrongHost,
    /// The proxy answered CONNECT with 407.
    ProxyCredentials,
    /// The proxy answered CONNECT with something else than 200 or 407. (The HTTP client does not say what, SRC.)
    ProxyRefused,
    /// The request could not be made.
    NotSent,
}

impl NoReply {
    /// Why.
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

    /// Whether another attempt within seconds may do better. A route that is missing and a proxy's 403 look like a network
    /// that is away for a moment and a proxy's 502, so these are tried again, too.
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
            Self::TimedOut => "timed out",
            Self::ConnectionLost => "the connection failed",
            Self::NoConnection => "no connection could be made",
            Self::UnknownIssuer => "its certificate is not trusted",
            Self::CertificateExpired => "its certificate has expired or is not valid yet",
            Self::WrongHost => "its certificate is for another host",
            Self::ProxyCredentials => "the proxy requires authentication (407)",
            Self::ProxyRefused => "the proxy refused to connect",
            Self::NotSent => "the request could not be made",
        })
    }
}
