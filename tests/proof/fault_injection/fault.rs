//! The faults of a call.

use std::time::Duration;

use sandbox::FaultKind;

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The connection is dropped, and for a while the service accepts none.
    Refused,
    /// The connection is dropped before the request has an effect.
    ResetBefore,
    /// The request has its effect, and the connection is dropped instead of an answer.
    LostReply,
    /// The answer breaks off in the middle.
    CutReply,
    /// 500 without effect.
    Error500,
    /// 503 without effect.
    Error503,
    /// 429 without `Retry-After`.
    Throttled,
    /// 429 with `Retry-After`.
    ThrottledFor,
    /// A page of HTML instead of an answer, with the status of a success and without effect.
    Html,
    /// An empty answer, with the status of a success and without effect.
    Empty,
    /// JSON without fields, with the status of a success and without effect.
    Blank,
    /// The request has its effect long after the client has stopped waiting for the answer.
    Slow,
    /// The function is killed before the request has an effect.
    KillBefore,
    /// The request has its effect, and the function is killed before it gets the answer.
    KillAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 14] = [
        Self::Refused,
        Self::ResetBefore,
        Self::LostReply,
        Self::CutReply,
        Self::Error500,
        Self::Error503,
        Self::Throttled,
        Self::ThrottledFor,
        Self::Html,
        Self::Empty,
        Self::Blank,
        Self::Slow,
        Self::KillBefore,
        Self::KillAfter,
    ];

    /// The function abandons a call after 10 seconds; the effect comes after that.
    const SLOW: Duration = Duration::from_millis(10_500);

    pub(crate) fn kills(self) -> bool {
        matches!(self, Self::KillBefore | Self::KillAfter)
    }

    /// Whether the function succeeds without another invocation.
    pub(crate) fn passes(self) -> bool {
        !self.kills() && self != Self::Blank
    }

    /// Whether it has the status of a success, whatever the request was.
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Html | Self::Empty | Self::Blank)
    }

    pub(crate) fn injected(self) -> FaultKind {
        match self {
            Self::Refused => FaultKind::Down(Duration::from_millis(700)),
            Self::ResetBefore => FaultKind::ResetBefore,
            Self::LostReply => FaultKind::LostReply,
            Self::CutReply => FaultKind::CutReply,
            Self::Error500 => FaultKind::refuse(500, "InternalServerError", "try again"),
            Self::Error503 => FaultKind::refuse(503, "ServiceUnavailableException", "try again"),
            Self::Throttled => FaultKind::Throttle { retry_after: None },
            Self::ThrottledFor => FaultKind::Throttle {
                retry_after: Some(1),
            },
            Self::Html => FaultKind::answer(200, "text/html", "<html>Welcome</html>"),
            Self::Empty => FaultKind::answer(200, "application/json", ""),
            Self::Blank => FaultKind::answer(200, "application/json", "{}"),
            Self::Slow => FaultKind::Delay(Self::SLOW),
            Self::KillBefore => FaultKind::KillBefore,
            Self::KillAfter => FaultKind::KillAfter,
        }
    }
}
