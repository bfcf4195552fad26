//! Who runs calls.

use std::collections::BTreeSet;

use super::{Finding, Patient, some_of};

pub(super) fn examine(patient: &Patient) -> Vec<Finding> {
    let runners: Vec<_> = patient.runners().collect();
    if runners.is_empty() {
        return vec![Finding::warning(
            "pods",
            "none is alive",
            "Nothing runs calls at the moment.",
            "Start the service; where it runs by a cron job (the maintenance role), that is as it should be.",
        )];
    }
    let slots: u32 = runners.iter().map(|pod| pod.slots).sum();
    let running: u32 = runners.iter().map(|pod| pod.running).sum();
    let mut findings =
        vec![Finding::fine("pods", format!("{} alive, {running} of {slots} slots taken", runners.len()))];
    let versions: BTreeSet<&str> = runners.iter().map(|pod| pod.version.as_str()).collect();
    findings.push(if versions.len() > 1 {
        Finding::warning(
            "versions",
            some_of(versions),
            "Pods of several versions of Futurecall are alive: during a deployment that is as it should be.",
            "If no deployment is under way, look for what was left behind: `futurecall pods`.",
        )
    } else {
        Finding::fine("versions", some_of(versions))
    });
    findings
}
