//! One sync as the cluster has it: what the operator says of it, its Secrets, and its workers' rights.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::cluster::{lacks, unseen};
use super::finding::Finding;
use crate::api::status::ConditionType;
use crate::api::{S3Sync, summary, text};
use crate::command::FailureKind;
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::status;
use crate::controller::build;
use crate::model::reason::Reason;

/// What the cluster says of one sync, but for its buckets.
pub async fn found(cluster: &Cluster, sync: &S3Sync) -> Vec<Finding> {
    let about = format!("{}/{}", cluster.namespace, sync.name_any());
    let mut found = standing(&about, sync);
    found.extend(secrets(cluster, sync, &about).await);
    let ran = sync.status.as_ref().is_some_and(|status| status.last_run.is_some() || !status.active.is_empty());
    let account = build::account(sync);
    found.push(if ran {
        match lacks(cluster, &cluster.namespace, &account, &build::role(sync).rules.unwrap_or_default()).await {
            Ok(lacks) if lacks.is_empty() => {
                Finding::ok(&about, "WorkerRights", format!("the ServiceAccount {account} may move the cursor"))
            }
            Ok(lacks) => {
                let why = format!("the ServiceAccount {account} may not {}", lacks.join(", "));
                Finding::failed(
                    &about,
                    "WorkerRights",
                    FailureKind::Access,
                    why,
                    "`kubectl s3sync trigger`: the operator makes Role and RoleBinding with a run",
                )
            }
            Err(error) => unseen(&about, "WorkerRights", "what workers may do", &error),
        }
    } else {
        Finding::ok(&about, "WorkerRights", "granted with the first run")
    });
    found
}

/// What the operator says of a sync.
pub fn standing(about: &str, sync: &S3Sync) -> Vec<Finding> {
    let Some(now) = sync.status.as_ref().filter(|now| Some(now.observed_generation) == sync.metadata.generation) else {
        let fix = "look whether the operator is there and watches the namespace";
        return vec![Finding::failed(about, "Ready", FailureKind::Other, "no operator has seen it as it is", fix)];
    };
    let mut found = Vec::new();
    for (check, kind) in [("Ready", ConditionType::Ready), ("LastRun", ConditionType::LastRunSucceeded)] {
        let Some(condition) = now.condition(kind) else { continue };
        let (why, fix) = condition.message.split_once("; ").unwrap_or((&condition.message, ""));
        let why = format!("{}: {why}", condition.reason);
        found.push(match (condition.status.as_str(), summary::reason(condition)) {
            (_, Some(Reason::Suspended)) => {
                Finding::warning(about, check, why, "`kubectl s3sync resume` starts its runs again")
            }
            ("True", _) => Finding::ok(about, check, why),
            // Somebody's wish.
            (_, Some(Reason::Cancelled)) => {
                Finding::warning(about, check, why, "`kubectl s3sync trigger` starts another run")
            }
            ("False", reason) => {
                let fix = if fix.is_empty() { "docs/troubleshooting.md goes through the reasons" } else { fix };
                Finding::failed(about, check, reason.map_or(FailureKind::Other, Reason::failure), why, fix)
            }
            _ => Finding::warning(about, check, why, ""),
        });
    }
    if let Some(waits) = now.conditions.iter().find(|seen| summary::reason(seen).is_some_and(Reason::is_stuck)) {
        found.push(Finding::failed(
            about,
            "Worker",
            FailureKind::Access,
            text::message(&waits.message),
            "see the reason; the run goes on by itself once it is mended",
        ));
    }
    found
}

/// Whether the Secrets that the sync names are there: their metadata alone is asked for.
async fn secrets(cluster: &Cluster, sync: &S3Sync, about: &str) -> Vec<Finding> {
    let ends = [&sync.spec.source.connection, &sync.spec.destination.connection];
    let names = ends.into_iter().flat_map(|end| {
        let credentials = end.secret_ref.as_ref().map(|secret| secret.name.clone());
        credentials.into_iter().chain(end.ca_secret_ref.as_ref().map(|secret| secret.name.clone()))
    });
    let names: BTreeSet<String> = names.collect();
    let mut found = Vec::new();
    for name in names {
        found.push(match cluster.api::<Secret>().get_metadata_opt(&name).await {
            Ok(Some(_)) => Finding::ok(about, "Secret", format!("{name} is there")),
            Ok(None) => Finding::failed(
                about,
                "Secret",
                FailureKind::Access,
                format!("the Secret {name} is not there"),
                "make it in the sync's namespace",
            ),
            Err(error) => unseen(about, "Secret", &format!("the Secret {name}"), &error),
        });
    }
    found
}

/// The state of a sync in one line.
pub fn line(about: &str, sync: &S3Sync) -> Finding {
    let mut found = standing(about, sync);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.result));
    let ready = sync.status.as_ref().and_then(status::ready).map(|ready| ready.message.clone()).unwrap_or_default();
    let mut worst = found.into_iter().next().unwrap_or_else(|| Finding::ok(about, "Sync", ready));
    "Sync".clone_into(&mut worst.check);
    worst
}

#[cfg(test)]
mod tests;
