//! What the kernel says of a process: memory, CPU time.

use std::time::Duration;

/// The memory of a process, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Pages in memory, those shared with others included.
    pub resident: f64,
    /// The same with each shared page divided by those who share it.
    pub proportional: f64,
    /// The most that was ever resident.
    pub peak: f64,
}

/// The memory of the process `id`.
pub fn memory(id: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let rollup = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let mib = |text: &str, name: &str| field_kib(text, name).unwrap_or(0) as f64 / 1024.0;
    Ok(Memory { resident: mib(&status, "VmRSS:"), proportional: mib(&rollup, "Pss:"), peak: mib(&status, "VmHWM:") })
}

/// The buffers of all TCP sockets of this machine, in MiB: the kernel does not count them to any process.
pub fn socket_memory() -> f64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let pages = line.split_whitespace().skip_while(|word| *word != "mem").nth(1).and_then(|pages| pages.parse().ok());
    // SAFETY: it reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(0.0) * page as f64 / f64::from(1 << 20)
}

/// What threads have had of the processors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// How long they computed, in user and kernel.
    pub computed: Duration,
    /// How long they would have, but waited for a processor.
    pub waited: Duration,
}

/// The share of the threads of a process that have this kind of name. Those that have ended do not count.
pub fn share(id: u32, counts: impl Fn(&str) -> bool) -> Share {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut share = Share::default();
    for thread in threads {
        let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let text = read("schedstat");
        let mut nanos = text.split_whitespace().map(|field| field.parse().map_or(Duration::ZERO, Duration::from_nanos));
        if counts(read("comm").trim()) {
            share.computed += nanos.next().unwrap_or_default();
            share.waited += nanos.next().unwrap_or_default();
        }
    }
    share
}

/// The CPU time that the threads of a process have used, in user and kernel. Those that have ended do not count.
pub fn cpu_time(id: u32) -> Duration {
    share(id, |_| true).computed
}

/// The CPU time that this thread has used.
pub fn thread_cpu_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The CPU time that all threads of this process have used.
pub fn process_cpu_time() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that is large enough.
    let status = unsafe { libc::clock_gettime(id, &mut time) };
    assert_eq!(status, 0, "every Linux has these clocks");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The number of KiB after a name in the kernel's tables.
pub fn field_kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}
