//! The template's parameters and the function's settings agree: what `CloudFormation` accepts, the function accepts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::support::role::TEMPLATE;
use api_key_rotation::config::Config;
use fancy_regex::Regex;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex_parsed;
use proptest::test_runner::{self, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use regex_syntax::hir::{Hir, HirKind, Repetition};
use sandbox::{ACCOUNT, REGION};
use serde_json::Value;
use template::{Deployment, Stack};

/// The longest value of a parameter, in bytes (DOC, `CloudFormation` user guide, "quotas").
const LONGEST_VALUE: usize = 4_096;
/// The longest that the inline policies of a role are together, without white space (DOC, IAM user guide, "quotas").
const LONGEST_POLICIES: usize = 10_240;
const EXISTING: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/key-AbCdEf";
const IDENTITY: &str = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";
const TOKEN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/token-MnOpQr";

/// The parameters that are lists, which a fleet does not have.
const LISTS: [&str; 4] = [
    "UsagePlanIds",
    "StageKeys",
    "DopplerTargets",
    "DopplerAdoptTargets",
];

type Values = BTreeMap<String, String>;

/// Returns the template with these parameters, or the message of a rule that refuses them.
fn deploy(parameters: &Values) -> Result<Stack<'static>, String> {
    let name = parameters.get("SecretName");
    let made =
        name.map(|name| format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-GhIjKl"));
    let stack = TEMPLATE.deploy(Deployment {
        stack: "rotation".to_owned(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        parameters: parameters.clone(),
        made: made
            .map(|arn| ("Secret".to_owned(), arn))
            .into_iter()
            .collect(),
    });
    stack.map_err(|error| format!("{error:#}"))
}

fn properties(stack: &Stack<'_>, resource: &str) -> Value {
    let resource = stack.resource(resource);
    let resource = resource.unwrap_or_else(|error| panic!("{error:#}"));
    resource.expect("it is always created")["Properties"].clone()
}

/// Returns the settings that the function reads, deployed with these parameters.
fn read(stack: &Stack<'_>) -> Result<Config, String> {
    let function = properties(stack, "RotationFunction");
    let variables = &function["Environment"]["Variables"];
    let settings = Config::read(|name| variables[name].as_str().map(ToOwned::to_owned));
    settings.map_err(|faults| faults.to_string())
}

/// Returns the pattern of a parameter; `None` if it has none.
fn pattern(parameter: &str) -> Option<&'static str> {
    TEMPLATE.section("Parameters")[parameter]["AllowedPattern"].as_str()
}

/// Whether a parameter's pattern accepts this value.
fn takes(parameter: &str, value: &str) -> bool {
    static PATTERNS: LazyLock<BTreeMap<&str, Regex>> = LazyLock::new(|| {
        let names = TEMPLATE.section("Parameters").keys();
        let patterns = names.filter_map(|name| Some((name.as_str(), pattern(name)?)));
        let parsed = patterns.map(|(name, pattern)| match Regex::new(pattern) {
            Ok(pattern) => (name, pattern),
            Err(error) => panic!("{name}: {error}"),
        });
        parsed.collect()
    });
    let matches = PATTERNS[parameter].is_match(value);
    matches.unwrap_or_else(|error| panic!("{parameter}: {error}")) && value.len() <= LONGEST_VALUE
}

/// Returns a pattern without its `(?!…)`, with `instead` for what each of them forbids.
fn without_negations(pattern: &str, instead: impl Fn(&str) -> String) -> String {
    let Some((before, rest)) = pattern.split_once("(?!") else {
        return pattern.to_owned();
    };
    let mut depth = 1;
    let end = rest.find(|letter| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    let (forbidden, after) = rest.split_at(end.expect("it is closed"));
    before.to_owned() + &instead(forbidden) + &without_negations(&after[1..], instead)
}

/// Returns a pattern without anchors, and with its `repetitions` changed. They are numbered from 0.
fn changed(hir: &Hir, repetitions: &mut impl FnMut(u32, Option<u32>) -> (u32, Option<u32>)) -> Hir {
    let mut all = |hirs: &[Hir]| hirs.iter().map(|hir| changed(hir, repetitions)).collect();
    match hir.kind() {
        HirKind::Look(_) => Hir::empty(),
        HirKind::Concat(hirs) => Hir::concat(all(hirs)),
        HirKind::Alternation(hirs) => Hir::alternation(all(hirs)),
        HirKind::Capture(capture) => changed(&capture.sub, repetitions),
        HirKind::Repetition(repetition) => {
            let (min, max) = repetitions(repetition.min, repetition.max);
            Hir::repetition(Repetition {
                min,
                max,
                greedy: true,
                sub: Box::new(changed(&repetition.sub, repetitions)),
            })
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

/// Values that a pattern accepts: random ones, those with every repetition as short or as long as possible,
/// and those that begin with what it forbids.
fn values_of(parameter: &'static str) -> BoxedStrategy<String> {
    let pattern = pattern(parameter).expect("a parameter with a pattern");
    assert!(
        pattern.starts_with('^') && pattern.ends_with('$'),
        "{parameter}: the pattern matches the whole value"
    );
    let parse = |pattern: &str| {
        regex_syntax::parse(pattern).unwrap_or_else(|error| panic!("{parameter}: {error}"))
    };
    let plain = parse(&without_negations(pattern, |_| String::new()));
    let forbidden = parse(&without_negations(pattern, |forbidden| {
        format!("({})?", forbidden.replace("(,|$)", ""))
    }));
    let drawn = move |hir: &Hir| {
        let strategy = string_regex_parsed(hir);
        strategy.unwrap_or_else(|error| panic!("{parameter}: {error}"))
    };
    let as_it_is = |hir: &Hir| drawn(&changed(hir, &mut |min, max| (min, max)));
    let extreme = any::<u64>().prop_flat_map({
        let plain = plain.clone();
        move |mut bits| {
            drawn(&changed(&plain, &mut |min, max| {
                bits = bits.rotate_right(1);
                let length = if bits & 1 == 0 {
                    min
                } else {
                    max.unwrap_or(200)
                };
                (length, Some(length))
            }))
        }
    });
    let values = prop_oneof![as_it_is(&plain), extreme, as_it_is(&forbidden)];
    let values = values.prop_filter("the pattern takes it", move |value| takes(parameter, value));
    values.boxed()
}

/// The values of a parameter.
fn values(parameter: &'static str) -> BoxedStrategy<String> {
    let declared = &TEMPLATE.section("Parameters")[parameter];
    let text = |value: &Value| value.as_str().map_or(value.to_string(), ToOwned::to_owned);
    if let Some(allowed) = declared["AllowedValues"].as_array() {
        return select(allowed.iter().map(text).collect::<Vec<_>>()).boxed();
    }
    if declared["Type"] == "Number" {
        return (1..10_000_u32)
            .prop_map(|number| number.to_string())
            .boxed();
    }
    let default = Just(text(&declared["Default"]));
    prop_oneof![1 => default, 4 => values_of(parameter)].boxed()
}

/// Parameters for each of the three ways to deploy the template. They need not obey the rules.
fn parameters() -> impl Strategy<Value = Values> {
    let names = TEMPLATE.section("Parameters").keys().map(String::as_str);
    let names: Vec<_> = names.collect();
    let strategies: Vec<_> = names.iter().map(|name| values(name)).collect();
    let ways = select(vec![
        ("SecretName", "shop/key"),
        ("ExistingSecretArn", EXISTING),
        ("Fleet", "true"),
    ]);
    (strategies, ways).prop_map(move |(values, (way, example))| {
        let names = names.iter().map(ToString::to_string);
        let mut parameters: Values = names.zip(values).collect();
        let has_no_documents = parameters["FleetConfigSecretArns"].is_empty();
        let mut set =
            |name: &str, value: &str| parameters.insert(name.to_owned(), value.to_owned());
        for (other, none) in [
            ("SecretName", ""),
            ("ExistingSecretArn", ""),
            ("Fleet", "false"),
        ] {
            if other != way {
                set(other, none);
            }
        }
        for (limit, none) in OF_DOCUMENTS {
            if way != "Fleet" || has_no_documents {
                set(limit, none);
            }
        }
        if way == "Fleet" {
            set(way, example);
            for list in LISTS {
                set(list, "");
            }
            set("ProbeUrl", "");
            if !has_no_documents && parameters["DopplerAllowed"].is_empty() {
                parameters.insert("DopplerAllowed".to_owned(), "shop/*".to_owned());
            }
        } else if parameters[way].is_empty() {
            parameters.insert(way.to_owned(), example.to_owned());
        }
        // Neither with the other, and an audience only with an identity.
        if parameters["DopplerIdentity"].is_empty() {
            parameters.insert("DopplerAudience".to_owned(), String::new());
        } else {
            parameters.insert("DopplerTokenSecretArn".to_owned(), String::new());
        }
        let keyless = !parameters["DopplerIdentity"].is_empty();
        for (name, example) in [
            ("DopplerTokenSecretArn", TOKEN),
            ("EventBusName", "default"),
        ] {
            let needs_bus = !parameters["NoticeTopicArn"].is_empty();
            let needed = match name {
                "EventBusName" => needs_bus,
                _ => !keyless,
            };
            if parameters[name].is_empty() && needed {
                parameters.insert(name.to_owned(), example.to_owned());
            }
        }
        for (name, needed, example) in [
            ("SubnetIds", "SecurityGroupIds", "sg-0a1b2c3d"),
            ("SecurityGroupIds", "SubnetIds", "subnet-0a1b2c3d"),
            ("NoProxy", "HttpsProxy", "http://proxy.example.com:3128"),
        ] {
            if !parameters[name].is_empty() && parameters[needed].is_empty() {
                parameters.insert(needed.to_owned(), example.to_owned());
            }
        }
        if ["UseFipsEndpoint", "UseDualStackEndpoint"].map(|name| parameters[name] == "true")
            != [false; 2]
        {
            parameters.insert("EndpointUrl".to_owned(), String::new());
        }
        parameters
    })
}

/// The parameters that require documents of a fleet, and the value of each without.
const OF_DOCUMENTS: [(&str, &str); 6] = [
    ("FleetConfigSecretArns", ""),
    ("FleetConfigKmsKeyArn", ""),
    ("FleetDefault", "refuse"),
    ("FleetUsagePlanIds", ""),
    ("DopplerAllowed", ""),
    ("ProbeAllowed", ""),
];

fn runner(cases: u32) -> TestRunner {
    let config = test_runner::Config {
        cases,
        failure_persistence: None,
        max_global_rejects: cases * 4,
        max_shrink_iters: 200,
        ..test_runner::Config::default()
    };
    let seed = b"the parameters of the template..";
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, seed))
}

fn items(list: &str) -> BTreeSet<&str> {
    list.split(',').filter(|item| !item.is_empty()).collect()
}

#[test]
fn any_allowed_parameters_give_valid_settings() {
    let tried = runner(150).run(&parameters(), |parameters| {
        let stack = deploy(&parameters).map_err(TestCaseError::reject)?;
        let settings = read(&stack).map_err(TestCaseError::fail)?;
        let plans: BTreeSet<_> = settings
            .secret
            .usage_plans
            .iter()
            .map(String::as_str)
            .collect();
        prop_assert_eq!(plans.len(), settings.secret.usage_plans.len());
        prop_assert_eq!(plans, items(&parameters["UsagePlanIds"]));
        let stages = items(&parameters["StageKeys"]).len();
        prop_assert_eq!(settings.secret.stage_keys.len(), stages);
        let bus = settings.event_bus_name.as_deref().unwrap_or_default();
        prop_assert_eq!(bus, &parameters["EventBusName"]);
        let has_targets = !parameters["DopplerTargets"].is_empty();
        prop_assert_eq!(has_targets, !settings.secret.targets.is_empty());
        if let Some(url) = &settings.secret.probe_url {
            // As it is sent.
            prop_assert!(url.as_str().parse::<http::Uri>().is_ok(), "{}", url);
        }
        let policies = properties(&stack, "Role")["Policies"].to_string();
        prop_assert!(policies.len() <= LONGEST_POLICIES, "{}", policies.len());
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

/// Returns the parameters of the smallest deployment with this one set.
fn with(parameter: &str, value: &str) -> Values {
    let mut parameters = vec![("ExistingSecretArn", EXISTING)];
    if parameter.starts_with("Doppler") {
        parameters.push(("DopplerTargets", "a/b/C"));
        parameters.push(match parameter {
            "DopplerIdentity" | "DopplerAudience" => ("DopplerIdentity", IDENTITY),
            _ => ("DopplerTokenSecretArn", TOKEN),
        });
    }
    if parameter == "NoProxy" {
        parameters.push(("HttpsProxy", "http://proxy.example.com:3128"));
    }
    parameters.push((parameter, value));
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    parameters.into_iter().map(owned).collect()
}

/// Returns whether the template accepts the value, and whether the function does.
fn both(parameter: &str, value: &str) -> (bool, bool) {
    let parameters = with(parameter, value);
    let stack = deploy(&parameters);
    let template = takes(parameter, value) && stack.is_ok();
    // If a rule refuses the parameters, the function gets the value that it would have got otherwise.
    let stack = stack.or_else(|_| {
        let mut without = parameters.clone();
        without.remove("ExistingSecretArn");
        without.insert("SecretName".to_owned(), "demo/key".to_owned());
        without.insert("UsagePlanIds".to_owned(), "a1".to_owned());
        deploy(&without)
    });
    let function = properties(&stack.expect("it can be deployed"), "RotationFunction");
    let variables = &function["Environment"]["Variables"];
    let settings = Config::read(|name| match name {
        "SECRET_ID" => parameters.get("ExistingSecretArn").cloned(),
        name => variables[name].as_str().map(ToOwned::to_owned),
    });
    (template, settings.is_ok())
}

fn times(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// Values at the limits. Most of them were once accepted by the template and refused by the function.
#[test]
fn template_and_function_agree_at_the_limits() {
    let plan = |number| format!("a{number}");
    let stage = |number| format!("a{number}/prod");
    let target = |number| format!("a/b/KEY_{number}");
    let name = |length| format!("a/b/{}", "K".repeat(length));
    for (parameter, value, taken) in [
        ("UsagePlanIds", times(10, plan), true),
        ("UsagePlanIds", times(11, plan), false),
        ("UsagePlanIds", "a1,b2,a1".to_owned(), true),
        ("UsagePlanIds", "a".repeat(64), true),
        ("UsagePlanIds", "a".repeat(65), false),
        ("StageKeys", times(10, stage), true),
        ("StageKeys", times(11, stage), false),
        ("StageKeys", "a1/prod,a1/prod".to_owned(), true),
        ("StageKeys", "my-api/prod".to_owned(), false),
        ("GracePeriod", "365d 23h 59m 59s".to_owned(), true),
        ("GracePeriod", "400d".to_owned(), false),
        ("GracePeriod", "9".repeat(29) + "d", false),
        ("GracePeriod", "8760h".to_owned(), true),
        ("GracePeriod", "9999h".to_owned(), false),
        ("HoldWhileUsed", "0s".to_owned(), true),
        ("HoldWhileUsed", "365d 23h 59m 59s".to_owned(), true),
        ("HoldWhileUsed", "400d".to_owned(), false),
        ("QuarantinePeriod", "9999d".to_owned(), false),
        ("EventBusName", "a".repeat(256), true),
        ("EventBusName", "a".repeat(257), false),
        (
            "EventBusName",
            "aws.partner/example.com/bus_1-a".to_owned(),
            true,
        ),
        ("EventBusName", "two words".to_owned(), false),
        (
            "EventBusName",
            "arn:aws:events:us-east-1:123456789012:event-bus/keys".to_owned(),
            false,
        ),
        ("PropagationDelay", "9".repeat(29) + "s", false),
        ("DopplerTargets", times(50, target), true),
        ("DopplerTargets", times(51, target), false),
        ("DopplerTargets", "a/b/C,a/b/C".to_owned(), true),
        ("DopplerTargets", "a/b/c/D,a/c/D".to_owned(), true),
        ("DopplerTargets", "a/b/c/d/E".to_owned(), false),
        ("DopplerTargets", name(200), true),
        ("DopplerTargets", name(201), false),
        ("DopplerTargets", "a/b/C,a/b/PATH".to_owned(), false),
        ("DopplerTargets", "a/b/PATH,a/b/C".to_owned(), false),
        ("DopplerTargets", "a/b/HOME".to_owned(), false),
        ("DopplerTargets", "a/b/PS1".to_owned(), false),
        ("DopplerTargets", "a/b/LD_PRELOAD".to_owned(), false),
        ("DopplerTargets", "a/b/DOPPLER_TOKEN".to_owned(), false),
        (
            "DopplerTargets",
            "a/b/PATHS,a/b/HOME_2,a/b/PS11,a/b/LD".to_owned(),
            true,
        ),
        (
            "ProbeUrl",
            "https://a.example.com:65535/x?y=%20#".to_owned(),
            true,
        ),
        ("ProbeUrl", "https://user:pw@example.com/".to_owned(), false),
        ("ProbeUrl", "https://user@example.com/".to_owned(), false),
        ("ProbeUrl", "https://[bad/x".to_owned(), false),
        ("ProbeUrl", "https://ex\u{e4}mple.com/".to_owned(), false),
        ("ProbeUrl", "https://example.com/\u{fc}".to_owned(), false),
        ("ProbeUrl", "https://example.com:65536/".to_owned(), false),
        ("ProbeUrl", "https://1.2.3.456/".to_owned(), false),
        ("ProbeUrl", "https://a.0x/".to_owned(), false),
        ("ProbeUrl", "https://xn--a/".to_owned(), false),
        (
            "DopplerApiUrl",
            "https://user:pw@api.doppler.com".to_owned(),
            false,
        ),
        ("DopplerApiUrl", "https://[bad".to_owned(), false),
        ("EndpointUrl", "http://[x".to_owned(), false),
        ("EndpointUrl", "http://[::1]:4566".to_owned(), true),
        ("DopplerTokenSecretArn", EXISTING.to_owned(), false),
        ("DopplerIdentity", IDENTITY.to_uppercase(), false),
        ("DopplerIdentity", format!("{IDENTITY}0"), false),
        (
            "DopplerAudience",
            "https://api.doppler.com".to_owned(),
            true,
        ),
        ("DopplerAudience", "a${b}".to_owned(), false),
        ("DopplerAudience", "a".repeat(257), false),
    ] {
        let answers = both(parameter, &value);
        assert_eq!(answers, (taken, taken), "{parameter}={value}");
    }
}

/// The same for proxies.
#[test]
fn template_and_function_agree_on_proxies() {
    for (parameter, value, taken) in [
        ("HttpsProxy", "http://proxy.example.com:65535", true),
        ("HttpsProxy", "https://10.0.0.255", true),
        ("HttpsProxy", "http://10.0.0.256:3128", false),
        ("HttpsProxy", "http://proxy:65536", false),
        ("HttpsProxy", "http://proxy:0", false),
        ("HttpsProxy", "socks5://proxy:1080", false),
        ("HttpsProxy", "http://proxy/path", false),
        ("NoProxy", "*", true),
        ("NoProxy", ".example.com,localhost,10.0.0.0/8", true),
        ("NoProxy", "10.0.0.0/33", false),
        ("NoProxy", "10.0.0", false),
        ("NoProxy", "*.example.com", false),
    ] {
        let answers = both(parameter, value);
        assert_eq!(answers, (taken, taken), "{parameter}={value}");
    }
}

/// What the function accepts, and the template does not: all of it can be written in a form that both accept.
#[test]
fn template_is_stricter_than_the_function_where_said() {
    for (parameter, value) in [
        // White space around the value.
        ("UsagePlanIds", "a1, b2"),
        ("DopplerTargets", " a/b/C"),
        // Units that the messages do not name.
        ("GracePeriod", "1week"),
        ("GracePeriod", "36h 90m"),
        // A rotation would seldom end within the function's time limit.
        ("PropagationDelay", "10m"),
        // Gateways have no certificate for these, or are not called by them.
        ("ProbeUrl", "https://10.0.0.1/"),
        ("ProbeUrl", "https://[2001:db8::1]/"),
        ("ProbeUrl", "https://xn--mnchen-3ya.example.com/"),
        // For local runs, which have no stack.
        ("ProbeUrl", "http://localhost/"),
        ("DopplerApiUrl", "http://127.0.0.1:4602"),
        // Everyone who may read the settings would see the password.
        ("HttpsProxy", "http://user:pw@proxy.example.com:3128"),
        ("HttpsProxy", "proxy.example.com:3128"),
        ("NoProxy", "10.0.0.1, example.com"),
        ("NoProxy", "2001:db8::/32"),
    ] {
        assert_eq!(both(parameter, value), (false, true), "{parameter}={value}");
    }
}

/// Lists that differ in one place from an accepted one. If the function accepts it, the pattern does too.
#[test]
fn lists_that_the_function_takes_match_their_patterns() {
    let insertions = select(" ,/-_.:%AZaz09\u{e4}".chars().collect::<Vec<_>>());
    let edits = (
        any::<prop::sample::Index>(),
        prop::option::of(insertions),
        any::<bool>(),
    );
    let lists = LISTS.map(|parameter| values_of(parameter).prop_map(move |list| (parameter, list)));
    let lists = prop::strategy::Union::new(lists);
    let tried = runner(400).run(
        &(lists, edits),
        |((parameter, list), (place, put, removes))| {
            let mut letters: Vec<_> = list.chars().collect();
            let place = place.index(letters.len() + 1);
            if removes && place < letters.len() {
                letters.remove(place);
            }
            if let Some(put) = put {
                letters.insert(place, put);
            }
            let list = String::from_iter(letters);
            let (template, function) = both(parameter, &list);
            let has_space = list.contains(' ') || list.len() > LONGEST_VALUE;
            prop_assert!(template || !function || has_space, "{}={}", parameter, list);
            prop_assert!(function || !template, "{}={}", parameter, list);
            Ok(())
        },
    );
    tried.unwrap_or_else(|error| panic!("{error}"));
}

/// Whether Secrets Manager accepts a schedule with a window of so many hours (0: the default).
///
/// Its user guide (DOC, "Rotation schedules") requires minute 0, year *, rotations at least 4 hours apart, and
/// windows that do not reach into the next one or past midnight UTC. Days, months and weekdays are not checked.
fn is_taken_by_secrets_manager(schedule: &str, window: u32) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    if let Some(rate) = schedule.strip_prefix("rate(") {
        let rate = rate.trim_end_matches(')').split_once(' ');
        return match rate.and_then(|(number_of, unit)| Some((number(number_of)?, unit))) {
            Some((hours, "hours")) => hours >= 4 && window <= hours.min(24),
            Some((1..=999, "day" | "days")) => window <= 24,
            _ => false,
        };
    }
    let fields = schedule
        .strip_prefix("cron(")
        .and_then(|cron| cron.strip_suffix(')'));
    let fields: Vec<_> = fields
        .into_iter()
        .flat_map(|fields| fields.split(' '))
        .collect();
    let [minutes, hours, day, _, weekday, year] = fields[..] else {
        return false;
    };
    let (first, step) = hours.split_once('/').unwrap_or((hours, "24"));
    let first = if first.is_empty() {
        Some(0)
    } else {
        number(first)
    };
    let (Some(first @ 0..24), Some(step @ 1..)) = (first, number(step)) else {
        return false;
    };
    let last = first + (23 - first) / step * step;
    let apart = if last == first {
        24
    } else {
        step.min(24 + first - last)
    };
    let is_one_day = (day == "?") != (weekday == "?");
    minutes == "0"
        && year == "*"
        && is_one_day
        && apart >= 4
        && window <= apart
        && last + window <= 24
}

/// Schedules and windows: whether the template and Secrets Manager accept them.
#[test]
fn schedules_and_windows_follow_the_documented_rules() {
    for (schedule, window, template, service) in [
        ("rate(30 days)", "", true, true),
        ("rate(1 day)", "24h", true, true),
        ("rate(4 hours)", "4h", true, true),
        ("rate(4 hours)", "5h", false, false),
        ("rate(7 hours)", "6h", true, true),
        ("rate(8 hours)", "9h", false, false),
        ("rate(12 hours)", "12h", true, true),
        ("rate(23 hours)", "24h", false, false),
        ("rate(48 hours)", "24h", true, true),
        ("rate(3 hours)", "", false, false),
        ("rate(1000 days)", "", false, false),
        // The examples of the user guide.
        ("cron(0 /8 * * ? *)", "", true, true),
        ("cron(0 8/8 * * ? *)", "", true, true),
        ("cron(0 2/10 * * ? *)", "", true, true),
        ("cron(0 4/12 * * ? *)", "", true, true),
        ("cron(0 18 ? * SAT *)", "", true, true),
        ("cron(0 1 ? 1/3 SUN#1 *)", "", true, true),
        ("cron(0 17 L * ? *)", "", true, true),
        ("cron(0 8 ? * MON-FRI *)", "", true, true),
        ("cron(0 16 1,15 * ? *)", "", true, true),
        ("cron(0 0 ? 1/11 2#1 *)", "", true, true),
        ("cron(5 3 * * ? *)", "", false, false),
        ("cron(0 * * * ? *)", "", false, false),
        ("cron(0 0/3 * * ? *)", "", false, false),
        ("cron(0 0/7 * * ? *)", "", false, false),
        ("cron(0 1/11 * * ? *)", "", false, false),
        ("cron(0 0/23 * * ? *)", "", false, false),
        ("cron(0 24 * * ? *)", "", false, false),
        ("cron(0 3 * * * *)", "", false, false),
        ("cron(0 3 ? * ? *)", "", false, false),
        ("cron(0 3 * * ? 2027)", "", false, false),
        ("cron(0 3 * * ? *)", "21h", true, true),
        // Rules that the template cannot express: the description states them, and the deployment fails.
        ("cron(0 3 * * ? *)", "22h", true, false),
        ("cron(0 20 * * ? *)", "5h", true, false),
        ("cron(0 0/4 * * ? *)", "5h", true, false),
        // Each interval would need 20 rules, and each step with each hour many more in a pattern.
        ("rate(10 hours)", "10h", false, true),
        ("cron(0 3/7 * * ? *)", "", false, true),
    ] {
        let parameters = [
            ("ExistingSecretArn", EXISTING),
            ("ScheduleExpression", schedule),
            ("ScheduleDuration", window),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let kept = deploy(&Values::from(parameters)).is_ok();
        let taken =
            takes("ScheduleExpression", schedule) && takes("ScheduleDuration", window) && kept;
        assert_eq!(taken, template, "the template: {schedule} {window}");
        let hours = window.trim_end_matches('h').parse().unwrap_or_default();
        let taken = is_taken_by_secrets_manager(schedule, hours);
        assert_eq!(taken, service, "Secrets Manager: {schedule} {window}");
    }
    for (hours, window) in (4..30).flat_map(|hours| (1..25).map(move |window| (hours, window))) {
        let schedule = format!("rate({hours} hours)");
        let parameters = [
            ("ExistingSecretArn", EXISTING.to_owned()),
            ("ScheduleExpression", schedule.clone()),
            ("ScheduleDuration", format!("{window}h")),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        let is_kept = deploy(&Values::from(parameters)).is_ok();
        let is_taken = is_taken_by_secrets_manager(&schedule, window);
        assert!(is_taken || !is_kept, "{schedule} {window}h");
    }
}

#[test]
fn any_allowed_schedule_follows_the_documented_rules() {
    let schedules = (
        values_of("ScheduleExpression"),
        values_of("ScheduleDuration"),
    );
    let tried = runner(400).run(&schedules, |(schedule, window)| {
        let is_taken = |hours| schedule.is_empty() || is_taken_by_secrets_manager(&schedule, hours);
        prop_assert!(is_taken(0), "{}", schedule);
        let parameters = [
            ("ExistingSecretArn", EXISTING),
            ("ScheduleExpression", schedule.as_str()),
            ("ScheduleDuration", window.as_str()),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let hours = window.trim_end_matches('h').parse().unwrap_or_default();
        if schedule.starts_with("rate") && deploy(&Values::from(parameters)).is_ok() {
            prop_assert!(is_taken(hours), "{} {}", schedule, window);
        }
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

/// With documents, a token and an identity both need the configs that documents may name.
#[test]
fn documents_with_mirror_need_allowed_configs() {
    let document = "arn:aws:secretsmanager:us-east-1:123456789012:secret:fleet/one-AbCdEf";
    let fleet = [("Fleet", "true"), ("FleetConfigSecretArns", document)];
    let deployed = |more: &[(&str, &str)]| {
        let parameters = fleet.iter().chain(more);
        let parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        deploy(&parameters.collect()).err()
    };
    for way in [
        ("DopplerTokenSecretArn", TOKEN),
        ("DopplerIdentity", IDENTITY),
    ] {
        let refused = deployed(&[way]).unwrap_or_default();
        let words =
            "With FleetConfigSecretArns and a Doppler token or identity, set DopplerAllowed";
        assert!(refused.contains(words), "{way:?}: {refused}");
        assert_eq!(deployed(&[way, ("DopplerAllowed", "shop/prd")]), None);
    }
    assert_eq!(deployed(&[]), None);
}
