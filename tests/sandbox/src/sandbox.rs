//! The running sandbox: its options, its services and their ports.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use axum::Router;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::account::{Account, AccountState};
use crate::api_gateway::{self, ApiGateway, UsageDays};
use crate::aws::{self, Aws};
use crate::call_log::{Call, CallLog, Service};
use crate::clock::Clock;
use crate::cloud_formation::CloudFormation;
use crate::doppler::{self, Doppler};
use crate::event_bridge::{EventBridge, LabelRule};
use crate::events::{Event, Events};
use crate::faults::Faults;
use crate::gateway;
use crate::iam::{Authorizer, OperatorRole, Role};
use crate::incidents::{IncidentRequest, IncidentRequests};
use crate::lambda::{Delivery, Function, Invocation, Lambda, Measured, Settings as LambdaSettings};
use crate::logs::Logs;
use crate::middleware::{Classify, Middleware};
use crate::page::{Page, PageContent, PageServices};
use crate::rotation::{Persistence, Rotator};
use crate::secrets_manager::{self, SecretsManager};
use crate::server::{Server, Switch};
use crate::stepped_function::{CallGate, SteppedFunction};
use crate::web_identity::{self, WebIdentity};

/// The options of a sandbox. The default has no delays and no limits, for tests.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Options {
    /// The ports; 0 means any free one.
    pub ports: Ports,
    /// A second address to listen on besides 127.0.0.1, for a function in a container.
    pub also_listen_on: Option<IpAddr>,
    /// How long a change to keys and plans takes to reach the data plane (on AWS seconds to two
    /// minutes).
    pub propagation: Duration,
    /// How many nodes the data plane has. They respond in turn. A change reaches them one after the
    /// other, the last one after `propagation`.
    pub gateway_nodes: u32,
    /// How long lists do not show a new key.
    pub list_lag: Duration,
    /// How long `CreateUsagePlanKey` does not find a new key.
    pub attach_lag: Duration,
    /// How long a value under AWSPENDING cannot be read after it was put.
    pub read_lag: Duration,
    /// How long a `CreateUsagePlanKey` takes. A concurrent one is refused.
    pub attach_time: Duration,
    /// Whether API Gateway's control plane limits requests as in an AWS account.
    pub rate_limits: bool,
    /// How long `GetUsage` does not show an accepted request, by the sandbox's clock (on AWS
    /// minutes, OBS).
    pub usage_lag: Duration,
    /// Whether `GetUsage` shows requests on a usage plan without a quota. If not, such a plan has
    /// zeros for a key with requests, as in the only recorded response (OBS: j0nathan-ll0yd/
    /// aws-cloudformation-media-downloader). What AWS does is not known.
    pub usage_without_quota: bool,
    /// For which days `GetUsage` has numbers.
    pub usage_days: UsageDays,
    /// Whether the first value of a secret becomes AWSCURRENT even if it is put under AWSPENDING
    /// only. The service model says so for `PutSecretValue`; whether it applies during a rotation
    /// is not known.
    pub first_value_is_current: bool,
    /// How long a replica stays in progress after the secret's value or labels change.
    pub replica_lag: Duration,
    /// Whether a replica stays in progress indefinitely if AWSPENDING is removed while it is in
    /// progress. One public report says so (OBS: square/password-rotation-lambda#12); AWS neither
    /// confirms nor denies it. It matters only with replicas and a lag.
    pub replicas_get_stuck: bool,
    /// How often Secrets Manager runs all four steps of a rotation that fails.
    pub rotation_attempts: u32,
    /// The pause before it runs them again.
    pub rotation_pause: Duration,
    /// The pause of Secrets Manager between two steps, so that a watcher can look at the state in between.
    pub step_pause: Duration,
    /// After this long Lambda kills an invocation.
    pub function_timeout: Duration,
    /// How many processes of the function may run concurrently. A kill ends all of them.
    pub function_concurrency: usize,
    /// How many events of the log one call of `FilterLogEvents` searches.
    pub log_page: usize,
    /// How long an update of the stack takes.
    pub stack_update_time: Duration,
    /// Whether a call of the function for a missing API key is checked as a call for a key without
    /// tags. A role that requires a tag then denies it; otherwise API Gateway returns
    /// `NotFoundException`. What AWS does is not known.
    pub missing_key_is_denied: bool,
    /// The rule through which `EventBridge` invokes the function for Secrets Manager's events
    /// `Secret Label Updated`; `None` means no rule.
    pub label_events: Option<LabelRule>,
    /// How often `EventBridge` invokes the function with `{"Step":"reconcile"}`, by the sandbox's
    /// clock; `None` means never.
    pub reconcile_every: Option<Duration>,
    /// What the page at `/_sandbox/` shows; none: there is no page.
    pub page: Option<PageContent>,
}

/// The sandbox's ports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// Secrets Manager, API Gateway's control plane, `EventBridge` and Lambda.
    pub aws: u16,
    /// The API that requires a key.
    pub gateway: u16,
    /// Doppler.
    pub doppler: u16,
    /// The Lambda runtime API for a function that the sandbox does not start itself.
    pub runtime: u16,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ports: Ports::default(),
            also_listen_on: None,
            propagation: Duration::ZERO,
            gateway_nodes: 1,
            list_lag: Duration::ZERO,
            attach_lag: Duration::ZERO,
            read_lag: Duration::ZERO,
            attach_time: Duration::ZERO,
            rate_limits: false,
            usage_lag: Duration::ZERO,
            usage_without_quota: false,
            usage_days: UsageDays::default(),
            first_value_is_current: false,
            replica_lag: Duration::ZERO,
            replicas_get_stuck: true,
            rotation_attempts: 1,
            rotation_pause: Duration::from_millis(100),
            step_pause: Duration::ZERO,
            function_timeout: Duration::from_mins(5),
            function_concurrency: 1,
            log_page: 10_000,
            stack_update_time: Duration::ZERO,
            missing_key_is_denied: false,
            label_events: None,
            reconcile_every: None,
            page: None,
        }
    }
}

impl Options {
    fn of_api_gateway(&self) -> api_gateway::Settings {
        api_gateway::Settings {
            propagation: self.propagation,
            gateway_nodes: self.gateway_nodes,
            list_lag: self.list_lag,
            attach_lag: self.attach_lag,
            attach_time: self.attach_time,
            rate_limits: self.rate_limits,
            usage_lag: self.usage_lag,
            usage_without_quota: self.usage_without_quota,
            usage_days: self.usage_days,
        }
    }
}

/// A running sandbox. Dropping it closes its ports and kills the function.
pub struct Sandbox {
    pub(crate) secrets: SecretsManager,
    pub(crate) api_gateway: ApiGateway,
    pub(crate) rotator: Rotator,
    lambda: Lambda,
    services: Services,
    events: Events,
    open_ports: OpenPorts,
    options: Options,
    pub(crate) incident_requests: AsyncMutex<UnboundedReceiver<IncidentRequest>>,
    _issuer: Server,
    _background: JoinSet<()>,
}

impl Sandbox {
    /// Starts every service, empty except for the REST API and its stage.
    ///
    /// # Errors
    ///
    /// Returns an error if a port cannot be opened, or if the schedule's period is zero.
    pub async fn start(options: Options) -> anyhow::Result<Sandbox> {
        ensure!(
            options.reconcile_every != Some(Duration::ZERO),
            "a schedule needs a period longer than none"
        );
        let (events, clock) = (Events::default(), Clock::default());
        let operator = OperatorRole::default();
        let cloud_formation =
            CloudFormation::new(clock.clone(), options.stack_update_time, operator.clone());
        let lambda_settings = LambdaSettings {
            timeout: options.function_timeout,
            concurrency: options.function_concurrency,
            also: options.also_listen_on,
            port: options.ports.runtime,
            logs: Logs::new(clock.clone(), options.log_page),
            clock: clock.clone(),
        };
        let lambda = Lambda::start(lambda_settings, events.clone())
            .await
            .context("the Lambda runtime API")?;
        let event_bridge = EventBridge::new(
            options.label_events.clone(),
            options.reconcile_every,
            clock.clone(),
            lambda.clone(),
        );
        let secrets_settings = secrets_manager::Settings {
            read_lag: options.read_lag,
            first_value_is_current: options.first_value_is_current,
            replica_lag: options.replica_lag,
            replicas_get_stuck: options.replicas_get_stuck,
        };
        let secrets = SecretsManager::new(secrets_settings, clock.clone(), event_bridge.clone());
        let api_gateway = ApiGateway::new(options.of_api_gateway(), clock.clone());
        let rotator = rotator(&options, &secrets, &lambda);
        let doppler = Doppler::with_clock(clock.clone());
        let web_identity = WebIdentity::new(clock.clone());
        let issuer = open_issuer(&web_identity).await?;
        let (call_log, faults) = (CallLog::default(), Faults::default());
        let page = options.page.clone().map(|content| {
            let services = PageServices {
                secrets: secrets.clone(),
                api_gateway: api_gateway.clone(),
                doppler: doppler.clone(),
                rotator: rotator.clone(),
                event_bridge: event_bridge.clone(),
                faults: faults.clone(),
                clock: clock.clone(),
            };
            Page::new(content, services)
        });
        let (incidents, incident_requests) = IncidentRequests::new();
        let aws = Aws {
            secrets: secrets.clone(),
            api_gateway: api_gateway.clone(),
            lambda: lambda.clone(),
            rotator: rotator.clone(),
            event_bridge: event_bridge.clone(),
            account: Account::new(lambda.clone(), clock.clone()),
            cloud_formation,
            web_identity,
            page: page.clone(),
            incidents,
        };
        let services = Services {
            aws,
            doppler,
            call_log,
            events: events.clone(),
            faults,
            clock,
            also: options.also_listen_on,
            operator,
            missing_key_is_denied: options.missing_key_is_denied,
        };
        let open_ports = services
            .open(options.ports, &lambda, &CallGate::default())
            .await?;
        let mut background = JoinSet::new();
        background.spawn(event_bridge.keep_schedule());
        if let Some(page) = page {
            background.spawn(page.record(events.subscribe()));
        }
        Ok(Sandbox {
            secrets,
            api_gateway,
            rotator,
            lambda,
            services,
            events,
            open_ports,
            options,
            incident_requests: AsyncMutex::new(incident_requests),
            _issuer: issuer,
            _background: background,
        })
    }

    /// Starts a second Lambda over the same services, whose calls a test can release one by one.
    ///
    /// # Errors
    ///
    /// Returns an error if a port cannot be opened.
    pub async fn stepped_function(&self) -> anyhow::Result<SteppedFunction> {
        let settings = LambdaSettings {
            timeout: self.options.function_timeout,
            concurrency: 1,
            also: None,
            port: 0,
            logs: Logs::new(self.services.clock.clone(), self.options.log_page),
            clock: self.services.clock.clone(),
        };
        let lambda = Lambda::start(settings, self.events.clone()).await?;
        let call_gate = CallGate::default();
        let ports = Ports::default();
        let open_ports = self.services.open(ports, &lambda, &call_gate).await?;
        Ok(SteppedFunction::new(lambda, call_gate, open_ports))
    }

    /// Returns the endpoint URL for AWS clients.
    #[must_use]
    pub fn aws_url(&self) -> String {
        self.open_ports.aws_url()
    }

    /// Returns the base URL of the API that requires a key; append `/<stage>/…`.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        self.open_ports.gateway_url()
    }

    /// Returns the base URL for Doppler clients.
    #[must_use]
    pub fn doppler_url(&self) -> String {
        self.open_ports.doppler_url()
    }

    /// Returns `host:port` of the Lambda runtime API that serves events while no function is
    /// deployed.
    #[must_use]
    pub fn runtime_api(&self) -> String {
        self.lambda.runtime_api()
    }

    /// Returns the Doppler workplace.
    #[must_use]
    pub fn doppler(&self) -> &Doppler {
        &self.services.doppler
    }

    pub(crate) fn cloud_formation(&self) -> &CloudFormation {
        &self.services.aws.cloud_formation
    }

    pub(crate) fn lambda(&self) -> &Lambda {
        &self.lambda
    }

    pub(crate) fn web_identity(&self) -> &WebIdentity {
        &self.services.aws.web_identity
    }

    pub(crate) fn event_bridge(&self) -> &EventBridge {
        &self.services.aws.event_bridge
    }

    /// Returns the injected faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    /// Returns every call to a service since the start or the last `clear_calls`, in order of
    /// arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.services.call_log.calls()
    }

    /// Clears the call log.
    pub fn clear_calls(&self) {
        self.services.call_log.clear();
    }

    /// Subscribes to everything that the function logs and to every step of a rotation.
    #[must_use]
    pub fn watch(&self) -> UnboundedReceiver<Event> {
        self.events.subscribe()
    }

    /// Returns the services' time: real time plus what `advance` has added.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.services.clock.now()
    }

    /// Moves the services' clock forwards. If the schedule is due by then, it fires once, however
    /// many periods pass.
    ///
    /// The function follows the clock, because every response carries its time in the `Date`
    /// header. Invocation timeouts and waits stay in real time.
    ///
    /// # Panics
    ///
    /// Panics if the new time is beyond the year 9999, which a `Date` header cannot hold.
    pub fn advance(&self, by: Duration) {
        let now = self.services.aws.event_bridge.advance(by);
        assert!(now.is_some(), "the clock cannot go that far");
    }

    /// Waits until all asynchronous invocations have ended.
    pub async fn deliveries_done(&self) {
        self.lambda.deliveries_done().await;
    }

    /// Returns every finished asynchronous invocation in the order of the requests. They come from
    /// `EventBridge` and from Lambda's `--invocation-type Event`.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.lambda.deliveries()
    }

    /// Runs this function from the next event on, and ends the process of the one before.
    pub async fn deploy(&self, function: Function) {
        self.lambda.deploy(Some(function)).await;
    }

    /// Ends the function's process, and leaves events to any client of the runtime API.
    pub async fn undeploy(&self) {
        self.lambda.deploy(None).await;
    }

    /// Limits the signed calls of all others than the function; `None` allows everything.
    pub fn limit_operator(&self, role: Option<Role>) {
        *self.services.operator.lock() = role;
    }

    /// Changes the account around the function: alarms, trails, topics, rules and more.
    pub fn change_account<T>(&self, change: impl FnOnce(&mut AccountState) -> T) -> T {
        change(&mut self.services.aws.account.state.lock())
    }

    /// Kills the function's process as by `kill -9`. The next event starts a new one.
    pub async fn kill_function(&self) {
        self.lambda.kill().await;
    }

    /// Handles the next events with new processes of the function, as Lambda may do at any time. A
    /// process that has an event handles it first.
    pub async fn renew_function(&self) {
        self.lambda.renew().await;
    }

    /// Invokes the function with an event and waits for its result. Earlier events are handled
    /// first.
    pub async fn invoke(&self, payload: impl AsRef<[u8]>) -> Invocation {
        self.lambda.invoke(payload.as_ref().to_vec().into()).await
    }

    /// Changes the function's timeout.
    pub fn set_function_timeout(&self, timeout: Duration) {
        self.lambda.set_timeout(timeout);
    }

    /// Deploys the same function with these changes to its variables.
    pub async fn change_variables(&self, changes: Vec<(&'static str, String)>) {
        self.lambda.change_variables(changes).await;
    }

    /// Uses up the concurrency of the account, so that Lambda throttles the function, or gives it
    /// back.
    pub fn throttle_function(&self, is_throttled: bool) {
        self.lambda.throttle(is_throttled);
    }

    /// Returns what Lambda reports to `CloudWatch` about the invocations so far.
    #[must_use]
    pub fn measured(&self) -> Vec<Measured> {
        self.lambda.measured()
    }

    /// Returns the ids of the function's live processes.
    #[must_use]
    pub fn function_pids(&self) -> Vec<u32> {
        self.lambda.pids()
    }

    /// Returns everything that the function has written to its standard output and error, line by
    /// line.
    #[must_use]
    pub fn function_log(&self) -> String {
        self.lambda.log()
    }

    /// All that the function has answered, errors among them, line by line.
    #[must_use]
    pub fn function_answers(&self) -> String {
        self.lambda.answers()
    }

    /// Forgets what the function has written and answered.
    pub fn clear_function_log(&self) {
        self.lambda.clear_log();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.lambda.kill_now();
    }
}

/// The services with the layers that every call to them passes.
struct Services {
    aws: Aws,
    doppler: Doppler,
    call_log: CallLog,
    events: Events,
    faults: Faults,
    clock: Clock,
    also: Option<IpAddr>,
    operator: OperatorRole,
    missing_key_is_denied: bool,
}

impl Services {
    /// Opens ports to the services for the function in `lambda`, and sets its AWS endpoint.
    async fn open(
        &self,
        ports: Ports,
        lambda: &Lambda,
        call_gate: &CallGate,
    ) -> anyhow::Result<OpenPorts> {
        let authorizer = Authorizer {
            secrets: self.aws.secrets.clone(),
            api_gateway: self.aws.api_gateway.clone(),
            lambda: lambda.clone(),
            cloud_formation: self.aws.cloud_formation.clone(),
            operator: self.operator.clone(),
            account: self.aws.account.clone(),
            missing_key_is_denied: self.missing_key_is_denied,
        };
        let serve =
            |port: u16, authorizer: Option<Authorizer>, classify: Classify, routes: Router| {
                let switch = Switch::default();
                let middleware = Arc::new(Middleware {
                    switch: switch.clone(),
                    call_log: self.call_log.clone(),
                    events: self.events.clone(),
                    faults: self.faults.clone(),
                    call_gate: call_gate.clone(),
                    lambda: lambda.clone(),
                    clock: self.clock.clone(),
                    classify,
                    authorizer,
                    routes,
                });
                async move {
                    Server::start(port, self.also, &switch, move |request| {
                        Arc::clone(&middleware).answer(request)
                    })
                    .await
                }
            };
        let aws = Aws {
            lambda: lambda.clone(),
            ..self.aws.clone()
        };
        let gateway = gateway::router(&self.aws.api_gateway);
        let open_ports = OpenPorts {
            aws: serve(ports.aws, Some(authorizer), aws::classify, aws.router())
                .await
                .context("the AWS services")?,
            gateway: serve(ports.gateway, None, gateway::classify, gateway)
                .await
                .context("the gateway")?,
            doppler: serve(ports.doppler, None, classify_doppler, self.doppler.router())
                .await
                .context("the Doppler API")?,
        };
        lambda.set_endpoint(open_ports.aws_url());
        Ok(open_ports)
    }
}

/// Opens a port to the issuer of web identity tokens, which is in neither call log nor faults: its
/// caller is Doppler and not the function.
async fn open_issuer(web_identity: &WebIdentity) -> anyhow::Result<Server> {
    let of_account = web_identity.clone();
    let server = Server::start(0, None, &Switch::default(), move |request| {
        let issuer = of_account.issuer();
        async move {
            Ok(web_identity::answer_issuer(
                &issuer,
                &request.into_parts().0,
            ))
        }
    })
    .await
    .context("the issuer of web identity tokens")?;
    web_identity.set_issuer(format!("http://{}", server.address()));
    Ok(server)
}

/// Open ports to the services.
pub(crate) struct OpenPorts {
    aws: Server,
    gateway: Server,
    doppler: Server,
}

impl OpenPorts {
    pub(crate) fn aws_url(&self) -> String {
        format!("http://{}", self.aws.address())
    }

    pub(crate) fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    pub(crate) fn doppler_url(&self) -> String {
        format!("http://{}", self.doppler.address())
    }
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "the shape that `Middleware` requires"
)]
fn classify_doppler(parts: &http::request::Parts, _: &[u8]) -> Option<(Service, String)> {
    Some((
        Service::Doppler,
        doppler::operation(&parts.method, parts.uri.path()),
    ))
}

fn rotator(options: &Options, secrets: &SecretsManager, lambda: &Lambda) -> Rotator {
    Rotator {
        secrets: secrets.clone(),
        lambda: lambda.clone(),
        persistence: Persistence {
            attempts: options.rotation_attempts,
            pause: options.rotation_pause,
            step_pause: options.step_pause,
        },
        outcomes: Arc::default(),
        errors: Arc::default(),
        trail: Arc::default(),
        tokens: Arc::default(),
    }
}
