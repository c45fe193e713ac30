//! The list of every command block in the documentation: run by a test, or not run for a reason.

use crate::support::markdown::{Block, pages};

/// A block: the name of its page, the heading above it, and its index below that heading, without `text` blocks.
pub(super) type Place = (&'static str, &'static str, usize);

/// Blocks in these languages are commands or a program; the others show output, data or a diagram.
const COMMANDS: [&str; 2] = ["bash", "python"];

/// Defines the blocks that tests run. The compiler warns about a block that no test runs, as that variant is unused.
macro_rules! run_blocks {
    ($($name:ident: $place:expr,)*) => {
        /// A block that a test runs.
        #[derive(Debug, Clone, Copy)]
        pub(super) enum Commands { $($name),* }

        impl Commands {
            pub(super) fn place(self) -> Place {
                match self { $(Self::$name => $place),* }
            }
        }

        pub(super) const RUN: &[Place] = &[$($place),*];
    };
}

run_blocks! {
    AddMirror: ("README", "Doppler", 0),
    ChangeParameter: ("deploy", "Change a parameter", 0),
    TurnNoticesOn: ("notices", "Turn notices on", 0),
    NameTopic: ("notices", "Send mail to owners", 1),
    NameToken: ("doppler", "Create a token", 2),
    EnableFederation: ("doppler-identity", "Set it up", 0),
    ShowIssuer: ("doppler-identity", "Set it up", 1),
    PrintSubject: ("doppler-identity", "Set it up", 2),
    SwitchToIdentity: ("doppler-identity", "Move over from a stored token", 0),
    CheckIdentity: ("doppler-identity", "Move over from a stored token", 1),
    DeleteTokenSecret: ("doppler-identity", "Take the stored token away", 0),
    AdoptTarget: ("doppler", "Adopt a target", 0),
    ReplaceToken: ("doppler", "Replace the token", 0),
    AddToFleet: ("fleet-and-regions", "One stack for many secrets", 1),
    ShowSecretArn: ("migrate", "Refer to the stack", 0),
    ReadKey: ("consumers", "Read the key", 0),
    PythonConsumer: ("consumers", "Read again on 403", 0),
    DopplerRun: ("consumers", "doppler run", 0),
    CheckDeployment: ("deploy", "Deploy for a new secret", 3),
    CheckNewToken: ("doppler", "Create a token", 3),
    CheckReplacedToken: ("doppler", "Replace the token", 1),
    ListStacks: ("fleet-and-regions", "Many secrets with Doppler", 0),
    ListFleet: ("fleet-and-regions", "Rotate many secrets at once", 0),
    RotateFleet: ("fleet-and-regions", "Rotate many secrets at once", 1),
    ListUnfinished: ("fleet-and-regions", "Rotate many secrets at once", 2),
    StopFleet: ("fleet-and-regions", "Rotate many secrets at once", 3),
    ReadValue: ("manual-changes", "Find a key by its value", 0),
    FindKey: ("manual-changes", "Find a key by its value", 1),
    InspectSecret: ("migrate", "An existing secret", 0),
    TestExistingSecret: ("migrate", "An existing secret", 2),
    FindExistingKey: ("migrate", "An existing secret", 3),
    ReplaceForeignKey: ("migrate", "A key that another tool created", 0),
    CheckFirstRotation: ("README", "Verify", 0),
    ListKeys: ("remove", "Keep the key", 0),
    ShortenGrace: ("remove", "Keep the key", 1),
    EndSchedule: ("remove", "Keep the key", 3),
    DeleteSuperseded: ("remove", "Keep the key", 4),
    DeleteSecret: ("remove", "Delete a secret and its keys", 0),
    ShowSchedule: ("rotate", "Rotate on a schedule", 0),
    Rotate: ("rotate", "Rotate now", 0),
    RotateAgain: ("rotate", "Rotate now", 1),
    WaitForRotation: ("rotate", "Rotate now", 2),
    ShowVersions: ("rotate", "Rotate now", 3),
    TestRotation: ("rotate", "Test rotation", 0),
    ShowStatus: ("rotate", "Show the status", 0),
    ReadUsage: ("rotate", "Is the old key still used?", 0),
    PauseRotation: ("rotate", "Pause rotation", 0),
    ReconcileAll: ("rotate", "Reconcile", 0),
    RetrySteps: ("runbook", "Retry now", 0),
    CancelRotation: ("runbook", "Cancel the rotation", 0),
    ReconcileNow: ("runbook", "Cancel the rotation", 1),
    ReplaceLeakedKey: ("runbook", "Replace the leaked key", 0),
    PromoteNewKey: ("runbook", "Replace the leaked key", 1),
    EmergencyStop: ("runbook", "Emergency stop", 0),
    RollBack: ("runbook", "Roll back", 0),
}

/// The blocks whose output is the function's log, which the tests compare with the log in the sandbox.
pub(super) const LOG_OF_ROTATION: Place = ("rotate", "Rotate on a schedule", 1);
pub(super) const LOG_OF_TEST_ROTATION: Place = ("rotate", "Test rotation", 1);
pub(super) const LOG_OF_FAILURE: Place = ("runbook", "A rotation failed", 0);
/// The block whose output `make testcli` compares.
pub(super) const STATUS_OF_ROTATIONCTL: Place = ("rotationctl", "Name what it works on", 0);
/// The same of `doctor`.
pub(super) const RESULT_OF_DOCTOR: Place = ("doctor", "Run the checks", 0);

const MAKE: &str = "a make target";
const CLOUD_FORMATION: &str = "needs CloudFormation";
const SAM: &str = "needs SAM, which deploys to AWS";
const SAM_DEPLOY: &str = "needs CloudFormation; tests/e2e/sam_deploy.rs runs it";
const SAM_LOCAL: &str = "needs a container; tests/e2e/sam_local.rs does the same";
const MANUAL_CHANGES: &str = "tests/proof/manual_changes.rs runs it";
const REAL_AWS: &str = "answers a question that only AWS itself answers";
const RELEASE: &str = "needs a release";
const FLEET_PAGE: &str = "needs rotationctl; tests/cli/fleet_page.rs runs it";
const READS_LOG: &str = "needs CloudWatch Logs; the output is compared with the function's log";

/// The blocks that no test of this folder runs, each with the reason.
pub(super) const NOT_RUN: &[(Place, &str)] = &[
    (("README", "Try it locally", 0), MAKE),
    (("README", "Try it locally", 1), MAKE),
    (("README", "Deploy", 0), MAKE),
    (("README", "Deploy", 1), SAM),
    (("README", "Verify", 1), SAM_DEPLOY),
    (
        ("CONTRIBUTING", "Before you send a change", 0),
        "runs this test, among others",
    ),
    (("CONTRIBUTING", "One step at a time", 0), MAKE),
    (
        ("CONTRIBUTING", "One step at a time", 1),
        "needs the fixed port of `make sandbox`",
    ),
    (
        ("CONTRIBUTING", "One step at a time", 2),
        "needs cargo-lambda",
    ),
    (("CONTRIBUTING", "One step at a time", 3), SAM_LOCAL),
    (("CONTRIBUTING", "One step at a time", 4), SAM_LOCAL),
    (
        ("CONTRIBUTING", "One step at a time", 5),
        "needs the fixed port of `make sandbox`",
    ),
    (("consumers", "ECS", 1), "needs ECS"),
    (("consumers", "Kubernetes", 2), "needs Kubernetes"),
    (("deploy", "Deploy for a new secret", 0), MAKE),
    (("deploy", "Deploy for a new secret", 1), SAM),
    (("deploy", "Deploy for a new secret", 2), SAM),
    (("deploy", "Deploy for a new secret", 4), SAM_DEPLOY),
    (("deploy", "Deploy without Rust", 0), SAM_DEPLOY),
    (("deploy", "Upgrade", 0), SAM),
    (("deploy", "Failed first deployment", 0), CLOUD_FORMATION),
    (("doppler", "Create a token", 0), "reads from a terminal"),
    (
        ("drill", "Start the sandbox", 0),
        "needs rotationctl; tests/cli/drill holds the drill",
    ),
    (
        ("doppler", "Create a token", 1),
        "the sandbox has no CreateSecret",
    ),
    (("doppler-identity", "Set it up", 4), SAM),
    (("errors", "Cancel and rotate again", 0), MANUAL_CHANGES),
    (("fleet-and-regions", "One stack for many secrets", 0), SAM),
    (("fleet-and-regions", "Many secrets with Doppler", 1), SAM),
    (
        ("manual-changes", "A value was written manually", 0),
        MANUAL_CHANGES,
    ),
    (
        ("manual-changes", "Rotation was switched off", 0),
        MANUAL_CHANGES,
    ),
    (
        ("manual-changes", "AWSPENDING was removed", 0),
        MANUAL_CHANGES,
    ),
    (
        ("manual-changes", "A usage plan was deleted", 0),
        MANUAL_CHANGES,
    ),
    (
        ("manual-changes", "A usage plan was deleted", 1),
        MANUAL_CHANGES,
    ),
    (("manual-changes", "A key was deleted", 0), MANUAL_CHANGES),
    (
        ("manual-changes", "The secret was scheduled for deletion", 0),
        MANUAL_CHANGES,
    ),
    (
        ("manual-changes", "The secret was scheduled for deletion", 1),
        MANUAL_CHANGES,
    ),
    (
        ("manual-changes", "A key tag was removed", 0),
        MANUAL_CHANGES,
    ),
    (("migrate", "An existing secret", 1), SAM),
    (("notices", "Send mail to owners", 0), "needs SNS"),
    (("notices", "Restart an ECS service", 0), SAM),
    (("notices", "Post to a webhook", 0), SAM),
    (("remove", "Keep the key", 2), CLOUD_FORMATION),
    (LOG_OF_ROTATION, READS_LOG),
    (LOG_OF_TEST_ROTATION, READS_LOG),
    (LOG_OF_FAILURE, READS_LOG),
    (("releases", "Verify a release", 0), RELEASE),
    (("releases", "Build a release again", 0), RELEASE),
    (("releases", "Check for known vulnerabilities", 0), MAKE),
    (("rotationctl", "Install", 0), RELEASE),
    (
        ("rotationctl", "Build it", 0),
        "installs a program into the home directory",
    ),
    (
        ("fleet-documents", "Deploy it", 0),
        "the sandbox has no CreateSecret",
    ),
    (("fleet-documents", "Deploy it", 1), SAM),
    (("fleet-documents", "Deploy it", 2), CLOUD_FORMATION),
    (STATUS_OF_ROTATIONCTL, "tests/cli/reading.rs compares it"),
    (RESULT_OF_DOCTOR, "tests/cli/doctor.rs compares it"),
    (("rotationctl-fleet", "rotationctl fleet", 0), FLEET_PAGE),
    (("rotationctl-fleet", "Check a document", 0), FLEET_PAGE),
    (("rotationctl-fleet", "List the members", 0), FLEET_PAGE),
    (("rotationctl-fleet", "Add a member", 0), FLEET_PAGE),
    (("rotationctl-fleet", "Remove a member", 0), FLEET_PAGE),
    (("rotationctl-fleet", "Move a member", 0), FLEET_PAGE),
    (("rotationctl-fleet", "Rotate many members", 0), FLEET_PAGE),
    (("rotationctl-fleet", "Stop many members", 0), FLEET_PAGE),
    (
        ("rotationctl-fleet", "Move stacks into a fleet", 0),
        FLEET_PAGE,
    ),
    (
        ("rotationctl-fleet", "Move a member into a stack", 0),
        FLEET_PAGE,
    ),
    (
        ("doctor", "Let doctor assume the role", 0),
        "needs a role in IAM",
    ),
    (
        ("doctor", "Let doctor assume the role", 1),
        "needs a role in IAM",
    ),
    (
        (
            "verify-in-your-account",
            "Does CloudTrail record the value of a key?",
            0,
        ),
        REAL_AWS,
    ),
    (
        ("verify-in-your-account", "Test the rights on keys", 0),
        REAL_AWS,
    ),
    (
        (
            "verify-in-your-account",
            "Do PATCH and DELETE honour the tag condition?",
            0,
        ),
        REAL_AWS,
    ),
    (
        (
            "verify-in-your-account",
            "Does a list of keys show their tags?",
            0,
        ),
        REAL_AWS,
    ),
    (
        (
            "verify-in-your-account",
            "When does lastUpdatedDate of a key change?",
            0,
        ),
        REAL_AWS,
    ),
    (
        (
            "verify-in-your-account",
            "Does get-usage count on a plan without a quota?",
            0,
        ),
        REAL_AWS,
    ),
];

/// A block of commands, with the output that the page shows for it.
pub(super) struct Listed {
    pub(super) place: (&'static str, String, usize),
    pub(super) language: String,
    pub(super) commands: String,
    pub(super) output: Option<String>,
}

impl Listed {
    pub(super) fn is_at(&self, place: Place) -> bool {
        (self.place.0, self.place.1.as_str(), self.place.2) == place
    }
}

/// Returns every block of commands of every page.
///
/// # Panics
/// If a `text` block does not follow a block of commands.
pub(super) fn listed() -> Vec<Listed> {
    let mut listed = Vec::<Listed>::new();
    for page in pages() {
        let mut indexes = std::collections::BTreeMap::<String, usize>::new();
        let mut can_have_output = false;
        for block in page.blocks() {
            let Block {
                heading,
                language,
                text,
            } = block;
            if language == "text" {
                assert!(can_have_output, "{}: {heading}: no command", page.path);
                listed.last_mut().expect("the commands").output = Some(text);
                can_have_output = false;
                continue;
            }
            let index = indexes.entry(heading.clone()).or_default();
            can_have_output = COMMANDS.contains(&language.as_str());
            if can_have_output {
                listed.push(Listed {
                    place: (&page.name, heading, *index),
                    language,
                    commands: text,
                    output: None,
                });
            }
            *index += 1;
        }
    }
    listed
}

/// Returns the commands at a place, and the output that the page shows.
pub(super) fn find(place: Place) -> (String, Option<String>) {
    let found = listed().into_iter().find(|block| block.is_at(place));
    let block = found.unwrap_or_else(|| panic!("there is no block at {place:?}"));
    (block.commands, block.output)
}
