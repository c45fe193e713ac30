//! The text of `--help`.

/// Shown by `--help`.
pub(crate) const HELP: &str = "\
A local sandbox for Secrets Manager, API Gateway, Lambda and Doppler.

usage: sandbox serve [options]               serve until Ctrl-C, for AWS CLI, curl and Doppler CLI
       sandbox demo --function <path> [-v]   rotate a key twice and retire the superseded key

options:
  --fleet                     a fleet of twelve secrets with mirrors in three Doppler projects: serve
                              it, or rotate it while three causes stop some of its rotations
  -v, --verbose               show also what the function reads (its log lines of level DEBUG)
  --function <path>           the function's binary; without it, events wait for a program that
                              calls the Lambda runtime API

options of serve:
  --by-hand                   prepare one rotation (the version ID in events/*.json) and wait for
                              you to run its four steps; restart to repeat. EventBridge does not
                              invoke the function. After the four steps, rotate-secret works as usual
  --aws-port <port>           Secrets Manager, API Gateway and Lambda (4600)
  --gateway-port <port>       the API that requires a key (4601)
  --doppler-port <port>       the Doppler API (4602)
  --runtime-port <port>       the Lambda runtime API (4603)
  --also-listen-on <address>  an address besides 127.0.0.1, for a function in a container
  --propagation <duration>    how long a change to a key takes to take effect (3s)
  --replica-region <region>   a Region with a replica of the secret; may be given several times
  --replica-lag <duration>    how long a replica is in progress after a change of the secret (3s)
  --reconcile-every <duration>
                              how often EventBridge invokes the function to reconcile, by the
                              sandbox's clock (15m)

An option with a value can also be set by a variable: SANDBOX_FUNCTION, SANDBOX_AWS_PORT and so on.";
