//! What an admin lets an S3Sync ask for. Whoever may create one may otherwise use every Secret and ServiceAccount of
//! its namespace, as with a Job. PURE: parsed once from flags; a spec is allowed, or is refused with the rule and its
//! flag.
//!
//! The chart's ValidatingAdmissionPolicy says the same when a resource is applied; a test holds the two together
//! (`tests/it/tenancy.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::EnvVar;
use regex::{Regex, RegexBuilder};

use crate::api::S3Sync;
use crate::api::error::FieldError;
use crate::api::scalar::{IntOrText, PodQuantity};
use crate::api::spec::WorkerSpec;
use crate::controller::decide::check::{Refusal, sentence};
use crate::model::memory::{BUDGET_BYTES_MIN, mebibytes};
use crate::model::reason::Reason;

/// The name of AWS among endpoints: a side without an endpoint.
pub const AWS: &str = "aws";

/// Pods of a run under lockdown, unless a flag says more.
const LOCKDOWN_REPLICAS_MAX: i32 = 10;

/// The longest run under lockdown, unless a spec or a flag says otherwise: a day.
const LOCKDOWN_DEADLINE_SECONDS: i64 = 24 * 3600;

/// Requests and limits under lockdown, unless a spec or a flag says otherwise. A limit of memory is a worker's budget.
const LOCKDOWN_REQUESTS: [(&str, &str); 2] = [("cpu", "250m"), ("memory", "512Mi")];
const LOCKDOWN_LIMITS: [(&str, &str); 1] = [("memory", "1Gi")];

/// Beginnings of variables' names that lead a worker elsewhere: the SDK's and the Kubernetes client's configuration,
/// the loader's libraries, root certificates.
const LEADING_PREFIXES: [&str; 4] = ["AWS_", "LD_", "SSL_", "KUBE"];

/// Ends of such names.
const LEADING_SUFFIXES: [&str; 1] = ["_PROXY"];

/// Such names as they are: where configuration is looked for, and what the resolver makes of a host's name.
const LEADING_NAMES: [&str; 4] = ["HOME", "LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES"];

/// Which variables `spec.worker.env` may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerEnv {
    /// None.
    None,
    /// Values as they stand there, that lead a worker nowhere: no `valueFrom`, no `$(`, no name of the SDK's, a proxy's
    /// or the like.
    Plain,
    /// Any.
    #[default]
    All,
}

/// The rules as flags give them. A list that is not given allows everything, or under lockdown its default.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Gives each rule that is not given a strict default.
    pub lockdown: bool,
    /// Names of ServiceAccounts, beside the one that the operator makes for each sync.
    pub service_accounts: Option<Vec<String>>,
    /// Endpoints of source and destination; [`AWS`] is a side without one.
    pub endpoints: Option<Vec<String>>,
    /// Variables.
    pub worker_env: Option<WorkerEnv>,
    /// Keys of `podLabels`.
    pub pod_labels: Option<Vec<String>>,
    /// Keys of `podAnnotations`.
    pub pod_annotations: Option<Vec<String>>,
    /// Priority classes.
    pub priority_classes: Option<Vec<String>>,
    /// Pods of a run.
    pub max_replicas: Option<i32>,
    /// `NAME=QUANTITY`, for workers that say nothing of that resource.
    pub default_requests: Option<Vec<String>>,
    /// The same for limits.
    pub default_limits: Option<Vec<String>>,
    /// `activeDeadlineSeconds` of runs whose spec has none.
    pub default_deadline_seconds: Option<i64>,
}

/// Rules that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a pattern of ours.
    #[error(
        "--{flag} has {text:?}: a pattern is made of visible ASCII characters without quotes, \\, {{ and }}; * and ? stand for what has no /"
    )]
    Pattern {
        /// The flag.
        flag: &'static str,
        /// What it has.
        text: String,
    },
    /// Not a quantity of a resource.
    #[error("--{flag} has {text:?}, which is not like memory=1Gi")]
    Quantity {
        /// The flag.
        flag: &'static str,
        /// What it has.
        text: String,
    },
    /// A limit that no worker works under.
    #[error("--{flag} has {text:?}, and a worker needs at least memory={least}")]
    TooLittle {
        /// The flag.
        flag: &'static str,
        /// What it has.
        text: String,
        /// The least.
        least: String,
    },
    /// Endpoints that anybody may get around.
    #[error(
        "--allowed-endpoint needs --worker-env=plain or none: AWS_ENDPOINT_URL and HTTPS_PROXY lead to other endpoints"
    )]
    EndpointsLeak,
}

/// The rules, parsed. The default allows everything.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    own_account: Option<(String, String)>,
    service_accounts: Option<Allowed>,
    endpoints: Option<Allowed>,
    worker_env: WorkerEnv,
    pod_labels: Option<Allowed>,
    pod_annotations: Option<Allowed>,
    priority_classes: Option<Allowed>,
    max_replicas: Option<i32>,
    default_requests: BTreeMap<String, PodQuantity>,
    default_limits: BTreeMap<String, PodQuantity>,
    default_deadline_seconds: Option<i64>,
}

/// What a flag names.
#[derive(Clone, Debug)]
struct Allowed {
    flag: &'static str,
    /// `None`: nothing.
    any_of: Option<Regex>,
}

impl Allowed {
    fn new(flag: &'static str, patterns: &[String]) -> Result<Allowed, PolicyError> {
        let mut expressions = Vec::new();
        for text in patterns {
            let fit = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '\\' | '{' | '}');
            if text.is_empty() || !text.chars().all(fit) {
                return Err(PolicyError::Pattern { flag, text: text.clone() });
            }
            let text = text.trim_end_matches('/');
            expressions.push(regex::escape(text).replace("\\*", "[^/]*").replace("\\?", "[^/]"));
        }
        let regex = |expressions: Vec<String>| {
            RegexBuilder::new(&format!("^(?:{})$", expressions.join("|"))).case_insensitive(true).build()
        };
        let any_of = (!expressions.is_empty()).then(|| regex(expressions)).transpose();
        // Only a list of megabytes is too large.
        let any_of = any_of.map_err(|error| PolicyError::Pattern { flag, text: error.to_string() })?;
        Ok(Allowed { flag, any_of })
    }

    fn has(&self, text: &str) -> bool {
        self.any_of.as_ref().is_some_and(|any_of| any_of.is_match(text))
    }

    /// What is wrong with a field that holds `text`.
    fn refuse(allowed: Option<&Allowed>, text: &str, written: &str) -> Option<String> {
        let allowed = allowed.filter(|allowed| !allowed.has(text))?;
        Some(format!("is {written}, which the operator's --{} does not name", allowed.flag))
    }
}

impl Policy {
    /// Parses rules. `own_account`: namespace and name of the controller's own ServiceAccount, which no worker gets.
    pub fn new(rules: Rules, own_account: Option<(String, String)>) -> Result<Policy, PolicyError> {
        let strict = rules.lockdown;
        let list = |flag: &'static str, given: Option<Vec<String>>, locked: &[&str]| {
            let locked = strict.then(|| locked.iter().map(|text| (*text).to_owned()).collect());
            given.or(locked).map(|patterns| Allowed::new(flag, &patterns)).transpose()
        };
        let amounts = |flag: &'static str, given: Option<Vec<String>>, locked: &[(&str, &str)]| match given {
            Some(texts) => texts.into_iter().map(|text| quantity(flag, text)).collect(),
            None if strict => Ok(locked.iter().map(|(name, amount)| ((*name).to_owned(), of_text(amount))).collect()),
            None => Ok(BTreeMap::new()),
        };
        let worker_env = rules.worker_env.unwrap_or(if strict { WorkerEnv::Plain } else { WorkerEnv::All });
        let policy = Policy {
            own_account,
            service_accounts: list("allowed-service-account", rules.service_accounts, &[])?,
            endpoints: list("allowed-endpoint", rules.endpoints, &[AWS])?,
            worker_env,
            pod_labels: list("allowed-pod-label", rules.pod_labels, &[])?,
            pod_annotations: list("allowed-pod-annotation", rules.pod_annotations, &[])?,
            priority_classes: list("allowed-priority-class", rules.priority_classes, &[])?,
            max_replicas: rules.max_replicas.or(strict.then_some(LOCKDOWN_REPLICAS_MAX)),
            default_requests: amounts("default-request", rules.default_requests, &LOCKDOWN_REQUESTS)?,
            default_limits: amounts("default-limit", rules.default_limits, &LOCKDOWN_LIMITS)?,
            default_deadline_seconds: rules.default_deadline_seconds.or(strict.then_some(LOCKDOWN_DEADLINE_SECONDS)),
        };
        if policy.endpoints.is_some() && worker_env == WorkerEnv::All {
            return Err(PolicyError::EndpointsLeak);
        }
        Ok(policy)
    }

    /// Whether a resource may be run: in the words of the condition Ready where not.
    pub fn check(&self, sync: &S3Sync) -> Result<(), Refusal> {
        let errors = self.errors(sync);
        if errors.is_empty() {
            return Ok(());
        }
        let message = format!("{}; nothing runs until then", sentence(&errors));
        Err(Refusal { reason: Reason::NotAllowed, message })
    }

    /// The rules that a resource breaks, by field.
    pub(in crate::controller) fn errors(&self, sync: &S3Sync) -> Vec<FieldError> {
        let (spec, worker) = (&sync.spec, &sync.spec.worker);
        let mut errors = Vec::new();
        let sides = [("spec.source", &spec.source.connection), ("spec.destination", &spec.destination.connection)];
        // A side whose S3Connection was not looked up is judged when it is: it says its own endpoint.
        for (side, connection) in sides.into_iter().filter(|(_, connection)| connection.connection_ref.is_none()) {
            let (text, written) = match connection.endpoint.as_deref() {
                Some(endpoint) => (endpoint.trim_end_matches('/'), format!("{endpoint:?}")),
                None => (AWS, format!("not set and so {AWS}")),
            };
            errors.extend(
                Allowed::refuse(self.endpoints.as_ref(), text, &written)
                    .map(|wrong| connection.wrong(side, "endpoint", wrong)),
            );
        }
        if let Some(name) = &worker.service_account_name {
            let path = "spec.worker.serviceAccountName";
            let own = self
                .own_account
                .as_ref()
                .is_some_and(|(namespace, own)| own == name && Some(namespace) == sync.metadata.namespace.as_ref());
            if own {
                errors.push(FieldError::new(path, format!("is {name:?}, the operator's own, which no worker gets")));
            } else {
                let refused = Allowed::refuse(self.service_accounts.as_ref(), name, &format!("{name:?}"));
                errors.extend(refused.map(|wrong| FieldError::new(path, wrong)));
            }
        }
        if let Some(name) = &worker.priority_class_name {
            let refused = Allowed::refuse(self.priority_classes.as_ref(), name, &format!("{name:?}"));
            errors.extend(refused.map(|wrong| FieldError::new("spec.worker.priorityClassName", wrong)));
        }
        for (path, keys, allowed) in [
            ("spec.worker.podLabels", &worker.pod_labels, &self.pod_labels),
            ("spec.worker.podAnnotations", &worker.pod_annotations, &self.pod_annotations),
        ] {
            let refused = keys.keys().filter_map(|key| {
                let allowed = allowed.as_ref().filter(|allowed| !allowed.has(key))?;
                Some(FieldError::new(
                    path,
                    format!("has the key {key:?}, which the operator's --{} does not name", allowed.flag),
                ))
            });
            errors.extend(refused);
        }
        errors.extend(self.replicas(worker));
        errors.extend(worker.env.iter().enumerate().filter_map(|(i, variable)| self.variable(i, variable)));
        errors
    }

    fn replicas(&self, worker: &WorkerSpec) -> Option<FieldError> {
        let max = self.max_replicas.filter(|max| worker.replicas > *max)?;
        Some(FieldError::new(
            "spec.worker.replicas",
            format!("is {}, more than the operator's --max-replicas={max}", worker.replicas),
        ))
    }

    fn variable(&self, i: usize, variable: &EnvVar) -> Option<FieldError> {
        let path = format!("spec.worker.env[{i}]");
        let name = &variable.name;
        let error = match self.worker_env {
            WorkerEnv::All => return None,
            WorkerEnv::None => {
                FieldError::new(path, format!("sets {name:?}, and the operator's --worker-env=none allows no variable"))
            }
            WorkerEnv::Plain if leads(name) => FieldError::new(
                path,
                format!("sets {name:?}, a name that the operator's --worker-env=plain leaves out"),
            ),
            WorkerEnv::Plain if variable.value_from.is_some() => FieldError::new(
                path,
                "has valueFrom, and the operator's --worker-env=plain allows only values that stand in the spec",
            ),
            WorkerEnv::Plain if variable.value.as_ref().is_some_and(|value| value.contains("$(")) => FieldError::new(
                path,
                "has a value with $(, and the operator's --worker-env=plain allows no reference to another variable",
            ),
            WorkerEnv::Plain => return None,
        };
        Some(error)
    }

    /// The resource with the defaults for what its worker leaves open.
    pub fn completed<'a>(&self, sync: &'a S3Sync) -> Cow<'a, S3Sync> {
        let worker = &sync.spec.worker;
        let open =
            |name: &str| !worker.resources.limits.contains_key(name) && !worker.resources.requests.contains_key(name);
        let missing = |defaults: &BTreeMap<String, PodQuantity>| -> Vec<(String, PodQuantity)> {
            defaults
                .iter()
                .filter(|(name, _)| open(name))
                .map(|(name, amount)| (name.clone(), amount.clone()))
                .collect()
        };
        let (requests, limits) = (missing(&self.default_requests), missing(&self.default_limits));
        let deadline = worker.active_deadline_seconds.or(self.default_deadline_seconds);
        if requests.is_empty() && limits.is_empty() && deadline == worker.active_deadline_seconds {
            return Cow::Borrowed(sync);
        }
        let mut sync = sync.clone();
        sync.spec.worker.resources.requests.extend(requests);
        sync.spec.worker.resources.limits.extend(limits);
        sync.spec.worker.active_deadline_seconds = deadline;
        Cow::Owned(sync)
    }
}

/// Whether a variable of this name, in any case, leads a worker elsewhere.
fn leads(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    LEADING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || LEADING_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || LEADING_NAMES.contains(&name.as_str())
}

fn quantity(flag: &'static str, text: String) -> Result<(String, PodQuantity), PolicyError> {
    match text.split_once('=') {
        Some(("memory", amount))
            if flag == "default-limit" && of_text(amount).amount().is_some_and(|bytes| bytes < BUDGET_BYTES_MIN) =>
        {
            Err(PolicyError::TooLittle { flag, text, least: mebibytes(BUDGET_BYTES_MIN) })
        }
        Some((name, amount)) if !name.is_empty() && PodQuantity::is_text(amount) => {
            Ok((name.to_owned(), of_text(amount)))
        }
        _ => Err(PolicyError::Quantity { flag, text }),
    }
}

fn of_text(amount: &str) -> PodQuantity {
    PodQuantity(IntOrText::Text(amount.to_owned()))
}

#[cfg(test)]
mod tests;
