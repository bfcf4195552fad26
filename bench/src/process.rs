//! The system's data about a process: its processor time and its memory.

use std::time::Duration;

use crate::Result;

/// Returns the processor time of the current threads of a process, in nanoseconds.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let on_processor = stat.split_ascii_whitespace().next().ok_or("schedstat does not read")?;
        nanos += on_processor.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Returns the processor time of the children that this process has waited for, and of theirs, in hundredths of a
/// second.
pub(crate) fn processor_time_of_children() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The program's name, in parentheses, may contain anything; the times are the 14th and 15th fields after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/self/stat does not read")?;
    let mut ticks = 0;
    for field in fields.split_ascii_whitespace().skip(13).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 10))
}

/// Returns the current and the peak memory of a process, in MiB.
pub(crate) struct Resident {
    pub(crate) now: f64,
    pub(crate) most: f64,
}

impl Resident {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such field")?;
            let kib = line.trim().strip_suffix("kB").ok_or("not in kB")?;
            Ok(kib.trim().parse::<f64>()? / 1024.0)
        };
        Ok(Self { now: field("VmRSS:")?, most: field("VmHWM:")? })
    }
}
