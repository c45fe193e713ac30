//! Replicas of a secret: their fields in `DescribeSecret`, and how long a change takes to reach
//! them.

use std::time::Duration;

use sandbox::{Options, REGION, ReplicaStatus, Sandbox};
use serde_json::{Value, json};

use crate::client::{secrets, start, start_with};

const LAG: Duration = Duration::from_mins(1);
const VERSION: &str = "11111111-1111-1111-1111-111111111111";

/// A change of a secret, with its description.
type Change = (&'static str, fn(&Sandbox));

/// Returns a sandbox with a replicated secret in sync. A change takes `LAG` to reach the replica.
async fn replicated() -> Sandbox {
    let sandbox = start_with(Options {
        replica_lag: LAG,
        ..Options::default()
    })
    .await;
    sandbox.create_secret("s", Some("one"));
    sandbox.replicate("s", &["eu-west-1"]);
    sandbox.advance(LAG);
    sandbox
}

async fn describe(sandbox: &Sandbox) -> Value {
    let output = secrets(sandbox, "DescribeSecret", json!({ "SecretId": "s" })).await;
    output.ok()
}

fn status(sandbox: &Sandbox) -> ReplicaStatus {
    sandbox.secret("s").replicas[0].status
}

fn put_pending(sandbox: &Sandbox) {
    sandbox.put_pending("s", VERSION, "two");
}

fn promote(sandbox: &Sandbox) {
    let current = sandbox.secret("s").current().map(|now| now.id.clone());
    sandbox.move_label("s", "AWSCURRENT", current.as_deref(), Some(VERSION));
}

fn remove_pending(sandbox: &Sandbox) {
    sandbox.move_label("s", "AWSPENDING", Some(VERSION), None);
}

/// DOC (service model): `PrimaryRegion` and `ReplicationStatus`; lists show the Region only.
#[tokio::test]
async fn description_with_replicas_shows_their_status() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    let plain = describe(&sandbox).await;
    assert!(plain["PrimaryRegion"].is_null() && plain["ReplicationStatus"].is_null());

    let regions = json!([
        { "Region": "eu-west-1" },
        { "Region": "ap-south-1", "KmsKeyId": "alias/mine" },
    ]);
    let input = json!({ "SecretId": "s", "AddReplicaRegions": regions });
    let added = secrets(&sandbox, "ReplicateSecretToRegions", input).await;
    let replicas = json!([
        { "Region": "eu-west-1", "KmsKeyId": "alias/aws/secretsmanager", "Status": "InSync" },
        { "Region": "ap-south-1", "KmsKeyId": "alias/mine", "Status": "InSync" },
    ]);
    assert_eq!(added.ok()["ReplicationStatus"], replicas);
    let described = describe(&sandbox).await;
    assert_eq!(described["ReplicationStatus"], replicas);
    assert_eq!(described["PrimaryRegion"], REGION);
    let filter = json!([{ "Key": "primary-region", "Values": [REGION] }]);
    let list = secrets(&sandbox, "ListSecrets", json!({ "Filters": filter })).await;
    let listed = &list.ok()["SecretList"][0];
    assert_eq!(listed["PrimaryRegion"], REGION);
    assert!(listed["ReplicationStatus"].is_null());
}

/// A secret may be created with replicas.
#[tokio::test]
async fn creation_with_replicas_returns_their_status() {
    let sandbox = start_with(Options {
        replica_lag: LAG,
        ..Options::default()
    })
    .await;
    let regions = json!([{ "Region": "eu-west-1" }]);
    let input = json!({ "Name": "s", "SecretString": "one", "AddReplicaRegions": regions });
    let created = secrets(&sandbox, "CreateSecret", input).await.ok();
    assert_eq!(created["ReplicationStatus"][0]["Status"], "InProgress");
}

/// DOC (service model, without the Region in the message): a replica must be in another Region.
#[tokio::test]
async fn replica_in_own_region_is_refused() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    let input = json!({ "SecretId": "s", "AddReplicaRegions": [{ "Region": REGION }] });
    let refused = secrets(&sandbox, "ReplicateSecretToRegions", input).await;
    assert_eq!(refused.code(), "InvalidParameterException");
}

/// AWSV (tests of moto): replicas must be removed first.
#[tokio::test]
async fn replicated_secret_cannot_be_deleted() {
    let sandbox = replicated().await;
    let arn = sandbox.secret("s").arn;
    let delete = async || secrets(&sandbox, "DeleteSecret", json!({ "SecretId": "s" })).await;
    let message =
        format!("You can't delete secret {arn} that still has replica regions [eu-west-1]");
    delete()
        .await
        .is_refused(400, "InvalidParameterException", &message);
    let input = json!({ "SecretId": "s", "RemoveReplicaRegions": ["eu-west-1"] });
    let removed = secrets(&sandbox, "RemoveRegionsFromReplication", input).await;
    assert_eq!(removed.ok()["ReplicationStatus"], json!([]));
    delete().await.ok();
}

/// Every change of a value or a label counts, and nothing else.
#[tokio::test]
async fn change_keeps_replicas_in_progress_for_lag() {
    let sandbox = replicated().await;
    let changes: [Change; 5] = [
        ("a rotation begins", |sandbox| {
            sandbox.enable_rotation("s");
            sandbox.begin_rotation_as("s", VERSION);
        }),
        ("its value is put", put_pending),
        ("AWSCURRENT moves", promote),
        ("AWSPENDING is removed", remove_pending),
        ("a value is put manually", |sandbox| {
            sandbox.put_secret("s", "three");
        }),
    ];
    for (change, make) in changes {
        assert_eq!(status(&sandbox), ReplicaStatus::InSync, "{change}");
        make(&sandbox);
        assert_eq!(status(&sandbox), ReplicaStatus::InProgress, "{change}");
        sandbox.advance(LAG / 2);
        assert_eq!(status(&sandbox), ReplicaStatus::InProgress, "{change}");
        sandbox.advance(LAG / 2);
    }
    secrets(&sandbox, "GetSecretValue", json!({ "SecretId": "s" }))
        .await
        .ok();
    put_pending(&sandbox);
    sandbox.disable_rotation("s");
    assert_eq!(status(&sandbox), ReplicaStatus::InSync, "nothing changed");
}

/// OBS (one report, square/password-rotation-lambda#12): a replica that is in progress when
/// AWSPENDING is removed stays in progress.
#[tokio::test]
async fn removing_pending_in_progress_strands_replica() {
    for overtaken in [true, false] {
        let sandbox = replicated().await;
        put_pending(&sandbox);
        promote(&sandbox);
        if !overtaken {
            sandbox.advance(LAG);
        }
        remove_pending(&sandbox);
        sandbox.advance(100 * LAG);
        let stuck = status(&sandbox) == ReplicaStatus::InProgress;
        assert_eq!(stuck, overtaken);
        sandbox.put_secret("s", "three");
        sandbox.advance(100 * LAG);
        assert_eq!(status(&sandbox) == ReplicaStatus::InProgress, overtaken);
        sandbox.replicate("s", &["eu-west-1"]);
        sandbox.advance(LAG);
        assert_eq!(status(&sandbox), ReplicaStatus::InSync, "created again");
    }
}

/// The report may be wrong, so the behaviour can be turned off.
#[tokio::test]
async fn stranding_is_optional() {
    let sandbox = start_with(Options {
        replica_lag: LAG,
        replicas_get_stuck: false,
        ..Options::default()
    })
    .await;
    sandbox.create_secret("s", Some("one"));
    sandbox.replicate("s", &["eu-west-1"]);
    put_pending(&sandbox);
    promote(&sandbox);
    remove_pending(&sandbox);
    sandbox.advance(LAG);
    assert_eq!(status(&sandbox), ReplicaStatus::InSync);
}

/// DOC (service model): the message comes with the status.
#[tokio::test]
async fn set_status_stays_until_set_again() {
    const MESSAGE: &str = "Secret with this name already exists in this region";
    let sandbox = replicated().await;
    for (set, shown) in [
        (ReplicaStatus::Failed, "Failed"),
        (ReplicaStatus::InProgress, "InProgress"),
        (ReplicaStatus::Pending, "Pending"),
        (ReplicaStatus::Detached, "Detached"),
    ] {
        sandbox.set_replica("s", "eu-west-1", set, MESSAGE);
        sandbox.put_secret("s", shown);
        sandbox.advance(100 * LAG);
        let replica = describe(&sandbox).await["ReplicationStatus"][0].clone();
        assert_eq!(replica["Status"], shown);
        assert_eq!(replica["StatusMessage"], MESSAGE);
        let secret = sandbox.secret("s");
        let view = &secret.replicas[0];
        assert_eq!((view.status, view.message.as_str()), (set, MESSAGE));
    }
    sandbox.set_replica("s", "eu-west-1", ReplicaStatus::InSync, "");
    let replica = describe(&sandbox).await["ReplicationStatus"][0].clone();
    assert_eq!(replica["Status"], "InSync");
    assert!(replica["StatusMessage"].is_null());
}
