//! `s3sync doctor`: looks at each thing that a sync needs, and says of each how it is and what to do. Nothing is
//! changed; what has to be tried by writing is taken back. Buckets of a sync in a cluster are looked at where its
//! workers are, unless --local asks for here.

mod buckets;
mod cluster;
mod finding;
mod sync;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, ObjectMeta};

use self::finding::{Finding, Outcome, Report};
use crate::api::S3Sync;
use crate::cli::{CursorArgs, DoctorArgs, JobArgs, LogArgs, Output};
use crate::command::plugin::cluster::Cluster;
use crate::command::plugin::in_cluster;
use crate::command::{CommandError, FailureKind, note, print, render, runtime, state};

/// Syncs of a page of a list: what kubectl asks for at once.
const PAGE: u32 = 500;

/// Bytes of a Job's report: some dozens of lines of at most a few kilobytes each.
const REPORT_BYTES_MAX: usize = 1 << 20;

/// Looks, prints, and ends as what failed first does.
pub fn execute(args: &DoctorArgs, logging: &LogArgs) -> Result<(), CommandError> {
    if args.in_pod {
        in_cluster::frames::begin();
    }
    let report = runtime()?.block_on(async {
        match (&args.name, args.in_pod || !args.files.is_empty()) {
            (_, true) => Ok(Report { checks: buckets(args).await? }),
            (Some(name), false) => of_sync(args, name, logging).await,
            (None, false) => of_namespace(args).await,
        }
    })?;
    print(&document(&report, args.print.output)?)?;
    if args.in_pod {
        // Whoever asked reads what failed.
        return in_cluster::frames::end(&mut std::io::stdout().lock())
            .map_err(|error| anyhow::Error::new(error).into());
    }
    report.end()
}

fn document(report: &Report, output: Output) -> Result<String, CommandError> {
    let result = match report.result() {
        Outcome::Ok => "Ok",
        Outcome::Warning => "Warning",
        Outcome::Failed => "Failed",
    };
    let whole = serde_json::json!({"result": result, "checks": report.checks});
    render::document(output, &whole, |_| report.text())
}

/// The buckets of manifests, or of this pod's sync.
async fn buckets(args: &DoctorArgs) -> Result<Vec<Finding>, CommandError> {
    let cursor = CursorArgs {
        name: args.name.clone(),
        files: args.files.clone(),
        print: args.print,
        state: args.state.clone(),
        cluster: args.cluster.clone(),
        job: JobArgs { in_pod: args.in_pod, ..JobArgs::default() },
    };
    let mut found = Vec::new();
    for sync in &state::open(&cursor).await? {
        found.extend(buckets::look(sync).await);
    }
    Ok(found)
}

/// The cluster, a namespace of it, and each sync in a line.
async fn of_namespace(args: &DoctorArgs) -> Result<Report, CommandError> {
    let cluster = Cluster::connect(&args.cluster).await?;
    let mut checks = cluster::look(&cluster).await;
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let what = format!("S3Syncs of the namespace {}", cluster.namespace);
        let page = cluster.api::<S3Sync>().list(&params).await.map_err(|error| cluster.failed(&what, error))?;
        checks.extend(
            page.items.iter().map(|sync| sync::line(&format!("{}/{}", cluster.namespace, sync.name_any()), sync)),
        );
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(Report { checks }),
        }
    }
}

/// The cluster, and one sync with its buckets.
async fn of_sync(args: &DoctorArgs, name: &str, logging: &LogArgs) -> Result<Report, CommandError> {
    let cluster = Cluster::connect(&args.cluster).await?;
    let sync = cluster.sync(name).await?;
    let about = format!("{}/{name}", cluster.namespace);
    let mut checks = cluster::look(&cluster).await;
    let sync = match cluster.connected(sync.clone()).await {
        Ok(sync) => sync,
        // Without what its S3Connections say there is no bucket to look at.
        Err(error) => {
            checks.extend(sync::standing(&about, &sync));
            let fix =
                "make the S3Connection that connectionRef names, or ask who runs the cluster for get of s3connections";
            checks.push(Finding::failed(&about, "Connection", error.kind, error.to_string(), fix));
            return Ok(Report { checks });
        }
    };
    checks.extend(sync::found(&cluster, &sync).await);
    if args.local {
        match buckets(args).await {
            Ok(found) => checks.extend(found),
            Err(error) => checks.push(Finding::failed(&about, "Spec", error.kind, error.to_string(), "")),
        }
        return Ok(Report { checks });
    }
    let command = in_cluster::Command {
        args: in_cluster::arguments(&["doctor", "--in-pod"], Output::Json, logging),
        image: args.image.as_deref(),
        while_starting: |_, _| Ok(()),
    };
    match in_cluster::job(&cluster, &sync, &command).await {
        Ok((job, _)) => {
            let template = job.spec.unwrap_or_default().template;
            let labelled = template.metadata.unwrap_or_default();
            let metadata =
                ObjectMeta { labels: labelled.labels, annotations: labelled.annotations, ..ObjectMeta::default() };
            let mut spec = template.spec.unwrap_or_default();
            if sync.status.as_ref().is_none_or(|status| status.last_run.is_none() && status.active.is_empty()) {
                // The operator makes it with the first run.
                spec.service_account_name = sync.spec.worker.service_account_name.clone();
            }
            let admitted = cluster::admission(&cluster, &about, Pod { metadata, spec: Some(spec), status: None }).await;
            let refused = admitted.result == Outcome::Failed;
            checks.push(admitted);
            if refused {
                return Ok(Report { checks });
            }
        }
        Err(error) => {
            checks.push(Finding::failed(&about, "Job", error.kind, error.to_string(), ""));
            return Ok(Report { checks });
        }
    }
    if let Some(missing) = in_cluster::missing(&cluster, &sync).await {
        let fix = format!("{}; --local looks at the buckets from here", missing.fix);
        checks.push(if missing.of_first_run {
            Finding::warning(&about, "Pod", missing.why, fix)
        } else {
            Finding::failed(&about, "Pod", FailureKind::Access, missing.why, fix)
        });
        return Ok(Report { checks });
    }
    note("looking at the buckets from where the workers are");
    let mut text = String::new();
    let mut take = |piece: &str| {
        // The pod may say anything.
        if text.len() + piece.len() > REPORT_BYTES_MAX {
            return Err(CommandError::new(
                FailureKind::Other,
                anyhow::anyhow!("{about}: the pod says more than a report"),
            ));
        }
        text.push_str(piece);
        Ok(())
    };
    let ended = in_cluster::run(&cluster, &sync, command, &mut take).await;
    match (ended, serde_json::from_str::<Report>(&text)) {
        (Ok(()), Ok(report)) => {
            checks.push(Finding::ok(&about, "Pod", "it starts: image, nodes and Secrets"));
            checks.extend(report.checks);
        }
        (Err(error), _) => {
            let said = if error.errors.is_empty() {
                "it ended early; what it said stands above".to_owned()
            } else {
                error.to_string()
            };
            checks.push(Finding::failed(
                &about,
                "Pod",
                error.kind,
                said,
                "see the reason; --local looks at the buckets from here",
            ));
        }
        (Ok(()), Err(_)) => {
            let fix = "its image is of another release: name one with --image";
            checks.push(Finding::failed(&about, "Pod", FailureKind::Other, "it gives no report", fix));
        }
    }
    Ok(Report { checks })
}
