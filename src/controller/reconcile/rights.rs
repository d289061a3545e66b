//! What pods need to reach their cursor: a ServiceAccount, a Role, a RoleBinding. Made where they are not there, mended
//! where they are ours, and left alone where they are somebody else's.

use std::time::Duration;

use futures::FutureExt;
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::apply::{Made, post};
use super::{Context, LookError, asked};
use crate::api::S3Sync;
use crate::controller::build;
use crate::controller::names::{FIELD_MANAGER, short_hash};
use crate::controller::reflectors::expectations::Key;

/// Makes or mends them, unless that was done. `doubted`: when it was longer ago than this, they may have been removed
/// by hand since. `Some`: one of the names is somebody else's.
pub async fn ensure_rights(
    sync: &S3Sync,
    doubted: Option<Duration>,
    key: &Key,
    context: &Context,
) -> Result<Option<Made>, LookError> {
    let (account, role, binding) = (build::service_account(sync), build::role(sync), build::role_binding(sync));
    let digest = short_hash(&[&json!([account, role, binding]).to_string()]);
    if context.expectations.applied_ago(key, &digest).is_some_and(|ago| doubted.is_none_or(|doubted| ago < doubted)) {
        return Ok(None);
    }
    context.expectations.applied(key, None);
    let account = async {
        match &account {
            Some(account) => ensure(account, sync, key, context).boxed().await,
            None => Ok(None),
        }
    };
    let (account, role) = tokio::try_join!(account, ensure(&role, sync, key, context).boxed())?;
    if let Some(taken) = account.or(role) {
        return Ok(Some(taken));
    }
    // Not beside them: who is no administrator can bind only a role that is there.
    let taken = ensure(&binding, sync, key, context).boxed().await?;
    if taken.is_none() {
        context.expectations.applied(key, Some(digest));
    }
    Ok(taken)
}

async fn ensure<K>(object: &K, sync: &S3Sync, key: &Key, context: &Context) -> Result<Option<Made>, LookError>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + k8s_openapi::Resource
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &key.0);
    let (kind, name) = (<K as k8s_openapi::Resource>::KIND, object.name_any());
    match api.create(&post(), object).await {
        Ok(_) => return Ok(None),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(asked(format!("make {kind} {name}"))(error)),
    }
    let there = api.get(&name).await.map_err(asked(format!("show {kind} {name}")))?;
    if !is_ours(there.meta(), object.meta(), sync) {
        return Ok(Some(Made::Taken(kind, name)));
    }
    let mut wanted = object.clone();
    // What was looked at, and not what has taken its place since.
    wanted.meta_mut().uid = there.uid();
    // A merge replaces lists whole: rules that somebody added go, and so does an owner that is gone.
    let patched = api.patch(&name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(&wanted)).await;
    patched.map(|_| None).map_err(asked(format!("mend {kind} {name}")))
}

/// Whether an object is this resource's: it is its owner, or the object has our labels and no owner but a namesake that
/// is gone.
pub(super) fn is_ours(there: &ObjectMeta, wanted: &ObjectMeta, sync: &S3Sync) -> bool {
    let owners = there.owner_references.as_deref().unwrap_or_default();
    if owners.iter().any(|owner| Some(&owner.uid) == sync.metadata.uid.as_ref()) {
        return true;
    }
    let labelled = wanted
        .labels
        .iter()
        .flatten()
        .all(|(key, value)| there.labels.as_ref().and_then(|all| all.get(key)) == Some(value));
    let namesake = build::owner(sync);
    labelled
        && owners.iter().all(|owner| {
            (&owner.api_version, &owner.kind, &owner.name) == (&namesake.api_version, &namesake.kind, &namesake.name)
        })
}
