//! `sandbox serve`: the services on known ports, until Ctrl-C.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anyhow::anyhow;
use sandbox::{
    DopplerTarget, LabelRule, Options, PageContent, PageSecret, PortInUse, Ports, Sandbox,
};

use super::arguments::ServeSettings;
use super::fixture::{self, CONFIG, DOPPLER_NAME, PROJECT, SECRET, TOKEN};
use super::fleet::{self, Progress};
use super::narration::Narration;
use super::reporter::Reporter as _;
use super::terminal::{Style, Terminal};
use super::{banner, interrupted};

/// Serves until interrupted and reports what the function does.
pub(crate) async fn serve(settings: ServeSettings) -> anyhow::Result<ExitCode> {
    // With --by-hand only the operator invokes the function.
    let is_automatic = !settings.manual_steps;
    let running = Running::default();
    let (secrets, page, concurrency) = if settings.fleet {
        let secrets = fleet::MEMBERS.map(|member| member.name.to_owned());
        let page = fleet::page(&running);
        (secrets.to_vec(), page, fleet::MEMBERS.len())
    } else {
        (vec![SECRET.to_owned()], page(), 1)
    };
    let options = Options {
        ports: settings.ports,
        also_listen_on: settings.also_listen_on,
        propagation: settings.propagation,
        replica_lag: settings.replica_lag,
        // Secrets Manager retries a failed rotation. When and how often is not documented.
        rotation_attempts: 100,
        rotation_pause: Duration::from_secs(15),
        label_events: is_automatic.then(|| LabelRule {
            secrets,
            labels: vec!["AWSCURRENT".to_owned()],
        }),
        reconcile_every: is_automatic.then_some(settings.reconcile_every),
        page: Some(page),
        function_concurrency: concurrency,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options)
        .await
        .map_err(|error| with_advice(error, settings.ports))?;
    let sandbox = Arc::new(sandbox);
    running.set(Arc::downgrade(&sandbox)).ok();
    let function_settings = if settings.fleet {
        fleet::seed(&sandbox, settings.propagation)
    } else {
        fixture::seed(&sandbox)
    };
    if !settings.replica_regions.is_empty() {
        let regions: Vec<&str> = settings
            .replica_regions
            .iter()
            .map(String::as_str)
            .collect();
        sandbox.replicate(SECRET, &regions);
    }
    let deployed = match &settings.function {
        None => "none; events wait at the runtime API".to_owned(),
        Some(binary) => {
            sandbox
                .deploy(fixture::function(binary, &function_settings)?)
                .await;
            binary.display().to_string()
        }
    };
    if settings.manual_steps {
        sandbox.begin_rotation_as(SECRET, TOKEN);
    }
    let interrupted = interrupted();
    let mut events = sandbox.watch();
    // No row is broken, because an error may contain a command to copy.
    let mut terminal = Terminal::stdout(None);
    if settings.fleet {
        let banner = banner::of_fleet(&sandbox, &settings, &deployed);
        terminal.line(Style::Plain, &banner);
        let mut progress = Progress::new(terminal, settings.verbose);
        progress.until(interrupted, &sandbox, &mut events).await;
    } else {
        let banner = banner::of_one_secret(&sandbox, &settings, &deployed);
        terminal.line(Style::Plain, &banner);
        let mut narration = Narration::new(terminal, settings.verbose);
        tokio::select! {
            () = narration.until(interrupted, &sandbox, &mut events) => {}
            () = sandbox.serve_incidents() => {}
        }
    }
    sandbox.undeploy().await;
    Ok(ExitCode::SUCCESS)
}

/// The sandbox once it runs, for what its page breaks.
pub(super) type Running = Arc<OnceLock<Weak<Sandbox>>>;

/// Says how to choose another port, if one is in use.
fn with_advice(error: anyhow::Error, ports: Ports) -> anyhow::Error {
    let Some(PortInUse(port)) = error.downcast_ref() else {
        return error.context("cannot serve");
    };
    let options = [
        ("--aws-port", ports.aws),
        ("--gateway-port", ports.gateway),
        ("--doppler-port", ports.doppler),
        ("--runtime-port", ports.runtime),
    ];
    let option = options.iter().find(|(_, chosen)| chosen == port);
    let option = option.map_or("--help", |(option, _)| *option);
    let other = port.checked_add(10).unwrap_or_default();
    anyhow!(
        "port {port} is in use; stop the other process or run make sandbox ARGS='{option} {other}'"
    )
}

/// What the page shows.
fn page() -> PageContent {
    let target = DopplerTarget {
        project: PROJECT.to_owned(),
        config: CONFIG.to_owned(),
        name: DOPPLER_NAME.to_owned(),
    };
    let secret = PageSecret {
        name: SECRET.to_owned(),
        targets: vec![target],
    };
    PageContent {
        secrets: vec![secret],
        ..PageContent::default()
    }
}
