//! What the page's buttons break, by faults, until they fix it.

use parking_lot::Mutex;

use crate::call_log::Service;
use crate::faults::{Fault, FaultHandle, FaultKind, Faults};

/// Something that can be broken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Breakage {
    /// API Gateway's control plane throttles each call.
    Throttle,
    /// Doppler drops each connection.
    DopplerDown,
    /// The function's process is killed once, at its next call.
    KillNextCall,
}

impl Breakage {
    pub(super) const ALL: [Breakage; 3] = [
        Breakage::Throttle,
        Breakage::DopplerDown,
        Breakage::KillNextCall,
    ];

    /// Its name in a query.
    pub(super) fn name(self) -> &'static str {
        match self {
            Breakage::Throttle => "throttle",
            Breakage::DopplerDown => "doppler-down",
            Breakage::KillNextCall => "kill-next-call",
        }
    }

    /// Returns `None` if nothing has this name.
    pub(super) fn named(name: &str) -> Option<Breakage> {
        let mut all = Breakage::ALL.into_iter();
        all.find(|breakage| breakage.name() == name)
    }

    /// What is said of it once it is injected.
    pub(super) fn injected(self) -> &'static str {
        match self {
            Breakage::Throttle => "API Gateway now throttles every call.",
            Breakage::DopplerDown => "Doppler now drops every connection.",
            Breakage::KillNextCall => "The function is killed at the next call.",
        }
    }

    fn fault(self) -> Fault {
        match self {
            Breakage::Throttle => Fault::new(FaultKind::Throttle { retry_after: None })
                .of(Service::ApiGateway)
                .every(),
            Breakage::DopplerDown => Fault::new(FaultKind::ResetBefore)
                .of(Service::Doppler)
                .every(),
            Breakage::KillNextCall => Fault::new(FaultKind::KillBefore),
        }
    }
}

/// What is broken now.
pub(super) struct Breakages {
    faults: Faults,
    injected: Mutex<Vec<(Breakage, FaultHandle)>>,
}

impl Breakages {
    pub(super) fn new(faults: Faults) -> Breakages {
        Breakages {
            faults,
            injected: Mutex::default(),
        }
    }

    /// Breaks it, unless it is broken already.
    pub(super) fn inject(&self, breakage: Breakage) {
        if !self.active().contains(&breakage) {
            let handle = self.faults.inject(breakage.fault());
            self.injected.lock().push((breakage, handle));
        }
    }

    /// Fixes it, if it is broken.
    pub(super) fn fix(&self, breakage: Breakage) {
        self.remove(|(injected, _)| *injected == breakage);
    }

    /// What is broken. A kill is over once it has struck.
    pub(super) fn active(&self) -> Vec<Breakage> {
        self.remove(|(breakage, handle)| *breakage == Breakage::KillNextCall && handle.fired() > 0);
        let injected = self.injected.lock();
        injected.iter().map(|(breakage, _)| *breakage).collect()
    }

    fn remove(&self, which: impl Fn(&(Breakage, FaultHandle)) -> bool) {
        self.injected.lock().retain(|injected| {
            let remove = which(injected);
            if remove {
                injected.1.remove();
            }
            !remove
        });
    }
}
