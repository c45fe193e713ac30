//! What the page's buttons break, by faults or otherwise, until they fix it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::content::PageBreakage;
use crate::call_log::Service;
use crate::faults::{Fault, FaultHandle, FaultKind, Faults};

/// Something that can be broken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breakage {
    /// API Gateway's control plane throttles each call.
    Throttle,
    /// Doppler drops each connection.
    DopplerDown,
    /// The function's process is killed once, at its next call.
    KillNextCall,
}

impl Breakage {
    const ALL: [Breakage; 3] = [
        Breakage::Throttle,
        Breakage::DopplerDown,
        Breakage::KillNextCall,
    ];

    /// Its name in a query.
    fn name(self) -> &'static str {
        match self {
            Breakage::Throttle => "throttle",
            Breakage::DopplerDown => "doppler-down",
            Breakage::KillNextCall => "kill-next-call",
        }
    }

    /// Returns `None` if nothing has this name.
    fn named(name: &str) -> Option<Breakage> {
        let mut all = Breakage::ALL.into_iter();
        all.find(|breakage| breakage.name() == name)
    }

    /// What is said of it once it is injected.
    fn injected(self) -> &'static str {
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
    /// What can be broken besides the services, and which of them is broken.
    others: Vec<(PageBreakage, AtomicBool)>,
    /// Held while one of them is broken or fixed.
    turn: AsyncMutex<()>,
}

impl Breakages {
    pub(super) fn new(faults: Faults, others: &[PageBreakage]) -> Breakages {
        let others = others.iter().cloned();
        Breakages {
            faults,
            injected: Mutex::default(),
            others: others
                .map(|other| (other, AtomicBool::new(false)))
                .collect(),
            turn: AsyncMutex::default(),
        }
    }

    /// Breaks what has this name, unless it is broken already. Returns what is said of it, or `None`
    /// if nothing has this name.
    pub(super) async fn inject(&self, name: &str) -> Option<&'static str> {
        if let Some(breakage) = Breakage::named(name) {
            if !self.active().contains(&breakage.name()) {
                let handle = self.faults.inject(breakage.fault());
                self.injected.lock().push((breakage, handle));
            }
            return Some(breakage.injected());
        }
        let (other, is_broken) = self.other(name)?;
        let _turn = self.turn.lock().await;
        if !is_broken.swap(true, Ordering::SeqCst) {
            (other.begin)().await;
        }
        Some(other.text)
    }

    /// Fixes what has this name, if it is broken. Returns `false` if nothing has this name.
    pub(super) async fn fix(&self, name: &str) -> bool {
        if let Some(breakage) = Breakage::named(name) {
            self.remove(|(injected, _)| *injected == breakage);
            return true;
        }
        let Some((other, is_broken)) = self.other(name) else {
            return false;
        };
        let _turn = self.turn.lock().await;
        if is_broken.load(Ordering::SeqCst) {
            (other.end)().await;
            is_broken.store(false, Ordering::SeqCst);
        }
        true
    }

    /// Fixes everything.
    pub(super) async fn fix_all(&self) {
        self.remove(|_| true);
        for (other, _) in &self.others {
            self.fix(other.name).await;
        }
    }

    /// The names of what is broken. A kill is over once it has struck.
    pub(super) fn active(&self) -> Vec<&'static str> {
        self.remove(|(breakage, handle)| *breakage == Breakage::KillNextCall && handle.fired() > 0);
        let injected = self.injected.lock();
        let injected = injected.iter().map(|(breakage, _)| breakage.name());
        let others = self.others.iter();
        let others = others.filter(|(_, is_broken)| is_broken.load(Ordering::SeqCst));
        injected
            .chain(others.map(|(other, _)| other.name))
            .collect()
    }

    /// The names of everything that can be broken.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let services = Breakage::ALL.into_iter().map(Breakage::name);
        let others = self.others.iter().map(|(other, _)| other.name);
        services.chain(others).collect()
    }

    fn other(&self, name: &str) -> Option<&(PageBreakage, AtomicBool)> {
        self.others.iter().find(|(other, _)| other.name == name)
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
