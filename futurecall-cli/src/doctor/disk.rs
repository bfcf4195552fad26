//! Checks the file system of a SQLite file: locks are unreliable on network file systems.

use std::path::Path;

use futurecall_runtime::inspect::{Finding, Severity};

use crate::connect;

const CODE: &str = "file-system";

/// Network and shared file systems, with unreliable locks and no shared memory.
const REMOTE: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "ocfs2",
    "virtiofs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.rclone",
    "vboxsf",
    "prl_fs",
];

/// Returns a finding, if the file system is known.
pub(super) fn examine(url: &str) -> Option<Finding> {
    let file = connect::file(url)?.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let kind = kind_of(&file, &mounts)?;
    Some(if REMOTE.contains(&kind) {
        Finding::new(
            Severity::Problem,
            CODE,
            kind,
            "SQLite's locks and write-ahead log need a local disk: over a network, two processes can corrupt the file.",
            "Move the file to a local disk, or use PostgreSQL.",
        )
    } else {
        Finding::ok(CODE, kind)
    })
}

/// Returns the file system of the innermost mount that contains the file.
fn kind_of<'a>(file: &Path, mounts: &'a str) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, point, kind) = (words.next()?, words.next()?, words.next()?);
        // Blanks are octal escapes.
        let point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
        file.starts_with(&point).then_some((point.len(), kind))
    });
    // The later of two mounts on the same path hides the earlier.
    mounts.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_decides() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\nserver:/y /a\\040b cifs rw 0 0\n";
        for (file, kind) in [
            ("/var/calls.db", "ext4"),
            ("/data/calls.db", "nfs4"),
            ("/data2/calls.db", "ext4"),
            ("/a b/c.db", "cifs"),
        ] {
            assert_eq!(kind_of(Path::new(file), mounts), Some(kind));
        }
        assert_eq!(kind_of(Path::new("/x"), ""), None);
    }
}
