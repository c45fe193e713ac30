//! A fleet with two documents and two members, for the tests of `fleet`.

use std::sync::Arc;

use crate::program::{Ended, home, program, run};
use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, key_in};
use sandbox::{Fault, FaultKind, Options, Service};
use serde_json::{Value, json};
use std::process::Stdio;

/// The first document, with both members.
pub(crate) const DOCUMENT: &str = "rotation/fleet-1";
/// The second document, with a member that does not matter.
pub(crate) const MORE: &str = "rotation/fleet-2";
/// The other member.
pub(crate) const SECOND: &str = "fleet/second";
/// A secret that is not a member.
pub(crate) const THIRD: &str = "fleet/third";

/// The fleet.
pub(crate) struct Fleet {
    pub(crate) env: Arc<TestEnv>,
    /// The usage plan of the second member.
    pub(crate) plan: String,
}

pub(crate) fn target(name: &str) -> String {
    format!("{PROJECT}/{CONFIG}/{name}")
}

impl Fleet {
    /// Starts a fleet whose members have not been rotated.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// As `start`, with other options of the sandbox.
    pub(crate) async fn start_with(options: Options) -> Self {
        let setup = TestEnvBuilder {
            options,
            ..TestEnvBuilder::quick()
        };
        let env = setup.inheriting().start().await;
        let sandbox = &env.sandbox;
        let plan = sandbox.create_empty_usage_plan("second");
        sandbox.create_secret(DOCUMENT, Some("{}"));
        sandbox.create_secret(MORE, Some("{\n  \"members\": {}\n}\n"));
        sandbox.create_secret(SECOND, None);
        sandbox.enable_rotation(SECOND);
        sandbox.create_secret(THIRD, None);
        let documents = format!("{DOCUMENT},{MORE}");
        let allowed = format!("{PROJECT}/*");
        env.redeploy(&[
            ("SECRET_ID", ""),
            ("DOPPLER_TARGETS", ""),
            ("FLEET_CONFIG_SECRET_IDS", &documents),
            ("DOPPLER_ALLOWED", &allowed),
        ])
        .await;
        let fleet = Self {
            env: Arc::new(env),
            plan,
        };
        fleet.put(&fleet.document()).await;
        fleet
    }

    /// As `start`, with both members rotated twice, so that each has a superseded key.
    pub(crate) async fn rotated() -> Self {
        let fleet = Self::start().await;
        for _ in 0..2 {
            fleet.rotate(SECRET).await;
            fleet.rotate(SECOND).await;
        }
        fleet
    }

    /// Returns the text of the first document, in a form that no program writes.
    pub(crate) fn document(&self) -> String {
        let (plan, own) = (&self.env.plans[0], &self.plan);
        let (first, second) = (target("PARTNER_API_KEY"), target("SECOND_KEY"));
        format!(
            "{{ \"defaults\": {{\"usagePlanIds\":[\"{plan}\"],  \"gracePeriod\":\"2h\"}},\n  \"members\": {{\n    \"{SECRET}\" : {{\"dopplerTargets\": [\"{first}\"]}},\n    \"{SECOND}\" : {{\n      \"dopplerTargets\": [\"{second}\"], \"usagePlanIds\": [\"{own}\"]\n    }}\n  }}\n}}\n"
        )
    }

    /// Stores the first document, and lets the function forget what it read.
    pub(crate) async fn put(&self, document: &str) {
        self.env.sandbox.put_secret(DOCUMENT, document);
        self.env.sandbox.kill_function().await;
    }

    pub(crate) async fn rotate(&self, name: &str) {
        let token = self.env.sandbox.rotate(name);
        let outcome = self.env.sandbox.rotation(&token).await;
        assert!(outcome.succeeded, "{name}: {:?}", outcome.error());
    }

    /// Returns the text that the function reads.
    pub(crate) fn stored(&self, document: &str) -> String {
        let secret = self.env.sandbox.secret(document);
        let current = secret.current().expect("it has a value");
        current.text.clone().expect("it is a text")
    }

    /// Returns the value of the current key.
    pub(crate) fn key(&self, name: &str) -> String {
        let secret = self.env.sandbox.secret(name);
        let current = secret.current().expect("it has a value");
        key_in(current.text.as_ref().expect("a text")).expect("it holds a key")
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        run(&self.env, &[&["fleet"], arguments].concat()).await
    }

    /// Runs the program, and asserts that no secret and no key changed.
    pub(crate) async fn run_unchanged(&self, arguments: &[&str]) -> Ended {
        let before = self.state();
        let ended = self.run(arguments).await;
        assert!(self.state() == before, "{arguments:?} changed something");
        ended
    }

    fn state(&self) -> (Vec<sandbox::SecretSnapshot>, Vec<sandbox::KeySnapshot>) {
        let names = [SECRET, SECOND, THIRD, DOCUMENT, MORE];
        let secrets = names.map(|name| self.env.sandbox.secret(name));
        (secrets.to_vec(), self.env.sandbox.keys())
    }

    /// Runs a hook before the next call of this operation of Secrets Manager takes effect.
    pub(crate) fn before(&self, operation: &str, hook: impl Fn(&TestEnv) + Send + Sync + 'static) {
        let weak = Arc::downgrade(&self.env);
        let hook = FaultKind::before(move || {
            if let Some(env) = weak.upgrade() {
                hook(&env);
            }
            async {}
        });
        let fault = Fault::new(hook).on(Service::SecretsManager, operation);
        self.env.sandbox.faults().inject(fault);
    }

    /// Starts the program, and sends Ctrl-C once the condition is met.
    pub(crate) async fn interrupt(
        &self,
        arguments: &[&str],
        what: &str,
        is_met: impl Fn(&Self) -> bool,
    ) -> Ended {
        let home = home();
        let mut command = program(&self.env, &home, &[&["fleet"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        let id = child.id().expect("it runs").to_string();
        crate::support::programs::until(what, || is_met(self).then_some(())).await;
        let kill = std::process::Command::new("kill")
            .args(["-s", "INT", &id])
            .status();
        assert!(kill.expect("kill runs").success());
        let output = child.wait_with_output().await.expect("it ends");
        let ended = Ended {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        ended.with(130)
    }
}

/// Returns the arguments of the command between backticks that ends with this text's line.
pub(crate) fn command_in(text: &str) -> Vec<String> {
    let line = text.lines().rfind(|line| line.contains("resume with `"));
    let line = line.unwrap_or_else(|| panic!("there is no command in {text}"));
    let (_, command) = line
        .split_once("resume with `rotationctl fleet ")
        .expect(line);
    let command = command.split('`').next().expect("it ends");
    command
        .split(' ')
        .map(|word| word.trim_matches('\'').to_owned())
        .collect()
}

/// Returns the member of a list with this name.
pub(crate) fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let list = list.as_array().expect("a list");
    let found = list.iter().find(|entry| entry["secret"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {}", json!(list)))
}
