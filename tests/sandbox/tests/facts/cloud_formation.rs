//! AWS `CloudFormation`: a stack whose parameters change.

use std::collections::BTreeMap;

use sandbox::{NewStack, Sandbox};
use template::Template;

use crate::client::{cloud_formation, start, template_function};

/// A small template: the function has one variable, and a parameter each way to be constrained.
const TEMPLATE: &str = r"
Parameters:
  Period: {Type: String, Default: 24h, AllowedPattern: '[0-9]+h', ConstraintDescription: hours & h}
  Plain: {Type: String, Default: a, AllowedPattern: '^[a-z]$'}
  Kind: {Type: String, Default: x, AllowedValues: [x, y]}
  Token: {Type: String, Default: first, NoEcho: true}
Rules:
  NotBoth:
    Assertions:
      - Assert: !Not [!Equals [!Ref Kind, !Ref Plain]]
        AssertDescription: Kind and Plain must differ.
Resources:
  RotationFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Ref AWS::StackName
      Environment: {Variables: {PERIOD: !Ref Period}}
  Role:
    Type: AWS::IAM::Role
    Properties: {Policies: []}
Outputs:
  FunctionName: {Description: The name., Value: !Ref RotationFunction}
";

async fn with_stack() -> Sandbox {
    with_template(TEMPLATE).await
}

async fn with_template(template: &str) -> Sandbox {
    let sandbox = start().await;
    sandbox
        .deploy(template_function().env("OWN", "stays").env("PERIOD", "24h"))
        .await;
    sandbox.create_stack(NewStack {
        name: "partner".to_owned(),
        template: Template::parse(template).expect("it is a template"),
        parameters: BTreeMap::new(),
        made: BTreeMap::new(),
    });
    sandbox
}

/// Calls `UpdateStack` with these parameters; a value of `=` keeps the previous one.
async fn update(sandbox: &Sandbox, parameters: &[(&str, &str)]) -> (u16, String) {
    let mut fields = vec![
        ("Action".to_owned(), "UpdateStack"),
        ("StackName".to_owned(), "partner"),
        ("UsePreviousTemplate".to_owned(), "true"),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM"),
        ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND"),
        ("ClientRequestToken".to_owned(), "t1"),
    ];
    for (number, (name, value)) in parameters.iter().enumerate() {
        let number = number + 1;
        fields.push((format!("Parameters.member.{number}.ParameterKey"), name));
        fields.push(match *value {
            "=" => (
                format!("Parameters.member.{number}.UsePreviousValue"),
                "true",
            ),
            value => (format!("Parameters.member.{number}.ParameterValue"), value),
        });
    }
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let (status, text) = cloud_formation(sandbox, &fields).await;
    (status.as_u16(), text)
}

async fn describe(sandbox: &Sandbox, action: &str) -> String {
    let fields = [("Action", action), ("StackName", "partner")];
    cloud_formation(sandbox, &fields).await.1
}

/// Waits until the update has ended, and returns the description.
async fn settled(sandbox: &Sandbox) -> String {
    loop {
        let text = describe(sandbox, "DescribeStacks").await;
        if !text.contains("_IN_PROGRESS</StackStatus>") {
            return text;
        }
        tokio::task::yield_now().await;
    }
}

/// DOC (API reference, `DescribeStacks`): the reply's form; a parameter with `NoEcho` is masked.
#[tokio::test]
async fn description_has_parameters_and_outputs() {
    let sandbox = with_stack().await;
    let text = describe(&sandbox, "DescribeStacks").await;
    for part in [
        r#"<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>"#,
        "<member><ParameterKey>Period</ParameterKey><ParameterValue>24h</ParameterValue></member>",
        "<member><ParameterKey>Token</ParameterKey><ParameterValue>****</ParameterValue></member>",
        "<member><OutputKey>FunctionName</OutputKey><OutputValue>rotation</OutputValue><Description>The name.</Description></member>",
        "<StackStatus>CREATE_COMPLETE</StackStatus>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let summary = describe(&sandbox, "GetTemplateSummary").await;
    for part in [
        "<ParameterKey>Period</ParameterKey>",
        "<DefaultValue>24h</DefaultValue>",
        "<NoEcho>true</NoEcho>",
        "<AllowedValues><member>x</member><member>y</member></AllowedValues>",
    ] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
}

/// An update changes what depends on the parameter; one that is left out gets its default (DOC).
#[tokio::test]
async fn update_changes_functions_variables() {
    let sandbox = with_stack().await;
    let (status, text) = update(&sandbox, &[("Period", "48h"), ("Token", "second")]).await;
    assert_eq!(status, 200, "{text}");
    assert!(
        settled(&sandbox)
            .await
            .contains("<StackStatus>UPDATE_COMPLETE</StackStatus>")
    );
    let variables = sandbox.function_variables();
    assert_eq!(variables["PERIOD"], "48h");
    assert_eq!(variables["OWN"], "stays");
    assert_eq!(sandbox.stack_parameters()["Token"], "second");
    let (status, _) = update(&sandbox, &[("Token", "="), ("Kind", "y")]).await;
    assert_eq!(status, 200);
    settled(&sandbox).await;
    let parameters = sandbox.stack_parameters();
    assert_eq!(parameters["Token"], "second");
    assert_eq!(parameters["Period"], "24h", "it was left out");
}

/// Refusals: the error's form is OBS (boto/boto3#2807), the words as in `parameters.rs`.
#[tokio::test]
async fn refused_updates_have_aws_words() {
    let sandbox = with_stack().await;
    for (parameters, words) in [
        (
            &[("Period", "soon")][..],
            "Parameter Period failed to satisfy constraint: hours &amp; h",
        ),
        (
            &[("Plain", "ab")],
            "Parameter 'Plain' must match pattern ^[a-z]$",
        ),
        (
            &[("Kind", "z")],
            "Parameter 'Kind' must be one of AllowedValues",
        ),
        (
            &[("Other", "z")],
            "Parameters: [Other] do not exist in the template",
        ),
        (&[("Plain", "x")], "Kind and Plain must differ."),
        (&[("Token", "=")], "No updates are to be performed."),
    ] {
        let (status, text) = update(&sandbox, parameters).await;
        assert_eq!(status, 400, "{words}");
        let error =
            format!("<Type>Sender</Type><Code>ValidationError</Code><Message>{words}</Message>");
        assert!(text.contains(&error), "{words}: {text}");
    }
    let missing = [("Action", "DescribeStacks"), ("StackName", "foo")];
    let (_, text) = cloud_formation(&sandbox, &missing).await;
    assert!(
        text.contains("<Message>Stack with id foo does not exist</Message>"),
        "{text}"
    );
    let bare = [
        ("Action", "UpdateStack"),
        ("StackName", "partner"),
        ("UsePreviousTemplate", "true"),
    ];
    let (_, text) = cloud_formation(&sandbox, &bare).await;
    assert!(
        text.contains("<Code>InsufficientCapabilitiesException</Code>"),
        "{text}"
    );
}

/// A role that may have a name of its own demands another capability (DOC).
#[tokio::test]
async fn named_role_demands_capability_for_names() {
    let named = "Properties: {RoleName: !Ref AWS::StackName, Policies: []}";
    let sandbox = with_template(&TEMPLATE.replace("Properties: {Policies: []}", named)).await;
    let (status, text) = update(&sandbox, &[("Period", "48h")]).await;
    assert_eq!(status, 400);
    assert!(
        text.contains("Requires capabilities : [CAPABILITY_NAMED_IAM]"),
        "{text}"
    );
}

/// An update that fails leaves the stack as it was, and its events say why, newest first (DOC).
#[tokio::test]
async fn failed_update_is_rolled_back() {
    let sandbox = with_stack().await;
    sandbox.fail_stack_update("Role", "it is <denied>");
    let (status, _) = update(&sandbox, &[("Period", "48h")]).await;
    assert_eq!(status, 200);
    assert!(settled(&sandbox).await.contains("UPDATE_ROLLBACK_COMPLETE"));
    assert_eq!(sandbox.function_variables()["PERIOD"], "24h");
    let events = describe(&sandbox, "DescribeStackEvents").await;
    let place = |text: &str| {
        events
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {events}"))
    };
    assert!(place("UPDATE_ROLLBACK_COMPLETE") < place("UPDATE_FAILED"));
    assert!(place("UPDATE_FAILED") < place("User Initiated"));
    place("<ResourceStatusReason>it is &lt;denied&gt;</ResourceStatusReason>");
    place("<ClientRequestToken>t1</ClientRequestToken>");
}
