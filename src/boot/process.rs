//! What the process asks of the operating system: memory that is given back, and open files.

/// Blocks of this size or more go back to the system when they are freed, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const RETURNED: i32 = 1 << 20;

/// Makes the allocator give large blocks back to the system when they are freed.
///
/// By default, glibc raises its threshold for that to 32 MiB when a large block is freed, and then
/// keeps such blocks for reuse: up to eight per processor. Hashing a password takes 19 MiB, on any of
/// many threads, so 400 wrong sign-ins let a process grow from 175 MB to 955 MB. With a fixed
/// threshold they take 1 MB, punches are as fast, and the process starts with 70 MB less. Buffers
/// for passwords alone would not help with images, and another allocator not with ONNX Runtime.
///
/// Call it before any thread runs.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "the allocator has no other interface")
)]
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: both only set a number, and the caller is the only thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED);
        // As much may stay at the end of the heap; glibc uses this ratio, too.
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * RETURNED);
    }
}

/// The limit of open files and connections of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// What counts; `None` for no limit.
    pub soft: Option<u64>,
    /// Up to what the process can raise it.
    pub hard: Option<u64>,
}

/// Returns the limit of open files; `None` where there is none.
pub fn file_limit() -> Option<FileLimit> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        let limit = getrlimit(Resource::Nofile);
        Some(FileLimit {
            soft: limit.current,
            hard: limit.maximum,
        })
    }
    #[cfg(not(unix))]
    None
}

/// Raises the limit of open files as far as the process may, and returns it. The default of most
/// systems, 1024, is for programs from the last century.
pub(super) fn raise_file_limit() -> Option<FileLimit> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        if limit.current != limit.maximum
            && let Err(cause) = setrlimit(Resource::Nofile, raised)
        {
            tracing::warn!(%cause, "could not raise the limit of open files");
        }
    }
    file_limit()
}

/// Maximum number of connections if files are not limited. So many cost 100 MB without a request.
const CONNECTIONS_MOST: u64 = 10_000;

/// Returns the maximum number of connections: the store, Redis and cameras get a tenth of the
/// files.
pub fn connections_most(limit: Option<FileLimit>) -> usize {
    let files = limit.and_then(|limit| limit.soft).unwrap_or(u64::MAX);
    (files / 10).saturating_mul(9).clamp(1, CONNECTIONS_MOST) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_tenth_of_the_files() {
        let most = |soft| connections_most(Some(FileLimit { soft, hard: None }));
        assert_eq!(most(Some(1024)), 918);
        assert_eq!(most(Some(1 << 20)), 10_000);
        assert_eq!(most(None), 10_000);
        assert_eq!(most(Some(3)), 1);
    }
}
