//! Anything may end at any moment: pods, nodes under drain, controllers, the API server. Each row is published once all
//! the same.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Site, api, call, release, run, until, var};

/// What ends, all at once and without grace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Worker,
    Controller,
    Both,
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().expect("a name")
}

/// Deletes all pods of the worker, of the controller, or of both, as a node that loses power would.
fn end(site: &Site, sync: &str, victim: Victim) {
    if victim != Victim::Controller {
        for pod in site.workers(sync) {
            api::delete(&format!("{}/{}", api::core(&site.namespace, "pods"), name(&pod)), Some(0));
        }
    }
    if victim != Victim::Worker {
        for pod in release::controllers() {
            api::delete(&format!("{}/{}", api::core(release::NAMESPACE, "pods"), name(&pod)), Some(0));
        }
    }
}

/// A run long enough to be met in each phase: several commits, each of many objects and files.
pub fn long_run(site: &Site) -> (Value, u64) {
    let rows = site.put_many("orders/", 90, 20);
    let spec = json!({"limits": {"objectsPerCommit": 30}, "destination": {"partitionBy": [{"column": "part"}]}});
    (site.sync("orders", "orders/", spec), rows)
}

/// Ends the victim when the cursor shows the phase, and looks at what is published in the end.
fn each_row_once_though(victim: Victim, phase: &str) {
    let site = Site::new(&format!("{victim:?}-{phase}").to_lowercase());
    let (sync, rows) = long_run(&site);
    site.apply(&sync).expect("accepted");
    let met = until("the phase", || {
        let seen = site.phase("orders");
        // A fast machine may leave the phase unseen in one commit, and shows it in the next; at the end there is
        // nothing left to break.
        let over = site.get("orders")["status"]["lastRun"].is_object();
        if seen == phase || over { Ok(seen == phase) } else { Err(format!("{seen:?}\n{}", site.story())) }
    });
    end(&site, "orders", victim);
    println!("{victim:?} ended in phase {phase}: {met}");
    let sync = site.wait("orders", "everything published", |sync| {
        let idle = sync["status"]["active"].as_array().is_none_or(Vec::is_empty);
        idle && sync["status"]["lastRun"]["result"] == "Succeeded"
    });
    site.has_each_row_once("orders/", rows);
    assert_eq!(site.phase("orders"), "Idle", "{sync}");
}

#[test]
fn worker_ends_while_it_prepares() {
    each_row_once_though(Victim::Worker, "Running");
}

#[test]
fn worker_ends_while_it_publishes() {
    each_row_once_though(Victim::Worker, "Committing");
}

#[test]
fn worker_ends_between_commits() {
    each_row_once_though(Victim::Worker, "Idle");
}

#[test]
fn controller_ends_while_a_worker_prepares() {
    each_row_once_though(Victim::Controller, "Running");
}

#[test]
fn controller_ends_while_a_worker_publishes() {
    each_row_once_though(Victim::Controller, "Committing");
}

#[test]
fn controller_ends_before_a_worker_began() {
    each_row_once_though(Victim::Controller, "");
}

#[test]
fn both_end_while_the_worker_prepares() {
    each_row_once_though(Victim::Both, "Running");
}

#[test]
fn both_end_while_the_worker_publishes() {
    each_row_once_though(Victim::Both, "Committing");
}

#[test]
fn both_end_before_the_worker_began() {
    each_row_once_though(Victim::Both, "");
}

#[test]
fn an_evicted_worker_is_replaced_and_no_failure_is_counted() {
    let site = Site::new("evict");
    let (mut sync, rows) = long_run(&site);
    // An optimised binary would be done before it is met at work.
    sync["spec"]["worker"] = json!({"resources": {"limits": {"cpu": "200m"}}});
    site.apply(&sync).expect("accepted");
    let pod = until("a worker at work", || {
        let pods = site.workers("orders");
        let at_work =
            pods.iter().find(|pod| pod["status"]["phase"] == "Running").filter(|_| site.phase("orders") == "Running");
        at_work.map(|pod| name(pod).to_owned()).ok_or_else(|| site.story())
    });
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": site.namespace}});
    api::create(&format!("{}/{pod}/eviction", api::core(&site.namespace, "pods")), &eviction).expect("evicted");
    let sync = site.succeeded("orders", 1);
    assert_eq!(sync["status"]["consecutiveFailures"], 0, "{sync}");
    site.has_each_row_once("orders/", rows);
}

#[test]
fn a_lost_follower_is_replaced() {
    let site = Site::new("follower");
    let (mut sync, rows) = long_run(&site);
    sync["spec"]["worker"]["replicas"] = json!(3);
    site.apply(&sync).expect("accepted");
    until("three workers at work", || {
        let pods = site.workers("orders");
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        let over = site.get("orders")["status"]["lastRun"].is_object();
        if running == 3 || over { Ok(()) } else { Err(site.story()) }
    });
    for pod in site
        .workers("orders")
        .iter()
        .filter(|pod| pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] != "0")
    {
        api::delete(&format!("{}/{}", api::core(&site.namespace, "pods"), name(pod)), Some(0));
    }
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", rows);
}

#[test]
fn the_api_server_hangs_for_half_a_minute() {
    let _alone = release::alone();
    let site = Site::within_alone("freeze");
    let (sync, rows) = long_run(&site);
    site.apply(&sync).expect("accepted");
    until("a run under way", || if site.phase("orders").is_empty() { Err(site.story()) } else { Ok(()) });
    let restarts = |pods: Vec<Value>| -> u64 {
        pods.iter().filter_map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64()).sum()
    };
    let before = restarts(release::controllers());
    run(&var("S3SYNC_TEST_FREEZE"), &["30"], None).expect();
    site.succeeded("orders", 1);
    site.has_each_row_once("orders/", rows);
    release::ready();
    println!("restarts of controllers: {}", restarts(release::controllers()) - before);
    // And it still sees what is new.
    site.put("orders/late.csv", format!("id,name,part\n{rows},late,0\n"));
    site.trigger("orders", "after the freeze");
    site.succeeded("orders", 2);
    site.has_each_row_once("orders/", rows + 1);
}

#[test]
fn of_two_controllers_one_works_and_the_other_takes_over() {
    let _alone = release::alone();
    let site = Site::within_alone("leaders");
    let leader = release::leader();
    assert_eq!(release::controllers().len(), 2);
    let pods = api::core(release::NAMESPACE, "pods");
    // The standby is ready too, and says that it does not lead.
    for pod in release::controllers() {
        let leads =
            release::metrics(name(&pod)).lines().any(|line| line.starts_with("s3sync_leader") && line.ends_with(" 1"));
        assert_eq!(leads, name(&pod) == leader, "{}", name(&pod));
    }
    api::delete(&format!("{pods}/{leader}"), None);
    until("another leader", || {
        let now = release::leader();
        if now == leader { Err(now) } else { Ok(()) }
    });
    site.put("orders/a.csv", "id\n0\n");
    site.apply(&site.sync("orders", "orders/", json!({}))).expect("accepted");
    site.succeeded("orders", 1);
    assert_eq!(site.jobs("orders").len(), 1, "two controllers made a run each");
    site.has_each_row_once("orders/", 1);
    release::ready();
}

#[test]
fn a_cut_connection_to_minio_is_tried_again() {
    let _alone = release::alone();
    let site = Site::within_alone("store");
    let (sync, rows) = long_run(&site);
    site.apply(&sync).expect("accepted");
    until("a run under way", || if site.phase("orders") == "Running" { Ok(()) } else { Err(site.story()) });
    // Its service leads nowhere for a while.
    let service = format!("{}/minio", api::core("minio", "services"));
    api::patch(&service, &json!({"spec": {"selector": {"app": "nobody"}}}));
    std::thread::sleep(Duration::from_secs(10));
    api::patch(&service, &json!({"spec": {"selector": {"app": "minio"}}}));
    until("MinIO again", || {
        std::panic::catch_unwind(|| call("keys", json!({"bucket": site.lake()}))).map_err(|_| "no answer".to_owned())
    });
    site.wait("orders", "everything published", |sync| sync["status"]["lastRun"]["result"] == "Succeeded");
    site.has_each_row_once("orders/", rows);
}
