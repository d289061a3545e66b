//! The cluster: the definitions, the operator and its rights, whoever asks, and the namespace in which workers run.
//! Everything is asked by the rights of whoever calls; what they may not see is a warning and no failure.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::finding::Finding;
use crate::api::{crd, text};
use crate::cli::ControllerArgs;
use crate::command::FailureKind;
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::in_cluster;

/// What the chart grants the operator in a namespace; a test of the chart writes it.
const RIGHTS: &str = include_str!("rights.json");

/// Questions to the API server at once.
const ASKED_AT_ONCE: usize = 8;

/// A lease that was not renewed for so long has no holder: thrice what it lasts.
const LEASE_MAX: SignedDuration = SignedDuration::from_secs(45);

const CLUSTER: &str = "cluster";

/// The label of the release.
const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// What is the same for all syncs of a namespace.
pub async fn look(cluster: &Cluster) -> Vec<Finding> {
    let mut found = Vec::new();
    let operators = in_cluster::operators(cluster).await;
    let ours = operators.as_ref().is_ok_and(|all| all.iter().any(is_of_this_release));
    definitions(cluster, ours, &mut found).await;
    operator(cluster, operators, &mut found).await;
    found.extend(own(cluster).await);
    found
}

/// What cannot be looked at, and by whom it can.
pub fn unseen(about: &str, check: &str, what: &str, error: &kube::Error) -> Finding {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            Finding::warning(about, check, format!("you may not see {what}"), "ask who runs the cluster")
        }
        kube::Error::Api(status) if !status.message.is_empty() => Finding::failed(
            about,
            check,
            FailureKind::Other,
            text::message(&status.message),
            "ask who runs the cluster",
        ),
        other => {
            let why = text::message(&crate::command::plugin::cluster::deepest(other));
            Finding::failed(
                about,
                check,
                FailureKind::Other,
                format!("the API server cannot be reached: {why}"),
                "look at the kubeconfig's server",
            )
        }
    }
}

/// Whether an operator is of the release of this program, as the chart labels it.
fn is_of_this_release(operator: &Deployment) -> bool {
    operator.labels().get(VERSION_LABEL).is_some_and(|version| version == env!("CARGO_PKG_VERSION"))
}

async fn definitions(cluster: &Cluster, operator_is_ours: bool, found: &mut Vec<Finding>) {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    for ours in crd::definitions() {
        let (name, check) = (ours.name(), "Definition");
        found.push(match api.get_opt(name).await {
            Err(error) => unseen(CLUSTER, check, "definitions", &error),
            Ok(None) => Finding::failed(
                CLUSTER,
                check,
                FailureKind::Access,
                format!("{name} is not there"),
                "`s3sync crd | kubectl apply --server-side -f -`",
            ),
            Ok(Some(there)) => {
                let there = serde_json::to_value(there).unwrap_or_default();
                compared(name, &fields(&there), &fields(ours.value()), operator_is_ours)
            }
        });
    }
}

/// A definition of the cluster beside that of this binary.
fn compared(name: &str, there: &BTreeSet<String>, ours: &BTreeSet<String>, operator_is_ours: bool) -> Finding {
    let first = |mut fields: std::collections::btree_set::Difference<'_, String>| fields.next().cloned();
    match (first(ours.difference(there)), first(there.difference(ours))) {
        (None, None) => Finding::ok(CLUSTER, "Definition", format!("{name} is that of this release")),
        (Some(field), _) if operator_is_ours => {
            let why = format!("{name} is older than the operator: it has no {field}, so what that says is lost");
            let fix = "`s3sync crd | kubectl apply --server-side -f -`";
            Finding::failed(CLUSTER, "Definition", FailureKind::Other, why, fix)
        }
        (Some(field), _) => {
            let why = format!("{name} is older than this release: it has no {field}");
            Finding::warning(
                CLUSTER,
                "Definition",
                why,
                "`s3sync crd | kubectl apply --server-side -f -`, and the operator of the same release",
            )
        }
        (None, Some(field)) => {
            let why = format!("{name} is newer than this release, which has no {field}");
            Finding::warning(CLUSTER, "Definition", why, "use the s3sync of the operator's release")
        }
    }
}

/// The paths of all fields of a definition's versions.
fn fields(definition: &Value) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
        let name = version["name"].as_str().unwrap_or_default();
        fields.insert(name.to_owned());
        collect(&version["schema"]["openAPIV3Schema"], name, &mut fields);
    }
    fields
}

fn collect(schema: &Value, path: &str, fields: &mut BTreeSet<String>) {
    collect_items(schema, path, fields);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        collect(property, &path, fields);
        fields.insert(path);
    }
}

fn collect_items(schema: &Value, path: &str, fields: &mut BTreeSet<String>) {
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            collect(&schema[inner], path, fields);
        }
    }
}

/// Whether an operator works here, leads, and may do what it does.
async fn operator(cluster: &Cluster, operators: Result<Vec<Deployment>, kube::Error>, found: &mut Vec<Finding>) {
    let deployments = match operators {
        Ok(deployments) => deployments,
        Err(error) => return found.push(unseen(CLUSTER, "Operator", "the operator's Deployment", &error)),
    };
    let watches = |args: &ControllerArgs| args.namespaces.is_empty() || args.namespaces.contains(&cluster.namespace);
    let known: Vec<_> = deployments.iter().map(|deployment| (deployment, in_cluster::flags(deployment))).collect();
    // Of another release, whose flags this one does not know: it may watch anything.
    let here = known.iter().find(|(_, args)| args.as_ref().is_none_or(watches));
    let Some((deployment, args)) = here else {
        let why = match known.len() {
            0 => "no operator is there".to_owned(),
            number => format!("{number} operators are there, and none watches the namespace {}", cluster.namespace),
        };
        let fix = "install it with the chart, and name the namespace in watchNamespaces where it watches some alone";
        return found.push(Finding::failed(CLUSTER, "Operator", FailureKind::Access, why, fix));
    };
    let namespace = deployment.namespace().unwrap_or_default();
    let name = deployment.name_any();
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    found.push(if ready > 0 {
        Finding::ok(CLUSTER, "Operator", format!("{namespace}/{name} has {ready} ready"))
    } else {
        let why = format!("the Deployment {namespace}/{name} has no ready pod");
        Finding::failed(
            CLUSTER,
            "Operator",
            FailureKind::Other,
            why,
            format!("kubectl --namespace {namespace} describe pods, and their logs"),
        )
    });
    if let Some(args) = args.as_ref().filter(|args| !args.no_leader_election) {
        found.push(leader(cluster, &namespace, &args.lease_name).await);
    }
    found.push(rights(cluster, &namespace, deployment).await);
}

async fn leader(cluster: &Cluster, namespace: &str, name: &str) -> Finding {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), namespace);
    let lease = match leases.get_opt(name).await {
        Ok(lease) => lease.and_then(|lease| lease.spec).unwrap_or_default(),
        Err(error) => return unseen(CLUSTER, "Leader", "the operator's Lease", &error),
    };
    let renewed = lease.renew_time.map(|time| time.0);
    match (lease.holder_identity.filter(|holder| !holder.is_empty()), renewed) {
        (Some(holder), Some(renewed)) if Timestamp::now().duration_since(renewed) < LEASE_MAX => {
            Finding::ok(CLUSTER, "Leader", format!("{holder} leads"))
        }
        _ => {
            let why = format!("nobody holds the Lease {namespace}/{name}, so nothing is run");
            Finding::failed(
                CLUSTER,
                "Leader",
                FailureKind::Other,
                why,
                format!("look at the operator's logs: kubectl --namespace {namespace} get pods"),
            )
        }
    }
}

/// What the chart grants in a namespace.
fn granted() -> &'static [PolicyRule] {
    static RULES: LazyLock<Vec<PolicyRule>> =
        LazyLock::new(|| serde_json::from_str(RIGHTS).expect("written by a test"));
    &RULES
}

/// Each question that a rule answers.
fn questions(rules: &[PolicyRule], namespace: &str) -> Vec<ResourceAttributes> {
    let mut questions = Vec::new();
    for rule in rules {
        let (groups, resources) = (rule.api_groups.iter().flatten(), rule.resources.clone().unwrap_or_default());
        for (group, resource) in groups.flat_map(|group| resources.iter().map(move |resource| (group, resource))) {
            let (resource, subresource) =
                resource.split_once('/').map_or((resource.as_str(), None), |(resource, sub)| (resource, Some(sub)));
            let names = rule.resource_names.clone().unwrap_or_default();
            let names: Vec<Option<String>> =
                if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
            for (verb, name) in rule.verbs.iter().flat_map(|verb| names.iter().map(move |name| (verb, name))) {
                questions.push(ResourceAttributes {
                    group: Some(group.clone()),
                    resource: Some(resource.to_owned()),
                    subresource: subresource.map(str::to_owned),
                    verb: Some(verb.clone()),
                    name: name.clone(),
                    namespace: Some(namespace.to_owned()),
                    ..ResourceAttributes::default()
                });
            }
        }
    }
    questions
}

/// `create jobs.batch`, as kubectl writes it.
fn words(question: &ResourceAttributes) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let group = question
        .group
        .as_deref()
        .filter(|group| !group.is_empty())
        .map(|group| format!(".{group}"))
        .unwrap_or_default();
    let sub = question.subresource.as_deref().map(|sub| format!("/{sub}")).unwrap_or_default();
    format!("{} {}{group}{sub}", text(&question.verb), text(&question.resource))
}

/// What a ServiceAccount lacks of some rules.
pub async fn lacks(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    rules: &[PolicyRule],
) -> Result<Vec<String>, kube::Error> {
    let api: Api<SubjectAccessReview> = Api::all(cluster.client.clone());
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    let ask = |question: ResourceAttributes| {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                groups: Some(groups.to_vec()),
                resource_attributes: Some(question.clone()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api = &api;
        async move {
            let answer = api.create(&PostParams::default(), &review).await?;
            Ok::<_, kube::Error>((!answer.status.is_some_and(|status| status.allowed)).then(|| words(&question)))
        }
    };
    let answers = futures::stream::iter(questions(rules, &cluster.namespace)).map(ask).buffered(ASKED_AT_ONCE);
    let answers: Vec<Result<Option<String>, kube::Error>> = answers.collect().await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

async fn rights(cluster: &Cluster, namespace: &str, deployment: &Deployment) -> Finding {
    let check = "OperatorRights";
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let account = pod.and_then(|pod| pod.service_account_name.clone()).unwrap_or_else(|| "default".to_owned());
    match lacks(cluster, namespace, &account, granted()).await {
        Ok(lacks) if lacks.is_empty() => Finding::ok(
            CLUSTER,
            check,
            format!("the ServiceAccount {namespace}/{account} may do its work in {}", cluster.namespace),
        ),
        Ok(lacks) => {
            let why = format!(
                "the ServiceAccount {namespace}/{account} may not {} in {}",
                lacks.join(", "),
                cluster.namespace
            );
            Finding::failed(
                CLUSTER,
                check,
                FailureKind::Access,
                why,
                "upgrade the chart, or grant it: the chart's rbac.yaml has the list",
            )
        }
        Err(error) => unseen(CLUSTER, check, "what others may do", &error),
    }
}

/// Whether whoever asks may do something.
async fn may(cluster: &Cluster, question: ResourceAttributes) -> Result<bool, kube::Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(question), ..SelfSubjectAccessReviewSpec::default() };
    let answer = api
        .create(&PostParams::default(), &SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() })
        .await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

/// Whether whoever asks may use the plugin's verbs.
async fn own(cluster: &Cluster) -> Vec<Finding> {
    let about = cluster.namespace.as_str();
    let needed = [
        (
            "OwnRights",
            "see syncs and their logs",
            vec![rule("s3sync.dev", "s3syncs", &["get", "list"]), rule("", "pods/log", &["get"])],
        ),
        (
            "JobRights",
            "look and work in a Job (--in-cluster)",
            vec![
                rule("batch", "jobs", &["get", "create", "delete"]),
                rule("", "pods", &["get", "list"]),
                rule("", "pods/log", &["get"]),
                rule("", "events", &["list"]),
                // What a sync's connectionRef names stands in its Job's manifest.
                rule("s3sync.dev", "s3connections", &["get"]),
            ],
        ),
    ];
    let mut found = Vec::new();
    for (check, what, rules) in needed {
        let mut lacks = Vec::new();
        for question in questions(&rules, about) {
            match may(cluster, question.clone()).await {
                Ok(true) => {}
                Ok(false) => lacks.push(words(&question)),
                Err(error) => return vec![unseen(about, check, "what you may do", &error)],
            }
        }
        found.push(if lacks.is_empty() {
            Finding::ok(about, check, format!("you may {what}"))
        } else {
            Finding::warning(
                about,
                check,
                format!("you may not {}, so not {what}", lacks.join(", ")),
                "ask who runs the cluster for a role that allows it",
            )
        });
    }
    found
}

/// Whether the namespace takes a worker's pod: Pod Security, quotas, limits and webhooks are asked by making one that
/// is not kept.
pub async fn admission(cluster: &Cluster, about: &str, mut pod: Pod) -> Finding {
    let check = "Admission";
    let question = questions(&[rule("", "pods", &["create"])], &cluster.namespace).remove(0);
    if !may(cluster, question).await.unwrap_or(false) {
        let why = "you may not create pods, so Pod Security, quotas and limits were not tried";
        return Finding::warning(about, check, why, "ask who runs the cluster; the Job's events say it too");
    }
    pod.metadata = ObjectMeta { name: Some("s3sync-doctor".to_owned()), ..pod.metadata };
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match cluster.api::<Pod>().create(&params, &pod).await {
        Ok(_) => Finding::ok(about, check, "the namespace takes a worker's pod: Pod Security, quotas and limits"),
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
            let fix = "ask who runs the cluster; spec.worker.resources is what quotas and limits are about";
            Finding::failed(about, check, FailureKind::Access, text::message(&status.message), fix)
        }
        Err(error) => unseen(about, check, "pods", &error),
    }
}

#[cfg(test)]
mod tests;
