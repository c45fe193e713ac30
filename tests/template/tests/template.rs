//! The crate reads the part of the template language that it knows, and refuses everything else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use template::{Deployment, Template};

const TEMPLATE: &str = "
Parameters:
  Name: {Type: String, Default: ''}
  Plans: {Type: String, Default: ''}
  Days: {Type: Number, Default: 3, AllowedValues: [1, 3]}
  List: {Type: CommaDelimitedList, Default: 'a, b'}
Rules:
  NoPlansWithoutName:
    RuleCondition: !Not [!Equals [!Ref Plans, '']]
    Assertions:
      - Assert: !Not [!Equals [!Ref Name, '']]
        AssertDescription: plans need a name
  NoPlanOfThese:
    RuleCondition: !Contains [[a, b], !Ref Name]
    Assertions:
      - Assert: !Not [!Contains [[x, y], !Ref Plans]]
        AssertDescription: not these
Conditions:
  HasName: !Not [!Equals [!Ref Name, '']]
  HasPlans: !Not [!Equals [!Ref Plans, '']]
  HasBoth: !And [!Condition HasName, !Condition HasPlans]
  HasEither: !Or [!Condition HasName, !Condition HasPlans]
Resources:
  Secret: {Type: 'AWS::SecretsManager::Secret', Condition: HasName, Properties: {Name: !Ref Name}}
  Function: {Type: 'AWS::Serverless::Function', Properties: {FunctionName: !Ref AWS::StackName}}
  Group: {Type: 'AWS::Logs::LogGroup', Properties: {LogGroupName: !Sub '/aws/lambda/${AWS::StackName}'}}
  It:
    Type: Any
    Condition: HasEither
    Properties:
      @@
";

/// Returns the resolved properties of the template's resource.
fn property(text: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Option<Value>> {
    let template = Template::parse(&TEMPLATE.replace("@@", text))?;
    let parameters = parameters.iter();
    let stack = template.deploy(Deployment {
        stack: "rotation".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "111122223333".to_owned(),
        parameters: parameters
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        made: BTreeMap::from([("Secret".to_owned(), "arn:secret".to_owned())]),
    })?;
    Ok(stack.resource("It")?.map(|it| it["Properties"].clone()))
}

fn with_name(text: &str) -> anyhow::Result<Value> {
    let properties = property(text, &[("Name", "a"), ("Plans", "p,q")])?;
    Ok(properties.expect("its condition is met")["X"].clone())
}

#[test]
fn functions_are_called_in_both_notations() {
    for (short, long, expected) in [
        ("X: !Ref Name", "X: {Ref: Name}", json!("a")),
        ("X: !Ref Days", "X: {Ref: Days}", json!("3")),
        ("X: !Ref List", "X: {Ref: List}", json!(["a", "b"])),
        ("X: !Ref Secret", "X: {Ref: Secret}", json!("arn:secret")),
        ("X: !Ref Function", "X: {Ref: Function}", json!("rotation")),
        (
            "X: !Ref AWS::Region",
            "X: {Ref: 'AWS::Region'}",
            json!("eu-west-1"),
        ),
        (
            "X: !GetAtt Group.Arn",
            "X: {Fn::GetAtt: [Group, Arn]}",
            json!("arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/rotation:*"),
        ),
        (
            "X: !GetAtt Function.Arn",
            "X: {Fn::GetAtt: [Function, Arn]}",
            json!("arn:aws:lambda:eu-west-1:111122223333:function:rotation"),
        ),
        (
            "X: !Sub '${AWS::Partition}:${Name}:${Group}:${!Name}'",
            "X: {Fn::Sub: '${AWS::Partition}:${Name}:${Group}:${!Name}'}",
            json!("aws:a:/aws/lambda/rotation:${Name}"),
        ),
        (
            "X: !Sub ['${Name}${Other}', {Other: !Ref Plans, Name: b}]",
            "X: {Fn::Sub: ['${Name}${Other}', {Other: {Ref: Plans}, Name: b}]}",
            json!("bp,q"),
        ),
        (
            "X: !Split [',', !Join ['/x,', !Split [',', !Ref Plans]]]",
            "X: {Fn::Split: [',', {Fn::Join: ['/x,', {Fn::Split: [',', {Ref: Plans}]}]}]}",
            json!(["p/x", "q"]),
        ),
        (
            "X: !Select [1, !Split [',', !Ref Plans]]",
            "X: {Fn::Select: ['1', {Fn::Split: [',', {Ref: Plans}]}]}",
            json!("q"),
        ),
        (
            "X: [1, !If [HasBoth, {a: !Ref Name}, b], !If [HasName, !Ref AWS::NoValue, c]]",
            "X: [1, {Fn::If: [HasBoth, {a: {Ref: Name}}, b]}, {Fn::If: [HasName, {Ref: 'AWS::NoValue'}, c]}]",
            json!([1, { "a": "a" }]),
        ),
    ] {
        assert_eq!(with_name(short).expect(short), expected, "{short}");
        assert_eq!(with_name(long).expect(long), expected, "{long}");
    }
}

#[test]
fn condition_selects_values_and_resources() {
    let choose = "X: !If [HasName, !If [HasBoth, both, name], !If [HasEither, plans, none]]";
    for (name, plans, expected) in [("a", "", "name"), ("a", "p", "both")] {
        let it = property(choose, &[("Name", name), ("Plans", plans)]);
        assert_eq!(it.expect("known").expect("it is created")["X"], expected);
    }
    assert!(
        property(choose, &[]).expect("known").is_none(),
        "it is not created"
    );
    // A field without a value is left out.
    let removed = property("X: !If [HasPlans, a, !Ref AWS::NoValue]", &[("Name", "a")]);
    assert_eq!(removed.expect("known").expect("it is created"), json!({}));
}

#[test]
fn parameters_obey_allowed_values_and_rules() {
    for (parameters, words) in [
        (&[("Nmae", "a")][..], "there is no parameter Nmae"),
        (&[("Days", "2")], "the parameter Days cannot be 2"),
        (&[("Plans", "p")], "plans need a name"),
        (&[("Plans", "y"), ("Name", "b")], "not these"),
    ] {
        let error = property("X: 1", parameters).expect_err(words);
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
    for name in ["b", "c"] {
        let plans = if name == "b" { "z" } else { "y" };
        property("X: 1", &[("Plans", plans), ("Name", name)]).expect("the rules are kept");
    }
}

#[test]
fn unknown_syntax_is_error() {
    for text in [
        "X: !Transform {Name: x}",
        "X: !Base64 a",
        "X: {Fn::ImportValue: a}",
        "X: {Fn::Sub: a, Y: b}",
        "X: {Ref: Name, Y: b}",
        "X: !Ref Nothing",
        "X: !Ref AWS::StackId",
        "X: !Ref It",
        "X: !GetAtt Secret.Id",
        "X: !GetAtt Nothing.Arn",
        "X: !Sub '${Nothing}'",
        "X: !Sub '${Name'",
        "X: !If [HasNothing, a, b]",
        "X: !If [HasName, a]",
        "X: !Join [!Ref Name, [a, b]]",
        "X: !Select [2, !Split [',', !Ref Plans]]",
        "X: !!binary aaaa",
        "X: 1\n      X: 2",
    ] {
        assert!(with_name(text).is_err(), "{text}: {:?}", with_name(text));
    }
}

/// A section that is unknown or not a mapping is an error.
#[test]
fn unknown_section_is_error() {
    assert!(Template::parse("Resources: {}").is_ok());
    for text in [
        "Globals: {Function: {Policies: [AdministratorAccess]}}",
        "Mappings: {}",
        "Rules: [a]",
        "Conditions:",
        "Transform: [AWS::Serverless-2016-10-31, Another]",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}

/// A resource that is not created cannot be referred to.
#[test]
fn resource_not_created_cannot_be_referenced() {
    // The template's rule requires a name with plans, so the test removes the rule.
    let template = TEMPLATE.replace("NoPlansWithoutName", "Other").replace(
        "!Ref Plans, '']]\n    Assertions",
        "!Ref Plans, 'p']]\n    Assertions",
    );
    let template = Template::parse(&template.replace("@@", "X: !Ref Secret")).expect("a template");
    let stack = template.deploy(Deployment {
        stack: "rotation".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "111122223333".to_owned(),
        parameters: BTreeMap::from([("Plans".to_owned(), "p".to_owned())]),
        made: BTreeMap::from([("Secret".to_owned(), "arn:secret".to_owned())]),
    });
    let error = stack
        .expect("its parameters are right")
        .resource("It")
        .expect_err("it refers to a missing resource");
    assert!(
        format!("{error:#}").contains("there is no Secret"),
        "{error:#}"
    );
}
