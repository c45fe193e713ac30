//! Reads the command line and the variables that stand in for its options.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};
use sandbox::{Ports, REGION};

/// What is to be done.
pub(crate) enum Command {
    /// Show the help.
    Help,
    /// Serve until interrupted.
    Serve(ServeSettings),
    /// Rotate twice and report it.
    Demo {
        /// The function's binary.
        function: PathBuf,
        /// Whether to show what the function reads.
        verbose: bool,
        /// Whether to rotate a fleet.
        fleet: bool,
    },
}

/// The options of `serve`.
pub(crate) struct ServeSettings {
    pub(crate) function: Option<PathBuf>,
    pub(crate) manual_steps: bool,
    pub(crate) verbose: bool,
    pub(crate) fleet: bool,
    pub(crate) ports: Ports,
    pub(crate) also_listen_on: Option<IpAddr>,
    pub(crate) propagation: Duration,
    pub(crate) replica_regions: Vec<String>,
    pub(crate) replica_lag: Duration,
    pub(crate) reconcile_every: Duration,
}

/// How long a change takes to take effect by default: long enough to be seen,
/// short enough to wait.
pub(crate) const PROPAGATION: Duration = Duration::from_secs(3);

/// How long a replica is in progress, unless `--replica-lag` says otherwise.
const REPLICA_LAG: Duration = Duration::from_secs(3);

/// How often the function reconciles by default.
const RECONCILE_EVERY: Duration = Duration::from_mins(15);

/// Reads the arguments; `variable` gives the value of an environment variable.
pub(crate) fn parse(
    mut arguments: Parser,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Command> {
    let command = match arguments.next()? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help),
        Some(Arg::Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    let mut settings = from_variables(variable)?;
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("fleet") => settings.fleet = true,
            Arg::Long("by-hand") => settings.manual_steps = true,
            Arg::Long("verbose") | Arg::Short('v') => settings.verbose = true,
            Arg::Long(name) => {
                let name = name.to_owned();
                let value = arguments.value()?.string()?;
                set(&mut settings, &name, &value)?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    match command.as_str() {
        "serve" => {
            let is_of_one_secret = settings.manual_steps || !settings.replica_regions.is_empty();
            ensure!(
                !(settings.fleet && is_of_one_secret),
                "--by-hand and --replica-region are about one secret: leave them or --fleet out"
            );
            Ok(Command::Serve(settings))
        }
        "demo" => {
            let function = settings
                .function
                .context("the demo needs the function: pass --function <path of its binary>")?;
            Ok(Command::Demo {
                function,
                verbose: settings.verbose,
                fleet: settings.fleet,
            })
        }
        _ => bail!("there is no command '{command}'; there are serve and demo"),
    }
}

fn from_variables(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<ServeSettings> {
    let mut settings = ServeSettings {
        function: None,
        manual_steps: false,
        verbose: false,
        fleet: false,
        ports: Ports {
            aws: 4600,
            gateway: 4601,
            doppler: 4602,
            runtime: 4603,
        },
        also_listen_on: None,
        propagation: PROPAGATION,
        replica_regions: Vec::new(),
        replica_lag: REPLICA_LAG,
        reconcile_every: RECONCILE_EVERY,
    };
    for option in [
        "function",
        "aws-port",
        "gateway-port",
        "doppler-port",
        "runtime-port",
        "also-listen-on",
        "propagation",
        "replica-region",
        "replica-lag",
        "reconcile-every",
    ] {
        let name = format!("SANDBOX_{}", option.replace('-', "_").to_uppercase());
        if let Some(value) = variable(&name).filter(|value| !value.is_empty()) {
            set(&mut settings, option, &value).with_context(|| format!("the variable {name}"))?;
        }
    }
    Ok(settings)
}

fn set(settings: &mut ServeSettings, option: &str, value: &str) -> anyhow::Result<()> {
    let port = || {
        value
            .parse::<u16>()
            .with_context(|| format!("--{option}: '{value}' is not a port"))
    };
    let duration = || {
        humantime::parse_duration(value)
            .with_context(|| format!("--{option}: '{value}' is not a duration such as 3s"))
    };
    match option {
        "function" => settings.function = Some(PathBuf::from(value)),
        "aws-port" => settings.ports.aws = port()?,
        "gateway-port" => settings.ports.gateway = port()?,
        "doppler-port" => settings.ports.doppler = port()?,
        "runtime-port" => settings.ports.runtime = port()?,
        "also-listen-on" => {
            let address = value
                .parse()
                .with_context(|| format!("--{option}: '{value}' is not an IP address"))?;
            settings.also_listen_on = Some(address);
        }
        "propagation" => settings.propagation = duration()?,
        "replica-region" => {
            ensure!(
                value != REGION,
                "--{option}: {value} is the Region of the secret itself"
            );
            settings.replica_regions.push(value.to_owned());
        }
        "replica-lag" => settings.replica_lag = duration()?,
        "reconcile-every" => {
            settings.reconcile_every = duration()?;
            ensure!(
                !settings.reconcile_every.is_zero(),
                "--{option}: a schedule needs a period longer than none"
            );
        }
        _ => bail!("there is no option --{option}; see --help"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Command> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        parse(Parser::from_args(arguments), variable)
    }

    fn served(arguments: &[&str], variables: &[(&str, &str)]) -> ServeSettings {
        match read(arguments, variables).expect("the arguments are valid") {
            Command::Serve(settings) => settings,
            Command::Help | Command::Demo { .. } => panic!("that is another command"),
        }
    }

    fn complaint(arguments: &[&str], variables: &[(&str, &str)]) -> String {
        read(arguments, variables).map_or_else(|error| format!("{error:#}"), |_| String::new())
    }

    #[test]
    fn serving_has_known_ports_unless_told_otherwise() {
        let settings = served(&["serve"], &[]);
        let Ports {
            aws,
            gateway,
            doppler,
            runtime,
        } = settings.ports;
        assert_eq!([aws, gateway, doppler, runtime], [4600, 4601, 4602, 4603]);
        assert_eq!(settings.also_listen_on, None);
        assert!(!settings.manual_steps);
    }

    #[test]
    fn serve_option_leaves_steps_to_operator() {
        let settings = served(&["serve", "--by-hand", "--aws-port", "1"], &[]);
        assert!(settings.manual_steps);
        assert_eq!(settings.ports.aws, 1);
    }

    #[test]
    fn an_option_wins_over_its_variable() {
        let variables = [("SANDBOX_AWS_PORT", "1"), ("SANDBOX_GATEWAY_PORT", "2")];
        let settings = served(
            &["serve", "--aws-port", "3", "--propagation", "250ms"],
            &variables,
        );
        assert_eq!((settings.ports.aws, settings.ports.gateway), (3, 2));
        assert_eq!(settings.propagation, Duration::from_millis(250));
        assert_eq!(settings.reconcile_every, RECONCILE_EVERY);
    }

    #[test]
    fn replicas_have_regions_and_a_lag() {
        let settings = served(&["serve"], &[]);
        assert!(settings.replica_regions.is_empty());
        let variables = [("SANDBOX_REPLICA_REGION", "eu-west-1")];
        let arguments = [
            "serve",
            "--replica-region",
            "eu-west-2",
            "--replica-lag",
            "1m",
        ];
        let settings = served(&arguments, &variables);
        assert_eq!(settings.replica_regions, ["eu-west-1", "eu-west-2"]);
        assert_eq!(settings.replica_lag, Duration::from_mins(1));
    }

    #[test]
    fn complaints_name_what_is_wrong() {
        assert!(complaint(&["serve", "--aws-port", "x"], &[]).contains("'x' is not a port"));
        assert!(complaint(&["serve"], &[("SANDBOX_AWS_PORT", "x")]).contains("SANDBOX_AWS_PORT"));
        assert!(complaint(&["serve", "--reconcile-every", "0s"], &[]).contains("a period"));
        let own = complaint(&["serve", "--replica-region", REGION], &[]);
        assert!(own.contains("--replica-region"));
        assert!(complaint(&["serve", "--nothing", "x"], &[]).contains("--nothing"));
        assert!(complaint(&["dance"], &[]).contains("'dance'"));
        assert!(complaint(&["demo"], &[]).contains("--function"));
        assert!(complaint(&["serve", "--fleet", "--by-hand"], &[]).contains("--fleet out"));
    }

    #[test]
    fn the_demo_takes_a_function() {
        for (arguments, expected) in [
            (["demo", "--function", "f", "-v"].as_slice(), (true, false)),
            (&["demo", "--function", "f", "--fleet"], (false, true)),
            (&["demo", "--function", "f"], (false, false)),
        ] {
            let Ok(Command::Demo {
                function,
                verbose,
                fleet,
            }) = read(arguments, &[])
            else {
                panic!("that is a demo");
            };
            assert_eq!(function, PathBuf::from("f"));
            assert_eq!((verbose, fleet), expected);
        }
    }
}
