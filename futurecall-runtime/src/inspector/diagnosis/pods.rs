//! Who runs calls.

use std::collections::BTreeSet;

use super::{Finding, Ground, some_of};
use crate::store::PodRecord;

pub(super) fn examine(ground: &Ground<'_>) -> Vec<Finding> {
    let runners = ground.runners();
    let sum = |of: fn(&PodRecord) -> u32| runners.iter().map(|pod| u64::from(of(pod))).sum::<u64>();
    let (slots, running) = (sum(|pod| pod.slots), sum(|pod| pod.running));
    let pods = if runners.is_empty() {
        Finding::warning(
            "pods",
            "none is alive",
            "Nothing runs calls at the moment.",
            "Start the service; where it runs by a cron job (the maintenance role), that is as it should be.",
        )
    } else {
        Finding::ok("pods", format!("{} alive, {running} of {slots} slots taken", runners.len()))
    };
    let pods = pods.figure("live", runners.len()).figure("slots", slots).figure("running", running);
    let versions: BTreeSet<&str> = runners.iter().map(|pod| pod.version.as_str()).collect();
    let found = some_of(versions.iter());
    let mut findings = vec![pods];
    match versions.len() {
        0 => {}
        1 => findings.push(Finding::ok("versions", found)),
        _ => findings.push(Finding::warning(
            "versions",
            found,
            "Pods of several versions of Futurecall are alive: during a deployment that is as it should be.",
            "If no deployment is under way, look for what was left behind: `futurecall pods`.",
        )),
    }
    findings
}
